//! The store on every filesystem: the same commands work there, and give the same image.
//!
//! Each filesystem is mounted in a mount namespace of its own, which a helper holds as long as its standard input is open: when the test ends, however
//! it ends, the helper ends, the mounts go with their namespace, and the loop device with its mount.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::environment::{Environment, Ran, path_text, tool};

/// How big the disks are: XFS wants 300 MB. Only what is written takes room.
const SIZE: u64 = 512 << 20;

/// Filesystems on a disk: their name, what makes one, and the package that has it.
const DISKS: [(&str, &str, &str); 3] = [
    ("ext4", "mkfs.ext4", "e2fsprogs"),
    ("xfs", "mkfs.xfs", "xfsprogs"),
    ("btrfs", "mkfs.btrfs", "btrfs-progs"),
];

/// What a RUN can do to files that overlayfs, or a filesystem below it, could show in another way.
const DOCKERFILE: &str = r#"FROM base:1
COPY files /files
RUN rm /files/1 && mv /files/2 /files/two && mkdir -p /made/deep && echo content >/made/deep/file && ln /made/deep/file /made/linked
RUN rm -r /made/deep && mkdir /made/deep && echo other >/made/deep/other && chown 1000:1001 /made/linked && chmod 4755 /files/3
RUN mknod /made/device c 1 3 && mkfifo /made/pipe && ln -s nowhere /made/symbolic && dd if=/dev/zero of=/made/sparse bs=1 count=1 seek=1M 2>/dev/null
USER app
WORKDIR /made
"#;

/// Whether everything is as the Dockerfile says.
const LOOK: &str = "ls /files | wc -l; ls /made /made/deep; cat /made/linked; stat -c '%u:%g %h' /made/linked; stat -c %a /files/3; stat -c %s /made/sparse";
const SEEN: &str = "29\n/made:\ndeep\ndevice\nlinked\npipe\nsparse\nsymbolic\n\n/made/deep:\nother\ncontent\n1000:1001 1\n4755\n1048577\n";

/// A store on a filesystem of its own.
struct Mounted {
    lap: Environment,
    helper: Child,
}

impl Mounted {
    /// Runs a script that mounts something on `$PLACE`.
    fn new(script: &str) -> Self {
        let lap = Environment::new();
        let place = lap.path("mounted");
        std::fs::create_dir(&place).expect("a directory");
        let script = format!("set -e; {script}; echo ready; exec cat");
        let mut helper = Command::new(tool("unshare", "util-linux"))
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .current_dir(lap.path(""))
            .env("PLACE", &place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut said = String::new();
        BufReader::new(helper.stdout.take().expect("a pipe")).read_line(&mut said).expect("a line");
        assert_eq!(said, "ready\n", "nothing was mounted: this test needs root");
        Self { lap, helper }
    }

    /// On a disk in a file.
    fn disk(kind: &str, program: &str, package: &str) -> Self {
        let program = tool(program, package);
        let make = format!("truncate -s {SIZE} disk && {} -q disk >/dev/null", program.display());
        Self::new(&format!("{make} && mount -t {kind} -o loop disk \"$PLACE\""))
    }

    fn store(&self) -> PathBuf {
        self.lap.path("mounted/store")
    }

    /// Runs the command where the filesystem is mounted. What else it needs is named by whole paths.
    fn lap(&self, arguments: &[&str]) -> Ran {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.helper.id());
        let mut command = Command::new(tool("nsenter", "util-linux"));
        command.arg(namespace).arg("--").arg(crate::environment::program()).args(arguments);
        command.env("LAPSTRAKE_ROOT", self.store()).env_remove("SOURCE_DATE_EPOCH").stdin(Stdio::null());
        Ran::of(command.output().expect("nsenter runs"))
    }

    /// Imports the base, and writes the context.
    fn prepare(&self) -> PathBuf {
        for number in 0..30 {
            self.lap.write(&format!("context/files/{number}"), vec![number; 3000 * usize::from(number)]);
        }
        self.lap.write("context/Dockerfile", DOCKERFILE);
        let base = self.lap.write("base.tar", crate::environment::base_tar());
        self.lap(&["import", path_text(&base), "base:1"]).success();
        self.lap.path("context")
    }

    fn looks_right(&self) {
        let ran = self.lap(&["run", "--rm", "app", "sh", "-c", LOOK]).success();
        assert_eq!(ran.stdout, SEEN);
    }

    fn check(&self) {
        self.lap(&["system", "check"]).success();
    }

    /// Everything that can be done with a store; gives the image's ID and its archive.
    fn everything(&self) -> (String, Vec<u8>) {
        let context = self.prepare();
        let build =
            ["build", "--progress", "plain", "--reproducible=1000000000", "-t", "app", path_text(&context)];
        self.lap(&build).success();
        let id = self.lap(&["inspect", "--format", "{{.Id}}", "app"]).success().stdout;
        self.looks_right();
        let archive = self.lap.path("app.tar");
        self.lap(&["save", "-o", path_text(&archive), "app"]).success();
        self.check();
        // The trees are all that there is of what RUN made; then they are made again.
        self.lap(&["system", "prune", "-f", "--derived"]).success();
        self.looks_right();
        self.lap(&["system", "prune", "-a", "-f"]).success();
        assert_eq!(self.lap(&["images", "-q"]).success().stdout, "");
        self.lap(&["load", "-i", path_text(&archive)]).success();
        assert_eq!(self.lap(&["inspect", "--format", "{{.Id}}", "app"]).success().stdout, id);
        self.looks_right();
        self.check();
        (id, std::fs::read(archive).expect("an archive"))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(self.helper.stdin.take());
        // It ends by itself, and its namespace with it.
        let _ = self.helper.wait();
    }
}

/// Overlayfs does not take directories of another overlay to write in: there, snapshots are copies.
const OVERLAY: &str = "mkdir memory && mount -t tmpfs tmpfs memory && mkdir memory/lower memory/upper memory/work && \
    mount -t overlay -o lowerdir=memory/lower,upperdir=memory/upper,workdir=memory/work overlay \"$PLACE\"";

#[test]
fn the_same_image_on_every_filesystem() {
    let expected = Mounted::new("mount -t tmpfs -o mode=755 tmpfs \"$PLACE\"").everything();
    std::thread::scope(|scope| {
        let look = |kind: &str, make: Box<dyn Fn() -> Mounted + Send>| {
            let (expected, name) = (&expected, kind.to_owned());
            let look = move || {
                let found = make().everything();
                assert_eq!(found.0, expected.0, "{name}");
                assert!(found.1 == expected.1, "the archive of {name} differs");
            };
            std::thread::Builder::new().name(kind.to_owned()).spawn_scoped(scope, look).expect("a thread");
        };
        for (kind, program, package) in DISKS {
            look(kind, Box::new(move || Mounted::disk(kind, program, package)));
        }
        look("overlay", Box::new(|| Mounted::new(OVERLAY)));
    });
}
