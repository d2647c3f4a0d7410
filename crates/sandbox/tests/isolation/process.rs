//! The process itself: user, environment, exit codes, what it may do.

use sandbox::{CapabilitySet, Error, Network, Resource, Rlimit, Security, Status, User};

use crate::lab::{Case, Lab, Outcome, explain, output, run, runner};
use crate::same;

pub fn cases() -> Vec<Case> {
    vec![
        ("user_environment_and_directory", user_environment_and_directory),
        ("ct_001_exit_codes", exit_codes),
        ("ct_001_commands_that_cannot_be_executed", commands_that_cannot_be_executed),
        ("ct_002_signals", signals),
        ("ct_008_init_reaps_and_passes_signals_on", init_reaps),
        ("a_missing_working_directory_is_named", missing_working_directory),
        ("ct_033_capabilities", capabilities),
        ("ct_034_seccomp_refuses", seccomp_refuses),
        ("ct_037_limits", limits),
        ("host_name_and_network", host_name_and_network),
        ("no_descriptor_of_the_host_is_left", no_descriptor_is_left),
        ("signals_have_their_defaults", signals_have_their_defaults),
        ("invalid_descriptions_are_refused", invalid_descriptions),
    ]
}

fn user_environment_and_directory() -> Outcome {
    let lab = Lab::new()?;
    let mut spec =
        lab.script("id -u; id -g; id -G; echo $GREETING; pwd; umask; echo x > /tmp/x; stat -c %u:%g /tmp/x");
    spec.process.user = User { uid: 1000, gid: 100, groups: vec![100, 7, 8] };
    spec.process.cwd = "/etc".into();
    spec.process.umask = 0o027;
    same!(output(&spec)?, "1000\n100\n100 7 8\nhello\n/etc\n0027\n1000:100\n");
    same!(lab.output("echo $0 $#; env | sort")?, "sh 0\nGREETING=hello\nHOME=/\nPATH=/bin\nPWD=/\nSHLVL=1\n");
    // What the process writes to its own pipe by name, as another user.
    let mut spec = lab.script("echo named > /dev/stdout");
    spec.process.user = User { uid: 1000, gid: 1000, groups: vec![] };
    same!(output(&spec)?, "named\n");
    Ok(())
}

fn exit_codes() -> Outcome {
    let lab = Lab::new()?;
    for code in [0, 3, 126, 127, 255] {
        let ran = run(&lab.script(&format!("exit {code}"))).map_err(explain)?;
        same!(ran.exit.status, Status::Code(code));
        same!(ran.exit.cancelled, false);
    }
    Ok(())
}

fn commands_that_cannot_be_executed() -> Outcome {
    let lab = Lab::new()?;
    std::fs::write(lab.path("lower/bin/script"), "#!/no/such/interpreter\n")?;
    std::fs::write(lab.path("lower/bin/text"), "plain text\n")?;
    std::fs::write(lab.path("lower/bin/plain"), "#!/bin/sh\n")?;
    for name in ["script", "text"] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(lab.path("lower/bin").join(name), PermissionsExt::from_mode(0o755))?;
    }
    let cases = [
        ("no-such", 127, "cannot execute no-such: not found (looked for in /bin)"),
        ("/no/such", 127, "cannot execute /no/such: not found"),
        ("script", 127, "cannot execute script: not found (/bin/script exists, the interpreter"),
        ("/etc", 126, "cannot execute /etc: Is a directory"),
        ("plain", 126, "cannot execute plain: Permission denied"),
        (
            "text",
            126,
            "cannot execute text (neither a program for this machine nor a script with #!): Exec format",
        ),
    ];
    for (command, code, text) in cases {
        let Err(error) = run(&lab.command(&[command])) else { return Err(format!("{command} ran").into()) };
        same!((error.exit_code(), error.is_command()), (code, true), "{command}");
        let said = explain(error).message().unwrap_or_default().to_owned();
        same!(said.starts_with(text), true, "{said}");
    }
    Ok(())
}

fn signals() -> Outcome {
    let lab = Lab::new()?;
    // Process 1 cannot be killed from inside: as in Docker.
    same!(run(&lab.script("kill -9 $$; exit 4")).map_err(explain)?.exit.status, Status::Code(4));
    same!(lab.output("sh -c 'kill -9 $$'; echo $?")?, "137\n");
    // Not by itself, but by the host.
    let running = sandbox::spawn(&runner(), &lab.command(&["sleep", "1000"]), sandbox::Stdio::default(), &[]);
    let running = running.map_err(explain)?;
    running.signal(9).map_err(explain)?;
    let exit = running.wait(&base::Cancel::new(), std::time::Duration::from_secs(9)).map_err(explain)?;
    same!((exit.status, exit.status.exit_code()), (Status::Signal(9), 137));
    running.signal(9).map_err(explain)?;
    Ok(())
}

fn init_reaps() -> Outcome {
    let lab = Lab::new()?;
    let with_init = |script: &str| {
        let mut spec = lab.script(script);
        spec.process.init = true;
        spec
    };
    same!(output(&with_init("test $$ != 1 && echo another"))?, "another\n");
    same!(run(&with_init("exit 5")).map_err(explain)?.exit.status, Status::Code(5));
    same!(run(&with_init("kill -TERM $$")).map_err(explain)?.exit.status, Status::Code(143));
    // An orphan goes to process 1, which reaps it: no zombie is left.
    let orphan = "(sleep 0.01 &); zombies() { ps -o stat | grep -c '^Z'; }; i=0; \
                  while [ $(zombies) != 0 ] && [ $i -lt 500 ]; do i=$((i+1)); sleep 0.01; done; test $i -lt 500 && echo clean";
    same!(output(&with_init(orphan))?, "clean\n");
    // The program of the host that is process 1 cannot be looked at.
    let exe = with_init(
        "cat /proc/1/exe > /dev/null 2>&1 && echo seen; readlink /proc/1/fd/0; readlink /proc/1/root; readlink /proc/1/cwd; true",
    );
    same!(output(&exe)?, "");
    let mut spec = with_init("trap 'echo got; exit 7' USR1; kill -USR1 1; while :; do sleep 0.01; done");
    spec.process.terminal = None;
    let ran = run(&spec).map_err(explain)?;
    same!((ran.stdout.as_str(), ran.exit.status), ("got\n", Status::Code(7)));
    Ok(())
}

fn missing_working_directory() -> Outcome {
    let lab = Lab::new()?;
    for (path, reason) in [("/no/such", "No such file"), ("/etc/passwd", "Not a directory")] {
        let mut spec = lab.script("true");
        spec.process.cwd = path.into();
        let Err(error) = run(&spec) else { return Err("it ran".into()) };
        same!(matches!(error, Error::WorkingDirectory { .. }), true, "{error:?}");
        let said = explain(error).message().unwrap_or_default().to_owned();
        same!(
            said.starts_with(&format!("cannot enter the working directory {path}: {reason}")),
            true,
            "{said}"
        );
    }
    Ok(())
}

fn capabilities() -> Outcome {
    let lab = Lab::new()?;
    let show = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr -s '\\t\\n' '  '";
    let fourteen = "00000000a80425fb";
    let none = "0000000000000000";
    same!(
        lab.output(show)?,
        format!(
            "CapInh: {none} CapPrm: {fourteen} CapEff: {fourteen} CapBnd: {fourteen} CapAmb: {none} NoNewPrivs: 0 Seccomp: 2 "
        )
    );
    let mut spec = lab.script(show);
    spec.process.user.uid = 1000;
    spec.process.no_new_privileges = true;
    same!(
        output(&spec)?,
        format!(
            "CapInh: {none} CapPrm: {none} CapEff: {none} CapBnd: {fourteen} CapAmb: {none} NoNewPrivs: 1 Seccomp: 2 "
        )
    );
    let mut spec = lab.script("grep -E '^(CapEff|Seccomp:)' /proc/self/status | tr -s '\\t\\n' '  '");
    spec.process.capabilities = CapabilitySet::ALL;
    spec.security = Security::Insecure;
    let own = std::fs::read_to_string("/proc/self/status")?;
    let own = own.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap_or_default();
    same!(output(&spec)?, format!("CapEff: {own} Seccomp: 0 "));
    Ok(())
}

fn seccomp_refuses() -> Outcome {
    let lab = Lab::new()?;
    for command in ["unshare -m true", "mount -t tmpfs none /tmp", "hostname other", "dmesg", "umount /proc"]
    {
        let ran = run(&lab.script(command)).map_err(explain)?;
        same!(ran.exit.status.is_success(), false, "{command}: {ran:?}");
        let refused = ["not permitted", "permission denied"].iter().any(|text| ran.stderr.contains(text));
        same!(refused, true, "{command}: {ran:?}");
    }
    // With the capability the calls are allowed again.
    let mut spec = lab.script("mount -t tmpfs none /tmp && unshare -m true && echo ok");
    spec.process.capabilities = CapabilitySet::ALL;
    same!(output(&spec)?, "ok\n");
    let mut spec = lab.script("mount -t tmpfs none /tmp && echo ok");
    spec.security = Security::Insecure;
    // Without the filter, the capability is still missing.
    same!(run(&spec).map_err(explain)?.exit.status.is_success(), false);
    Ok(())
}

fn limits() -> Outcome {
    let lab = Lab::new()?;
    let mut spec = lab.script("ulimit -Sn; ulimit -Hn");
    spec.process.rlimits = vec![Rlimit { resource: Resource::Nofile, soft: 99, hard: 100 }];
    same!(output(&spec)?, "99\n100\n");
    let mut spec = lab.script("true");
    spec.process.rlimits = vec![Rlimit { resource: Resource::Nofile, soft: 100, hard: 99 }];
    let Err(error) = run(&spec) else { return Err("soft above hard was accepted".into()) };
    if runner().runtime.is_none() {
        same!(error.to_string(), "cannot set the limit nofile to 100:99");
    }
    Ok(())
}

fn host_name_and_network() -> Outcome {
    let lab = Lab::new()?;
    same!(lab.output("hostname; cat /etc/hostname")?, "inside\ninside\n");
    let own = std::fs::read_dir("/sys/class/net")?.count();
    same!(lab.output("ls /sys/class/net | wc -l")?.trim(), own.to_string());
    let mut spec = lab.script("ls /sys/class/net; ifconfig lo | grep -c -E 'UP LOOPBACK RUNNING|127.0.0.1'");
    spec.network = Network::None;
    same!(output(&spec)?, "lo\n2\n");
    // CT-35.
    let settings = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    let before = std::fs::read_to_string(settings)?;
    let mut spec = lab.command(&["cat", settings]);
    spec.network = Network::None;
    same!(output(&spec)?, "0\n");
    same!(std::fs::read_to_string(settings)?, before);
    Ok(())
}

fn no_descriptor_is_left() -> Outcome {
    let lab = Lab::new()?;
    let lock = std::fs::File::open("/etc/passwd")?;
    let keep = [std::os::fd::AsFd::as_fd(&lock); 450];
    let running = sandbox::spawn(
        &runner(),
        &lab.script("for fd in /proc/self/fd/*; do readlink $fd; done | grep -v -c -E '^(pipe:.*|/dev/null)$'; cat /proc/1/mountinfo | grep -c ext4"),
        sandbox::Stdio::default(),
        &keep,
    );
    let mut running = running.map_err(explain)?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut running.take_stdout().ok_or("no pipe")?, &mut text)?;
    // What is counted is the directory that the shell reads while it expands the pattern, which is closed
    // again.
    same!(text, "0\n0\n");
    Ok(())
}

fn signals_have_their_defaults() -> Outcome {
    let lab = Lab::new()?;
    let seen = lab.output("grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -s '\\t\\n' '  '")?;
    // runc and crun leave signals of the C library's own ignored: 32 and 33.
    let own = ["000000080000000 ", "000000100000000 ", "000000180000000 "];
    let seen = match runner().runtime {
        Some(_) => own.iter().fold(seen, |seen, own| seen.replace(own, "000000000000000 ")),
        None => seen,
    };
    same!(seen, "SigBlk: 0000000000000000 SigIgn: 0000000000000000 ");
    Ok(())
}

fn invalid_descriptions() -> Outcome {
    let lab = Lab::new()?;
    let mut cases = Vec::new();
    let mut case = |change: &dyn Fn(&mut sandbox::Spec), text: &'static str| {
        let mut spec = lab.script("true");
        change(&mut spec);
        cases.push((spec, text));
    };
    case(&|spec| spec.process.args.clear(), "no command to execute");
    case(&|spec| spec.process.cwd = "relative".into(), "relative is not an absolute path");
    case(&|spec| spec.process.env.push("A=\0".into()), "an argument or variable contains a NUL");
    case(&|spec| spec.hostname = "x".repeat(65), "the host name is longer than 64 bytes");
    case(
        &|spec| spec.mounts.push(sandbox::Mount::bind("/etc", "/proc/sys")),
        "cannot mount on /proc/sys: it is inside /proc",
    );
    case(&|spec| spec.mounts.push(sandbox::Mount::bind("/etc", "/")), "cannot mount on / itself");
    for (spec, text) in cases {
        let Err(error) = run(&spec) else { return Err(format!("accepted, not: {text}").into()) };
        same!(error.to_string(), text);
    }
    Ok(())
}
