//! Where images can be, as users write it (RC-012): skopeo's words, and `store:` for the store.

use base::Kind;
use image::Reference;

use crate::failure::{Failure, Outcome};

/// A place for images.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// A registry.
    Registry(Reference),
    /// The store of this machine.
    Store(Reference),
}

/// Places that other tools know, and what is there instead.
const OTHERS: [(&str, &str); 6] = [
    ("dir:", "copy to a registry or to store:NAME; `lap save` and `lap load` write and read archives"),
    ("docker-daemon:", "`docker save IMAGE | lap load` brings an image of the daemon"),
    ("containers-storage:", "`podman save --format oci-archive IMAGE | lap load` brings an image of podman"),
    ("oci:", "`lap save --format oci-archive` and `lap load` write and read OCI archives"),
    ("oci-archive:", "`lap save --format oci-archive` writes one, `lap load` reads it"),
    ("docker-archive:", "`lap save` writes one, `lap load` reads it"),
];

impl Place {
    /// Reads a place; what has no word in front is the name of an image on a registry.
    pub fn parse(text: &str) -> Outcome<Self> {
        if let Some(name) = text.strip_prefix("docker://") {
            return Ok(Place::Registry(Reference::parse(name)?));
        }
        if let Some(name) = text.strip_prefix("store:") {
            return Ok(Place::Store(Reference::parse(name)?));
        }
        if let Some((word, instead)) = OTHERS.iter().find(|(word, _)| text.starts_with(word)) {
            let what = format!("{} is a place that lap copy does not know ({word})", base::text::line(text));
            return Err(Failure::new(Kind::Unsupported, what).hint(*instead));
        }
        Ok(Place::Registry(Reference::parse(text)?))
    }

    /// Whether an image there is for one platform.
    pub fn holds_one_platform(&self) -> bool {
        matches!(self, Place::Store(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Reference {
        Reference::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn rc_012_words_in_front_say_where() {
        for (text, expected) in [
            ("debian:12", Place::Registry(name("debian:12"))),
            ("docker://debian:12", Place::Registry(name("debian:12"))),
            (
                "localhost:5000/x@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                Place::Registry(name(
                    "localhost:5000/x@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                )),
            ),
            ("store:app", Place::Store(name("app"))),
            // An image of that name, all the same.
            ("docker://store:1", Place::Registry(name("store:1"))),
        ] {
            assert_eq!(Place::parse(text).ok(), Some(expected), "{text}");
        }
        for text in ["dir:/x", "docker-daemon:x:1", "https://quay.io/x", "store:", "", "UPPER/x/"] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }
}
