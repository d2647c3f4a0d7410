//! A client that sends exactly what a test says: one connection for each request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How a registry is reached.
#[derive(Clone)]
pub struct Way {
    pub address: SocketAddr,
    /// In TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// What every request says of who sends it.
    pub authorization: Option<String>,
}

impl Way {
    /// In plain HTTP, as nobody in particular.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None, authorization: None }
    }

    fn connect(&self) -> Box<dyn Stream> {
        let stream = connect(self.address);
        let Some(config) = &self.tls else { return Box::new(stream) };
        let name = self.address.ip().into();
        let connection = ClientConnection::new(config.clone(), name).expect("a connection");
        Box::new(StreamOwned::new(connection, stream))
    }
}

/// What trusts one certificate and no other.
pub fn trust(certificate: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).expect("a certificate")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A connection, whatever carries it.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A request to be sent.
pub struct Request {
    way: Way,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    chunked: bool,
}

/// A reply.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub fn request(way: &Way, method: &str, path: &str) -> Request {
    // A Location may name the host, too.
    let path = path.strip_prefix(&format!("http://{}", way.address)).unwrap_or(path).to_owned();
    let mut headers = Vec::new();
    if let Some(authorization) = &way.authorization {
        headers.push(("Authorization".to_owned(), authorization.clone()));
    }
    Request { way: way.clone(), method: method.to_owned(), path, headers, body: None, chunked: false }
}

impl Request {
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Leaves out a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// Sends the body in pieces without saying how long it is.
    pub fn chunked(mut self, body: impl AsRef<[u8]>) -> Self {
        self.chunked = true;
        self.body(body)
    }

    /// Adds a parameter to the query.
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        let value = value.to_string().replace('%', "%25").replace('+', "%2B").replace('&', "%26");
        self.path = format!("{}{separator}{name}={value}", self.path);
        self
    }

    /// The head as it is sent.
    pub fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.path, self.way.address);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Some(_) if self.chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Some(body) => head.push_str(&format!("Content-Length: {}\r\n", body.len())),
            None if matches!(self.method.as_str(), "POST" | "PUT" | "PATCH") => {
                head.push_str("Content-Length: 0\r\n");
            }
            None => {}
        }
        head + "Connection: close\r\n\r\n"
    }

    pub fn send(self) -> Response {
        let mut stream = self.way.connect();
        stream.write_all(self.head().as_bytes()).expect("send the head");
        let body = self.body.as_deref().unwrap_or_default();
        // A reply may come before all was sent; then the rest cannot be sent any more.
        if self.chunked {
            for piece in body.chunks(1000) {
                let _ = stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes());
                let _ = stream.write_all(piece);
                let _ = stream.write_all(b"\r\n");
            }
            let _ = stream.write_all(b"0\r\n\r\n");
        } else {
            let _ = stream.write_all(body);
        }
        read_response(&mut BufReader::new(stream), self.method == "HEAD")
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream
}

/// Reads a reply, whose length has to be said unless it has none.
pub fn read_response(reader: &mut impl BufRead, is_head: bool) -> Response {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a status line");
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("{line:?} is not a status line"));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if !is_head && !matches!(status, 100 | 204 | 304) {
        if response.header("transfer-encoding") == Some("chunked") {
            response.body = read_chunks(reader);
        } else {
            let length = response.header("content-length").and_then(|length| length.parse().ok());
            let length: usize = length.unwrap_or_else(|| panic!("no length: {response:?}"));
            response.body = vec![0; length];
            reader.read_exact(&mut response.body).expect("the whole body");
        }
    }
    response
}

fn read_chunks(reader: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("the length of a piece");
        let length = usize::from_str_radix(line.trim(), 16).expect("a length");
        let mut piece = vec![0; length + 2];
        reader.read_exact(&mut piece).expect("a piece");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&piece[..length]);
    }
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    #[track_caller]
    pub fn expect(self, statuses: &[u16]) -> Self {
        let text = String::from_utf8_lossy(&self.body);
        assert!(
            statuses.contains(&self.status),
            "{} is none of {statuses:?}: {text}\n{:?}",
            self.status,
            self.headers
        );
        self
    }

    #[track_caller]
    pub fn location(&self) -> String {
        self.header("location").unwrap_or_else(|| panic!("no Location: {self:?}")).to_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of the first error.
    #[track_caller]
    pub fn code(&self) -> String {
        let json = self.json();
        json["errors"][0]["code"].as_str().unwrap_or_else(|| panic!("no error: {json}")).to_owned()
    }
}
