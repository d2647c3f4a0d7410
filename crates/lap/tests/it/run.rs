//! lap run.

use crate::environment::{Environment, path_text};

#[test]
fn ct_1_exit_codes() {
    let lap = Environment::with_base();
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$; exit 3", 3)] {
        assert_eq!(lap.lap(["run", "--rm", "base:1", "sh", "-c", script]).code, code, "{script}");
    }
    lap.lap(["run", "--rm", "base:1", "nothing"]).failure(127, &["nothing", "not found"]);
    lap.lap(["run", "--rm", "base:1", "/etc"]).failure(126, &["/etc"]);
    lap.lap(["run", "--rm", "--pull", "never", "missing"]).failure(125, &["there is no image missing"]);
    lap.lap(["run", "--rm", "--bad-flag", "base:1"]).failure(2, &["--bad-flag"]);
    assert_eq!(lap.lap(["run", "--rm", "--init", "base:1", "sh", "-c", "kill -TERM $$"]).code, 143);
}

#[test]
fn what_the_flags_say_arrives() {
    let lap = Environment::with_base();
    let run = |arguments: &[&str]| lap.lap([&["run", "--rm"], arguments].concat()).success().stdout;
    assert_eq!(run(&["-e", "A=1", "-e", "B=", "base:1", "sh", "-c", "echo [$A][$B]$HOME"]), "[1][]/root\n");
    assert_eq!(run(&["-w", "/new/place", "base:1", "pwd"]), "/new/place\n");
    assert_eq!(run(&["-u", "app", "base:1", "id"]), "uid=1000(app) gid=1001(app) groups=10(wheel)\n");
    assert_eq!(run(&["-u", "5:6", "base:1", "sh", "-c", "id -u; id -g"]), "5\n6\n");
    assert_eq!(run(&["--entrypoint", "/bin/echo", "base:1", "x"]), "x\n");
    assert_eq!(run(&["--hostname", "box", "base:1", "hostname"]), "box\n");
    assert_eq!(run(&["--network", "none", "base:1", "ls", "/sys/class/net"]), "lo\n");
    lap.lap(["run", "--rm", "-u", "ghost", "base:1"]).failure(125, &["unable to find user ghost"]);
    lap.lap(["run", "base:1"]).failure(125, &["--rm"]);
}

#[test]
fn volumes_are_shown_and_written_through() {
    let lap = Environment::with_base();
    lap.write("data/in", "content");
    let volume = format!("{}:/data", path_text(&lap.path("data")));
    lap.lap(["run", "--rm", "-v", &volume, "base:1", "sh", "-c", "cat /data/in >/data/out"]).success();
    assert_eq!(std::fs::read_to_string(lap.path("data/out")).expect("a file"), "content");
    let read_only = format!("{volume}:ro");
    let refused = lap.lap(["run", "--rm", "-v", &read_only, "base:1", "touch", "/data/x"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("Read-only file system"), "{}", refused.stderr);
    lap.lap(["run", "--rm", "-v", "name:/data", "base:1"]).failure(125, &["named volumes are not supported"]);
}

#[test]
fn standard_input_is_there_when_asked_for() {
    let lap = Environment::with_base();
    let with = lap.lap_with_input(["run", "--rm", "-i", "base:1", "cat"], b"through").success();
    assert_eq!(with.stdout, "through");
    let without = lap.lap_with_input(["run", "--rm", "base:1", "cat"], b"through").success();
    assert_eq!(without.stdout, "");
    lap.lap(["run", "--rm", "-t", "base:1", "true"]).failure(125, &["not a TTY"]);
}

#[test]
fn nothing_stays_of_a_container() {
    let lap = Environment::with_base();
    lap.lap(["run", "--rm", "base:1", "sh", "-c", "echo x >/etc/passwd; mkdir /left"]).success();
    assert_eq!(lap.sh("base:1", "ls -d /left 2>/dev/null; wc -l </etc/passwd"), "2\n");
    let temporary = std::fs::read_dir(lap.store().join("tmp")).expect("tmp").count();
    assert_eq!(temporary, 0);
    lap.check();
}

#[test]
fn ct_12_what_cannot_be_a_variable_is_said_with_its_place() {
    let lap = Environment::with_base();
    lap.write("env", "# comment\n\n  A=lead\nB=x \"y\"\nEMPTY=\nNOT_SET_HERE\n");
    let script = "echo \"[$A][$B][${EMPTY-unset}][${NOT_SET_HERE-unset}]\"";
    let seen = lap.lap(["run", "--rm", "--env-file", "env", "base:1", "sh", "-c", script]).success();
    assert_eq!(seen.stdout, "[lead][x \"y\"][][unset]\n");
    lap.write("bad", "A=1\nB C=2\n");
    lap.lap(["run", "--rm", "--env-file", "bad", "base:1"]).failure(125, &["bad:2: \"B C\"", "NAME=VALUE"]);
    lap.lap(["run", "--rm", "-e", "=x", "base:1"]).failure(125, &["cannot be the name of a variable"]);
}

#[test]
fn ct_48_temporary_filesystems_over_a_read_only_root() {
    let lap = Environment::with_base();
    let script =
        "touch /root/x 2>/dev/null || echo read-only; touch /tmp/a /run/b; stat -c '%a %n' /tmp /run";
    let flags = ["run", "--rm", "--read-only", "--tmpfs", "/tmp", "--tmpfs", "/run:size=1m,mode=750"];
    let seen = lap.lap([&flags, ["base:1", "sh", "-c", script].as_slice()].concat()).success();
    assert_eq!(seen.stdout, "read-only\n1777 /tmp\n750 /run\n");
    lap.lap(["run", "--rm", "--tmpfs", "/x:mode=9", "base:1"]).failure(125, &["not an octal number"]);
}

#[test]
fn ct_10_signals_reach_the_command() {
    use std::io::BufRead;
    let lap = Environment::with_base();
    let handler = "trap 'echo handled; exit 143' TERM HUP; echo ready; while :; do sleep 0.05; done";
    for (signal, flags, script, code, said) in [
        ("TERM", &[][..], handler, 143, "handled\n"),
        ("HUP", &[], handler, 143, "handled\n"),
        // As process 1 it would not notice a signal that it does not handle.
        ("TERM", &["--init"], "echo ready; while :; do sleep 0.05; done", 143, ""),
    ] {
        let command = [&["run", "--rm"], flags, &["base:1", "sh", "-c", script]].concat();
        let mut child = lap.command(command).stdout(std::process::Stdio::piped()).spawn().expect("lap runs");
        let mut output = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let killed =
            std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        assert!(killed.expect("kill").success());
        let rest = std::io::read_to_string(output).expect("the rest");
        assert_eq!((child.wait().expect("an end").code(), rest.as_str()), (Some(code), said), "{signal}");
    }
    assert_eq!(std::fs::read_dir(lap.store().join("tmp")).expect("tmp").count(), 0);
}
