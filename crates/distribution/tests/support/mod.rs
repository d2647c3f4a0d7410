//! A registry that does what it is told to do wrong: plain HTTP/1.1 on threads, on a port of its own.
//!
//! Without rules it keeps to the protocol. A rule fits requests by method and a part of their path, a number of times, and says what happens to them
//! instead. Every request is written down.

mod proxy;
mod routes;
mod wire;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use image::{Algorithm, Digest};

pub use proxy::Proxy;
pub use routes::base64;
pub use wire::Request;

/// What happens to a request instead of what should happen.
#[derive(Clone)]
pub enum Fault {
    /// This is answered: status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The right answer begins, and the connection breaks after so many bytes of the body.
    Cut(usize),
    /// The right answer begins, and after so many bytes of the body nothing more comes.
    Stall(usize),
    /// A part of the request's body is read (and kept, as far as it belongs to an upload), then the connection breaks.
    CutRequest(usize),
    /// A part of the request's body is read and kept, then nothing more happens.
    StallRequest(usize),
    /// The connection is closed without an answer.
    HangUp,
    /// What was asked for is done, and the connection is closed instead of an answer.
    NoAnswer,
    /// A body without an end.
    Endless,
    /// The right body, as if the request had not had a Range.
    IgnoreRange,
    /// 206, with a Content-Range that begins elsewhere.
    WrongRange,
    /// The right answer; so many bytes a second, in either direction.
    Slow(usize),
    /// The right answer with other bytes of the same length.
    WrongBytes,
    /// The right answer, with these headers more.
    Header(&'static str, &'static str),
}

struct Rule {
    method: &'static str,
    part: String,
    times: usize,
    fault: Fault,
}

/// Whom it lets in.
#[derive(Clone, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Open,
    /// One user, by Basic.
    Basic(&'static str, &'static str),
    /// Holders of tokens, which one user gets (anybody, when there is none).
    Token(Option<(&'static str, &'static str)>),
}

/// By repository and tag or digest: media type and bytes.
pub type Manifests = BTreeMap<(String, String), (String, Vec<u8>)>;

pub struct State {
    pub access: Mutex<Access>,
    /// By repository and digest.
    pub blobs: Mutex<HashMap<(String, String), Vec<u8>>>,
    pub manifests: Mutex<Manifests>,
    pub uploads: Mutex<HashMap<String, Vec<u8>>>,
    /// How many sessions there have been: no two have one name, whatever has gone since.
    pub sessions: AtomicUsize,
    /// Tokens that are good, and what for.
    pub tokens: Mutex<HashMap<String, HashSet<String>>>,
    /// What the next tokens are good for, whatever was asked for.
    pub grant: Mutex<Option<String>>,
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<Request>>,
    address: SocketAddr,
}

/// A registry that runs as long as this lives.
pub struct Registry {
    pub state: Arc<State>,
}

impl Registry {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            access: Mutex::new(Access::Open),
            blobs: Mutex::default(),
            manifests: Mutex::default(),
            uploads: Mutex::default(),
            sessions: AtomicUsize::new(0),
            tokens: Mutex::default(),
            grant: Mutex::default(),
            rules: Mutex::default(),
            log: Mutex::default(),
            address,
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = shared.clone();
                std::thread::spawn(move || serve(&state, &stream));
            }
        });
        Self { state }
    }

    /// Its host, as it stands in names.
    pub fn host(&self) -> String {
        self.state.address.to_string()
    }

    /// A name in it.
    pub fn name(&self, rest: &str) -> image::Reference {
        image::Reference::parse(&format!("{}/{rest}", self.host())).expect("a name")
    }

    pub fn set_access(&self, access: Access) {
        *self.state.access.lock().expect("no panic") = access;
    }

    /// From now on, so many requests that fit have this happen to them.
    pub fn rule(&self, method: &'static str, part: impl Into<String>, times: usize, fault: Fault) {
        self.state.rules.lock().expect("no panic").push(Rule { method, part: part.into(), times, fault });
    }

    /// The requests so far that fit.
    pub fn requests(&self, method: &str, part: &str) -> Vec<Request> {
        let log = self.state.log.lock().expect("no panic");
        log.iter()
            .filter(|request| request.method == method && request.target.contains(part))
            .cloned()
            .collect()
    }

    /// All requests so far, as `METHOD target`, but for probes.
    pub fn trace(&self) -> Vec<String> {
        let log = self.state.log.lock().expect("no panic");
        log.iter().map(|request| format!("{} {}", request.method, request.target)).collect()
    }

    pub fn forget_requests(&self) {
        self.state.log.lock().expect("no panic").clear();
    }

    pub fn add_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let key = (repository.to_owned(), digest.to_string());
        self.state.blobs.lock().expect("no panic").insert(key, bytes.to_vec());
        digest
    }

    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), digest.to_string());
        self.state.blobs.lock().expect("no panic").get(&key).cloned()
    }

    pub fn add_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let mut manifests = self.state.manifests.lock().expect("no panic");
        for name in [tag.to_owned(), digest.to_string()] {
            let key = (repository.to_owned(), name);
            manifests.insert(key, (media_type.to_owned(), bytes.to_vec()));
        }
        digest
    }

    pub fn manifest(&self, repository: &str, tag: &str) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), tag.to_owned());
        self.state.manifests.lock().expect("no panic").get(&key).map(|(_, bytes)| bytes.clone())
    }

    /// All tokens so far are good for nothing any more.
    pub fn revoke_tokens(&self) {
        self.state.tokens.lock().expect("no panic").clear();
    }
}

impl State {
    /// The fault for a request, if one is due.
    fn fault(&self, request: &Request) -> Option<Fault> {
        let mut rules = self.rules.lock().expect("no panic");
        let fits = |rule: &&mut Rule| {
            rule.times > 0 && rule.method == request.method && request.target.contains(&rule.part)
        };
        let rule = rules.iter_mut().find(fits)?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }
}

fn serve(state: &State, stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    // A connection ends when the client hangs up, or when something is wrong with it: also when TLS is spoken.
    while let Some(request) = wire::read_head(&mut reader, stream) {
        state.log.lock().expect("no panic").push(request.clone());
        let fault = state.fault(&request);
        if !routes::answer(state, request, fault, &mut reader, stream) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

/// An image of one layer or more, ready to be put into a registry.
pub struct TestImage {
    pub config: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
    pub manifest: Vec<u8>,
}

/// Bytes that do not compress, always the same.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// An image whose layers hold one file each, of these sizes; the layers are in gzip.
pub fn image(sizes: &[usize]) -> TestImage {
    use std::io::Write as _;
    let (mut layers, mut diff_ids, mut described) = (Vec::new(), Vec::new(), Vec::new());
    for (place, size) in sizes.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_size(*size as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_data(&mut header, format!("file-{place}"), noise(*size, place as u64 + 1).as_slice())
            .expect("a tar");
        let plain = tar.into_inner().expect("a tar");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
        gzip.write_all(&plain).expect("gzip");
        let layer = gzip.finish().expect("gzip");
        diff_ids.push(Digest::sha256(&plain).to_string());
        described.push(serde_json::json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": Digest::sha256(&layer).to_string(),
            "size": layer.len(),
        }));
        layers.push(layer);
    }
    let host = image::Platform::host();
    let config = serde_json::to_vec(&serde_json::json!({
        "architecture": host.architecture, "os": host.os, "config": {"Cmd": ["/file-0"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }))
    .expect("JSON");
    let manifest = serde_json::to_vec_pretty(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::sha256(&config).to_string(),
            "size": config.len(),
        },
        "layers": described,
    }))
    .expect("JSON");
    TestImage { config, layers, manifest }
}

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl TestImage {
    /// Puts it into a registry.
    pub fn put(&self, registry: &Registry, repository: &str, tag: &str) -> Digest {
        for blob in self.layers.iter().chain([&self.config]) {
            registry.add_blob(repository, blob);
        }
        registry.add_manifest(repository, tag, OCI_MANIFEST, &self.manifest)
    }
}

/// The digest that a text says, for routes.
fn digest_of(text: &str, bytes: &[u8]) -> Option<Digest> {
    let wanted = Digest::parse(text).ok()?;
    let mut digester = image::Digester::new(match wanted.algorithm() {
        Algorithm::Sha256 => Algorithm::Sha256,
        Algorithm::Sha512 => Algorithm::Sha512,
    });
    digester.update(bytes);
    Some(digester.finish())
}
