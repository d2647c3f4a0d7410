//! What the tests of the registry share: registries to talk to, and things to push.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::print_stderr, reason = "what a registry says helps to see why a test fails")]

pub mod http;
pub mod images;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base::Cancel;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{Algorithm, Digest, Digester};
use registry::{Options, Server, TlsFiles};
use serde_json::{Value, json};
use store::Store;

pub use self::http::{Request, Response, Way, request, trust};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What clients accept; docker-registry does not find what they do not.
const ACCEPT: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

/// A registry.
pub struct Target {
    pub address: SocketAddr,
    way: Way,
    pub directory: tempfile::TempDir,
    running: Running,
}

enum Running {
    Ours { cancel: Cancel, thread: Option<JoinHandle<()>> },
    Debian(Child),
}

pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Ours, in this process.
pub fn ours() -> Target {
    ours_with(|_| {})
}

pub fn ours_with(change: impl FnOnce(&mut Options)) -> Target {
    ours_in(tempfile::tempdir().expect("a directory"), change)
}

/// Ours, over a store in a directory that may be there already.
pub fn ours_in(directory: tempfile::TempDir, change: impl FnOnce(&mut Options)) -> Target {
    let store = Store::open(directory.path().join("store")).expect("a store");
    let mut options = Options::new(loopback());
    options.tell = Arc::new(|text| eprintln!("registry: {text}"));
    options.log = Arc::new(|access| {
        if let Some(error) = &access.error {
            eprintln!("registry: {} {}: {error}", access.method, access.path);
        }
    });
    change(&mut options);
    let server = Server::bind(store, options).expect("a server");
    let address = server.address().expect("an address");
    let cancel = Cancel::new();
    let thread = {
        let cancel = cancel.clone();
        std::thread::spawn(move || server.run(&cancel).expect("a graceful end"))
    };
    let running = Running::Ours { cancel, thread: Some(thread) };
    Target { address, way: Way::plain(address), directory, running }
}

/// Ours, for whoever has a password, in TLS.
pub fn ours_with_login_and_tls() -> Target {
    let directory = tempfile::tempdir().expect("a directory");
    let users = htpasswd(directory.path(), &[("ann", "secret")]);
    let tls = certificate(directory.path());
    let trusted = trust(&tls.certificate);
    let mut target = ours_in(directory, |options| (options.htpasswd, options.tls) = (Some(users), Some(tls)));
    target.way.tls = Some(trusted);
    target.way.authorization = Some(basic("ann", "secret"));
    target
}

/// A file of Apache's htpasswd, so that it is known to be understood.
pub fn htpasswd(directory: &Path, users: &[(&str, &str)]) -> PathBuf {
    let path = directory.join("users");
    for (place, (name, password)) in users.iter().enumerate() {
        let mut command = Command::new("htpasswd");
        command.args(["-b", "-B", "-C", "5"]).args((place == 0).then_some("-c"));
        let output = command.arg(&path).args([name, password]).output();
        let output = output.expect("htpasswd, of the Debian package apache2-utils");
        assert!(output.status.success(), "{output:?}");
    }
    path
}

/// What a user with a password says.
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// A certificate for 127.0.0.1 that is signed by itself, and its key.
pub fn certificate(directory: &Path) -> TlsFiles {
    let path = |name: &str| directory.join(name);
    let files = TlsFiles { certificate: path("cert.pem"), key: path("key.pem") };
    // Without what openssl's own configuration adds: that it were an authority's.
    std::fs::write(path("openssl"), "[req]\ndistinguished_name=name\n[name]\n").expect("write");
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args([OsStr::new("-config"), path("openssl").as_os_str()])
        .args([
            OsStr::new("-keyout"),
            files.key.as_os_str(),
            OsStr::new("-out"),
            files.certificate.as_os_str(),
        ])
        .output()
        .expect("openssl");
    assert!(output.status.success(), "{output:?}");
    files
}

/// Debian's docker-registry, to see that the tests ask for what others do as well.
pub fn debian() -> Target {
    // Whoever looks for a port at the same time may take the one that was found: then docker-registry ends, and another one is tried.
    (0..5).find_map(|_| start_debian()).expect("docker-registry does not start")
}

fn start_debian() -> Option<Target> {
    let directory = tempfile::tempdir().expect("a directory");
    let address = TcpListener::bind(loopback()).and_then(|socket| socket.local_addr()).expect("a port");
    let storage = directory.path().join("storage");
    let config = format!(
        "version: 0.1\nlog:\n  accesslog:\n    disabled: true\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
         delete:\n    enabled: true\nhttp:\n  addr: {address}\n",
        storage.display()
    );
    let path = directory.path().join("config.yml");
    std::fs::write(&path, config).expect("write");
    let mut child = Command::new("docker-registry")
        .args(["serve".into(), path])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("docker-registry, of the Debian package of that name (scripts/install-tools installs it)");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(20) && child.try_wait().expect("a status").is_none() {
        if answers(address) && child.try_wait().expect("a status").is_none() {
            let way = Way::plain(address);
            return Some(Target { address, way, directory, running: Running::Debian(child) });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Whether a registry is there: a connection alone may be one to ourselves, where nobody listens on a port that is free.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n")?;
        let mut begin = [0; 12];
        stream.read_exact(&mut begin)?;
        Ok(begin == *b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

impl Drop for Target {
    fn drop(&mut self) {
        match &mut self.running {
            Running::Ours { cancel, thread } => {
                cancel.cancel();
                if let Some(Err(panic)) = thread.take().map(JoinHandle::join)
                    && !std::thread::panicking()
                {
                    std::panic::resume_unwind(panic);
                }
            }
            Running::Debian(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Target {
    /// Stops it, and gives its directory for the next one.
    pub fn stop(mut self) -> tempfile::TempDir {
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().expect("a directory"));
        drop(self);
        directory
    }

    pub fn store(&self) -> Store {
        Store::open(self.directory.path().join("store")).expect("a store")
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        request(&self.way, method, path)
    }

    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path).header("Accept", ACCEPT).send()
    }

    pub fn head(&self, path: &str) -> Response {
        self.request("HEAD", path).header("Accept", ACCEPT).send()
    }

    pub fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path).send()
    }

    /// Begins an upload; gives its location.
    #[track_caller]
    pub fn begin(&self, repository: &str) -> String {
        self.request("POST", &format!("/v2/{repository}/blobs/uploads/")).send().expect(&[202]).location()
    }

    /// Pushes a blob in two requests.
    #[track_caller]
    pub fn push_blob(&self, repository: &str, bytes: impl AsRef<[u8]>) -> String {
        let digest = sha256(bytes.as_ref());
        self.push_blob_as(repository, bytes, digest)
    }

    /// Pushes a blob in two requests, under a digest of whatever algorithm.
    #[track_caller]
    pub fn push_blob_as(&self, repository: &str, bytes: impl AsRef<[u8]>, digest: String) -> String {
        let location = self.begin(repository);
        let put = self.request("PUT", &location).query("digest", &digest);
        put.header("Content-Type", "application/octet-stream").body(bytes).send().expect(&[201]);
        digest
    }

    #[track_caller]
    pub fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        manifest: &Value,
    ) -> Response {
        let bytes = manifest.to_string();
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.request("PUT", &path).header("Content-Type", media_type).body(bytes).send()
    }

    /// Pushes an image of one layer, which its remark makes different from others; gives its manifest.
    #[track_caller]
    pub fn push_image(&self, repository: &str, tag: &str, remark: &str) -> (String, Value) {
        let manifest = self.image(repository, remark);
        let digest = sha256(manifest.to_string());
        self.put_manifest(repository, tag, MANIFEST, &manifest).expect(&[201]);
        (digest, manifest)
    }

    /// The manifest of an image whose blobs are pushed.
    #[track_caller]
    pub fn image(&self, repository: &str, remark: &str) -> Value {
        let config = json!({"architecture": "amd64", "os": "linux", "author": remark,
            "rootfs": {"type": "layers", "diff_ids": [sha256(remark)]}})
        .to_string();
        self.push_blob(repository, &config);
        self.push_blob(repository, remark);
        json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", remark)]})
    }
}

pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Digest::sha256(bytes.as_ref()).to_string()
}

pub fn sha512(bytes: impl AsRef<[u8]>) -> String {
    let mut digester = Digester::new(Algorithm::Sha512);
    digester.update(bytes.as_ref());
    digester.finish().to_string()
}

pub fn descriptor(media_type: &str, bytes: impl AsRef<[u8]>) -> Value {
    json!({"mediaType": media_type, "digest": sha256(bytes.as_ref()), "size": bytes.as_ref().len()})
}

/// Bytes that look like nothing, the same each time.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes()[..6]);
    }
    bytes.truncate(length);
    bytes
}

/// What a server logs.
pub type Lines = Arc<Mutex<Vec<String>>>;
