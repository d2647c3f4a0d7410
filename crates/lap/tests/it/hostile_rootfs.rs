//! Images whose files want to lead their builder out of them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::damage::appears;
use crate::environment::{Environment, Ran, path_text, tool};

/// A place that must stay as it is.
struct Outside(tempfile::TempDir);

impl Outside {
    fn new() -> Self {
        let outside = tempfile::tempdir().expect("a directory");
        std::fs::write(outside.path().join("passwd"), "host:x:4711:4711::/:/bin/sh\n").expect("a file");
        std::fs::create_dir(outside.path().join("empty")).expect("a directory");
        Self(outside)
    }

    fn path(&self) -> &str {
        path_text(self.0.path())
    }

    fn listing(&self) -> String {
        let listed = std::process::Command::new("find")
            .arg(self.0.path())
            .args(["-printf", "%P %y %m %U %s %T@ %n\n"])
            .output()
            .expect("find runs");
        String::from_utf8_lossy(&listed.stdout).into_owned()
    }
}

/// Builds an image from a base that a script prepares.
fn prepared(lap: &Environment, script: &str) {
    lap.write("context/prepare", script);
    lap.built("FROM base:1\nCOPY prepare /prepare\nRUN sh /prepare\n");
    lap.lap(["tag", "app", "evil:1"]).success();
}

/// CVE-2024-1753, CVE-2024-9676: `/etc/passwd` is what the image has there, and nothing else.
#[test]
fn a_passwd_that_is_no_file() {
    let outside = Outside::new();
    let before = outside.listing();
    let absolute = format!("ln -sf {}/passwd /etc/passwd", outside.path());
    let upwards = format!("ln -sf ../../../../../..{}/passwd /etc/passwd", outside.path());
    // A hole; its zeros are hashed, which takes a while.
    let size: u64 = if std::env::var_os("LAP_TEST_ALL").is_some() { 10_000_000_000 } else { 50_000_000 };
    let large = format!("rm /etc/passwd && dd if=/dev/null of=/etc/passwd bs=1 seek={size}");
    let cases = [
        ("an absolute link", absolute.as_str()),
        ("a link upwards", &upwards),
        ("a link to itself", "ln -sf passwd /etc/passwd"),
        ("a link into proc", "ln -sf /proc/self/root/etc/passwd /etc/passwd"),
        ("a pipe", "rm /etc/passwd && mkfifo /etc/passwd"),
        ("a directory", "rm /etc/passwd && mkdir /etc/passwd"),
        ("a device", "rm /etc/passwd && mknod /etc/passwd c 1 5"),
        ("a large file", large.as_str()),
        ("a file that is missing", "rm /etc/passwd"),
    ];
    let lap = Environment::with_base();
    let check = |what: &str| {
        for dockerfile in [
            "FROM evil:1\nUSER host\nRUN true\n",
            "FROM evil:1\nRUN --network=none true\nCOPY --chown=host prepare /x\n",
        ] {
            let ran = lap.build(dockerfile);
            assert_eq!(ran.code, 1, "{what}: {}", ran.stderr);
            assert!(ran.stderr.contains("unable to find user host"), "{what}: {}", ran.stderr);
        }
        lap.lap(["run", "--rm", "-u", "host", "evil:1", "true"]).failure(125, &["unable to find user host"]);
        // A number needs no file.
        let ran =
            lap.lap(["run", "--rm", "-u", "7:8", "evil:1", "stat", "-c", "%u", "/proc/self/"]).success();
        assert_eq!(ran.stdout, "7\n", "{what}");
        assert_eq!(outside.listing(), before, "{what}");
    };
    for (what, script) in cases {
        prepared(&lap, script);
        check(what);
    }
    // /etc itself: as a step sees it, it is in use.
    std::fs::create_dir(lap.path("context/dir")).expect("a directory");
    std::os::unix::fs::symlink(outside.path(), lap.path("context/dir/etc")).expect("a link");
    lap.built("FROM scratch\nCOPY --from=base:1 /bin /bin\nCOPY dir/ /\n");
    lap.lap(["tag", "app", "evil:1"]).success();
    check("a directory that is a link");
    lap.check();
}

/// CVE-2024-40635: numbers that are another number to the kernel.
#[test]
fn users_that_would_be_root() {
    let lap = Environment::with_base();
    prepared(
        &lap,
        "echo 'all:x:4294967295:4294967295::/:/bin/sh' >> /etc/passwd; echo 'all:x:4294967295:' >> /etc/group",
    );
    for user in [
        "4294967296",
        "4294967295",
        "2147483648",
        "all",
        "1:4294967295",
        "1:all",
        "-1",
        "18446744073709551616",
    ] {
        let ran = lap.lap(["run", "--rm", &format!("--user={user}"), "evil:1", "id"]);
        assert_eq!(ran.code, 125, "{user}: {}{}", ran.stdout, ran.stderr);
        let ran = lap.build(&format!("FROM evil:1\nUSER {user}\nRUN id\n"));
        assert_eq!(ran.code, 1, "{user}: {}", ran.stderr);
        let ran = lap.build(&format!("FROM evil:1\nCOPY --chown={user} prepare /x\n"));
        assert_eq!(ran.code, 1, "{user}: {}", ran.stderr);
    }
}

/// CVE-2026-55686, CVE-2018-15664: WORKDIR, COPY and mounts through links of the image.
#[test]
fn links_of_the_image_lead_nowhere_else() {
    let outside = Outside::new();
    let before = outside.listing();
    let lap = Environment::with_base();
    prepared(
        &lap,
        &format!(
            "ln -s {0} /out; ln -s ../../../../../../..{0} /up; mkdir /d; ln -s /out /d/chain; ln -s /proc/1/root /proc-root; \
             ln -s {0}/passwd /file; ln -s loop /loop",
            outside.path()
        ),
    );
    lap.write("context/file", "x");
    for place in ["/out", "/up", "/d/chain", "/out/empty", "/d/chain/../../up", "/proc-root"] {
        lap.build(&format!("FROM evil:1\nWORKDIR {place}/work\nRUN echo x > made\n"));
        lap.build(&format!("FROM evil:1\nWORKDIR {place}\nRUN echo x > made && rm -rf empty passwd\n"));
        lap.build(&format!("FROM evil:1\nCOPY file {place}/\nCOPY file {place}/passwd\nCOPY --chown=1:1 --chmod=777 . {place}\n"));
        lap.build(&format!("FROM base:1\nCOPY --from=evil:1 {place}/ /got/\nRUN test ! -e /got/passwd\n"));
        lap.lap(["run", "--rm", "-w", place, "evil:1", "sh", "-c", "echo x > made; rm -rf passwd empty"]);
        lap.lap(["run", "--rm", "--tmpfs", &format!("{place}/tmp"), "evil:1", "true"]);
        assert_eq!(outside.listing(), before, "{place}");
    }
    lap.built("FROM evil:1\nCOPY file /file\n");
    assert_eq!(lap.sh("app", "cat /file"), "x");
    lap.build("FROM evil:1\nWORKDIR /loop/x\n").failure_of("a loop");
    lap.build("FROM evil:1\nCOPY file /loop/x\n").failure_of("a loop");
    // Out into a directory of the host: as with any program, links are made and not followed.
    let target = lap.path("rootfs");
    lap.write("context/Dockerfile", "FROM evil:1\n");
    lap.lap(["build", "-o", path_text(&target), "context"]).success();
    assert_eq!(std::fs::read_link(target.join("out")).expect("a link"), Path::new(outside.path()));
    assert_eq!(outside.listing(), before);
    lap.check();
}

/// A context's links lead no further than the context.
#[test]
fn links_of_the_context_lead_nowhere_else() {
    let outside = Outside::new();
    let lap = Environment::with_base();
    lap.write("context/file", "x");
    for (name, target) in
        [("abs", outside.path().to_owned()), ("up", format!("../../../../../..{}", outside.path()))]
    {
        std::os::unix::fs::symlink(target, lap.path("context").join(name)).expect("a link");
    }
    for source in ["abs/passwd", "up/passwd", "../store", "abs/*", "up/p*", "../../../../etc/passwd"] {
        let ran = lap.build(&format!("FROM base:1\nCOPY {source} /x/\nRUN test ! -e /x/passwd\n"));
        assert_eq!(ran.code, 1, "{source}: {}", ran.stderr);
    }
}

/// A name of 900 directories, one in the other.
const DEEP: &str = "p=$(for i in $(seq 900); do printf d/; done)";

/// What a command makes may be deeper than a path, in a cache; and what is in a layer longer than one, together with where the store lies.
#[test]
fn what_is_deeper_than_paths_can_be_measured_checked_and_removed() {
    let lap = Environment::with_base();
    lap.built(&format!(
        "FROM base:1\nRUN --mount=type=cache,target=/c {DEEP}; mkdir -p /c/a/$p /c/b/$p /c/e/$p && mv /c/b /c/e/$p && \\\n\
         cd /c/e/$p && mv /c/a b/$p && echo x >/x\n\
         RUN n=$(seq 1000 | tr -d '\\n' | head -c 250); for i in $(seq 16); do mkdir $n && cd $n || exit 1; done; echo x >file\n\
         RUN {DEEP}; mkdir -p /a/$p /b/$p && mv /b /a/$p && echo x >/a/${{p}}b/file\n"
    ));
    lap.lap(["system", "df"]).success();
    lap.check_clean();
    lap.lap(["save", "-o", "app.tar", "app"]).success();
    let other = ["--root", "other", "load", "-i", "app.tar"];
    lap.lap(other).success();
    let ran = lap.lap(["system", "prune", "-f"]).success();
    assert!(!ran.stderr.contains("error"), "{}", ran.stderr);
    lap.lap(["system", "df"]).success();
    // Deeper than a layer can have.
    let ran = lap.build(&format!(
        "FROM base:1\nRUN {DEEP}; mkdir -p /a/$p /b/$p /c/$p && mv /b /a/$p && cd /a/$p && mv /c b/$p\n"
    ));
    ran.failure(1, &["cannot write a/d/d/d", "into a layer: its path is longer than a path may be"]);
    lap.check_clean();
}

/// A file of zeros takes no room, and an hour: whoever has had enough of it is heard.
#[test]
fn a_step_that_leaves_a_file_without_an_end() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nRUN dd if=/dev/null of=/endless bs=1 seek=2000000000000\n");
    let mut build = lap.command(["build", "context"]);
    let build = build.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("lap runs");
    appears(&lap.store(), "endless");
    // Until its layer is being made.
    std::thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    assert!(Command::new("kill").arg(build.id().to_string()).status().expect("kill runs").success());
    let ran = Ran::of(build.wait_with_output().expect("lap ends"));
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    ran.failure(130, &["cancelled"]);
    lap.check_clean();
}

/// What a step does while it is built does not reach what it is built with.
#[test]
fn a_step_that_attacks_its_builder() {
    let lap = Environment::with_base();
    let store = lap.store();
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_lap")).expect("lap");
    let script = format!(
        "test ! -e {0} || exit 10; for fd in /proc/self/fd/* /proc/1/fd/*; do case $(readlink $fd) in {0}*) exit 11 ;; esac; done; \
         (echo x > /proc/1/exe) 2>/dev/null && exit 12; (echo x > /proc/self/exe) 2>/dev/null && exit 13; \
         mount -t tmpfs none /mnt 2>/dev/null && exit 14; kill -9 -1; (echo x > /proc/sys/kernel/core_pattern) 2>/dev/null && exit 15; \
         ls -A /proc | grep -q lap && exit 16; env | grep -q LAPSTRAKE && exit 17; (sleep 1000 &) ; exit 0",
        path_text(&store)
    );
    lap.write("context/attack", &script);
    lap.built("FROM base:1\nCOPY attack /attack\nRUN sh /attack\nRUN test ! -e /nothing\n");
    let after = std::fs::metadata(env!("CARGO_BIN_EXE_lap")).expect("lap");
    assert_eq!(program.modified().ok(), after.modified().ok());
    assert_eq!(program.len(), after.len());
    assert_eq!(std::fs::read_dir(store.join("tmp")).expect("tmp").count(), 0);
    lap.check();
}

/// Says what it could do, and nothing else: type into a terminal, take it, look into the memory of who started it.
const REACHES_OUT: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

int main(void) {
    char byte = '\n', memory[16];
    struct iovec here = {memory, sizeof memory}, there = {main, sizeof memory};
    for (int fd = 0; fd < 3; fd++) {
        if (!isatty(fd)) printf("%d is no terminal\n", fd);
        if (ioctl(fd, TIOCSTI, &byte) == 0) printf("typed into %d\n", fd);
        if (ioctl(fd, TIOCSCTTY, 1) == 0) printf("took %d\n", fd);
    }
    if (open("/dev/tty", O_RDWR) >= 0) puts("opened the terminal");
    if (process_vm_readv(getppid(), &here, 1, &there, 1, 0) >= 0) puts("read the parent");
    if (getpid() != 1 && process_vm_readv(1, &here, 1, &there, 1, 0) >= 0) puts("read process 1");
    puts("done");
}
"#;

/// CVE-2017-5226 and its like: whoever is given a terminal must not type commands into it, which the caller's shell would execute.
#[test]
fn a_command_at_its_callers_terminal() {
    let lap = Environment::with_base();
    let source = lap.write("reaches.c", REACHES_OUT);
    std::fs::create_dir_all(lap.path("context")).expect("a directory");
    let compiled = Command::new(tool("gcc", "gcc"))
        .args(["-static", "-o", path_text(&lap.path("context/reaches")), path_text(&source)])
        .status();
    assert!(compiled.expect("gcc runs").success());
    let reached = |said: &str| {
        let reaches = ["typed into", "took ", "opened the terminal", "read the parent", "read process 1"];
        reaches.into_iter().filter(|reach| said.contains(reach)).count()
    };
    // Python makes a terminal, and lap its foreground process.
    lap.built("FROM base:1\nCOPY reaches /reaches\n");
    let run = lap.command(["run", "--rm", "-i", "app", "/reaches"]);
    let ran = Command::new(tool("python3", "python3"))
        .args(["-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"])
        .arg(run.get_program())
        .args(run.get_args())
        .envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .output();
    let ran = ran.expect("python3 runs");
    let (said, error) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.trim_end().ends_with("done"), "{said}{error}");
    assert!(reached(&said) == 0 && !said.contains("is no terminal"), "{said}{error}");
    // Here a program of lap's is process 1, and the command's parent.
    lap.built("FROM base:1\nCOPY reaches /reaches\nRUN [\"/reaches\"]\nRUN /reaches >/said\n");
    let said = lap.sh("app", "cat /said");
    assert!(reached(&said.replace("read the parent", "")) == 0 && said.ends_with("done\n"), "{said}");
}

impl crate::environment::Ran {
    /// It failed in an orderly way.
    #[track_caller]
    fn failure_of(self, what: &str) {
        assert_eq!(self.code, 1, "{what}: {}{}", self.stdout, self.stderr);
    }
}
