//! `check`: is everything whole?

use base::{Cancel, Events};

use crate::{Result, Store};

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Sizes, records and references; trees are compared with their tables by `stat`.
    Quick,
    /// All bytes as well.
    Full,
}

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What is damaged: `blob sha256:…`, `layer sha256:…: usr/bin/cc`, `name debian:bookworm`.
    pub what: String,
    /// How.
    pub problem: String,
    /// Whether it can be made again from other things in the store (and a repair does so, or drops it), or what is lost with it.
    pub remedy: String,
}

impl Store {
    /// Finds and names every damage; changes nothing.
    pub fn check(&self, depth: Depth, events: &Events, cancel: &Cancel) -> Result<Vec<Finding>> {
        let _ = (depth, events, cancel);
        todo!()
    }
}
