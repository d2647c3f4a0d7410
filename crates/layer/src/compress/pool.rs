//! Threads that compress pieces; the results come in the order of the pieces.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::Encoding;
use super::codec::{Compressed, Encoder};

type Outcome = io::Result<Compressed>;

/// A piece, and where its result is waited for.
struct Job {
    plain: Vec<u8>,
    result: SyncSender<Outcome>,
}

/// Compresses pieces, here or on threads.
pub(super) struct Pool {
    work: Work,
    /// What is being compressed, in order.
    waiting: VecDeque<Receiver<Outcome>>,
    /// How many pieces may be on their way.
    most: usize,
    /// Buffers to be filled again.
    spare: Vec<Vec<u8>>,
}

enum Work {
    Here(Encoder),
    Threads { jobs: Option<SyncSender<Job>>, threads: Vec<JoinHandle<()>> },
}

impl Pool {
    pub(super) fn new(encoding: Encoding, threads: usize) -> io::Result<Self> {
        // Two pieces for each thread: while one is compressed, the next is ready.
        let most = threads.saturating_mul(2);
        let work = if threads <= 1 || encoding == Encoding::Plain {
            Work::Here(Encoder::new(encoding)?)
        } else {
            let (jobs, queue) = sync_channel(most);
            let queue = Arc::new(Mutex::new(queue));
            let thread = |_| {
                let (queue, mut encoder) = (queue.clone(), Encoder::new(encoding)?);
                std::thread::Builder::new()
                    .name("compress".to_owned())
                    .spawn(move || work(&queue, &mut encoder))
            };
            Work::Threads { jobs: Some(jobs), threads: (0..threads).map(thread).collect::<io::Result<_>>()? }
        };
        Ok(Self { work, waiting: VecDeque::new(), most, spare: Vec::new() })
    }

    /// An empty buffer.
    pub(super) fn spare(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a piece; gives one that is ready when enough are on their way.
    pub(super) fn compress(&mut self, plain: Vec<u8>) -> Option<Outcome> {
        let jobs = match &mut self.work {
            Work::Here(encoder) => {
                let outcome = encoder.compress(plain);
                return Some(self.reuse(outcome));
            }
            Work::Threads { jobs, .. } => jobs,
        };
        let (result, waiting) = sync_channel(1);
        if let Some(jobs) = jobs {
            // A thread that has ended shows where its result is waited for.
            let _ = jobs.send(Job { plain, result });
        }
        self.waiting.push_back(waiting);
        if self.waiting.len() < self.most { None } else { self.next() }
    }

    /// The next piece that was not given yet; waits for it.
    pub(super) fn next(&mut self) -> Option<Outcome> {
        let waiting = self.waiting.pop_front()?;
        let outcome =
            waiting.recv().unwrap_or_else(|_| Err(io::Error::other("a compressing thread has ended")));
        Some(self.reuse(outcome))
    }

    fn reuse(&mut self, mut outcome: Outcome) -> Outcome {
        if let Ok(piece) = &mut outcome {
            let mut plain = std::mem::take(&mut piece.plain);
            plain.clear();
            self.spare.push(plain);
        }
        outcome
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Work::Threads { jobs, threads } = &mut self.work {
            drop(jobs.take());
            for thread in threads.drain(..) {
                // What went wrong in it was said where its result was waited for.
                let _ = thread.join();
            }
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>, encoder: &mut Encoder) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { plain, result }) = job else { return };
        // Nobody waits any more when the stream was given up.
        let _ = result.send(encoder.compress(plain));
    }
}
