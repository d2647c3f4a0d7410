//! Beginning and end: streams, terminals, cancellation, and what happens when somebody is killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio as HostStdio};
use std::time::Duration;

use base::Cancel;
use libtest_mimic::Failed;
use rustix::fs::{FlockOperation, flock};
use sandbox::{Error, Input, Output, Runner, Running, Spec, Status, Stdio, Terminal};

use crate::lab::{Case, Lab, Outcome, explain, runner, use_runtime};
use crate::same;

/// The argument with which this program starts a sandbox and waits to be killed.
pub const VICTIM: &str = "--victim";

/// How long something is waited for that happens at once on a machine that has time.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn cases() -> Vec<Case> {
    vec![
        ("standard_streams", standard_streams),
        ("ct_009_a_terminal", terminal),
        ("cancelling_asks_and_then_kills", cancelling),
        ("dropping_kills", dropping),
        ("killing_the_caller_leaves_nothing", || killing(Who::Caller)),
        ("killing_the_runner_leaves_nothing", || killing(Who::Runner)),
        ("killing_caller_and_runner_leaves_nothing", || killing(Who::Both)),
        ("the_runner_is_another_program", another_program),
        ("two_at_once", two_at_once),
    ]
}

fn spawn(spec: &Spec, stdio: Stdio) -> Result<Running, Failed> {
    sandbox::spawn(&runner(), spec, stdio, &[]).map_err(explain)
}

fn standard_streams() -> Outcome {
    let lab = Lab::new()?;
    let mut running = spawn(&lab.script("cat; readlink /proc/self/fd/0; echo e >&2"), Stdio::default())?;
    let mut text = String::new();
    running.take_stdout().ok_or("no pipe")?.read_to_string(&mut text)?;
    same!(text, "/dev/null\n");
    same!(running.take_stdout().is_none(), true);
    running.wait(&Cancel::new(), PATIENCE).map_err(explain)?;

    let output = lab.path("output");
    let stdio = Stdio {
        stdin: Input::Pipe,
        stdout: Output::Descriptor(File::create(&output)?.into()),
        stderr: Output::Null,
    };
    let mut running = spawn(&lab.script("cat; echo e >&2"), stdio)?;
    let mut stdin = running.take_stdin().ok_or("no pipe")?;
    stdin.write_all(b"through a pipe")?;
    drop(stdin);
    same!(running.wait(&Cancel::new(), PATIENCE).map_err(explain)?.status, Status::Code(0));
    same!(std::fs::read_to_string(&output)?, "through a pipe");
    Ok(())
}

fn terminal() -> Outcome {
    let lab = Lab::new()?;
    let mut spec = lab.script(
        "test -t 0 && test -t 1 && test -t 2 && tty; stty size; stat -c %u:%g /dev/pts/0; \
         echo to the console > /dev/console; echo to the tty > /dev/tty; read line; echo \"got $line\"; stty size; exit 4",
    );
    spec.process.terminal = Some(Terminal { rows: 30, columns: 100 });
    spec.process.user.uid = 1000;
    let running = spawn(&spec, Stdio::default())?;
    let terminal = running.terminal().map_err(explain)?.ok_or("no terminal")?;
    let mut lines = BufReader::new(terminal.try_clone()?).lines();
    for expected in ["/dev/pts/0", "30 100", "1000:5", "to the console", "to the tty"] {
        same!(lines.next().ok_or("an early end")??.trim_end(), expected);
    }
    running.resize(Terminal { rows: 40, columns: 120 }).map_err(explain)?;
    (&terminal).write_all(b"a line\n")?;
    for expected in ["a line", "got a line", "40 120"] {
        same!(lines.next().ok_or("an early end")??.trim_end(), expected);
    }
    let end = lines.next().ok_or("no end")?.err().and_then(|error| error.raw_os_error());
    same!(end, Some(libc::EIO));
    same!(running.wait(&Cancel::new(), PATIENCE).map_err(explain)?.status, Status::Code(4));

    // Ctrl-C reaches the process, because the terminal is its controlling one.
    let mut spec =
        lab.script("trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.01; done");
    spec.process.terminal = Some(Terminal::default());
    spec.process.init = true;
    let running = spawn(&spec, Stdio::default())?;
    let terminal = running.terminal().map_err(explain)?.ok_or("no terminal")?;
    let mut lines = BufReader::new(terminal.try_clone()?).lines();
    same!(lines.next().ok_or("an early end")??.trim_end(), "ready");
    (&terminal).write_all(b"\x03")?;
    same!(lines.next().ok_or("an early end")??.trim_end(), "^Cinterrupted");
    same!(running.wait(&Cancel::new(), PATIENCE).map_err(explain)?.status, Status::Code(9));
    Ok(())
}

fn cancelling() -> Outcome {
    let lab = Lab::new()?;
    let cases = [
        ("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done", PATIENCE, Status::Code(7)),
        ("echo ready; sleep 1000", Duration::ZERO, Status::Signal(9)),
        (
            "trap '' TERM; echo ready; while :; do sleep 0.01; done",
            Duration::from_millis(20),
            Status::Signal(9),
        ),
    ];
    for (script, grace, expected) in cases {
        let mut running = spawn(&lab.script(script), Stdio::default())?;
        let mut ready = String::new();
        BufReader::new(running.take_stdout().ok_or("no pipe")?).read_line(&mut ready)?;
        let cancel = Cancel::new();
        let waiting = cancel.clone();
        let exit = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| running.wait(&waiting, grace));
            cancel.cancel();
            waiter.join()
        });
        let exit = exit.map_err(|_| "a panic")?.map_err(explain)?;
        same!((exit.status, exit.cancelled), (expected, true), "{script}");
        same!(running.wait(&Cancel::new(), grace).map_err(explain)?, exit);
    }
    Ok(())
}

fn dropping() -> Outcome {
    let lab = Lab::new()?;
    let running = spawn(&lab.command(&["sleep", "1000"]), Stdio::default())?;
    let process = format!("/proc/{}", running.id());
    same!(Path::new(&process).exists(), true);
    drop(running);
    same!(Path::new(&process).exists(), false);
    Ok(())
}

#[derive(Clone, Copy)]
enum Who {
    Caller,
    Runner,
    Both,
}

/// Becomes a caller with a sandbox that holds a lock: prints the numbers of the runner's and the contained
/// process, and waits.
pub fn become_victim(directory: &Path) -> Result<(), Failed> {
    let lab = Lab::at(directory)?;
    let mut spec =
        lab.script("trap '' TERM HUP INT; (trap '' TERM; exec sleep 1000) & echo ready; sleep 1000");
    spec.mounts.push(sandbox::Mount::tmpfs("/data", None));
    let lock = File::create(lab.path("lock"))?;
    flock(&lock, FlockOperation::LockShared)?;
    let running = sandbox::spawn(&runner(), &spec, Stdio::default(), &[lock.as_fd()]);
    let mut running = running.map_err(explain)?;
    let mut ready = String::new();
    BufReader::new(running.take_stdout().ok_or("no pipe")?).read_line(&mut ready)?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{}", running.id())?;
    output.flush()?;
    // The runner may be killed first.
    let _ = running.wait(&Cancel::new(), PATIENCE);
    Ok(())
}

fn killing(who: Who) -> Outcome {
    let lab = Lab::new()?;
    let mut caller = Command::new("/proc/self/exe")
        .args([VICTIM.as_ref(), lab.path("").as_os_str()])
        .args(runner().runtime.map(|runtime| runtime.path))
        .stdout(HostStdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(caller.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    let process: u32 = line.trim().parse().map_err(|_| format!("the victim said {line:?}"))?;
    let mut parent = parent_of(process)?;
    if runner().runtime.is_some() {
        // The keeper is between them.
        parent = parent_of(parent)?;
    }
    let sandboxed = std::fs::read_link(format!("/proc/{process}/ns/mnt"))?;
    // With a runtime, the runner is in another.
    let least = if runner().runtime.is_some() { 2 } else { 3 };
    same!(in_namespace(&sandboxed).len() >= least, true, "the runner, process 1 and its child");
    let lock = File::open(lab.path("lock"))?;
    same!(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err(), true, "the lock is held");

    let runner = rustix::process::Pid::from_raw(parent.cast_signed()).ok_or("no process")?;
    let kill = |process| rustix::process::kill_process(process, rustix::process::Signal::KILL);
    if matches!(who, Who::Runner | Who::Both) {
        kill(runner)?;
    }
    if matches!(who, Who::Caller | Who::Both) {
        caller.kill()?;
    }
    caller.wait()?;
    // The lock is released when the last process that holds it has ended, and the mounts go before.
    let began = std::time::Instant::now();
    let held = || flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err();
    while held() || is_alive(process) || !in_namespace(&sandboxed).is_empty() {
        if began.elapsed() > PATIENCE {
            return Err(format!("still there: {process}, {:?}", in_namespace(&sandboxed)).into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mounted = std::fs::read_to_string("/proc/self/mountinfo")?;
    same!(mounted.contains(&lab.path("").display().to_string()), false);
    same!(lab.upper()?, Vec::<String>::new());
    same!(cgroups_of_runtimes(Path::new("/sys/fs/cgroup"), 4), Vec::<std::path::PathBuf>::new());
    // The overlay is really gone: its directories can be mounted again.
    same!(lab.output("echo again")?, "again\n");
    Ok(())
}

fn parent_of(process: u32) -> Result<u32, Failed> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    Ok(status.lines().find_map(|line| line.strip_prefix("PPid:\t")).ok_or("no parent")?.parse()?)
}

/// Cgroups that a runtime has made.
fn cgroups_of_runtimes(directory: &Path, depth: u32) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let directories =
        entries.map(|entry| entry.path()).filter(|path| depth > 0 && path.is_dir() && !path.is_symlink());
    let found = directories.flat_map(|path| match path.ends_with("lapstrake") {
        true => vec![path],
        false => cgroups_of_runtimes(&path, depth - 1),
    });
    found.collect()
}

/// Whether a process is more than a status that nobody has asked for: without its runner it is left to the
/// host's init.
fn is_alive(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

/// The processes in a mount namespace.
fn in_namespace(namespace: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let inside = processes.filter(|entry| {
        std::fs::read_link(entry.path().join("ns/mnt")).is_ok_and(|found| found == namespace)
    });
    inside.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn another_program() -> Outcome {
    let lab = Lab::new()?;
    let spec = lab.script("true");
    let start = |program: &str| {
        let runner = Runner { program: program.into(), ..runner() };
        match sandbox::spawn(&runner, &spec, Stdio::default(), &[]) {
            Ok(_) => Err(Failed::from("it ran")),
            Err(error) => Ok(error),
        }
    };
    same!(matches!(start("/no/such/program")?, Error::Start { .. }), true);
    // A program that does not know that it is to be the runner.
    let error = start("/bin/busybox")?;
    same!(
        error.to_string().starts_with("the sandbox runner ended unexpectedly (exit status: "),
        true,
        "{error}"
    );
    Ok(())
}

fn two_at_once() -> Outcome {
    let lab = Lab::new()?;
    let labs = [Lab::new()?, Lab::new()?, Lab::new()?, Lab::new()?];
    let outputs = std::thread::scope(|scope| {
        let threads: Vec<_> = labs
            .iter()
            .map(|lab| {
                let runtime = runner().runtime;
                scope.spawn(|| {
                    use_runtime(runtime);
                    lab.output("sleep 0.05; hostname; set -- /proc/[0-9]*; echo $#")
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
    });
    for output in outputs {
        same!(output.map_err(|_| "a panic")??, "inside\n1\n");
    }
    drop(lab);
    Ok(())
}
