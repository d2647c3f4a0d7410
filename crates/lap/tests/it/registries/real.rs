//! Debian's docker-registry, and a proxy before it that stops when it is told to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::environment::{Environment, path_text, tool};

/// The user `anna` with the password `s3cret`, as htpasswd writes it.
const HTPASSWD: &str = "anna:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

/// A registry that runs as long as this lives.
pub struct DockerRegistry {
    child: Child,
    pub port: u16,
}

/// How a registry is run.
#[derive(Default)]
pub struct Setup<'a> {
    /// Let in anna alone.
    pub login: bool,
    /// Speak TLS with this certificate and this key.
    pub tls: Option<(&'a Path, &'a Path)>,
}

impl DockerRegistry {
    pub fn start(lap: &Environment, name: &str, setup: &Setup<'_>) -> Self {
        // Another process may take the port in between; then the registry does not start, and another port is tried.
        for _ in 0..5 {
            let port =
                TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
            let mut config = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp:\n  addr: 127.0.0.1:{port}\n",
                lap.path(name).display()
            );
            if let Some((certificate, key)) = setup.tls {
                config.push_str(&format!(
                    "  tls: {{certificate: {}, key: {}}}\n",
                    certificate.display(),
                    key.display()
                ));
            }
            if setup.login {
                let file = lap.write("htpasswd", HTPASSWD);
                config.push_str(&format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display()));
            }
            let config = lap.write(&format!("{name}.yml"), config);
            let mut child = Command::new(tool("docker-registry", "docker-registry"))
                .args(["serve", path_text(&config)])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("docker-registry runs");
            for _ in 0..100 {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { child, port };
                }
                if child.try_wait().expect("a status").is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("docker-registry does not start");
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Forwards connections, but only so many bytes in either direction.
pub struct Valve {
    pub port: u16,
    left: Arc<AtomicI64>,
}

impl Valve {
    pub fn before(registry: &DockerRegistry, bytes: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let left = Arc::new(AtomicI64::new(bytes));
        let (to, budget) = (registry.port, left.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { return };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    let budget = budget.clone();
                    std::thread::spawn(move || forward(from, to, &budget));
                }
            }
        });
        Self { port, left }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Waits until nothing passes any more.
    pub fn wait_until_shut(&self) {
        for _ in 0..3000 {
            if self.left.load(Ordering::SeqCst) <= 0 {
                // What has passed gets a moment to be dealt with.
                std::thread::sleep(Duration::from_millis(300));
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nothing passes, or too little");
    }

    pub fn open(&self) {
        self.left.store(i64::MAX / 2, Ordering::SeqCst);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, budget: &AtomicI64) {
    let mut buffer = vec![0; 32 << 10];
    loop {
        while budget.load(Ordering::SeqCst) <= 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let count = match from.read(&mut buffer) {
            Ok(count) if count > 0 => count,
            _ => break,
        };
        budget.fetch_sub(count as i64, Ordering::SeqCst);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
