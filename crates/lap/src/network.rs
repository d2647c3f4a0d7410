//! What the commands that talk to registries have in common: their flags, and where users have configured what.

use std::path::PathBuf;
use std::sync::OnceLock;

use archive::layout::Layout;
use base::{Cancel, Events};
use builder::ImageRequest;
use distribution::config::{AuthFile, Config, Patience, Proxies};
use distribution::host::Host;
use distribution::{Client, DistributionError, config, web};
use image::{Descriptor, Digest, ImageId, Platform, Reference};
use store::downloads::Incoming;
use store::{Lease, Store};

use crate::environment;
use crate::failure::Outcome;
use crate::printer::Printer;

/// Flags of every command that talks to registries.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// A registry that may speak plain HTTP, or have a certificate that nobody vouches for; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    insecure: Vec<String>,
    /// The file with credentials (docker's and podman's when not given)
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

impl Args {
    /// A client, as the flags and the environment have it.
    pub fn client(&self) -> Outcome<Talk> {
        Ok(self.talk()?)
    }

    fn talk(&self) -> Result<Talk, DistributionError> {
        // With https:// or http:// in front they are the same servers.
        let insecure = self.insecure.iter().cloned().chain(environment::insecure_registries());
        let insecure = insecure.map(|text| Ok(parsed(&text)?.name().to_owned()));
        let config = Config {
            agent: concat!("lap/", env!("CARGO_PKG_VERSION")).to_owned(),
            auth_files: self.auth_files(),
            insecure: insecure.collect::<Result<_, DistributionError>>()?,
            certificates: environment::certificates(),
            hosts: environment::hosts(),
            registries: environment::registries(),
            proxies: proxies(),
            patience: Patience::default(),
            anonymous: false,
        };
        Ok(Talk(Client::new(config)?))
    }

    fn auth_files(&self) -> Vec<AuthFile> {
        if let Some(file) = &self.authfile {
            return vec![AuthFile::Path(file.clone())];
        }
        let text = environment::docker_auth_config()
            .map(|text| AuthFile::Text { name: environment::DOCKER_AUTH_CONFIG.to_owned(), text });
        text.into_iter().chain(environment::auth_files().into_iter().map(config::AuthFile::Path)).collect()
    }

    /// The file that a login is kept in.
    pub fn login_file(&self) -> Option<PathBuf> {
        self.authfile.clone().or_else(environment::login_file)
    }
}

/// A client; at its end, the user is told what registries want to be known that nobody has told yet (RC-113).
pub struct Talk(Client);

impl Talk {
    /// Passes on what there is to tell, for commands that show progress.
    pub fn tell(&self, events: &Events) {
        self.0.warnings().into_iter().for_each(|text| events.warn(text));
    }
}

impl std::ops::Deref for Talk {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let printer = Printer::new(false);
        self.0.warnings().into_iter().for_each(|text| printer.warning(text));
    }
}

/// The registry that a user names.
pub fn host(text: &str) -> Outcome<Host> {
    Ok(parsed(text)?)
}

fn parsed(text: &str) -> Result<Host, DistributionError> {
    Host::parse(text).ok_or_else(|| DistributionError::NoHost(text.to_owned()))
}

/// When images are fetched that a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Policy {
    /// Always: a newer one replaces the one that is there
    Always,
    /// When the store has none of the name
    Missing,
    /// Never
    Never,
}

/// Fetches images, and files, that other commands need.
pub struct Fetcher {
    store: Store,
    lease: Lease,
    args: Args,
    policy: Policy,
    /// Made when it is first needed: most commands find everything in the store.
    client: OnceLock<Talk>,
}

impl Fetcher {
    /// Nothing is fetched yet. What is fetched stays at least as long as this lives.
    pub fn new(store: &Store, args: &Args, policy: Policy) -> Outcome<Self> {
        let (store, lease) = (store.clone(), store.lease("fetch")?);
        Ok(Self { store, lease, args: args.clone(), policy, client: OnceLock::new() })
    }

    /// Brings an image into the store, if the policy wants it.
    pub fn fetch(
        &self,
        name: &str,
        is_there: bool,
        platform: &Platform,
        events: &Events,
        cancel: &Cancel,
    ) -> Result<(), DistributionError> {
        let Some(reference) = self.wanted(name, is_there) else { return Ok(()) };
        let client = self.client()?;
        let pulled =
            distribution::pull::pull(client, &self.store, &self.lease, &reference, platform, events, cancel);
        client.tell(events);
        pulled.map(|_| ())
    }

    /// Brings an image for a platform that a build needs into the store, if the policy wants it, beside those for other platforms; gives it when it was brought.
    pub fn fetch_beside(&self, request: &ImageRequest<'_>) -> Result<Option<ImageId>, DistributionError> {
        let ImageRequest { name, is_there, platform, events, cancel } = *request;
        let Some(reference) = self.wanted(name, is_there) else { return Ok(None) };
        let client = self.client()?;
        let (store, lease) = (&self.store, &self.lease);
        let pulled =
            distribution::pull::pull_beside(client, store, lease, &reference, platform, events, cancel);
        client.tell(events);
        pulled.map(Some)
    }

    /// What is to be fetched. What is only the ID of an image cannot be.
    fn wanted(&self, name: &str, is_there: bool) -> Option<Reference> {
        let wanted = match self.policy {
            Policy::Always => true,
            Policy::Missing => !is_there,
            Policy::Never => false,
        };
        Reference::parse(name).ok().filter(|_| wanted && Digest::parse(name).is_err())
    }

    /// Takes an image of a layout into the store.
    pub fn take(
        &self,
        (layout, root): (&Layout, &Descriptor),
        platform: &Platform,
        events: &Events,
        cancel: &Cancel,
    ) -> Result<ImageId, DistributionError> {
        let into = (&self.store, &self.lease);
        distribution::pull::from_layout(layout, root, into, platform, events, cancel)
    }

    /// Downloads a file of the web.
    pub fn download(
        &self,
        wanted: &web::Wanted<'_>,
        into: &mut Incoming,
    ) -> Result<web::Fetched, DistributionError> {
        web::fetch(self.client()?, wanted, into)
    }

    fn client(&self) -> Result<&Talk, DistributionError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.args.talk()?;
        Ok(self.client.get_or_init(|| client))
    }
}

fn proxies() -> Proxies {
    let all = environment::either_case("ALL_PROXY");
    Proxies {
        http: environment::either_case("HTTP_PROXY").or_else(|| all.clone()),
        https: environment::either_case("HTTPS_PROXY").or(all),
        no_proxy: environment::either_case("NO_PROXY"),
    }
}
