//! Commands of another architecture (DF-108).

use std::process::Command;

use crate::environment::{Environment, Ran, path_text, program, tool};

/// The header of a program for a machine that there is not: so no emulator of this machine takes it.
fn foreign() -> Vec<u8> {
    let mut head = [&b"\x7fELF"[..], &[2, 1, 1], &[0; 9], &[2, 0], &[0xED, 0xFE]].concat();
    head.resize(64, 0);
    head
}

/// The image `foreign:1`: base with the program `/bin/foreign`.
fn with_foreign() -> Environment {
    let lap = Environment::with_base();
    lap.write("context/foreign", foreign());
    lap.write("context/Dockerfile", "FROM base:1\nCOPY --chmod=755 foreign /bin/\n");
    lap.lap(["build", "-q", "-t", "foreign:1", "context"]).success();
    lap
}

#[test]
fn df_108_a_program_for_another_machine_is_named_with_the_remedy() {
    let lap = with_foreign();
    let said = [
        "cannot execute foreign: it is a program for a machine with the number 65261",
        "binfmt",
        "qemu-user-static",
    ];
    lap.lap(["run", "--rm", "foreign:1", "foreign"]).failure(126, &said);
    lap.write("context/Dockerfile", "FROM foreign:1\nRUN [\"foreign\"]\n");
    lap.lap(["build", "context"]).failure(1, &[&["Dockerfile:2"], &said[..]].concat());
}

#[test]
fn df_108_an_image_for_another_machine_is_said_and_tried() {
    let lap = Environment::with_base();
    let other = if std::env::consts::ARCH == "x86_64" { "linux/arm64" } else { "linux/amd64" };
    lap.write("context/Dockerfile", "FROM scratch\nCOPY --from=base:1 / /\n");
    lap.lap(["build", "-q", "-t", "other", "--platform", other, "context"]).success();
    // What is in it is for this machine all the same.
    let ran = lap.lap(["run", "--rm", "other", "echo", "works"]).success();
    assert_eq!(ran.stdout, "works\n");
    assert!(ran.stderr.contains(&format!("note: the image is for {other}")), "{}", ran.stderr);
}

/// With a handler whose emulator the kernel has opened when it was registered (flag F), which need not be in the image. The emulator of this test is
/// `cat`: it shows the program.
#[test]
fn df_108_with_an_emulator_it_runs() {
    let lap = with_foreign();
    let emulator = lap.path("cat");
    std::fs::copy("/bin/busybox", &emulator).expect("this test needs busybox: install busybox-static");
    tool("unshare", "util-linux");
    let name = format!("lapstrake-test-{}", std::process::id());
    let magic = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xed\xfe";
    let entry = format!(":{name}:M::{magic}::{}:F", path_text(&emulator));
    // Handlers are the kernel's; they are seen in this mount namespace only.
    let script = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc\n\
        trap 'echo -1 >/proc/sys/fs/binfmt_misc/$0' EXIT\n\
        printf '%s' \"$1\" >/proc/sys/fs/binfmt_misc/register\n\
        shift\n\
        \"$@\"\n";
    let run = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script, &name, &entry]).arg(program()).args(arguments);
        command.current_dir(lap.path("")).env("LAPSTRAKE_ROOT", lap.store());
        Ran::of(command.output().expect("unshare runs")).success()
    };
    let shown = run(&["run", "--rm", "foreign:1", "foreign"]).stdout;
    assert!(shown.starts_with("\u{7f}ELF"), "{shown:?}");
    lap.write("context/Dockerfile", "FROM foreign:1\nRUN [\"foreign\"]\n");
    run(&["build", "context"]);
}
