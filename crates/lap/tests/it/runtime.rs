//! `--runtime`: runc and crun do what the built-in runner does.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::environment::{Environment, path_text, tool};

/// Runtimes that are tried.
const RUNTIMES: [&str; 2] = ["runc", "crun"];

/// Everything that a RUN can change, and what it can see of its surroundings.
const DOCKERFILE: &str = r#"
FROM base:1
RUN echo one >/one && mkdir -p /deep/er && chmod 2750 /deep && ln -s one /link && ln /one /hard
RUN rm /etc/group && mkfifo /fifo && mknod /node c 1 3 && chown 7:8 /fifo
USER app
RUN id >/tmp/id; env | sort >/tmp/env; pwd >/tmp/pwd; umask >/tmp/umask; hostname >/tmp/hostname
RUN cat /etc/hosts /etc/hostname /etc/resolv.conf >/tmp/files; ls /dev / >/tmp/list; echo $$ >/tmp/number
RUN grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status >/tmp/status; cat /proc/self/limits >/tmp/limits
RUN --network=none ls /sys/class/net >/tmp/net; cat /etc/hosts >/tmp/isolated
USER root
WORKDIR /work/place
RUN <<EOF
touch here
mount -t tmpfs none /tmp 2>/work/refused || true
EOF
RUN --mount=target=/context --mount=from=base:1,source=/etc,target=/context/etc,rw ls /context >/shown; echo x >/context/etc/passwd; cat /context/etc/passwd >>/shown
"#;

#[test]
fn the_same_dockerfile_gives_the_same_image() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", DOCKERFILE);
    let build = |flags: &[&str]| {
        let arguments = ["build", "-q", "--no-cache", "--reproducible", "context"];
        lap.lap([&arguments, flags].concat()).success().stdout
    };
    let built_in = build(&[]);
    assert!(built_in.starts_with("sha256:"), "{built_in}");
    for runtime in RUNTIMES {
        tool(runtime, runtime);
        assert_eq!(build(&["--runtime", runtime]), built_in, "{runtime}");
    }
    lap.check();
}

#[test]
fn ct_1_containers_of_a_runtime_end_as_others_do() {
    let lap = Environment::with_base();
    for runtime in RUNTIMES {
        let path = tool(runtime, runtime);
        let run = |arguments: &[&str]| {
            let mut command = lap.command([&["run", "--rm"], arguments].concat());
            // By name in the environment, and by path.
            crate::environment::Ran::of(command.env("LAPSTRAKE_RUNTIME", &path).output().expect("lap runs"))
        };
        for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$; exit 3", 3)] {
            assert_eq!(run(&["base:1", "sh", "-c", script]).code, code, "{runtime}: {script}");
        }
        let seen = run(&["base:1", "sh", "-c", "echo out; echo error >&2; exit 4"]);
        assert_eq!((seen.code, seen.stdout.as_str(), seen.stderr.as_str()), (4, "out\n", "error\n"));
        let missing = run(&["base:1", "nothing"]).failure(127, &["cannot execute nothing: not found"]);
        assert_eq!(missing.stderr.lines().count(), 1, "{}", missing.stderr);
        run(&["base:1", "/etc"]).failure(126, &["cannot execute /etc: Is a directory"]);
        assert_eq!(run(&["--init", "base:1", "sh", "-c", "kill -TERM $$"]).code, 143, "{runtime}");
    }
}

/// Runtimes give the standard streams to the user of the process.
#[test]
fn a_file_that_output_goes_to_keeps_its_owner() {
    let lap = Environment::with_base();
    for runtime in RUNTIMES {
        let path = lap.path(runtime);
        let file = std::fs::File::create(&path).expect("a file");
        let mut command =
            lap.command(["run", "--rm", "-u", "app", "--runtime", runtime, "base:1", "id", "-u"]);
        assert!(command.stdout(file).status().expect("lap runs").success());
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "1000\n");
        assert_eq!(std::fs::metadata(&path).expect("a file").uid(), rustix::process::getuid().as_raw());
    }
}

#[test]
fn a_runtime_that_is_not_there_or_fails_is_named_with_its_reason() {
    let lap = Environment::with_base();
    lap.lap(["run", "--rm", "--runtime", "nonesuch", "base:1"])
        .failure(125, &["the OCI runtime nonesuch: it is not on PATH", "installed are: ", "runc version"]);
    lap.lap(["run", "--rm", "--runtime", "/does/not/exist", "base:1"])
        .failure(125, &["/does/not/exist", "No such file"]);
    let broken = lap.write(
        "broken",
        "#!/bin/sh\n[ \"$1\" = --version ] && echo broken version 1 && exit\nprintf 'no \\033[31mway' >&2\nexit 1\n",
    );
    std::fs::set_permissions(&broken, PermissionsExt::from_mode(0o755)).expect("a mode");
    let failed = lap.lap(["run", "--rm", "--runtime", path_text(&broken), "base:1"]);
    let said = format!(
        "the OCI runtime {} failed: no \\u{{1b}}[31mway",
        path_text(&broken.canonicalize().expect("a path"))
    );
    failed.failure(125, &[&said, "leave the runtime out"]);
    lap.write("context/Dockerfile", "FROM base:1\nRUN true\n");
    lap.lap(["build", "--runtime", path_text(&broken), "context"]).failure(1, &["RUN true", &said]);
}
