//! What commands write: passed on whole, kept whole in the store, and its end remembered for the error.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use base::Event;
use base::events::{Log, Stream};

use store::logs::LogWriter;
use store::{StepKey, Store, StoreError};

use super::Surroundings;

/// How much of the end is remembered: some hundred lines.
const TAIL: usize = 16 << 10;

/// What both streams of a command write, as it comes.
pub(super) struct Output(Mutex<(Tail, Result<LogWriter, StoreError>)>);

/// What a command has written.
pub(super) struct Written {
    /// The end.
    pub tail: Vec<u8>,
    /// Where all of it is, when there is more.
    pub whole: Option<PathBuf>,
}

impl Output {
    pub fn to(log: LogWriter) -> Self {
        Self(Mutex::new((Tail::default(), Ok(log))))
    }

    fn push(&self, bytes: &[u8]) {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        both.0.push(bytes);
        // The command goes on when the disk is full: its output must not stop. Its end tells.
        if let Err(error) = both.1.as_mut().map_or(Ok(()), |log| log.write(bytes)) {
            both.1 = Err(error);
        }
    }

    /// Keeps the log.
    pub fn end(self, store: &Store, key: &StepKey) -> Result<Written, StoreError> {
        let (tail, log) = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        log?.keep(key)?;
        let whole = tail.is_cut().then(|| store.logs().path(key));
        Ok(Written { tail: tail.take(), whole })
    }
}

/// The end of what was written.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    has_dropped: bool,
}

impl Tail {
    fn is_cut(&self) -> bool {
        self.has_dropped || self.bytes.len() > TAIL
    }

    fn push(&mut self, bytes: &[u8]) {
        let tail = &mut self.bytes;
        tail.extend_from_slice(bytes);
        if tail.len() > 2 * TAIL {
            let surplus = tail.len() - TAIL;
            tail.drain(..surplus);
            self.has_dropped = true;
        }
    }

    /// What is remembered: whole lines, when more was written.
    fn take(self) -> Vec<u8> {
        let mut tail = self.bytes;
        if tail.len() > TAIL {
            let surplus = tail.len() - TAIL;
            let end = tail.iter().skip(surplus).position(|byte| *byte == b'\n').map(|at| surplus + at + 1);
            // A line that fills all of it is cut.
            let line = end.filter(|end| *end < tail.len()).unwrap_or(surplus);
            tail.drain(..line);
        }
        tail
    }
}

/// Passes on one stream until its end.
pub(super) fn pump(stream: Option<File>, name: Stream, around: &Surroundings<'_>, output: &Output) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; 32 << 10];
    loop {
        let length = match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            // A pipe that can not be read has ended, as far as anybody can know; the command's status tells the rest.
            Err(_) => return,
        };
        let data = buffer.get(..length).unwrap_or_default();
        output.push(data);
        let log =
            Log { vertex: around.vertex, stream: name, data: data.to_vec(), timestamp: SystemTime::now() };
        around.events.send(Event::Log(log));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_bounded_and_begins_with_a_line() {
        let mut tail = Tail::default();
        for number in 0..20_000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        assert!(tail.is_cut());
        let kept = String::from_utf8(tail.take()).expect("text");
        assert!(kept.len() <= TAIL && kept.len() > TAIL / 2);
        assert!(kept.starts_with("line ") && kept.ends_with("line 19999\n"));
    }

    #[test]
    fn a_line_that_is_longer_than_the_tail_is_cut() {
        let mut tail = Tail::default();
        tail.push(&[b'x'; TAIL + 1]);
        tail.push(b"y\n");
        let kept = tail.take();
        assert!(kept.len() == TAIL && kept.ends_with(b"xy\n"));
    }

    #[test]
    fn short_outputs_are_whole() {
        let mut tail = Tail::default();
        tail.push(b"a\nb");
        assert!(!tail.is_cut());
        assert_eq!(tail.take(), b"a\nb");
    }
}
