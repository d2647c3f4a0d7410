//! What a Dockerfile may only do when it is allowed: `lap build --allow`.

use crate::environment::Environment;
use crate::ordinary::IDS;

/// The bit of CAP_SYS_ADMIN.
const SYS_ADMIN: u64 = 1 << 21;

#[test]
fn df_105_df_213_an_insecure_step_has_to_be_allowed() {
    let lap = Environment::with_base();
    let steps = "mkdir /m && mount -t tmpfs none /m && umount /m && rmdir /m && \
        grep ^CapEff /proc/self/status | cut -f 2 >/capabilities";
    let device = "mknod /zero c 1 5 && head -c 3 /zero | wc -c >/device && rm /zero";
    // Only the machine's root can make devices.
    let is_root = std::env::var_os(IDS).is_none();
    let device = if is_root { format!("RUN --security=insecure {device}\n") } else { String::new() };
    let dockerfile = format!(
        "FROM base:1\nRUN ! mount -t tmpfs none /root 2>/dev/null\nRUN --security=insecure {steps}\n{device}\
         RUN --security=sandbox ! mount -t tmpfs none /root 2>/dev/null\n"
    );
    let refused = lap.build(&dockerfile);
    let refused = refused
        .failure(1, &["RUN --security=insecure is not allowed", "Dockerfile:3", "--allow security.insecure"]);
    assert!(!refused.stderr.contains("] RUN"), "nothing runs before: {}", refused.stderr);
    let build = |flags: &[&str]| {
        lap.lap(
            [&["build", "-t", "app", "--no-cache", "--allow", "security.insecure"], flags, &["context"]]
                .concat(),
        )
        .success();
        let text = lap.sh("app", "cat /capabilities");
        let capabilities = u64::from_str_radix(text.trim(), 16).expect("a set of capabilities");
        assert_ne!(capabilities & SYS_ADMIN, 0, "{text}");
        if is_root {
            assert_eq!(lap.sh("app", "cat /device"), "3\n");
        }
    };
    build(&[]);
    if is_root {
        build(&["--runtime", "runc"]);
    }
    lap.lap(["build", "--allow", "everything", "context"]).failure(2, &["security.insecure"]);
}

#[test]
fn df_104_df_213_the_machines_network_is_allowed_where_the_build_has_none() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nRUN --network=host ls /sys/class/net >/net\n");
    let build = |flags: &[&str]| lap.lap([&["build", "-t", "app"], flags, &["context"]].concat());
    build(&["--network", "none"]).failure(
        1,
        &["RUN --network=host with --network none is not allowed", "Dockerfile:2", "--allow network.host"],
    );
    build(&["--network", "none", "--allow", "network.host"]).success();
    // Whoever has it anyway needs no permission.
    build(&[]).success();
    build(&["--allow", "network.host,security.insecure"]).success();
}

/// Where the machine's null device is seen as another one, with a variable.
const SPECIFICATION: &str = r#"{"cdiVersion": "0.6.0", "kind": "example.com/thing", "devices": [{"name": "one", "containerEdits":
    {"env": ["THING=one"], "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/null"}]}}]}"#;

#[test]
fn df_106_devices_by_name_have_to_be_allowed() {
    let lap = Environment::with_base();
    lap.write("cdi/thing.json", SPECIFICATION);
    let show = "[ -c /dev/thing ] && echo x >/dev/thing && echo $THING";
    lap.write(
        "context/Dockerfile",
        format!(
            "FROM base:1\nRUN --device=example.com/thing=one,required {show} >/seen\n\
             RUN --device=example.com/other=two [ ! -e /dev/thing ] && [ -z \"$THING\" ]\n"
        ),
    );
    let build = |flags: &[&str]| {
        let arguments =
            ["build", "-t", "app", "--cdi-spec-dir", "cdi", "--cdi-spec-dir", "nowhere", "context"];
        lap.lap([&arguments, flags].concat())
    };
    build(&[]).failure(1, &["RUN --device is not allowed", "Dockerfile:2", "--allow device"]);
    build(&["--allow", "device"]).success();
    assert_eq!(lap.sh("app", "cat /seen; ls /dev/thing 2>/dev/null; true"), "one\n");
    lap.write("context/Dockerfile", "FROM base:1\nRUN --device=example.com/other=two,required true\n");
    build(&["--allow", "device"])
        .failure(1, &["Dockerfile:2", "there is no CDI device example.com/other=two", "cdi"]);
    let run = [
        "run",
        "--rm",
        "--cdi-spec-dir",
        "cdi",
        "--device",
        "example.com/thing=one",
        "base:1",
        "sh",
        "-c",
        show,
    ];
    assert_eq!(lap.lap(run).success().stdout, "one\n");
}

#[test]
fn ct_36_devices_of_the_machine() {
    let lap = Environment::with_base();
    let show = "[ -c /dev/inside ] && head -c 5 /dev/inside | wc -c";
    let device = ["--device", "/dev/zero:/dev/inside:rwm"];
    let seen = lap.lap([&["run", "--rm"], &device[..], &["base:1", "sh", "-c", show]].concat()).success();
    assert_eq!(seen.stdout, "5\n");
    lap.write("context/Dockerfile", format!("FROM base:1\nRUN {show} >/seen\n"));
    lap.lap([&["build", "-t", "app"], &device[..], &["context"]].concat()).success();
    assert_eq!(lap.sh("app", "cat /seen; ls /dev/inside 2>/dev/null; true"), "5\n");
    for (device, said) in [
        ("/dev/nonesuch", "cannot use the device /dev/nonesuch"),
        ("/etc/passwd", "/etc/passwd is not a device"),
        ("/dev/zero:r", "less rights than rw"),
        ("zero", "an absolute path"),
    ] {
        lap.lap(["run", "--rm", "--device", device, "base:1", "true"]).failure(125, &[said]);
    }
    let refused = lap.lap(["build", "--device", "/dev/nonesuch", "context"]).failure(1, &["/dev/nonesuch"]);
    assert!(!refused.stderr.contains("] RUN"), "before anything runs: {}", refused.stderr);
}
