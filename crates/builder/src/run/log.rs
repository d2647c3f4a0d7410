//! What commands write: passed on whole, and its end remembered for the error.

use std::fs::File;
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use base::Event;
use base::events::{Log, Stream};

use super::Surroundings;

/// How much of the end is remembered: some hundred lines.
const TAIL: usize = 16 << 10;

/// The end of what both streams of a command wrote.
#[derive(Default)]
pub(super) struct Tail(Mutex<Vec<u8>>);

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(bytes);
        if tail.len() > 2 * TAIL {
            let surplus = tail.len() - TAIL;
            tail.drain(..surplus);
        }
    }

    /// What is remembered: whole lines, when more was written.
    pub fn take(self) -> Vec<u8> {
        let mut tail = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        if tail.len() > TAIL {
            let surplus = tail.len() - TAIL;
            let line = tail
                .iter()
                .skip(surplus)
                .position(|byte| *byte == b'\n')
                .map_or(surplus, |at| surplus + at + 1);
            tail.drain(..line);
        }
        tail
    }
}

/// Passes on one stream until its end.
pub(super) fn pump(stream: Option<File>, name: Stream, around: &Surroundings<'_>, tail: &Tail) {
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
        tail.push(data);
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
        let tail = Tail::default();
        for number in 0..20_000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        let kept = String::from_utf8(tail.take()).expect("text");
        assert!(kept.len() <= TAIL && kept.len() > TAIL / 2);
        assert!(kept.starts_with("line ") && kept.ends_with("line 19999\n"));
    }

    #[test]
    fn short_outputs_are_whole() {
        let tail = Tail::default();
        tail.push(b"a\nb");
        assert_eq!(tail.take(), b"a\nb");
    }
}
