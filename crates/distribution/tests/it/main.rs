//! The client against registries that misbehave.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod built;
mod chosen;
mod copy;
mod examine;
mod lab;
mod listing;
mod mirrors;
mod proxies;
mod pull;
mod push;
mod ranges;
mod referrers;
mod wire;
