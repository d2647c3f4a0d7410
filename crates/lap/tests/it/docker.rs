//! A docker daemon that belongs to one test: what it keeps, and where it listens, is in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::environment::{Ran, path_text, tool};

/// How long a daemon may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon; it, and all that it started, ends with this value.
pub struct Docker {
    directory: tempfile::TempDir,
    daemon: Child,
}

impl Docker {
    /// Starts a daemon that touches neither bridges nor firewalls.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("daemon.json"), r#"{"bridge":"none","iptables":false,"ip6tables":false}"#)
            .expect("the configuration is written");
        let log = std::fs::File::create(path("log")).expect("a log");
        let mut command = Command::new(tool("dockerd", "docker.io"));
        command.arg("--config-file").arg(path("daemon.json")).args(["--host", &address(directory.path())]);
        for (option, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(option).arg(path(name));
        }
        let daemon = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("dockerd runs");
        let mut docker = Self { directory, daemon };
        docker.await_answer();
        docker
    }

    fn await_answer(&mut self) {
        let until = std::time::Instant::now() + PATIENCE;
        while self.run(&["version"]).code != 0 {
            let ended = self.daemon.try_wait().expect("its state");
            if ended.is_some() || std::time::Instant::now() > until {
                let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
                panic!("dockerd does not start ({ended:?}):\n{log}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A path beside what the daemon keeps.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the client.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(tool("docker", "docker.io"));
        command.args(["--host", &address(self.directory.path())]).args(arguments);
        Ran::of(command.env("DOCKER_CONFIG", self.path("client")).output().expect("docker runs"))
    }

    /// Makes an image out of a directory.
    pub fn import(&self, directory: &Path, name: &str) {
        let tar = self.path("import.tar");
        let made = Command::new("tar").arg("-C").arg(directory).arg("-cf").arg(&tar).arg(".").status();
        assert!(made.expect("tar runs").success());
        self.run(&["import", path_text(&tar), name]).success();
        std::fs::remove_file(tar).expect("removed");
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Told to end, it ends its containerd and unmounts what it mounted; killed, it would not.
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let until = std::time::Instant::now() + PATIENCE;
        while matches!(self.daemon.try_wait(), Ok(None)) {
            if std::time::Instant::now() > until {
                let _ = self.daemon.kill();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn address(directory: &Path) -> String {
    format!("unix://{}/docker.sock", directory.display())
}
