//! A snapshot is one: an overlay or a plain directory, in namespaces or in another root only, the same commands give the same layers.
//!
//! Where an overlay cannot say what a plain directory can (a file of the base that has several names is, once changed, no longer the same
//! under all of them; a file that was opened for writing is in the layer, changed or not), what is right is said here.

mod tricks;

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::process::{Command, Stdio};

use crate::environment::{Environment, Ran, path_text, tool};
use crate::listing::describe;

/// The ways to run a command: a name, the snapshot, the isolation.
const WAYS: [(&str, &str, &str); 3] =
    [("overlay", "overlay", "namespaces"), ("copy", "copy", "namespaces"), ("chroot", "copy", "chroot")];

/// No time that is written is later; all that scripts set are earlier.
const EPOCH: &str = "1500000000";

/// What every script finds.
const BEFORE: &str = "\
mkdir -p /d/sub/deep /d/empty /d/full /old && echo 1 >/d/file && echo 2 >/d/sub/in && echo 3 >/d/sub/deep/in && \
echo one >/d/one && ln /d/one /d/two && ln -s file /d/link && ln -s sub /d/tosub && mkfifo /d/fifo && \
echo a >/d/full/a && echo b >/d/full/b && mkdir /d/odd && chown 5:6 /d/odd && chmod 3751 /d/odd && \
echo s >/d/setuid && chown 7:8 /d/setuid && chmod 6755 /d/setuid && \
find /d /old -exec touch -h -d @1200000000 {} +";

/// What is done, and the lines of RUN that do it.
const SCRIPTS: [(&str, &[&str]); 46] = [
    ("nothing", &["true"]),
    ("only read", &["cat /d/file /d/sub/in; find / -xdev >/dev/null; ls -lR /d >/dev/null"]),
    ("create", &["echo x >/new; mkdir -p /a/b/c; echo y >/a/b/c/y"]),
    (
        "create with modes",
        &["umask 077; echo x >/private; mkdir /own; chmod 2770 /own; chown 9:10 /own /private"],
    ),
    ("create in a directory with odd owner", &["echo x >/d/odd/x; mkdir /d/odd/y"]),
    ("create where things are placed", &["echo x >/etc/x; echo y >/y"]),
    ("create in one step, where things are placed, and go on", &["touch /etc/x", "true", "echo x >>/etc/x"]),
    ("only new times of directories", &["touch /x /etc/x /tmp/x; rm /x /etc/x /tmp/x"]),
    ("append", &["echo more >>/d/file"]),
    ("replace by as many bytes", &["echo 9 >/d/file"]),
    ("replace by as many bytes, and put the time back", &["echo 9 >/d/file; touch -d @1200000000 /d/file"]),
    ("truncate", &[": >/d/file"]),
    ("delete a file", &["rm /d/file"]),
    ("delete one of two names", &["rm /d/two"]),
    ("delete a link", &["rm /d/link /d/tosub"]),
    ("delete a tree", &["rm -r /d/sub"]),
    ("delete all", &["rm -r /d /old /home /root"]),
    ("delete what was just made", &["echo x >/x; mkdir /y; rm -r /x /y"]),
    ("delete and make a file again", &["rm /d/file; echo new >/d/file"]),
    ("delete and make a directory again, empty", &["rm -r /d/full; mkdir /d/full"]),
    (
        "delete and make a directory again, with one of the files",
        &["rm -r /d/full; mkdir /d/full; echo new >/d/full/a"],
    ),
    ("delete and make a tree again", &["rm -r /d; mkdir -p /d/sub/deep; echo 3 >/d/sub/deep/in"]),
    ("empty a directory", &["rm /d/full/*"]),
    ("a directory instead of a file", &["rm /d/file; mkdir /d/file; echo x >/d/file/x"]),
    ("a file instead of a directory", &["rm -r /d/sub; echo x >/d/sub"]),
    ("a link instead of a directory", &["rm -r /d/sub; ln -s full /d/sub"]),
    ("a directory instead of a link", &["rm /d/tosub; mkdir /d/tosub; echo x >/d/tosub/in"]),
    ("a link instead of a file, and the other way", &["ln -sfn sub /d/file; rm /d/link; echo x >/d/link"]),
    ("a fifo instead of a file", &["rm /d/file; mkfifo /d/file"]),
    ("a fifo goes, another comes", &["rm /d/fifo; mkfifo -m 600 /d/other"]),
    ("point a link elsewhere", &["ln -sfn full /d/tosub"]),
    ("move a file", &["mv /d/file /d/moved; mv /d/setuid /old/"]),
    ("move a file over another", &["mv /d/file /d/setuid"]),
    ("move a directory", &["mv /d/full /d/moved"]),
    (
        "move a tree elsewhere, and change it",
        &["mv /d/sub /old/sub; echo x >/old/sub/deep/x; rm /old/sub/in"],
    ),
    ("exchange two directories", &["mv /d/full /d/x; mv /d/empty /d/full; mv /d/x /d/empty"]),
    ("another name for an old file", &["ln /d/file /d/sub/same"]),
    ("two names for a new file", &["echo x >/d/x; ln /d/x /d/sub/y; ln /d/x /z"]),
    ("new modes", &["chmod 600 /d/file; chmod 700 /d/sub; chmod 1777 /d/full"]),
    ("new owners", &["chown 11:12 /d/file /d/sub; chown -h 13:14 /d/link; chown 7:9 /d/setuid"]),
    ("new times", &["touch -d @1000 /d/file /d/sub; touch -h -d @2000 /d/link"]),
    ("devices", &["mknod /c c 1 3; mknod /b b 7 0; rm -f /d/file; mknod /d/file c 1 5; chmod 644 /d/file"]),
    (
        "holes",
        &[
            "dd if=/dev/zero of=/holes bs=1 count=1 seek=20M 2>/dev/null; dd if=/dev/zero of=/zeros bs=64k count=3 2>/dev/null",
        ],
    ),
    (
        "names",
        &[
            "mkdir '/d/a b' /d/ü; echo x >\"$(printf '/d/new\\nline\\tand \\377')\"; touch /d/-rf '/d/*' /d/.hidden",
        ],
    ),
    (
        "one step after another",
        &[
            "echo 1 >/x; rm -r /d/sub; mv /d/full /d/full2",
            "echo 2 >/x; mkdir /d/sub; echo back >/d/sub/in",
            "true",
            "rm /x; rm -r /d/sub; chmod 700 /d/full2",
            "ln -s /d/full2 /x; echo c >/x/c",
        ],
    ),
    (
        "what is not of the image",
        &["echo x >/dev/null; echo y >/dev/shm/y; echo z >/tmp/z; rm /tmp/z; cat /etc/hosts >/dev/null"],
    ),
];

/// A store for each way, in which there is what scripts find.
fn stores() -> Vec<(&'static str, Store)> {
    let store =
        |(name, snapshot, isolation)| (name, Store { lap: Environment::with_base(), snapshot, isolation });
    WAYS.map(store).into()
}

struct Store {
    lap: Environment,
    snapshot: &'static str,
    isolation: &'static str,
}

impl Store {
    fn lap(&self, arguments: &[&str]) -> Ran {
        let mut command = self.lap.command(arguments);
        command.env("LAPSTRAKE_SNAPSHOT", self.snapshot).env("LAPSTRAKE_ISOLATION", self.isolation);
        Ran::of(command.output().expect("lap runs"))
    }

    /// Builds `app` out of RUNs; its id.
    fn build(&self, scripts: &[&str]) -> String {
        let steps: String = scripts.iter().map(|script| format!("RUN {script}\n")).collect();
        self.lap.write("context/Dockerfile", format!("FROM base:1\nRUN {BEFORE}\n{steps}"));
        let reproducible = format!("--reproducible={EPOCH}");
        self.lap(&["build", "-q", "-t", "app", &reproducible, "context"]).success().stdout
    }

    /// What the layers of `app` hold, above the base and what scripts find: a line an entry.
    fn layers(&self) -> Vec<String> {
        let archive = self.lap.path("app.tar");
        self.lap(&["save", "--compression", "uncompressed", "-o", path_text(&archive), "app"]).success();
        let mut files = BTreeMap::new();
        let mut tar = tar::Archive::new(std::fs::File::open(&archive).expect("the archive"));
        for entry in tar.entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("the content");
            files.insert(entry.path().expect("a path").to_str().expect("text").to_owned(), content);
        }
        let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
        let layers = manifest[0]["Layers"].as_array().expect("layers");
        let lines = layers.iter().enumerate().skip(2).flat_map(|(number, layer)| {
            let content = &files[layer.as_str().expect("a path")];
            entries(content).into_iter().map(move |line| format!("{number} {line}"))
        });
        lines.collect()
    }
}

/// A line for every entry of a layer.
fn entries(layer: &[u8]) -> Vec<String> {
    let mut tar = tar::Archive::new(layer);
    let line = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.expect("an entry");
        let path = String::from_utf8_lossy(&entry.path_bytes()).escape_debug().to_string();
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let time = entry.header().mtime().expect("a time");
        format!("{path} {time} {}", describe(&mut entry, link.as_deref()))
    };
    tar.entries().expect("a tar").map(line).collect()
}

#[test]
fn whatever_the_snapshot_the_layers_are_the_same() {
    let stores = stores();
    let mut different = String::new();
    for (what, scripts) in SCRIPTS {
        let ids: Vec<String> = stores.iter().map(|(_, store)| store.build(scripts)).collect();
        let [(_, first), others @ ..] = stores.as_slice() else { panic!("no ways") };
        for ((way, store), id) in others.iter().zip(ids.iter().skip(1)) {
            if *id != ids[0] {
                let (expected, found) = (first.layers(), store.layers());
                let only = |mark: char, these: &[String], those: &[String]| -> String {
                    these
                        .iter()
                        .filter(|line| !those.contains(line))
                        .map(|line| format!("{mark} {line}\n"))
                        .collect()
                };
                different += &format!("\n== {what}: {scripts:?}, {way}\n");
                different += &only('-', &expected, &found);
                different += &only('+', &found, &expected);
            }
        }
    }
    for (_, store) in &stores {
        store.lap.check();
        let left = std::fs::read_dir(store.lap.store().join("tmp")).expect("tmp").count();
        assert_eq!(left, 0);
    }
    assert!(different.is_empty(), "{different}");
}

/// A filesystem in a file, mounted; unmounted at the end.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(lap: &Environment, kind: &str, package: &str) -> Self {
        let (device, place) = (lap.path(&format!("{kind}.image")), lap.path(kind));
        std::fs::File::create(&device).and_then(|file| file.set_len(400 << 20)).expect("a file");
        std::fs::create_dir(&place).expect("a directory");
        let succeeds = |command: &mut Command| {
            let output = command.output().expect("a command runs");
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        succeeds(Command::new(tool(&format!("mkfs.{kind}"), package)).arg(&device));
        succeeds(Command::new("mount").args(["-o", "loop"]).args([&device, &place]));
        Self(place)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// A copy of a tree takes no room, and no time, where the filesystem can share blocks.
#[test]
fn copies_share_their_blocks_with_trees_where_the_filesystem_can() {
    let lap = Environment::new();
    for (kind, package) in [("btrfs", "btrfs-progs"), ("xfs", "xfsprogs")] {
        let mounted = Mounted::new(&lap, kind, package);
        let store = mounted.0.join("store");
        let command = |snapshot: &str, arguments: &[&str]| {
            let mut command = lap.command(arguments);
            command.env("LAPSTRAKE_ROOT", &store).env("LAPSTRAKE_SNAPSHOT", snapshot);
            command
        };
        let succeeds = |mut command: Command| Ran::of(command.output().expect("lap runs")).success();
        lap.import_base_into(&store, "base:1");
        let steps = "FROM base:1\nRUN dd if=/dev/urandom of=/big bs=1M count=8 2>/dev/null\n";
        lap.write("context/Dockerfile", steps);
        succeeds(command("overlay", &["build", "-t", "app", "context"]));

        let script = "md5sum /big; echo ready; read line";
        let mut running = command("copy", &["run", "--rm", "-i", "app", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("lap runs");
        let mut lines = std::io::BufReader::new(running.stdout.take().expect("a pipe")).lines();
        let sum = lines.next().expect("a line").expect("text");
        assert_eq!(lines.next().expect("a line").expect("text"), "ready");
        let copies: Vec<_> = std::fs::read_dir(store.join("tmp"))
            .expect("tmp")
            .map(|place| place.expect("an entry").path().join("root/big"))
            .filter(|big| big.exists())
            .collect();
        let [copy] = copies.as_slice() else { panic!("{kind}: {copies:?}") };
        let extents =
            Command::new(tool("filefrag", "e2fsprogs")).arg("-v").arg(copy).output().expect("filefrag runs");
        let extents = String::from_utf8_lossy(&extents.stdout).into_owned();
        drop(running.stdin.take());
        running.wait().expect("an end");
        assert!(extents.contains("shared"), "{kind}: {extents}");

        // What a command changes in the copy is not changed in the tree.
        succeeds(command("copy", &["run", "--rm", "app", "sh", "-c", "echo x >>/big; rm /bin/ls"]));
        let again = succeeds(command(
            "overlay",
            &["run", "--rm", "app", "sh", "-c", "md5sum /big; ls /big >/dev/null"],
        ));
        assert_eq!(again.stdout, format!("{sum}\n"));
    }
}

/// What an overlay copies up without need is in no layer of a copy: only what has changed is.
#[test]
fn what_was_only_touched_is_not_in_a_copy_s_layer() {
    let store = Store { lap: Environment::with_base(), snapshot: "copy", isolation: "namespaces" };
    for script in [
        "chmod 644 /d/file; chown 0:0 /d/file",
        "echo 1 >/d/file; touch -d @1200000000 /d/file",
        "cp -p /d/file /d/x; mv /d/x /d/file; touch -d @1200000000 /d",
        "mv /d/file /d/x; mv /d/x /d/file; touch -d @1200000000 /d",
        "echo x >>/d/file; echo 1 >/d/file; touch -d @1200000000 /d/file",
    ] {
        store.build(&[script]);
        assert_eq!(store.layers(), [""; 0], "{script}");
    }
}

/// An overlay gives a changed file a copy of its own; in a copy it is still the same file under all of its names.
#[test]
fn a_file_with_several_names_is_changed_under_all_of_them() {
    let store = Store { lap: Environment::with_base(), snapshot: "copy", isolation: "namespaces" };
    store.build(&["echo more >>/d/one", "[ /d/one -ef /d/two ] && cat /d/two >/seen"]);
    let seen = store.lap(&[
        "run",
        "--rm",
        "app",
        "sh",
        "-c",
        "cat /seen; [ /d/one -ef /d/two ] && stat -c %h /d/two",
    ]);
    assert_eq!(seen.success().stdout, "one\nmore\n2\n");
    // An overlay is made of the same layers.
    assert_eq!(store.lap.sh("app", "cat /d/two; [ /d/one -ef /d/two ] && echo same"), "one\nmore\nsame\n");
}

/// A directory is not made anew for every step, and steps that run at the same time have one each.
#[test]
fn a_stage_goes_on_in_the_directory_of_its_last_step() {
    let store = Store { lap: Environment::with_base(), snapshot: "copy", isolation: "namespaces" };
    let mut dockerfile = String::from("FROM base:1 AS common\nRUN echo common >/common\n");
    for stage in ["one", "two"] {
        dockerfile += &format!("FROM common AS {stage}\nWORKDIR /made/{stage}\n");
        for step in 0..4 {
            dockerfile += &format!(
                "RUN echo {stage} >>/seen; [ \"$(grep -vc {stage} /seen)\" = 0 ] && echo {step} >>log && rm -f /made/{stage}/old* && touch old{step}\n"
            );
            dockerfile += &format!("COPY Dockerfile ./copied{step}\n");
        }
    }
    dockerfile += "FROM one\nCOPY --from=two /made/two /made/two\nRUN find /made | sort >/all\n";
    store.lap.write("context/Dockerfile", dockerfile);
    store.lap(&["build", "-t", "app", "--threads", "2", "context"]).success();
    let seen = store.lap(&[
        "run",
        "--rm",
        "app",
        "sh",
        "-c",
        "cat /seen; cat /made/*/log; grep old /all; grep -c copied /all",
    ]);
    assert_eq!(
        seen.success().stdout,
        "one\none\none\none\n0\n1\n2\n3\n0\n1\n2\n3\n/made/one/old3\n/made/two/old3\n8\n"
    );
    store.lap.check();
}

#[test]
fn df_095_mounts_show_the_same_in_every_way() {
    let lap = Environment::with_base();
    lap.write("context/dir/file", "one");
    lap.write("context/dir/sub/deep", "two");
    lap.write(
        "context/Dockerfile",
        "FROM base:1 AS made\nRUN mkdir -p /out/put && echo made >/out/put/it && chown -R 5:6 /out && ln -s /out /link\n\
         FROM base:1\nRUN mkdir /there && echo kept >/there/kept\n\
         RUN --mount=source=dir,target=/a/b --mount=from=made,source=link/put,target=/there,rw --mount=source=dir/file,target=/a/one \
             cat /a/b/file /a/one /a/b/sub/deep /there/it >/seen && stat -c '%a %u %g' /there /there/it /a/b/sub >>/seen && rm /there/it && echo x >/there/x\n\
         RUN --mount=from=made,target=/all,rw --mount=source=dir,target=/all/out/new --mount=type=tmpfs,target=/all/out/put \
             ls -A /all/out /all/out/new /all/out/put >>/seen && rm -r /all/bin && echo x >/all/x\n\
         RUN --mount=type=cache,from=made,source=/out,target=/c cat /c/put/it >>/seen && stat -c '%u %g' /c /c/put >>/seen\n\
         RUN find / -xdev -path /dev -prune -o -print | sort >>/seen\n",
    );
    let build = |(_, snapshot, isolation): (&str, &str, &str)| {
        let ways = ["--snapshot", snapshot, "--isolation", isolation];
        let arguments = ["build", "-q", "--no-cache", "--reproducible", "-t", "app", "context"];
        let image = lap.lap([&arguments[..], &ways].concat()).success().stdout;
        (image, lap.sh("app", "cat /seen; cat /there/kept"))
    };
    let [overlay, copy, chroot] = WAYS.map(build);
    assert!(overlay.1.starts_with("oneonetwomade\n755 5 6\n644 5 6\n755 0 0\n"), "{}", overlay.1);
    assert!(overlay.1.contains("made\n5 6\n5 6\n") && overlay.1.ends_with("kept\n"), "{}", overlay.1);
    assert_eq!(copy, overlay);
    assert_eq!(chroot, overlay);
}
