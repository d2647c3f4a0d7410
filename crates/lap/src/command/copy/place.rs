//! Where images can be, as users write it (RC-012): skopeo's words, and `store:` for the store.

use std::path::PathBuf;

use archive::layout::Which;
use base::Kind;
use image::{Digest, Reference};

use crate::failure::{Failure, Outcome};

/// A place for images.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// A registry.
    Registry(Reference),
    /// The store of this machine.
    Store(Reference),
    /// An OCI image layout in a directory.
    Oci(Located),
    /// One in a tar.
    OciArchive(Located),
    /// A tar with docker's list of images.
    DockerArchive(Located),
}

/// An image in a file or in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The file or the directory.
    pub path: PathBuf,
    /// Which image of it.
    pub which: Which,
}

/// Places that other tools know, and what is there instead.
const OTHERS: [(&str, &str); 3] = [
    (
        "dir:",
        "use a registry, oci:PATH, an archive, or store:NAME; `skopeo copy` turns dir: into one of them",
    ),
    ("docker-daemon:", "`docker save IMAGE | lap load` brings an image of the daemon"),
    ("containers-storage:", "`podman save --format oci-archive IMAGE | lap load` brings an image of podman"),
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
        if let Some(located) = text.strip_prefix("oci:") {
            return Ok(Place::Oci(Located::parse(text, located)?));
        }
        if let Some(located) = text.strip_prefix("oci-archive:") {
            return Ok(Place::OciArchive(Located::parse(text, located)?));
        }
        if let Some(located) = text.strip_prefix("docker-archive:") {
            return Ok(Place::DockerArchive(Located::parse(text, located)?));
        }
        if let Some((word, instead)) = OTHERS.iter().find(|(word, _)| text.starts_with(word)) {
            let what = format!("{} is a place that lap copy does not know ({word})", base::text::line(text));
            return Err(Failure::new(Kind::Unsupported, what).hint(*instead));
        }
        Ok(Place::Registry(Reference::parse(text)?))
    }

    /// Whether an image there is for one platform.
    pub fn holds_one_platform(&self) -> bool {
        matches!(self, Place::Store(_) | Place::DockerArchive(_))
    }

    /// Whether it is written to standard output.
    pub fn is_standard_output(&self) -> bool {
        match self {
            Place::OciArchive(located) | Place::DockerArchive(located) => located.is_stream(),
            _ => false,
        }
    }
}

impl Located {
    /// Reads `PATH[:NAME]`, `PATH:@N` and `PATH[:]@DIGEST`. The path ends at the first colon, as for skopeo: names may have others. `whole` is for messages.
    pub fn parse(whole: &str, text: &str) -> Outcome<Self> {
        let (path, which) = match text.rsplit_once('@').and_then(|(path, digest)| {
            Some((path.strip_suffix(':').unwrap_or(path), Digest::parse(digest).ok()?))
        }) {
            Some((path, digest)) => (path, Which::Digest(digest)),
            None => match text.split_once(':') {
                None | Some((_, "")) => (text.trim_end_matches(':'), Which::Sole),
                Some((path, name)) => (path, Self::name(whole, name)?),
            },
        };
        let invalid = |reason: &str| {
            let whole = base::text::line(whole);
            Err(Failure::new(Kind::Invalid, format!("{whole} is not a place for images: {reason}")))
        };
        match (path.is_empty(), path.split_once(':')) {
            (true, _) => invalid("it has no path"),
            (_, Some(_)) => invalid("a path with a colon, or a tag in front of a digest, cannot be written"),
            _ => Ok(Self { path: path.into(), which }),
        }
    }

    fn name(whole: &str, name: &str) -> Outcome<Which> {
        let Some(number) = name.strip_prefix('@') else { return Ok(Which::Name(name.to_owned())) };
        let number = number.parse().map_err(|_| {
            let whole = base::text::line(whole);
            Failure::new(
                Kind::Invalid,
                format!("{whole} names an image by @, and neither by number nor digest"),
            )
            .hint("@0 is the first image, @sha256:… the one with that digest")
        })?;
        Ok(Which::Number(number))
    }

    /// Whether standard input or output is meant.
    pub fn is_stream(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// What an image is called at this destination: a name that the specification allows, and the digest that it has to have.
    pub fn destination(&self) -> Outcome<(Option<String>, Option<Digest>)> {
        let refused = |what: String, hint: &str| Err(Failure::new(Kind::Invalid, what).hint(hint));
        match &self.which {
            Which::Sole => Ok((None, None)),
            Which::Digest(digest) => Ok((None, Some(*digest))),
            Which::Name(name) if is_ref_name(name) => Ok((Some(name.clone()), None)),
            Which::Name(name) => refused(
                format!("{} is not a name for an image in a layout", base::text::line(name)),
                "letters, digits and single signs of -._:@+/ between them, as 1.2 or docker.io/library/app:1",
            ),
            Which::Number(number) => refused(
                format!("@{number} says which image is read, and cannot say what one is called"),
                "name a tag",
            ),
        }
    }

    /// The names of an image at this destination, which is one for docker.
    pub fn docker_names(&self) -> Outcome<Vec<Reference>> {
        match &self.which {
            Which::Sole => Ok(Vec::new()),
            Which::Name(name) => Ok(vec![Reference::parse(name)?.or_latest()]),
            Which::Digest(_) | Which::Number(_) => {
                let what = "an image in a docker archive is called by a name with a tag";
                Err(Failure::new(Kind::Invalid, what).hint("as docker-archive:FILE:app:1, or leave it out"))
            }
        }
    }
}

/// ST-031: what `org.opencontainers.image.ref.name` may be.
fn is_ref_name(name: &str) -> bool {
    let component = |component: &str| {
        let is_separator = |sign: char| "-._:@+".contains(sign);
        let bytes = component.as_bytes();
        let is_word = |sign: Option<&u8>| sign.is_some_and(u8::is_ascii_alphanumeric);
        let doubled = component.replace("--", "-");
        is_word(bytes.first())
            && is_word(bytes.last())
            && component.chars().all(|sign| sign.is_ascii_alphanumeric() || is_separator(sign))
            && !doubled.as_bytes().windows(2).any(|pair| pair.iter().all(|sign| is_separator(*sign as char)))
    };
    name.split('/').all(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Reference {
        Reference::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn located(path: &str, which: Which) -> Located {
        Located { path: path.into(), which }
    }

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn rc_012_words_in_front_say_where() {
        for (text, expected) in [
            ("debian:12", Place::Registry(name("debian:12"))),
            ("docker://debian:12", Place::Registry(name("debian:12"))),
            (
                &format!("localhost:5000/x@{DIGEST}"),
                Place::Registry(name(&format!("localhost:5000/x@{DIGEST}"))),
            ),
            ("store:app", Place::Store(name("app"))),
            // An image of that name, all the same.
            ("docker://store:1", Place::Registry(name("store:1"))),
            ("oci:/x/y", Place::Oci(located("/x/y", Which::Sole))),
            ("oci:x:1.2", Place::Oci(located("x", Which::Name("1.2".to_owned())))),
            (
                "oci-archive:x.tar:docker.io/x/y:1",
                Place::OciArchive(located("x.tar", Which::Name("docker.io/x/y:1".to_owned()))),
            ),
            ("docker-archive:-", Place::DockerArchive(located("-", Which::Sole))),
        ] {
            assert_eq!(Place::parse(text).ok(), Some(expected), "{text}");
        }
        for text in
            ["dir:/x", "docker-daemon:x:1", "https://quay.io/x", "store:", "", "UPPER/x/", "oci:", "oci::1"]
        {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn st_036_images_without_a_name_are_chosen_by_place_or_digest() {
        let digest = || Which::Digest(Digest::parse(DIGEST).expect("a digest"));
        for (text, path, which) in [
            ("x:@0", "x", Which::Number(0)),
            ("x:@12", "x", Which::Number(12)),
            (&format!("x@{DIGEST}"), "x", digest()),
            (&format!("x:@{DIGEST}"), "x", digest()),
            // A directory of that name.
            ("x@2", "x@2", Which::Sole),
            ("x:a@b", "x", Which::Name("a@b".to_owned())),
        ] {
            assert_eq!(Located::parse(text, text).ok(), Some(located(path, which)), "{text}");
        }
        for text in ["x:@first", &format!("x:1@{DIGEST}"), &format!("@{DIGEST}")] {
            assert!(Located::parse(text, text).is_err(), "{text}");
        }
    }

    #[test]
    fn st_031_names_are_those_of_the_specification() {
        for good in ["1", "1.2_3", "latest", "docker.io/library/app:1", "a--b", "v1+meta", "x@y"] {
            assert!(is_ref_name(good), "{good}");
        }
        for bad in ["", "-1", "1-", "a..b", "a b", "a//b", "/a", "é", "a\n"] {
            assert!(!is_ref_name(bad), "{bad}");
        }
        assert!(located("x", Which::Number(1)).destination().is_err());
        assert!(located("x", Which::Name("UPPER".to_owned())).docker_names().is_err());
    }
}
