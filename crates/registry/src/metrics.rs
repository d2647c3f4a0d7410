//! Numbers for Prometheus (RS-170).

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;

use crate::log::Access;
use crate::reply::{Reply, bytes};

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"];
/// Statuses by their first digit, from 1.
const CLASSES: usize = 5;

/// What is counted.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: [[AtomicU64; CLASSES]; METHODS.len()],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    micros: AtomicU64,
    blobs: AtomicU64,
    running: Arc<AtomicU64>,
}

/// A request that is being answered.
pub(crate) struct Running(Arc<AtomicU64>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// A request has come.
    pub fn begin(&self) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(self.running.clone())
    }

    /// A request was answered.
    pub fn end(&self, access: &Access) {
        let method = METHODS.iter().position(|method| *method == access.method);
        let class = usize::from(access.status / 100).saturating_sub(1);
        if let Some(counter) = method.and_then(|method| self.requests.get(method)?.get(class)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.bytes_out.fetch_add(access.bytes, Ordering::Relaxed);
        self.micros.fetch_add(access.micros, Ordering::Relaxed);
    }

    /// Bytes of a blob have come.
    pub fn bytes_came(&self, count: u64) {
        self.bytes_in.fetch_add(count, Ordering::Relaxed);
    }

    /// A blob was pushed.
    pub fn blob_came(&self) {
        self.blobs.fetch_add(1, Ordering::Relaxed);
    }

    /// All of it, in Prometheus' text format.
    pub fn reply(&self) -> Reply {
        let mut text = String::new();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Writing to a String cannot fail.
        let mut line = |line: String| {
            let _ = writeln!(text, "{line}");
        };
        line("# TYPE lapstrake_registry_requests_total counter".to_owned());
        for (method, classes) in METHODS.iter().zip(&self.requests) {
            for (class, counter) in classes.iter().enumerate().filter(|(_, counter)| read(counter) > 0) {
                let labels = format!("method=\"{method}\",status=\"{}xx\"", class + 1);
                line(format!("lapstrake_registry_requests_total{{{labels}}} {}", read(counter)));
            }
        }
        for (name, kind, value) in [
            ("requests_running", "gauge", read(&self.running)),
            ("received_bytes_total", "counter", read(&self.bytes_in)),
            ("sent_bytes_total", "counter", read(&self.bytes_out)),
            ("request_microseconds_total", "counter", read(&self.micros)),
            ("blobs_pushed_total", "counter", read(&self.blobs)),
        ] {
            line(format!("# TYPE lapstrake_registry_{name} {kind}\nlapstrake_registry_{name} {value}"));
        }
        bytes(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
    }
}
