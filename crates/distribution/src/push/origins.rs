//! Where blobs may be had that need not be sent, or not from here: what the names and manifests of the store say of it.

use std::collections::{BTreeMap, HashSet};

use image::{Descriptor, DiffId, Digest, Reference};
use store::{ImageRecord, NameRecord, Origin, Store};

use crate::Result;

/// A layer as the manifest of an image has it that was pulled, and the name under which it was.
pub(super) struct Described {
    pub blob: Descriptor,
    pub name: Reference,
}

/// The names of a store and their images.
fn named(store: &Store) -> Result<Vec<(NameRecord, ImageRecord)>> {
    let mut named = Vec::new();
    for record in store.names().list()? {
        if let Some(image) = store.images().get(&record.image)? {
            named.push((record, image));
        }
    }
    Ok(named)
}

/// In which other repositories of a name's registry blobs may be: those from which their images were pulled come before others (RC-074).
pub(super) fn repositories(store: &Store, name: &Reference) -> Result<BTreeMap<Digest, String>> {
    let mut named = named(store)?;
    named.sort_by_key(|(_, image)| image.origin != Origin::Pulled);
    let mut repositories = BTreeMap::new();
    for (record, image) in named {
        let other = &record.reference;
        if other.host() != name.host() || other.path() == name.path() {
            continue;
        }
        for manifest in &image.manifests {
            let Ok(manifest) = store.images().manifest(manifest) else { continue };
            let value = manifest.value();
            for blob in value.layers.iter().chain([&value.config]) {
                repositories.entry(blob.digest).or_insert_with(|| other.path().to_owned());
            }
        }
    }
    Ok(repositories)
}

/// How images that were pulled describe their layers; those from a name's own registry come first, since there a layer need not travel.
pub(super) fn layers(store: &Store, name: &Reference) -> Result<BTreeMap<DiffId, Vec<Described>>> {
    let mut named = named(store)?;
    named.retain(|(_, image)| image.origin == Origin::Pulled);
    named.sort_by_key(|(record, _)| record.reference.host() != name.host());
    let mut layers = BTreeMap::<DiffId, Vec<Described>>::new();
    let mut seen = HashSet::new();
    for (record, image) in named {
        let Ok(config) = store.images().config(&image.id) else { continue };
        let diff_ids = &config.value().rootfs.diff_ids;
        for manifest in &image.manifests {
            let Ok(manifest) = store.images().manifest(manifest) else { continue };
            let described = &manifest.value().layers;
            if described.len() != diff_ids.len() {
                continue;
            }
            for (blob, diff_id) in described.iter().zip(diff_ids) {
                let repository = record.reference.repository();
                if seen.insert((blob.digest, repository)) {
                    let name = record.reference.clone();
                    layers.entry(*diff_id).or_default().push(Described { blob: blob.clone(), name });
                }
            }
        }
    }
    Ok(layers)
}
