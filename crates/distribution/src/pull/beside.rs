//! Pulling an image for one more platform of a name that is here.

use base::{Cancel, Events};
use image::{Descriptor, Document, ImageId, Platform, Reference};
use store::{Lease, Origin, Store, StoreError};

use super::{Pull, name_of};
use crate::Result;
use crate::client::Client;
use crate::source::Source as _;

/// Pulls an image for a platform beside those for others: where the name means one of the same index already, it means the index from then on, and the image
/// for this machine where one is wanted. So what a build needs for several platforms is kept together.
pub fn pull_beside(
    client: &Client,
    store: &Store,
    lease: &Lease,
    reference: &Reference,
    platform: &Platform,
    events: &Events,
    cancel: &Cancel,
) -> Result<ImageId> {
    let reference = reference.clone().or_latest();
    let source = client.source(&reference, cancel)?;
    let first = source.first()?;
    let index = match &first.document {
        Document::Index(index) => Some((index.clone(), first.descriptor.clone())),
        Document::Manifest(_) => None,
    };
    let pull = Pull { source: &source, store, lease, events, cancel };
    let (image, manifest) = pull.chosen(first, platform)?;
    let name = name_of(&reference);
    let before = store.names().get(&name)?.map(|before| before.image).filter(|before| *before != image);
    let before = match before {
        Some(before) if !is_for(store, &before, platform)? => before,
        _ => {
            store.images().name(lease, &name, (image, &manifest), Origin::Pulled)?;
            return Ok(image);
        }
    };
    let known = store.images().get(&before)?.map(|record| record.manifests).unwrap_or_default();
    let both = index.and_then(|(index, target)| {
        let is_in =
            |known: &Descriptor| index.value().manifests.iter().any(|part| part.digest == known.digest);
        let known = known.into_iter().find(is_in)?;
        Some((index, target, known))
    });
    let Some((index, target, known)) = both else {
        events.warn(format!(
            "{} means another version on this machine: the registry's image for {platform} is used, and gets no name",
            name.familiar()
        ));
        return Ok(image);
    };
    pull.keep(&target.digest, index.bytes())?;
    let is_for_host = is_for(store, &image, &Platform::host())?;
    let meant = if is_for_host { (image, &manifest) } else { (before, &known) };
    store.images().name_index(lease, &name, &target, meant, Origin::Pulled)?;
    Ok(image)
}

/// Whether an image of the store is one for a platform.
fn is_for(store: &Store, image: &ImageId, platform: &Platform) -> Result<bool> {
    match store.images().config(image) {
        Ok(config) => Ok(config.value().platform().matches(platform)),
        Err(StoreError::NoBlob(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
