//! A tiny root, and short ways to run something in it.

use std::cell::RefCell;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base::Cancel;
use libtest_mimic::Failed;
use sandbox::{Error, Exit, Files, Process, Root, Runner, Runtime, Spec, Stdio};

/// Where Debian's busybox-static puts it.
const BUSYBOX: &str = "/bin/busybox";

/// The commands that the tests use.
const APPLETS: &str = "cat cp cut df dmesg echo env find grep head hostname id ifconfig kill ln ls mkdir mknod mount ps \
    pwd readlink rm sed seq sh sleep sort stat stty tail test touch tr true tty umount unshare wc";

/// A volatile overlay's work directory can be used once.
static WORK: AtomicU32 = AtomicU32::new(0);

/// What a test returns.
pub type Outcome = Result<(), Failed>;

/// One test.
pub type Case = (&'static str, fn() -> Outcome);

thread_local! {
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// Lets this thread's sandboxes be made by a runtime.
pub fn use_runtime(runtime: Option<Runtime>) {
    RUNTIME.set(runtime);
}

/// What makes the sandboxes of this thread.
pub fn runner() -> Runner {
    Runner { runtime: RUNTIME.with_borrow(Clone::clone), ..Runner::default() }
}

/// A runtime from `PATH`.
pub fn runtime(name: &str) -> Result<Runtime, Failed> {
    Runtime::find(name, &std::env::var_os("PATH").unwrap_or_default()).map_err(explain)
}

/// Fails with a sentence unless two values are equal.
#[macro_export]
macro_rules! same {
    ($left:expr, $right:expr $(, $($context:tt)+)?) => {
        match (&$left, &$right) {
            (left, right) => {
                if left != right {
                    let context = String::new();
                    $(let context = format!("{context}{}: ", format_args!($($context)+));)?
                    return Err(format!("{context}{left:?} is not {right:?} ({}:{})", file!(), line!()).into());
                }
            }
        }
    };
}

/// Directories of one test: a root with busybox as the lower directory, an upper and a work directory.
pub struct Lab {
    directory: PathBuf,
    _owned: Option<tempfile::TempDir>,
}

/// What a process wrote, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub exit: Exit,
}

impl Lab {
    pub fn new() -> Result<Self, Failed> {
        if !Path::new(BUSYBOX).exists() {
            return Err(
                format!("{BUSYBOX} is missing: install it with `apt-get install busybox-static`").into()
            );
        }
        let directory = tempfile::tempdir()?;
        let lab = Self { directory: directory.path().to_owned(), _owned: Some(directory) };
        for name in ["lower/bin", "lower/etc", "lower/tmp", "upper", "work"] {
            std::fs::create_dir_all(lab.path(name))?;
        }
        std::fs::copy(BUSYBOX, lab.path("lower/bin/busybox"))?;
        std::fs::set_permissions(lab.path("lower/bin/busybox"), PermissionsExt::from_mode(0o755))?;
        std::fs::set_permissions(lab.path("lower/tmp"), PermissionsExt::from_mode(0o1777))?;
        for applet in APPLETS.split_whitespace() {
            symlink("busybox", lab.path("lower/bin").join(applet))?;
        }
        std::fs::write(lab.path("lower/etc/passwd"), "root:x:0:0::/:/bin/sh\n")?;
        Ok(lab)
    }

    /// What another process made, and will remove.
    pub fn at(directory: &Path) -> Result<Self, Failed> {
        Ok(Self { directory: directory.canonicalize()?, _owned: None })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A description that runs a shell script.
    pub fn script(&self, script: &str) -> Spec {
        self.command(&["sh", "-c", script])
    }

    /// A description that runs a command.
    pub fn command(&self, args: &[&str]) -> Spec {
        // Overlays that sync at their end would wait for everybody who writes to this disk.
        let work = self.path(&format!("work/{}", WORK.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&work).expect("a work directory");
        let mut process = Process::new(args.iter().copied());
        process.env = ["PATH=/bin", "HOME=/", "GREETING=hello"].map(str::to_owned).to_vec();
        Spec {
            root: Root::Overlay {
                lowers: vec![self.path("lower")],
                upper: self.path("upper"),
                work,
                user_attributes: false,
                volatile: true,
            },
            read_only_root: false,
            process,
            mounts: Vec::new(),
            hostname: "inside".to_owned(),
            network: sandbox::Network::Host,
            security: sandbox::Security::Default,
            cgroup: None,
            shared_memory: None,
            single_id: None,
            isolation: sandbox::Isolation::Namespaces,
            files: Files {
                hosts: Some("127.0.0.1 localhost\n".to_owned()),
                resolv_conf: Some("nameserver 192.0.2.1\n".to_owned()),
                hostname: Some("inside\n".to_owned()),
            },
        }
    }

    /// What a script writes; it has to succeed.
    pub fn output(&self, script: &str) -> Result<String, Failed> {
        output(&self.script(script))
    }

    /// Everything in the upper directory, as relative paths.
    pub fn upper(&self) -> Result<Vec<String>, Failed> {
        let listed = Command::new("find")
            .arg(self.path("upper"))
            .args(["-mindepth", "1", "-printf", "%P\n"])
            .output()?;
        Ok(String::from_utf8(listed.stdout)?.lines().map(str::to_owned).collect())
    }
}

/// Runs to the end.
pub fn run(spec: &Spec) -> Result<Ran, Error> {
    let mut running = sandbox::spawn(&runner(), spec, Stdio::default(), &[])?;
    let mut stderr_pipe = running.take_stderr().expect("a pipe");
    let stderr = std::thread::spawn(move || {
        let mut text = String::new();
        stderr_pipe.read_to_string(&mut text).map(|_| text)
    });
    let mut stdout = String::new();
    running.take_stdout().expect("a pipe").read_to_string(&mut stdout).expect("text");
    let exit = running.wait(&Cancel::new(), Duration::from_secs(1))?;
    Ok(Ran { stdout, stderr: stderr.join().expect("a thread").expect("text"), exit })
}

/// What it writes; it has to succeed.
pub fn output(spec: &Spec) -> Result<String, Failed> {
    let ran = run(spec).map_err(explain)?;
    if !ran.exit.status.is_success() {
        return Err(format!("{ran:?}").into());
    }
    Ok(ran.stdout)
}

/// An error with everything that is known about it.
pub fn explain(error: Error) -> Failed {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        text += &format!(": {source}");
        cause = source.source();
    }
    text.into()
}
