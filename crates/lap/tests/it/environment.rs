//! A place for one test: a store, a directory for contexts, the real command.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A store of its own, and a directory to work in; both are gone at the end.
pub struct Environment {
    directory: tempfile::TempDir,
}

/// What a command gave.
pub struct Ran {
    /// Its exit code; −1 when a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Environment {
    /// With an empty store.
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    /// With the image `base:1`: busybox, `/bin/sh`, `/etc/passwd` and `/etc/group` with root and the user `app` (1000:1001).
    pub fn with_base() -> Self {
        let environment = Self::new();
        environment.import_base("base:1");
        environment
    }

    /// Imports busybox under a name.
    pub fn import_base(&self, name: &str) {
        self.import_base_into(&self.store(), name);
    }

    /// Imports busybox into another store.
    pub fn import_base_into(&self, store: &Path, name: &str) {
        let tar = self.path("base.tar");
        std::fs::write(&tar, base_tar()).expect("the base is written");
        let change = ["--change", "CMD [\"/bin/sh\"]"];
        self.lap([&["--root", path_text(store), "import"], &change[..], &[path_text(&tar), name]].concat())
            .success();
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Writes a file, and the directories it is in.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories are made");
        std::fs::write(&path, content).expect("a file is written");
        path
    }

    /// The command, to be run on the store.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("LAPSTRAKE_ROOT", self.store())
            .env_remove("SOURCE_DATE_EPOCH")
            .stdin(Stdio::null());
        command
    }

    /// Runs the command.
    pub fn lap<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(self.command(arguments).output().expect("lap runs"))
    }

    /// Runs the command with something on its standard input.
    pub fn lap_with_input<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Ran {
        let mut child: Child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("lap runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("lap ends");
        // Whoever does not read all of its input is not at fault.
        let _ = writer.join();
        Ran::of(output)
    }

    /// Writes a Dockerfile into `context/` and builds it as `app`.
    pub fn build(&self, dockerfile: &str) -> Ran {
        self.write("context/Dockerfile", dockerfile);
        self.lap(["build", "-t", "app", "--progress", "plain", "context"])
    }

    /// Builds as [`Environment::build`] does, and it has to succeed.
    pub fn built(&self, dockerfile: &str) {
        self.build(dockerfile).success();
    }

    /// Runs a shell command in an image, and gives what it prints.
    pub fn sh(&self, image: &str, script: &str) -> String {
        self.lap(["run", "--rm", "--entrypoint", "", image, "/bin/sh", "-c", script]).success().stdout
    }

    /// A field of `lap inspect`, as JSON.
    pub fn inspect(&self, image: &str, template: &str) -> serde_json::Value {
        let ran = self.lap(["inspect", "--format", &format!("{{{{json {template}}}}}"), image]).success();
        serde_json::from_str(ran.stdout.trim()).expect("JSON")
    }

    /// Everything in the store is whole.
    pub fn check(&self) {
        let ran = self.lap(["system", "check"]);
        assert_eq!(ran.code, 0, "the store is damaged:\n{}{}", ran.stdout, ran.stderr);
    }

    /// The same, and nothing unfinished is left in it.
    #[track_caller]
    pub fn check_clean(&self) {
        let left: Vec<_> = std::fs::read_dir(self.store().join("tmp")).expect("tmp").flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        self.check();
    }
}

impl Ran {
    /// Whether the last step of this instruction, as plain progress shows it, was taken from the cache.
    #[track_caller]
    pub fn is_cached(&self, instruction: &str) -> bool {
        let step = format!("] {instruction}");
        let step = self.stderr.lines().rfind(|line| line.contains(&step)).expect("the step");
        let number = step.split(' ').next().expect("a number");
        self.stderr.lines().any(|line| line == format!("{number} CACHED"))
    }

    /// From a finished process.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It succeeded.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// It failed with this code, and said all of this.
    #[track_caller]
    pub fn failure(self, code: i32, said: &[&str]) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        for words in said {
            assert!(self.stderr.contains(words), "{words:?} is not in:\n{}", self.stderr);
        }
        self
    }
}

/// Where `lap` is: for tests that are run again as somebody who may not look where it was built, somewhere else.
pub fn program() -> PathBuf {
    std::env::var_os(PROGRAM).map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_lap")), PathBuf::from)
}

/// Where `testdata` is.
pub fn testdata() -> PathBuf {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    std::env::var_os(TESTDATA).map_or_else(built, PathBuf::from)
}

/// The variables that say so.
pub const PROGRAM: &str = "LAP_TEST_PROGRAM";
/// See [`PROGRAM`].
pub const TESTDATA: &str = "LAP_TEST_DATA";

/// How many tests passed, in what a program of tests has printed.
pub fn passed(printed: &str) -> usize {
    let result =
        |line: &str| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<usize>().ok();
    printed.lines().filter_map(result).sum()
}

/// A path as an argument.
pub fn path_text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

/// A program that a test needs; when it is missing the test fails and says what to install.
pub fn tool(program: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| {
            panic!("this test needs {program}: install the package {package} (scripts/install-tools does)")
        })
}

/// The root filesystem that `testdata/base.txt` describes.
pub fn base_tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for line in include_str!("../../../../testdata/base.txt").lines().filter(|line| !line.starts_with('#')) {
        let [kind, mode, path, rest @ ..] = &line.splitn(4, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line} is not of the form that base.txt has");
        };
        let rest = rest.first().copied().unwrap_or_default();
        let content = match rest.strip_prefix('<') {
            Some(file) => std::fs::read(file).unwrap_or_else(|error| {
                panic!("this test needs {file} ({error}): scripts/install-tools installs what provides it")
            }),
            None => rest.replace("\\n", "\n").into_bytes(),
        };
        let mut header = tar::Header::new_gnu();
        header.set_mode(u32::from_str_radix(mode, 8).expect("a mode"));
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        let mut add = |kind: tar::EntryType, content: &[u8]| {
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content).expect("an entry");
        };
        match *kind {
            "d" => add(tar::EntryType::Directory, b""),
            "f" => add(tar::EntryType::Regular, &content),
            _ => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, path, rest).expect("a link");
            }
        }
    }
    tar.into_inner().expect("a tar")
}
