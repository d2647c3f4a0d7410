//! In an unprivileged container: root with the few capabilities and the filter of system calls that docker gives, without user namespaces,
//! without mounts, the store on an overlay. Builders without a daemon live there.
//!
//! The tests of this program are run again, in one: what root sees outside, it sees inside. What cannot be had inside is left out, and shown
//! to be refused.

use std::path::Path;
use std::process::Command;

use crate::docker::Docker;
use crate::environment::{Environment, PROGRAM, Ran, TESTDATA, passed, path_text, program, testdata};
use crate::ordinary::IDS;

/// What a container has of the machine, to be looked at only: all programs.
const PROGRAMS: &str = "/usr:/usr:ro";

/// A daemon, and the image `machine` with `lap`, the tests of this program, and their data.
fn with_machine() -> Docker {
    let docker = Docker::start();
    let root = docker.path("machine");
    let directory = |name: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir_all(root.join(name)).expect("a directory");
        std::fs::set_permissions(root.join(name), PermissionsExt::from_mode(mode)).expect("a mode");
    };
    for (name, mode) in
        [("", 0o755), ("etc", 0o755), ("usr", 0o755), ("root", 0o700), ("tmp", 0o1777), ("test", 0o755)]
    {
        directory(name, mode);
    }
    // The programs are the machine's; where they are links there (`/bin` into `/usr`), they are here.
    for name in ["bin", "sbin", "lib", "lib64"] {
        let target = std::fs::read_link(Path::new("/").join(name)).unwrap_or_else(|error| {
            panic!("this test needs a machine whose /{name} is a link into /usr: {error}")
        });
        std::os::unix::fs::symlink(target, root.join(name)).expect("a link");
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("a file");
    std::fs::write(root.join("etc/group"), "root:x:0:\n").expect("a file");
    std::fs::copy(program(), root.join("test/lap")).expect("a copy");
    std::fs::copy(std::env::current_exe().expect("this program"), root.join("test/tests")).expect("a copy");
    let copied = Command::new("cp").arg("-r").arg(testdata()).arg(root.join("test/testdata")).status();
    assert!(copied.expect("cp runs").success());
    docker.import(&root, "machine");
    std::fs::remove_dir_all(&root).expect("removed");
    docker
}

/// Runs a command in a new container, with what docker gives when nobody asks for more, and these options.
fn inside(docker: &Docker, options: &[&str], command: &[&str]) -> Ran {
    let common = ["run", "--rm", "--network", "none", "--volume", PROGRAMS, "--workdir", "/root"];
    docker.run(&[&common, options, &["machine"], command].concat())
}

/// Tests that are not run inside: those that need mounts, namespaces or networks themselves, and those of what cannot be had there
/// (see [`what_cannot_be_had_is_refused`]).
const LEFT_OUT: &[&str] = &[
    "build::a_step_sees_docker_s_surroundings_and_leaves_no_trace_of_them",
    "cgroups::",
    "clock::",
    "concurrency::",
    // Nothing is executed, and skopeo is not there.
    "copies::",
    "doctor::",
    "emulation::df_108_with_an_emulator_it_runs",
    "entitlements::",
    "runtime::",
    // It needs programs that are not there.
    "contexts::df_081_a_context_from_standard_input_compressed_in_other_ways",
    "urls::df_137_archives_of_the_web_are_what_local_ones_are",
    "disk::",
    "faults::",
    "filesystems::",
    "hostile_archives::",
    "hostile_rootfs::",
    // There is no git inside.
    "git::",
    "house::",
    "interface::",
    "kill::",
    "left::",
    "limits::df_107_shared_memory",
    "ordinary::",
    "real::",
    "registries::",
    // A shell that is not process 1 can kill itself.
    "run::ct_1_exit_codes",
    "run::ct_48_temporary_filesystems_over_a_read_only_root",
    "run::volumes_are_shown_and_written_through",
    "run::what_the_flags_say_arrives",
    "serve::",
    "snapshots::",
    "unprivileged::",
    "versions::",
];

#[test]
fn what_root_sees_outside_it_sees_in_a_container() {
    let docker = with_machine();
    let variables = [(PROGRAM, "/test/lap"), (TESTDATA, "/test/testdata"), (IDS, "chroot")];
    let variables = variables.map(|(name, value)| format!("{name}={value}"));
    let environment: Vec<&str> = variables.iter().flat_map(|variable| ["--env", variable]).collect();
    let mut command = vec!["/test/tests", "--test-threads", "2"];
    command.extend(LEFT_OUT.iter().flat_map(|name| ["--skip", name]));
    let ran = inside(&docker, &environment, &command);
    assert_eq!(ran.code, 0, "in a container:\n{}\n{}", ran.stdout, ran.stderr);
    assert!(passed(&ran.stdout) > 25, "{}", ran.stdout);
}

/// Multi-stage, owners, a heredoc, several commands over each other, one that leaves processes behind.
const DOCKERFILE: &str = "\
FROM base:1 AS made
RUN mkdir /made && echo one >/made/one && chown -R app:app /made && chmod 2750 /made
RUN <<EOF
echo two >/made/two
ln /made/one /made/same
rm -r /home
mknod /made/null c 1 3
EOF
RUN (/bin/busybox setsid sleep 4321 &) ; sleep 4321 & echo three >/dev/null; echo three >/made/three
FROM base:1
COPY --chown=5:6 file /file
COPY --from=made /made /made
WORKDIR /work/here
USER app
RUN id -un >/tmp/who; cat /made/one /file >/tmp/all; touch -d @1000 /tmp/old
";

/// Builds, looks, runs, saves; then nothing is left but the store.
const SCRIPT: &str = "\
set -e
lap() { /test/lap \"$@\"; }
lap load -q -i /data/base.tar >/dev/null
lap build -q --reproducible=1500000000 -t app /data/context
lap build -q --reproducible=1500000000 -t app --no-cache /data/context
lap run --rm app sh -c 'id -u; cat /tmp/who; echo x >/tmp/x; cat /etc/hosts >/dev/null; echo y >/dev/null'
echo through | lap run --rm -i app cat
lap save -o /data/app.tar app
lap system check >/data/check
lap system prune -f >/dev/null
lap system check >/data/check
ls -A /var/lib/lapstrake/tmp
find /var/lib/lapstrake/layers /var/lib/lapstrake/chains -name tree
! grep -l 432[1] /proc/[0-9]*/cmdline
";

#[test]
fn an_image_is_the_same_wherever_it_was_built() {
    let docker = with_machine();
    let lap = Environment::with_base();
    lap.lap(["save", "-o", "base.tar", "base:1"]).success();
    lap.write("context/Dockerfile", DOCKERFILE);
    lap.write("context/file", "content");
    let id = lap.lap(["build", "-q", "--reproducible=1500000000", "-t", "app", "context"]).success().stdout;

    let volume = format!("{}:/data", path_text(&lap.path("")));
    // Unprivileged; and with namespaces, but no overlay, since the store is on one.
    let privileged = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    for more in [&[][..], &privileged] {
        let options = [&["--volume", &volume], more].concat();
        let ran = inside(&docker, &options, &["sh", "-c", SCRIPT]).success();
        assert_eq!(ran.stdout, format!("{id}{id}1000\napp\nthrough\n"), "{more:?}: {}", ran.stderr);
        let other = Environment::new();
        other.lap(["load", "-i", path_text(&lap.path("app.tar"))]).success();
        let seen = other.sh("app", "cat /tmp/who; pwd; stat -c %u:%g /file /made/one");
        assert_eq!(seen, "app\n/work/here\n5:6\n1000:1001\n");
        other.check();
    }
}

#[test]
fn what_cannot_be_had_is_refused() {
    let docker = with_machine();
    let lap = Environment::with_base();
    lap.lap(["save", "-o", "base.tar", "base:1"]).success();
    lap.write("context/Dockerfile", "FROM base:1\nRUN true\n");
    lap.write("plain/Dockerfile", "FROM base:1\nCOPY Dockerfile /\n");
    let volume = format!("{}:/data:ro", path_text(&lap.path("")));
    let run = |options: &[&str], arguments: &str| {
        let script = format!("/test/lap load -q -i /data/base.tar && exec /test/lap {arguments}");
        inside(&docker, &[&["--volume", &volume], options].concat(), &["sh", "-c", &script])
    };
    for flag in ["-v /data:/data", "--tmpfs /tmp:size=1m", "--read-only", "--network none", "--shm-size 1m"] {
        run(&[], &format!("run --rm {flag} base:1 true")).failure(125, &["without namespaces", "hint:"]);
    }
    run(&[], "run --rm -m 64m base:1 true").failure(125, &["cannot set --memory", "docker"]);
    run(&[], "build --network none /data/context").failure(1, &["RUN true", "without namespaces"]);
    for forced in ["LAPSTRAKE_ISOLATION=namespaces", "LAPSTRAKE_SNAPSHOT=overlay"] {
        run(&["--env", forced], "build /data/context").failure(1, &["RUN true", "hint:"]);
    }
    run(&["--cap-drop", "SYS_CHROOT"], "build /data/context").failure(1, &["RUN true", "CAP_SYS_CHROOT"]);
    // What runs no command needs none of it.
    run(&["--cap-drop", "SYS_CHROOT"], "build -t app /data/plain").success();
}
