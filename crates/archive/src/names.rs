//! The names of images in an archive (ST-010, ST-013, ST-020c, ST-031).

use base::Events;
use image::{Algorithm, Descriptor, Digest, Reference};

use crate::ArchiveError;
use crate::format::{FULL_NAME, REF_NAME, tagged};

/// What an entry of an index is called, before its image is known.
pub(crate) struct Annotated<'a> {
    pub(crate) full: Option<&'a str>,
    pub(crate) ref_name: Option<&'a str>,
}

impl<'a> Annotated<'a> {
    pub(crate) fn new(descriptor: &'a Descriptor) -> Self {
        let annotation =
            |name| descriptor.annotations.get(name).map(String::as_str).filter(|text| !text.is_empty());
        Self { full: annotation(FULL_NAME), ref_name: annotation(REF_NAME) }
    }

    /// What entries have in common that are variants of one image, for several platforms.
    pub(crate) fn group(&self) -> Option<&'a str> {
        self.full.or(self.ref_name)
    }

    /// The names of the image: the full one; else those that `manifest.json` gives it; else what stands for a name.
    ///
    /// docker takes a bare word for a repository, and so do we; tools that mean a tag by it add the full name.
    pub(crate) fn names(&self, repo_tags: &[Reference], events: &Events) -> Vec<Reference> {
        if let Some(full) = self.full {
            return read(full, events).into_iter().collect();
        }
        if !repo_tags.is_empty() {
            return repo_tags.to_vec();
        }
        self.ref_name.and_then(|name| read(name, events)).into_iter().collect()
    }
}

/// A name that an index gives. It is free text there: one that is not the name of an image is told, and left out.
fn read(text: &str, events: &Events) -> Option<Reference> {
    match Reference::parse(text) {
        // A name by digest says nothing that the digest does not say.
        Ok(reference) if reference.tag().is_none() && reference.digest().is_some() => None,
        Ok(reference) => tagged(&reference),
        Err(error) => {
            events.warn(format!("the archive gives an image a name that cannot be used: {error}"));
            None
        }
    }
}

/// The names of `manifest.json`: each has a tag and no digest (ST-010).
pub(crate) fn repo_tags(texts: &[String]) -> Result<Vec<Reference>, ArchiveError> {
    let read = |text: &String| {
        let shown = base::text::bytes(text.as_bytes());
        let refused =
            |reason: &str| ArchiveError::Refused(format!("manifest.json gives the name {shown}, {reason}"));
        match Reference::parse(text) {
            Ok(reference) if reference.digest().is_some() => Err(refused("which has a digest")),
            Ok(reference) if reference.tag().is_none() => Err(refused("which has no tag")),
            Ok(reference) => Ok(reference),
            Err(error) => Err(refused(&error.reason)),
        }
    };
    texts.iter().map(read).collect()
}

/// Attestations and signatures: they are about an image, and not one.
pub(crate) fn is_attached(descriptor: &Descriptor) -> bool {
    let is_artifact = descriptor.artifact_type.as_ref().is_some_and(|kind| !kind.is_image_config());
    let is_nowhere = descriptor.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
    let is_tagged = Annotated::new(descriptor).ref_name.is_some_and(is_digest_tag);
    is_artifact || is_nowhere || is_tagged || descriptor.annotations.contains_key("vnd.docker.reference.type")
}

/// Tags that are made of the digest of what they are about: cosign's, and those that stand for lists of referrers.
fn is_digest_tag(name: &str) -> bool {
    let tag = name.rsplit(['/', ':']).next().unwrap_or(name);
    let hex = tag.strip_prefix("sha256-").map(|rest| rest.split('.').next().unwrap_or(rest));
    hex.is_some_and(|hex| Digest::from_hex(Algorithm::Sha256, hex).is_ok())
}

#[cfg(test)]
mod tests {
    use image::{Digest, MediaType};

    use super::*;

    fn descriptor(annotations: &[(&str, &str)]) -> Descriptor {
        let mut descriptor = Descriptor::new(MediaType::OCI_MANIFEST, Digest::sha256(b""), 0);
        descriptor.annotations =
            annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        descriptor
    }

    fn reference(text: &str) -> Reference {
        Reference::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn st_031_names_of_an_index() {
        let by_digest = format!("app@{}", Digest::sha256(b"x"));
        for (annotations, repo_tags, expected) in [
            (&[][..], &[][..], &[][..]),
            // docker and BuildKit: the full name, and the tag alone.
            (&[(FULL_NAME, "docker.io/library/app:1"), (REF_NAME, "1")], &[], &["app:1"]),
            // ST-020c: the familiar form is made canonical.
            (&[(FULL_NAME, "app:1")], &[], &["app:1"]),
            (&[(FULL_NAME, "quay.io/x/app")], &[], &["quay.io/x/app:latest"]),
            // ST-013: what manifest.json says counts where the index says less.
            (&[(REF_NAME, "1")], &["app:1", "app:2"], &["app:1", "app:2"]),
            (&[(FULL_NAME, "app:1")], &["app:2"], &["app:1"]),
            // skopeo and umoci: what stood behind the colon.
            (&[(REF_NAME, "quay.io/x/app:1")], &[], &["quay.io/x/app:1"]),
            (&[(REF_NAME, "app:1")], &[], &["app:1"]),
            (&[(REF_NAME, "app")], &[], &["app:latest"]),
            (&[(FULL_NAME, &by_digest)], &[], &[]),
            (&[(REF_NAME, "No Name")], &[], &[]),
        ] {
            let repo_tags: Vec<_> = repo_tags.iter().map(|text| reference(text)).collect();
            let expected: Vec<_> = expected.iter().map(|text| reference(text)).collect();
            let descriptor = descriptor(annotations);
            let names = Annotated::new(&descriptor).names(&repo_tags, &Events::none());
            assert_eq!(names, expected, "{annotations:?}");
        }
    }

    #[test]
    fn st_010_repo_tags_have_tags() {
        let tags = |text: &str| repo_tags(&[text.to_owned()]).map_err(|error| error.to_string());
        assert_eq!(tags("app:1"), Ok(vec![reference("docker.io/library/app:1")]));
        for (wrong, reason) in [
            (format!("app@{}", Digest::sha256(b"")), "which has a digest"),
            ("app".to_owned(), "which has no tag"),
            ("APP:1".to_owned(), ""),
            ("\u{1b}[1m".to_owned(), "\\u{1b}"),
        ] {
            let error = tags(&wrong).expect_err("no good name");
            assert!(error.contains("manifest.json") && error.contains(reason), "{error}");
            assert!(!error.contains('\u{1b}'), "{error}");
        }
    }
}
