//! The client against registries that misbehave.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod built;
mod copy;
mod lab;
mod listing;
mod mirrors;
mod pull;
mod push;
mod ranges;
mod referrers;
