//! The registry client: names → hosts, credentials, transport, pull, push, copy.
//!
//! ```text
//!              pull          push          login          one visible sequence for each command
//!               │  ╲        ╱  │             │
//!          download manifests upload         │            one sort of thing on a registry each
//!               └──────┬───────┘             │
//!                  registry ────── authn ────┘            one request: authorized, repeated, redirected
//!                      │             └── credentials      docker's and podman's files, helpers
//!                    http                                 one exchange: bytes out, bytes in
//! ```
//!
//! - [`config`]: what the command supplies: files, hosts, proxies. Nothing here reads the environment or knows a home directory.
//! - [`host`]: which server a name means, and by which keys its credentials are known.
//! - [`credentials`]: who one is on a registry, and where that was said.
//! - `authn`: challenges, tokens, and which of them a request carries. One token request for fifty requests at the same time.
//! - `http`: one exchange with a server. The only place that knows of asynchronous code: everything above is plain blocking code on threads, which
//!   looks at a [`base::Cancel`].
//! - `retry`: which failures pass, how long to wait, and the gate that stops all requests to a host that asked for a pause.
//! - `registry`: one request to a repository, as often as it takes; `scope`: the right to it.
//! - `pages`: lists that come in pages.
//! - [`manifests`]: documents, byte for byte, verified, limited in size.
//! - [`blobs`]: a single blob, or a config, for whoever looks at it.
//! - [`listing`], [`search`], [`delete`]: tags and repositories.
//! - [`referrers`]: which manifests are about another one.
//! - `download`: a blob as a stream that goes on behind interruptions; `ranges`: over several connections at a time, when one is slow.
//! - `places`: where the images of a name may be had, as containerd's and podman's files have it; `mirrored`: a source that goes from one of these places to the next.
//! - `source`: where images come from; `local`: a layout, an archive, the store; `foreign`: layers that registries need not have.
//! - [`examine`]: a registry looked at step by step, for a diagnosis.
//! - `cookies`, `limits`, `warnings`: what registries say beside what they were asked for.
//! - [`copy`]: from one place to another, through memory.
//! - [`web`]: a file that is no blob of a registry, for ADD.
//! - `upload`: a blob on its way out, by chunks that go on behind interruptions, also in the next process.
//!
//! # How bytes flow
//!
//! In: the registry → a blob's stream (`download`, which asks for the rest when a connection breaks) → [`layer::ingest::continue_ingest`]: written to a partial
//! blob of the store, hashed, decompressed and indexed at the same time. What has come stays when the process ends, however it ends; the next one reads it
//! from the disk and asks the registry for the rest. Memory is what a few pieces on their way between threads need.
//!
//! Out: a blob of the store, one that is being made there ([`store::GrowingBlob`]), or one of another registry (`copy::pipe`) → chunks → the registry. As soon as
//! its digest is known, the registry is asked whether it has it, here or in another repository. Where its upload goes on is noted in the store.
//!
//! # Who gets to see a secret
//!
//! The origin (scheme, host and port) that it is meant for, and the token server which that origin names. Redirects and upload locations elsewhere get none
//! (RC-029). A login that is rejected is an error; nothing is tried again as nobody (RC-030).

pub mod blobs;
pub mod config;
pub mod copy;
pub mod credentials;
pub mod delete;
pub mod error;
pub mod examine;
pub mod host;
pub mod listing;
pub mod login;
pub mod manifests;
pub mod pull;
pub mod push;
pub mod referrers;
pub mod search;
pub mod web;

mod answer;
mod authn;
mod client;
mod cookies;
mod download;
mod foreign;
mod http;
mod limits;
mod local;
mod mirrored;
mod pages;
mod parallel;
mod pieces;
mod places;
mod ranges;
mod registry;
mod retry;
mod scope;
mod source;
mod upload;
mod warnings;

pub use client::Client;
pub use config::Config;
pub use error::DistributionError;
pub use limits::Limits;

/// What this crate's operations give.
pub type Result<T, E = DistributionError> = std::result::Result<T, E>;
