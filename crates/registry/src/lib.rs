//! The registry: the OCI distribution API over the store.
//!
//! An image that was built a second ago can be pulled by any client at once, and what is pushed can be run at once.
//!
//! # How the API maps onto the store
//!
//! **A repository is the name of an image.** What the store calls `app`, `user/app` or `registry.example.com/app` is served under the same text; `app`,
//! `library/app` and `docker.io/library/app` are one repository, as everywhere. So `lap build -t app` needs no push, and after `docker push
//! localhost:5000/app` there is `lap run app`. (Names under a host with a port are not served: a port cannot stand in a path.)
//!
//! **What is pushed is kept as it came**, in [`store::repositories`]: manifests of any kind with their media types, tags, which blobs can be
//! seen where, referrers. Blobs lie in the store once. A tag means what was said last, whether by a push or by `lap tag`.
//!
//! **What was built is served as it is.** Its manifest lists plain tars, which every client takes. A layer that lies in the store as a
//! tree gets its plain tar when somebody first asks for it; that it will be there, and its size, is known from its table. (Compressing first
//! would make the first pull wait for all layers, and needs time that a loopback or a local network does not give back.)
//!
//! **What was pushed is taken in** by a thread behind the replies ([`adopt`]): its layers get their tables, the image its record and its name; from
//! then on the name alone says what the tag means. What is not an image for this machine is served and nothing else.
//!
//! # How it is served
//!
//! ```text
//! server     connections, TLS or plain, stopping
//! service    a request → who may do what → one of
//!   blobs · uploads · manifests · listing · referrers · page
//! reply      headers, errors; body: files in pieces
//! ```
//!
//! hyper and tokio live inside this crate. The store is blocking code: it runs on tokio's threads for that, one short piece at a time, so that a slow client
//! holds memory for two pieces of what it sends or gets, and no thread. Paths are read from their end ([`route`]): names of repositories may hold any word.

mod access;
mod adopt;
mod blobs;
mod body;
mod error;
mod layout;
mod listing;
mod log;
mod manifests;
mod metrics;
mod page;
mod query;
mod range;
mod referrers;
mod reply;
mod route;
mod server;
mod service;
mod state;
mod tls;
mod uploads;
mod validate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use access::TokenOptions;
pub use error::ServeError;
pub use layout::take_layout;
pub use log::Access;
pub use server::Server;
pub use tls::TlsFiles;

/// How a registry is served.
#[derive(Clone)]
pub struct Options {
    /// Where it listens.
    pub address: SocketAddr,
    /// With TLS instead of plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Users and their passwords: a file of htpasswd.
    pub htpasswd: Option<PathBuf>,
    /// Tokens of an authorization service, instead of passwords.
    pub token: Option<TokenOptions>,
    /// Who may do what: a file of rules. Without it, whoever is let in may do everything.
    pub rules: Option<PathBuf>,
    /// Nothing can be pushed or deleted.
    pub read_only: bool,
    /// Tags, manifests and blobs can be deleted.
    pub delete: bool,
    /// Indexes may name manifests that the repository does not have.
    pub sparse_indexes: bool,
    /// What every client is told in a `Warning` header.
    pub warning: Option<String>,
    /// Who is told of each request.
    pub log: Arc<dyn Fn(&Access) + Send + Sync>,
    /// Who is told what else deserves a word.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Options {
    /// A registry of everything, for everybody who reaches the address, that tells nobody.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            htpasswd: None,
            token: None,
            rules: None,
            read_only: false,
            delete: true,
            sparse_indexes: false,
            warning: None,
            log: Arc::new(|_| {}),
            tell: Arc::new(|_| {}),
        }
    }
}
