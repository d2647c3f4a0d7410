//! Standard error on its way from the contained process to the caller.
//!
//! A runtime and the command share it. What is written before the command runs is the runtime's: held back, and part
//! of the error if there is one.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};

/// How much is held back before whoever writes has to wait.
const HELD: usize = 1 << 20;

/// How much is passed on at a time: what a pipe holds.
const PIECE: usize = 64 << 10;

/// A pipe, and where its contents go.
pub(super) struct Passing {
    reader: Option<OwnedFd>,
    to: Option<OwnedFd>,
    held: Vec<u8>,
    begun: bool,
}

impl Passing {
    /// A pipe to `to` (or to nowhere), and its other end.
    pub(super) fn new(to: Option<OwnedFd>) -> io::Result<(Self, OwnedFd)> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok((Self { reader: Some(reader), to, held: Vec::new(), begun: false }, writer))
    }

    /// What to wait for; nothing when it has ended, or enough is held back.
    pub(super) fn reader(&self) -> Option<&OwnedFd> {
        self.reader.as_ref().filter(|_| self.begun || self.held.len() < HELD)
    }

    /// From now on everything is passed on.
    pub(super) fn begin(&mut self) {
        self.begun = true;
        let held = std::mem::take(&mut self.held);
        self.write(&held);
    }

    /// Takes what there is, and waits for it if there is nothing.
    pub(super) fn step(&mut self) {
        let Some(reader) = &self.reader else { return };
        let mut piece = vec![0; PIECE];
        match retry_on_intr(|| rustix::io::read(reader, &mut piece)) {
            Ok(length @ 1..) => {
                piece.truncate(length);
                if self.begun { self.write(&piece) } else { self.held.append(&mut piece) }
            }
            _ => self.close(),
        }
    }

    /// Passes on the rest; nobody can write any more.
    pub(super) fn drain(&mut self) {
        while self.reader.is_some() && (self.begun || self.held.len() < HELD) {
            self.step();
        }
    }

    /// What is held back, as text.
    pub(super) fn held(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.held).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while let (Some(to), false) = (&self.to, bytes.is_empty()) {
            match rustix::io::write(to, bytes) {
                Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                // The caller's descriptor need not wait by itself.
                Err(Errno::AGAIN) => {
                    let _ = retry_on_intr(|| poll(&mut [PollFd::new(to, PollFlags::OUT)], None));
                }
                // Nobody reads: whoever writes will notice.
                Err(_) => self.close(),
            }
        }
    }

    fn close(&mut self) {
        self.reader = None;
        self.to = None;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_comes_first_is_held_back_until_it_begins() {
        let (reader, to) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let (mut passing, writer) = Passing::new(Some(to)).expect("a pipe");
        let mut writer = File::from(writer);
        writer.write_all(b" first\n").expect("written");
        passing.step();
        assert_eq!(passing.held().as_deref(), Some("first"));
        passing.begin();
        writer.write_all(b"second\n").expect("written");
        drop(writer);
        passing.drain();
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).expect("read");
        assert_eq!((text.as_str(), passing.held()), (" first\nsecond\n", None));
    }

    #[test]
    fn whoever_writes_to_nobody_notices() {
        let (reader, to) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let (mut passing, writer) = Passing::new(Some(to)).expect("a pipe");
        drop(reader);
        let mut writer = File::from(writer);
        passing.begin();
        // A process that another test has forked may have the other ends, until it executes something.
        for _ in 0..5000 {
            if let Err(error) = writer.write_all(b"x") {
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                return;
            }
            passing.step();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("whoever writes does not notice that nobody reads");
    }
}
