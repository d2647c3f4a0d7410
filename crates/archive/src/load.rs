//! Loading: an archive of images, of any shape → the store, in one pass (ST-001 … ST-023, ST-035).
//!
//! ```text
//! stream ─▶ intake: layers into the store, small files into memory      (one pass, nothing is known yet)
//!             └▶ contents: index.json, else manifest.json ─▶ candidates (every digest, DiffID and count checked)
//!                  └▶ publish: configs and manifests, images, names     (only when everything is right)
//! ```
//!
//! Of an image for several platforms all are loaded when all are there, under the index. Of an index of which the archive has a part (ST-003), and
//! where one platform is asked for, it is one image.

mod candidate;
mod contents;
mod index;
mod intake;
mod sniff;

use std::io::Read;

use base::{Cancel, Cancellable, Cancelled, Events};
use image::{Descriptor, ImageId, Platform, Reference};
use store::{Lease, Store};

use self::contents::Contents;
use self::intake::Intake;
use crate::ArchiveError;
use crate::format::{INDEX, LAYOUT, MANIFEST, REPOSITORIES};

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Which.
    pub image: ImageId,
    /// Its manifest.
    pub manifest: Descriptor,
    /// What its names mean, when that is an index: then this is its image for this machine, and the others were loaded, too.
    pub index: Option<Descriptor>,
    /// The names that it got.
    pub names: Vec<Reference>,
    /// Names that meant another image before (ST-016).
    pub moved: Vec<(Reference, ImageId)>,
}

/// Loads every image of an archive, and gives them their names; with a platform, of what is there for several that one alone. All layers are verified.
/// When anything is wrong nothing is loaded.
pub fn load(
    store: &Store,
    lease: &Lease,
    archive: Box<dyn Read + Send + '_>,
    platform: Option<&Platform>,
    events: &Events,
    cancel: &Cancel,
) -> Result<Vec<Loaded>, ArchiveError> {
    let intake = Intake { store, lease, events, cancel };
    match load_all(intake, archive, platform) {
        // Whatever the cancellation has become on its way through the layers of readers.
        Err(_) if cancel.is_cancelled() => Err(Cancelled.into()),
        other => other,
    }
}

fn load_all(
    intake: Intake<'_>,
    archive: Box<dyn Read + Send + '_>,
    wanted: Option<&Platform>,
) -> Result<Vec<Loaded>, ArchiveError> {
    let stream = Cancellable { reader: archive, cancel: intake.cancel };
    let (_, plain) = layer::decompress::reader(Box::new(stream)).map_err(crate::entries::read_error)?;
    let members = intake.read(plain)?;
    let contents = Contents { intake, members, wanted };
    let candidates = if contents.has(LAYOUT) || (contents.has(INDEX) && !contents.has(MANIFEST)) {
        contents.images_of_index()?
    } else if contents.has(MANIFEST) {
        contents.images_of_docker()?
    } else if contents.has(REPOSITORIES) {
        return Err(ArchiveError::Refused(
            "it is of the format of docker before 1.10 (it has repositories, and no manifest.json)"
                .to_owned(),
        ));
    } else {
        return Err(ArchiveError::Refused(
            "it has neither index.json nor manifest.json; `lap import` takes root filesystems".to_owned(),
        ));
    };
    let candidates = candidate::merge(candidates)?;
    if candidates.is_empty() {
        return Err(ArchiveError::Refused("there is no image in it".to_owned()));
    }
    contents.publish(candidates)
}
