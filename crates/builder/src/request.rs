//! What a build is asked to do: plain data, complete, nothing read from the environment.

use std::path::PathBuf;

use engine::resources::Resources;
use engine::snapshot::Ways;
use image::{Platform, Reference};

use crate::entitlement::Entitlement;

/// A build.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The Dockerfile.
    pub dockerfile: DockerfileText,
    /// The stage to build; the last one when it is not said.
    pub target: Option<String>,
    /// `--build-arg`, in order; a later one counts. Proxies (`HTTP_PROXY` …) are among them.
    pub build_args: Vec<(String, String)>,
    /// The names of `--build-context`, as [`context_name`] has them: each stands for the stage or the image of this name (DF-078).
    pub contexts: Vec<String>,
    /// `--label`, in order; they win over the Dockerfile's (DF-147).
    pub labels: Vec<(String, String)>,
    /// Whether every step is executed, whatever the cache has.
    pub no_cache: bool,
    /// `--no-cache-filter`: the stages whose steps are executed, whatever the cache has; in any case (DF-181).
    pub no_cache_stages: Vec<String>,
    /// Whether it is said of every step that is executed why it was not taken from the cache.
    pub explain: bool,
    /// The platforms that images are for, each once: of several, the result is an index in this order.
    pub platforms: Vec<Platform>,
    /// The platform of this machine.
    pub build_platform: Platform,
    /// The names that the image gets in the store, and has in archives.
    pub tags: Vec<Reference>,
    /// Where the result goes. None means the store.
    pub exports: Vec<Export>,
    /// The network of RUN steps that do not say which.
    pub network: Network,
    /// What the Dockerfile may do that takes isolation away.
    pub allowed: Vec<Entitlement>,
    /// Limits of RUN steps, and what they find besides their filesystem.
    pub resources: Resources,
    /// No time that is written is later than this. When it is not said here, the build argument or the global ARG `SOURCE_DATE_EPOCH` says it (DF-166).
    pub source_date_epoch: Option<Epoch>,
    /// How commands are contained, and get their filesystems.
    pub ways: Ways,
    /// How many steps work at a time, and how many threads compress: at least 1.
    pub threads: usize,
}

impl Request {
    /// A request with nothing optional, for this machine.
    pub fn new(dockerfile: DockerfileText) -> Self {
        Self {
            dockerfile,
            target: None,
            build_args: Vec::new(),
            contexts: Vec::new(),
            labels: Vec::new(),
            no_cache: false,
            no_cache_stages: Vec::new(),
            explain: false,
            platforms: vec![Platform::host()],
            build_platform: Platform::host(),
            tags: Vec::new(),
            exports: Vec::new(),
            network: Network::Host,
            allowed: Vec::new(),
            resources: Resources::default(),
            source_date_epoch: None,
            ways: Ways::default(),
            threads: 1,
        }
    }

    /// Whether the steps of a stage are executed, whatever the cache has.
    pub(crate) fn executes(&self, stage: Option<&str>) -> bool {
        let is_named = |name: &str| self.no_cache_stages.iter().any(|other| other.eq_ignore_ascii_case(name));
        self.no_cache || stage.is_some_and(is_named)
    }

    /// Whether the result is an image somewhere, and not files alone.
    pub(crate) fn makes_image(&self) -> bool {
        self.keeps_image() || self.exports.iter().any(|export| matches!(export, Export::Oci | Export::Docker))
    }

    /// Whether the store keeps the image under its names.
    pub fn keeps_image(&self) -> bool {
        self.exports.is_empty() || self.exports.contains(&Export::Store)
    }
}

/// Until when times may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epoch {
    /// Until this, in seconds since the beginning of 1970.
    At(i64),
    /// Until the newest time of a file in the main context. In a repository that is the time of its commit.
    Context,
}

impl Epoch {
    /// What means [`Epoch::Context`] in place of a number.
    pub const CONTEXT: &str = "context";
}

/// A name that a context is given, or that FROM and `--from` have, as the two are compared: without what docker leaves out, `docker.io/library/` and `:latest`.
pub fn context_name(name: &str) -> String {
    let Ok(reference) = Reference::parse(name) else { return name.to_ascii_lowercase() };
    let name = reference.familiar();
    name.strip_suffix(":latest").map(str::to_owned).unwrap_or(name)
}

/// A Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerfileText {
    /// What it is called in messages: a path, or `-` for the standard input.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Where a result goes. What is written to a stream is written to [`crate::Session::output`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Export {
    /// Into the store, under the request's names.
    Store,
    /// An OCI image layout in a tar, that `docker load` reads too.
    Oci,
    /// A tar as `docker save` writes it.
    Docker,
    /// The root filesystem as a tar.
    Tar,
    /// The root filesystem as a directory.
    Local {
        /// Which; made if it is missing.
        directory: PathBuf,
    },
}

/// The network that a RUN step sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Network {
    /// The host's.
    #[default]
    Host,
    /// A loopback interface and nothing else.
    None,
}

impl Network {
    /// Its name in `--network` and in records.
    pub fn name(self) -> &'static str {
        match self {
            Network::Host => "host",
            Network::None => "none",
        }
    }
}
