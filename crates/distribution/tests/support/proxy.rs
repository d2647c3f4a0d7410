//! A proxy, as companies have them: CONNECT, requests with whole addresses, SOCKS5; it leads to one server, whatever it is asked for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::routes::base64;
use super::wire;

/// A proxy that runs as long as the process.
pub struct Proxy {
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// One that speaks HTTP, and wants to see user and password if they are given.
    pub fn start(to: &str, login: Option<(&str, &str)>) -> Self {
        let shown = login.map(|(user, password)| format!("Basic {}", base64(&format!("{user}:{password}"))));
        Self::listen(to, move |stream, to, log| serve(stream, to, shown.as_deref(), log))
    }

    /// One that speaks SOCKS5 with anybody.
    pub fn start_socks(to: &str) -> Self {
        Self::listen(to, |stream, to, log| {
            // A client that hangs up in the middle is none of a test's business.
            let _ = serve_socks(stream, to, log);
        })
    }

    fn listen(
        to: &str,
        serve: impl Fn(&TcpStream, &str, &Mutex<Vec<String>>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new(Mutex::default());
        let (shared, to, serve) = (Arc::clone(&log), to.to_owned(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, to, serve) = (shared.clone(), to.clone(), serve.clone());
                std::thread::spawn(move || {
                    serve(&stream, &to, &log);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, log }
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// What it was asked for, as `METHOD target`, and whether it let that pass.
    pub fn trace(&self) -> Vec<String> {
        self.log.lock().expect("no panic").clone()
    }
}

fn serve(stream: &TcpStream, to: &str, shown: Option<&str>, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let out = stream;
    let Some(request) = wire::read_head(&mut reader, stream) else { return };
    let passes = shown.is_none() || request.header("proxy-authorization") == shown;
    let verdict = if passes { "" } else { " refused" };
    log.lock().expect("no panic").push(format!("{} {}{verdict}", request.method, request.target));
    if !passes {
        let headers = [("Proxy-Authenticate", "Basic realm=\"proxy\""), ("Content-Length", "0")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        wire::write_head(stream, 407, &headers);
        return;
    }
    let Ok(mut server) = TcpStream::connect(to) else {
        wire::write_head(stream, 502, &[("Content-Length".to_owned(), "0".to_owned())]);
        return;
    };
    if request.method == "CONNECT" {
        wire::write_head(stream, 200, &[]);
        return exchange(stream, &server);
    }
    let body = wire::read_body(&request, &mut reader, usize::MAX);
    let path = request.target.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    let mut head = format!("{} /{} HTTP/1.1\r\n", request.method, path.map_or("", |(_, path)| path));
    // Whatever came in pieces goes on in one.
    let kept = |name: &str| {
        let name = name.to_ascii_lowercase();
        !matches!(
            name.as_str(),
            "proxy-authorization" | "connection" | "transfer-encoding" | "content-length"
        )
    };
    for (name, value) in request.headers.iter().filter(|(name, _)| kept(name)) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()));
    let sent = server.write_all(head.as_bytes()).and_then(|()| server.write_all(&body));
    if sent.is_ok() {
        pass_on_answer(&server, out, request.method == "HEAD");
    }
}

/// One answer, after which the connection ends.
fn pass_on_answer(server: &TcpStream, mut out: &TcpStream, is_head_only: bool) {
    let mut answer = BufReader::new(server);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if answer.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
    }
    head.push_str("Connection: close\r\n\r\n");
    if out.write_all(head.as_bytes()).is_ok() && !is_head_only {
        // A client that hangs up in the middle is none of a test's business.
        let _ = std::io::copy(&mut answer.take(length), &mut out);
    }
}

fn serve_socks(stream: &TcpStream, to: &str, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut from = stream;
    let mut byte = |count: usize| {
        let mut bytes = vec![0; count];
        from.read_exact(&mut bytes).map(|()| bytes)
    };
    let methods = byte(2)?;
    byte(usize::from(methods[1]))?;
    (&*stream).write_all(&[5, 0])?;
    let request = byte(4)?;
    assert_eq!(request[..3], [5, 1, 0], "a connection is asked for");
    let name = match request[3] {
        3 => {
            let length = byte(1)?;
            String::from_utf8(byte(usize::from(length[0]))?).expect("a name")
        }
        1 => format!("{:?}", byte(4)?),
        _ => format!("{:?}", byte(16)?),
    };
    let port = byte(2)?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    log.lock().expect("no panic").push(format!("SOCKS {name}:{port}"));
    let server = TcpStream::connect(to)?;
    (&*stream).write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    exchange(stream, &server);
    Ok(())
}

/// Bytes both ways, until one side ends.
fn exchange(one: &TcpStream, other: &TcpStream) {
    let copy = |mut from: &TcpStream, mut to: &TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| copy(one, other));
        copy(other, one);
    });
}
