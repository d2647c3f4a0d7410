//! HTTP/1.1, as much as a test needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A request: its head, and its body once it was read.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The values of a parameter of the query.
    pub fn query(&self, name: &str) -> Vec<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| decoded(value)).collect()
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&hex, 16).expect("hexadecimal digits")
            }
            other => other,
        });
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// Reads the head of a request; `None` at the end of the connection. What is not HTTP is answered as Go's server does it.
pub fn read_head(reader: &mut BufReader<&TcpStream>, mut stream: &TcpStream) -> Option<Request> {
    let mut line = Vec::new();
    reader.by_ref().take(8192).read_until(b'\n', &mut line).ok().filter(|count| *count > 0)?;
    let text = String::from_utf8(line).unwrap_or_default();
    let mut words = text.split_whitespace();
    let (Some(method), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next()) else {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request");
        return None;
    };
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => break,
        }
    }
    Some(Request { method: method.to_owned(), target: target.to_owned(), headers })
}

/// A reader that takes its time.
pub struct Slowly<R> {
    pub inner: R,
    /// Bytes in a second.
    pub rate: usize,
}

impl<R: BufRead> Read for Slowly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Slowly<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        std::thread::sleep(Duration::from_secs_f64(count as f64 / self.rate as f64));
        self.inner.consume(count);
    }
}

/// Reads the body, but not more than `limit` bytes of it.
pub fn read_body(request: &Request, reader: &mut impl BufRead, limit: usize) -> Vec<u8> {
    let mut body = Vec::new();
    if let Some(length) = request.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        let _ = reader.take(length.min(limit) as u64).read_to_end(&mut body);
        return body;
    }
    if request.header("transfer-encoding").is_none() {
        return body;
    }
    loop {
        let mut line = String::new();
        let _ = reader.read_line(&mut line);
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        let _ = reader.take(size as u64).read_to_end(&mut body);
        let _ = reader.read_line(&mut line);
        if size == 0 || body.len() >= limit {
            return body;
        }
    }
}

/// Writes the head of an answer.
pub fn write_head(mut stream: &TcpStream, status: u16, headers: &[(String, String)]) -> bool {
    let mut head = format!("HTTP/1.1 {status} Status\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).is_ok()
}
