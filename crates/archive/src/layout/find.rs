//! Which image of a layout is meant (ST-031, ST-036).

use image::{Descriptor, Digest, Document, Reference};

use super::{Layout, MAX_MANIFEST_SIZE, invalid};
use crate::ArchiveError;
use crate::format::blob_path;
use crate::names::{Annotated, is_attached};

/// How an image of a layout, or of an archive, is named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Which {
    /// The only one.
    #[default]
    Sole,
    /// What `org.opencontainers.image.ref.name` says, or else the full name; in docker's archives a name of the image.
    Name(String),
    /// Its digest; also that of one inside an index.
    Digest(Digest),
    /// Its place in `index.json` or `manifest.json`, from 0 on (as skopeo's `@N`).
    Number(usize),
}

/// What is said of something that can be chosen.
pub(super) struct Choice {
    /// Its names, as they are told.
    pub(super) names: Vec<String>,
    /// Its names, where they are names of images.
    pub(super) references: Vec<Reference>,
    /// What two with the same name must have in common.
    pub(super) digest: Digest,
    /// Whether it can be meant without being named.
    pub(super) is_image: bool,
}

impl Layout {
    /// The image that is meant.
    pub fn find(&self, which: &Which) -> Result<Descriptor, ArchiveError> {
        if let Which::Digest(digest) = which {
            return self.by_digest(digest).map_err(|error| error.within(&self.called));
        }
        let choices: Vec<Choice> = self.entries.iter().map(choice).collect();
        let place = find(&self.called, &choices, which)?;
        self.entries.get(place).cloned().ok_or_else(|| none(&self.called, &choices, which))
    }

    /// A digest may also be that of a manifest in an index, which is described there.
    fn by_digest(&self, digest: &Digest) -> Result<Descriptor, ArchiveError> {
        if let Some(entry) = self.entries.iter().find(|entry| entry.digest == *digest) {
            return Ok(entry.clone());
        }
        let Some(part) = self.part(digest)? else {
            let choices: Vec<Choice> = self.entries.iter().map(choice).collect();
            return Err(none(&self.called, &choices, &Which::Digest(*digest)));
        };
        let path = blob_path(digest).into_bytes();
        if part.size() > MAX_MANIFEST_SIZE {
            return Err(ArchiveError::TooLarge { entry: path, limit: MAX_MANIFEST_SIZE });
        }
        let bytes = part.bytes(MAX_MANIFEST_SIZE)?;
        let document = Document::parse(&bytes).map_err(|source| invalid(&path, source))?;
        Ok(Descriptor::new(document.media_type(), *digest, bytes.len() as u64))
    }
}

fn choice(entry: &Descriptor) -> Choice {
    let Annotated { full, ref_name } = Annotated::new(entry);
    let names: Vec<String> = [ref_name, full].into_iter().flatten().map(str::to_owned).collect();
    let is_document = entry.media_type.is_document();
    Choice {
        references: full.and_then(|name| Reference::parse(name).ok()).into_iter().collect(),
        names,
        digest: entry.digest,
        is_image: is_document && !is_attached(entry),
    }
}

/// The place of what is meant.
pub(super) fn find(called: &str, choices: &[Choice], which: &Which) -> Result<usize, ArchiveError> {
    let places = |is_it: &dyn Fn(&Choice) -> bool| -> Vec<usize> {
        choices.iter().enumerate().filter(|(_, choice)| is_it(choice)).map(|(place, _)| place).collect()
    };
    let found = match which {
        Which::Number(number) => choices.get(*number).map(|_| *number).into_iter().collect(),
        Which::Digest(digest) => places(&|choice| choice.digest == *digest),
        Which::Sole => match places(&|choice| choice.is_image) {
            none if none.is_empty() => places(&|_| true),
            images => images,
        },
        Which::Name(name) => match places(&|choice| choice.names.first() == Some(name)) {
            none if none.is_empty() => {
                let reference = Reference::parse(name).ok().map(Reference::or_latest);
                places(&|choice| {
                    choice.names.contains(name)
                        || reference.as_ref().is_some_and(|reference| choice.references.contains(reference))
                })
            }
            exact => exact,
        },
    };
    let digest_of = |place: &usize| choices.get(*place).map(|choice| choice.digest);
    match found.as_slice() {
        [] => Err(none(called, choices, which)),
        // The same under several names, or twice.
        [first, others @ ..] if others.iter().all(|other| digest_of(other) == digest_of(first)) => Ok(*first),
        _ => {
            let there = found.iter().filter_map(|place| Some(shown(*place, choices.get(*place)?))).collect();
            Err(ArchiveError::SeveralImages { place: called.to_owned(), there })
        }
    }
}

fn none(called: &str, choices: &[Choice], which: &Which) -> ArchiveError {
    let what = match which {
        Which::Sole => "no image".to_owned(),
        Which::Name(name) => format!("no image with the name {}", base::text::line(name)),
        Which::Digest(digest) => format!("no image {digest}"),
        Which::Number(number) => format!("no image @{number}"),
    };
    let there = choices.iter().enumerate().map(|(place, choice)| shown(place, choice)).collect();
    ArchiveError::NoImage { place: called.to_owned(), what, there }
}

/// How it can be named: by its name, else by its place.
fn shown(place: usize, choice: &Choice) -> String {
    choice.names.first().map_or_else(|| format!("@{place}"), |name| base::text::line(name).into_owned())
}
