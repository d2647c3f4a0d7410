//! A store, and a client that is in a hurry.

use std::path::PathBuf;
use std::time::Duration;

use archive::save::{Item, Options};
use base::{Cancel, Events};
use distribution::config::{AuthFile, Config, Patience};
use distribution::copy::{Copied, Copier, From, To, Wish};
use distribution::pull::{Pulled, pull};
use distribution::push::{Pushed, push};
use distribution::{Client, DistributionError};
use image::{Platform, Reference};
use store::Store;

pub struct Lab {
    pub directory: tempfile::TempDir,
    pub store: Store,
    pub config: Config,
}

impl Lab {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path().join("store")).expect("a store");
        let patience = Patience {
            connect: Duration::from_secs(5),
            // A machine that is busy may stall for a while; what counts requests must not see that.
            idle: Duration::from_secs(20),
            answer: Duration::from_secs(5),
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(5),
            retries: 4,
            longest_asked_pause: Duration::from_secs(5),
        };
        let config = Config { agent: "test".to_owned(), patience, ..Config::default() };
        Self { directory, store, config }
    }

    /// Without patience for connections on which nothing happens.
    pub fn impatient() -> Self {
        let mut lab = Self::new();
        lab.config.patience.idle = Duration::from_millis(400);
        lab
    }

    /// With a file of credentials.
    pub fn with_auths(mut self, auths: &serde_json::Value) -> Self {
        let path = self.path("config.json");
        std::fs::write(&path, auths.to_string()).expect("write");
        self.config.auth_files = vec![AuthFile::Path(path)];
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Each call is a client of its own, as each command is.
    pub fn client(&self) -> Client {
        Client::new(self.config.clone()).expect("a client")
    }

    pub fn pull(&self, reference: &Reference) -> Result<Pulled, DistributionError> {
        self.pull_for(reference, &Platform::host(), &Cancel::new())
    }

    pub fn pull_for(
        &self,
        reference: &Reference,
        platform: &Platform,
        cancel: &Cancel,
    ) -> Result<Pulled, DistributionError> {
        let lease = self.store.lease("test").expect("a lease");
        pull(&self.client(), &self.store, &lease, reference, platform, &Events::none(), cancel)
    }

    /// Pushes an image of the store under names of one repository.
    pub fn push(&self, image: &Pulled, names: &[Reference]) -> Result<Pushed, DistributionError> {
        let lease = self.store.lease("test").expect("a lease");
        let item = Item::of_image(image.image, image.manifest.clone(), names.to_vec());
        let options = Options { encoding: layer::Encoding::DEFAULT, threads: 2, docker: false };
        push(&self.client(), &self.store, &lease, &item, options, &Events::none(), &Cancel::new())
    }

    /// Copies from one name to another.
    pub fn copy(&self, from: &Reference, to: &Reference, wish: &Wish) -> Result<Copied, DistributionError> {
        self.copy_to(&From::Registry(from.clone()), To::Registry(to.clone()), wish)
    }

    pub fn copy_to(&self, from: &From, to: To<'_>, wish: &Wish) -> Result<Copied, DistributionError> {
        let lease = self.store.lease("test").expect("a lease");
        let (client, events, cancel) = (self.client(), Events::none(), Cancel::new());
        let copier =
            Copier { client: &client, store: &self.store, lease: &lease, events: &events, cancel: &cancel };
        copier.copy(from, to, wish)
    }

    /// How many sessions of uploads are noted.
    pub fn uploads(&self) -> usize {
        std::fs::read_dir(self.path("store/uploads")).expect("the directory").count()
    }

    /// The partial blobs: names and sizes.
    pub fn partials(&self) -> Vec<(String, u64)> {
        let directory = self.path("store/partial");
        let entries =
            std::fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("an entry"));
        entries
            .map(|entry| {
                let size = entry.metadata().expect("stat").len();
                (entry.file_name().into_string().expect("a name"), size)
            })
            .collect()
    }
}

/// An error and its causes, in one line.
pub fn chain(error: &DistributionError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        text.push_str(&format!(": {error}"));
        next = error.source();
    }
    text
}
