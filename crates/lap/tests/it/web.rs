//! A web server on a port of its own, with the pages that a test puts there.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A file of the server, and how it gives it.
#[derive(Clone, Default)]
pub struct Page {
    pub body: Vec<u8>,
    pub etag: Option<&'static str>,
    pub last_modified: Option<&'static str>,
    pub redirect: Option<String>,
    /// Whether parts can be asked for.
    pub ranges: bool,
    /// After how many bytes the next answer breaks off, and what the page is from then on.
    pub cut: Option<(usize, Box<Page>)>,
    /// What `Retry-After` says in the next answer, which is 503, and what the page is from then on.
    pub busy: Option<(&'static str, Box<Page>)>,
    /// Who alone is given it.
    pub authorization: Option<&'static str>,
}

impl Page {
    /// One with these bytes.
    pub fn of(body: impl AsRef<[u8]>) -> Self {
        Self { body: body.as_ref().to_vec(), ..Self::default() }
    }
}

#[derive(Default)]
struct State {
    pages: HashMap<String, Page>,
    /// Method, path, status and the headers that matter, of each request.
    log: Vec<String>,
}

/// Answers every connection to a port of its own, each on a thread; gives the beginning of all addresses there.
pub fn listen(answer: impl Fn(&TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let answer = answer.clone();
            // Whoever hangs up early gets no answer.
            std::thread::spawn(move || drop(answer(&connection)));
        }
    });
    address
}

/// A server on a port of its own.
pub struct Web {
    /// The beginning of every address.
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl Web {
    /// Begins to serve.
    pub fn new() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let served = state.clone();
        Self { address: listen(move |connection| answer(connection, &served)), state }
    }

    /// Puts a page there.
    pub fn put(&self, path: &str, page: Page) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).pages.insert(path.to_owned(), page);
    }

    /// The address of a page.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// The requests since the last time.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).log)
    }
}

fn answer(mut connection: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let (head, body, cut) = match state.pages.get(&path).cloned() {
        None => ("404 Not Found\r\nContent-Length: 8".to_owned(), b"not here".to_vec(), None),
        Some(page) => {
            let cut = page.cut.clone().map(|(at, next)| {
                state.pages.insert(path.clone(), *next);
                at
            });
            let (head, body) = match page.busy.clone() {
                Some((pause, next)) => {
                    state.pages.insert(path.clone(), *next);
                    (format!("503 Busy\r\nRetry-After: {pause}\r\nContent-Length: 0"), Vec::new())
                }
                None => given(&page, &headers),
            };
            (head, body, cut)
        }
    };
    let mut entry = format!("{path} {}", head.get(..3).unwrap_or_default());
    for name in ["if-none-match", "if-modified-since", "range", "authorization"] {
        if let Some(value) = headers.get(name) {
            write!(entry, " {name}={value}").expect("a string");
        }
    }
    state.log.push(entry);
    drop(state);
    write!(connection, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")?;
    connection.write_all(body.get(..cut.unwrap_or(body.len())).unwrap_or(&body))
}

fn given(page: &Page, headers: &HashMap<String, String>) -> (String, Vec<u8>) {
    if page.authorization.is_some() && headers.get("authorization").map(String::as_str) != page.authorization
    {
        return ("401 Unauthorized\r\nContent-Length: 0".to_owned(), Vec::new());
    }
    if let Some(to) = &page.redirect {
        return (format!("302 Found\r\nLocation: {to}\r\nContent-Length: 0"), Vec::new());
    }
    let is = |name: &str, own: Option<&str>| own.is_some() && headers.get(name).map(String::as_str) == own;
    if is("if-none-match", page.etag) || is("if-modified-since", page.last_modified) {
        return ("304 Not Modified".to_owned(), Vec::new());
    }
    let begin = headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let begin =
        begin.filter(|_| page.ranges && is("if-range", page.etag)).and_then(|begin| begin.parse().ok());
    let body = page.body.get(begin.unwrap_or(0)..).unwrap_or_default().to_vec();
    let mut head = match begin {
        Some(begin) => {
            let size = page.body.len();
            format!("206 Partial Content\r\nContent-Range: bytes {begin}-{}/{size}", size - 1)
        }
        None => "200 OK".to_owned(),
    };
    for (name, value) in [("ETag", page.etag), ("Last-Modified", page.last_modified)] {
        if let Some(value) = value {
            write!(head, "\r\n{name}: {value}").expect("a string");
        }
    }
    write!(head, "\r\nContent-Length: {}", body.len()).expect("a string");
    (head, body)
}
