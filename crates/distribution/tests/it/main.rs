//! The client against registries that misbehave.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod copy;
mod examine;
mod lab;
mod listing;
mod mirrors;
mod proxies;
mod pull;
mod push;
mod referrers;
mod wire;
