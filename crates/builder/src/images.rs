//! What the plan wants to know of images and contexts, answered from the store and the session.

use std::cell::OnceCell;

use base::{Cancel, Events};
use dockerfile::ignore::IgnoreFile;
use image::config::Config;
use image::{Platform, Reference};
use store::{ImageRecord, Store, StoreError};

use crate::plan::{BaseImage, Resolver, ResolverError};
use crate::request::Request;
use crate::session::{BuildContext, ContextRequest, ImageRequest, NotBrought, Session};

/// The images of a store and the contexts of a session.
pub(crate) struct StoreImages<'a> {
    pub store: &'a Store,
    pub session: &'a dyn Session,
    /// The names of contexts.
    pub contexts: &'a [String],
    pub platform: &'a Platform,
    pub events: &'a Events,
    pub cancel: &'a Cancel,
    /// The ignore file of the main context, once it was asked for; none when it is not valid, which is an error elsewhere.
    pub ignore: OnceCell<Option<IgnoreFile>>,
}

impl<'a> StoreImages<'a> {
    pub fn new(
        store: &'a Store,
        request: &'a Request,
        session: &'a dyn Session,
        events: &'a Events,
        cancel: &'a Cancel,
    ) -> Self {
        let (contexts, platform) = (request.contexts.as_slice(), &request.platform);
        Self { store, session, contexts, platform, events, cancel, ignore: OnceCell::new() }
    }

    fn brought(&self, name: &str) -> Result<Option<BuildContext>, NotBrought> {
        self.session.context(&ContextRequest { name, events: self.events, cancel: self.cancel })
    }

    fn ignore_file(&self) -> Option<IgnoreFile> {
        let BuildContext::Files(context) = self.brought("").ok()?? else { return None };
        IgnoreFile::parse(&context.ignore?.bytes).ok()
    }

    fn find(&self, name: &str) -> Result<Option<ImageRecord>, StoreError> {
        match self.store.images().resolve(name) {
            Ok(record) => Ok(Some(record)),
            Err(StoreError::NoImage(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Resolver for StoreImages<'_> {
    fn image(&self, name: &str) -> Result<Option<BaseImage>, ResolverError> {
        let is_there = self.find(name)?.is_some();
        let (platform, events, cancel) = (self.platform, self.events, self.cancel);
        self.session.image(&ImageRequest { name, is_there, platform, events, cancel })?;
        let Some(record) = self.find(name)? else { return Ok(None) };
        let config: Config = self.store.images().config(&record.id)?.value().clone();
        Ok(Some(BaseImage { name: name.to_owned(), id: record.id, config }))
    }

    fn image_names(&self) -> Result<Vec<String>, ResolverError> {
        let names = self.store.names().list()?;
        // `latest` is what nobody writes.
        let name = |reference: &Reference| match reference.tag() {
            Some("latest") => reference.familiar_repository(),
            _ => reference.familiar(),
        };
        let tagged = names.iter().filter(|record| record.reference.tag().is_some());
        Ok(tagged.map(|record| name(&record.reference)).collect())
    }

    fn has_main_context(&self) -> Result<bool, NotBrought> {
        Ok(self.brought("")?.is_some())
    }

    fn context(&self, name: &str) -> Result<Option<BuildContext>, NotBrought> {
        if self.contexts.iter().any(|known| known == name) { self.brought(name) } else { Ok(None) }
    }

    fn is_ignored(&self, path: &str) -> bool {
        let ignore = self.ignore.get_or_init(|| self.ignore_file());
        ignore.as_ref().is_some_and(|ignore| ignore.leaves_out(path))
    }
}
