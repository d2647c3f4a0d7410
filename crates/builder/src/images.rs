//! What the plan wants to know of images and contexts, answered from the store and the session.

use std::cell::OnceCell;

use base::{Cancel, Events};
use dockerfile::ignore::IgnoreFile;
use image::config::Config;
use image::{Platform, Reference};
use store::{ImageRecord, Origin, Store, StoreError};

use crate::context::Context;
use crate::plan::{BaseImage, Resolver, ResolverError};
use crate::request::Request;
use crate::session::{BuildContext, ContextRequest, ImageRequest, NotBrought, Session};

/// The images of a store and the contexts of a session.
pub(crate) struct StoreImages<'a> {
    pub store: &'a Store,
    pub session: &'a dyn Session,
    /// The names of contexts.
    pub contexts: &'a [String],
    /// The platform of this machine.
    pub build_platform: &'a Platform,
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
        let (contexts, build_platform) = (request.contexts.as_slice(), &request.build_platform);
        Self { store, session, contexts, build_platform, events, cancel, ignore: OnceCell::new() }
    }

    fn brought(&self, name: &str, platform: &Platform) -> Result<Option<BuildContext>, NotBrought> {
        self.session.context(&ContextRequest { name, platform, events: self.events, cancel: self.cancel })
    }

    fn main_context(&self) -> Result<Option<BuildContext>, NotBrought> {
        self.brought("", self.build_platform)
    }

    fn ignore_file(&self) -> Option<IgnoreFile> {
        let BuildContext::Files(context) = self.main_context().ok()?? else { return None };
        IgnoreFile::parse(&context.ignore?.bytes).ok()
    }

    fn find(&self, name: &str, platform: &Platform) -> Result<Option<ImageRecord>, StoreError> {
        match self.store.images().resolve_for(name, platform) {
            Ok(record) => Ok(Some(record)),
            Err(StoreError::NoImage(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether nothing better than an image of the store is to be expected of a registry.
    fn is_enough(&self, record: &ImageRecord, platform: &Platform) -> Result<bool, StoreError> {
        let is_for = self.store.images().config(&record.id)?.value().platform();
        Ok(record.origin != Origin::Pulled || is_for.matches(platform))
    }
}

impl Resolver for StoreImages<'_> {
    fn image(&self, name: &str, platform: &Platform) -> Result<Option<BaseImage>, ResolverError> {
        let is_there = match self.find(name, platform)? {
            Some(record) => self.is_enough(&record, platform)?,
            None => false,
        };
        let (events, cancel) = (self.events, self.cancel);
        let id = match self.session.image(&ImageRequest { name, is_there, platform, events, cancel })? {
            Some(brought) => brought,
            None => match self.find(name, platform)? {
                Some(record) => record.id,
                None => return Ok(None),
            },
        };
        let config: Config = self.store.images().config(&id)?.value().clone();
        Ok(Some(BaseImage { name: name.to_owned(), platform: platform.clone(), id, config }))
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
        Ok(self.main_context()?.is_some())
    }

    fn context(&self, name: &str, platform: &Platform) -> Result<Option<BuildContext>, NotBrought> {
        if self.contexts.iter().any(|known| known == name) { self.brought(name, platform) } else { Ok(None) }
    }

    fn newest(&self) -> Result<Option<i64>, ResolverError> {
        let Some(BuildContext::Files(context)) = self.main_context()? else { return Ok(None) };
        let ignore = self.ignore.get_or_init(|| self.ignore_file()).clone();
        let ignore = ignore.map(|ignore| (String::new(), ignore));
        let context = Context::new(self.store, &context.root, ignore)?;
        Ok(context.newest(self.cancel)?)
    }

    fn is_ignored(&self, path: &str) -> bool {
        let ignore = self.ignore.get_or_init(|| self.ignore_file());
        ignore.as_ref().is_some_and(|ignore| ignore.leaves_out(path))
    }
}
