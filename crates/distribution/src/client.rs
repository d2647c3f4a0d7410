//! The client: what all work of one command shares.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base::Cancel;
use image::Reference;

use crate::authn::Authorizer;
use crate::cookies::Jar;
use crate::credentials::{self, Credential};
use crate::host::Host;
use crate::http::Http;
use crate::mirrored::Mirrored;
use crate::places::{self, Place};
use crate::ranges::Parts;
use crate::registry::Registry;
use crate::retry::Gate;
use crate::warnings::Warnings;
use crate::{Config, Result};

/// Connections to registries, and what was learned of them. Work of several threads shares it.
pub struct Client {
    pub(crate) http: Http,
    pub(crate) parts: Parts,
    hosts: Mutex<HashMap<Host, Arc<HostState>>>,
    pub(crate) warnings: Warnings,
}

/// What is known of one registry.
#[derive(Default)]
pub(crate) struct HostState {
    /// Whether it is spoken to in TLS, once that is known.
    pub secure: OnceLock<bool>,
    /// Held while that is found out.
    pub probing: Mutex<()>,
    /// Whether it has ever answered anything.
    pub answered: AtomicBool,
    pub gate: Gate,
    pub cookies: Jar,
    /// Two repositories may belong to two users (RC-035).
    authorizers: Mutex<Vec<Arc<Authorizer>>>,
}

impl HostState {
    pub(crate) fn authorizer(&self, credential: Option<Credential>) -> Arc<Authorizer> {
        let mut known = self.authorizers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.iter().find(|other| other.credential == credential) {
            return same.clone();
        }
        let new = Arc::new(Authorizer::new(credential));
        known.push(new.clone());
        new
    }
}

impl Client {
    /// A client that has not talked to anybody yet.
    pub fn new(config: Config) -> Result<Self> {
        Ok(Self {
            http: Http::new(config)?,
            parts: Parts::default(),
            hosts: Mutex::default(),
            warnings: Warnings::default(),
        })
    }

    /// What registries want their users to know (RC-113), and nobody was told yet; ready to be shown.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.news()
    }

    pub(crate) fn host(&self, host: &Host) -> Arc<HostState> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.entry(host.clone()).or_default().clone()
    }

    /// Where the images of a name may be had: at its mirrors, and where the name says.
    pub(crate) fn source<'a>(&'a self, reference: &Reference, cancel: &'a Cancel) -> Result<Mirrored<'a>> {
        let mut places = places::find(self.http.config(), &Host::of_image(reference)?, reference.path())?;
        places.retain(|place| place.is_for(reference));
        Ok(Mirrored::new(self, reference, places, cancel))
    }

    /// The repository of a name, where it can be changed, as whoever has credentials for it.
    pub(crate) fn repository<'a>(
        &'a self,
        reference: &Reference,
        cancel: &'a Cancel,
    ) -> Result<Registry<'a>> {
        let place = places::for_changes(self.http.config(), &Host::of_image(reference)?, reference.path())?;
        self.open(place, cancel)
    }

    /// The repository at a place, as whoever has credentials for this very place.
    pub(crate) fn open<'a>(&'a self, place: Place, cancel: &'a Cancel) -> Result<Registry<'a>> {
        let credential = credentials::find(self.http.config(), &place.host, &place.repository, cancel)?;
        Registry::open(self, place, credential, cancel)
    }

    /// A registry as a whole, as whoever is given.
    pub(crate) fn registry<'a>(
        &'a self,
        host: &Host,
        credential: Option<Credential>,
        cancel: &'a Cancel,
    ) -> Result<Registry<'a>> {
        let place = places::of_host(self.http.config(), host)?;
        Registry::open(self, place, credential, cancel)
    }
}
