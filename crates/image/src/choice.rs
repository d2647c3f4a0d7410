//! The choice among an index's images: which one runs on a platform (RC-086, RC-089).

use base::{Classified, Kind};

use crate::{Descriptor, Digest, Index, MediaType, Platform};

/// How many platforms an error names at most.
const MAX_NAMED: usize = 32;
/// The note by which an attestation says which image it is about (BuildKit).
const ATTESTED: &str = "vnd.docker.reference.digest";

/// An index without an image for a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no image for {wanted}; {}", there(.available))]
pub struct NoSuchPlatform {
    /// What was wanted.
    pub wanted: Box<Platform>,
    /// What there is.
    pub available: Vec<Platform>,
}

fn there(available: &[Platform]) -> String {
    if available.is_empty() {
        return "the index names no platform at all".to_owned();
    }
    let named: Vec<String> = available.iter().take(MAX_NAMED).map(Platform::to_string).collect();
    let more = available.len().saturating_sub(MAX_NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("there is {}{rest}", named.join(", "))
}

impl Classified for NoSuchPlatform {
    fn kind(&self) -> Kind {
        Kind::NotFound
    }

    fn hint(&self) -> Option<String> {
        self.available
            .first()
            .map(|first| format!("choose one that is there with --platform, as in --platform={first}"))
    }
}

/// The image (or nested index) that fits `wanted` best: the same variant before lower ones, the first among equals.
///
/// Attestations and other artifacts are never chosen, and neither is a CPU's 32-bit ancestor: who wants to run
/// `linux/386` on `linux/amd64` says so. An index whose only image does not say its platform gives that one;
/// the caller learns from its config whether it fits.
pub fn choose<'a>(index: &'a Index, wanted: &Platform) -> Option<&'a Descriptor> {
    let wanted = wanted.normalized();
    let mut best = None;
    for descriptor in images(index) {
        let Some(platform) = &descriptor.platform else { continue };
        let Some(fitness) = platform.normalized().fitness(&wanted) else { continue };
        if best.is_none_or(|(_, best)| fitness > best) {
            best = Some((descriptor, fitness));
        }
    }
    best.map(|(descriptor, _)| descriptor).or_else(|| only_one(index))
}

/// As [`choose`], with an error that says what there is (RC-089).
pub fn require<'a>(index: &'a Index, wanted: &Platform) -> Result<&'a Descriptor, NoSuchPlatform> {
    choose(index, wanted)
        .ok_or_else(|| NoSuchPlatform { wanted: Box::new(wanted.clone()), available: platforms(index) })
}

/// Which image of the same index an entry is an attestation of: BuildKit's way.
pub fn attested(entry: &Descriptor) -> Option<Digest> {
    entry.annotations.get(ATTESTED).and_then(|text| Digest::parse(text).ok())
}

/// Makes an entry an attestation of another image.
pub fn attests(entry: &mut Descriptor, image: &Digest) {
    entry.annotations.insert(ATTESTED.to_owned(), image.to_string());
}

/// The platforms of an index's images, in its order, without repetitions.
pub fn platforms(index: &Index) -> Vec<Platform> {
    let mut found: Vec<Platform> = Vec::new();
    for platform in images(index).filter_map(|descriptor| descriptor.platform.as_ref()) {
        let platform = platform.normalized();
        if !found.contains(&platform) {
            found.push(platform);
        }
    }
    found
}

fn only_one(index: &Index) -> Option<&Descriptor> {
    let mut images = images(index);
    let first = images.next()?;
    (images.next().is_none() && first.platform.is_none()).then_some(first)
}

/// The entries of an index that are images: neither artifacts nor attestations.
pub fn images(index: &Index) -> impl Iterator<Item = &Descriptor> {
    index.manifests.iter().filter(|descriptor| is_image(descriptor))
}

fn is_image(descriptor: &Descriptor) -> bool {
    let is_manifest = descriptor.media_type.is_document();
    let is_artifact = descriptor
        .artifact_type
        .as_ref()
        .is_some_and(|kind| *kind != MediaType::OCI_CONFIG && *kind != MediaType::DOCKER_CONFIG);
    // BuildKit's attestations lie in an index under a platform that does not exist.
    let is_nowhere = descriptor.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
    is_manifest && !is_artifact && !is_nowhere
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        Platform::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    /// An index of images for these platforms; the size of each is its place, from 0.
    fn index(platforms: &[&str]) -> Index {
        let descriptor = |(place, text): (usize, &&str)| {
            let size = u64::try_from(place).expect("a small number");
            let mut descriptor =
                Descriptor::new(MediaType::OCI_MANIFEST, Digest::sha256(text.as_bytes()), size);
            descriptor.platform = match *text {
                "" => None,
                "unknown/unknown" => Some(Platform::new("unknown", "unknown", None)),
                text => Some(platform(text)),
            };
            descriptor
        };
        Index::oci(platforms.iter().enumerate().map(descriptor).collect())
    }

    #[test]
    fn rc_086_the_best_is_chosen() {
        for (there, wanted, expected) in [
            (vec!["linux/amd64", "linux/arm64"], "linux/arm64/v8", Some(1)),
            (vec!["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "linux/arm", Some(2)),
            (vec!["linux/arm/v5", "linux/arm/v6", "linux/arm64"], "linux/arm/v7", Some(1)),
            (vec!["linux/arm/v7"], "linux/arm/v6", None),
            (vec!["linux/amd64", "linux/amd64/v3", "linux/amd64/v2"], "linux/amd64/v4", Some(1)),
            (vec!["linux/amd64/v3", "linux/amd64"], "linux/amd64", Some(1)),
            (vec!["linux/amd64", "linux/amd64"], "linux/amd64", Some(0)),
            (vec!["unknown/unknown", "linux/amd64"], "linux/amd64", Some(1)),
            (vec!["linux/386"], "linux/amd64", None),
            (vec!["", "linux/arm64"], "linux/amd64", None),
            (vec!["", "unknown/unknown"], "linux/amd64", Some(0)),
            (vec!["unknown/unknown"], "linux/amd64", None),
            (vec![], "linux/amd64", None),
        ] {
            let index = index(&there);
            let chosen = choose(&index, &platform(wanted)).map(|descriptor| descriptor.size);
            assert_eq!(chosen, expected, "{wanted} of {there:?}");
        }
    }

    #[test]
    fn rc_086_artifacts_and_blobs_are_not_images() {
        let mut there = index(&["linux/amd64", "linux/amd64", "linux/amd64"]);
        there.manifests[0].artifact_type = Some(MediaType::new("application/vnd.example.sbom"));
        there.manifests[1].media_type = MediaType::OCTET_STREAM;
        there.manifests[2].artifact_type = Some(MediaType::OCI_CONFIG);
        assert_eq!(choose(&there, &platform("linux/amd64")).map(|descriptor| descriptor.size), Some(2));
    }

    #[test]
    fn rc_086_windows_goes_by_the_build_and_then_the_highest_revision() {
        let mut there = index(&["windows/amd64", "windows/amd64", "windows/amd64"]);
        for (descriptor, version) in
            there.manifests.iter_mut().zip(["10.0.17763.1", "10.0.20348.9", "10.0.17763.10"])
        {
            if let Some(platform) = &mut descriptor.platform {
                platform.os_version = Some(version.to_owned());
            }
        }
        let wanted = Platform { os_version: Some("10.0.17763.5".to_owned()), ..platform("windows/amd64") };
        assert_eq!(choose(&there, &wanted).map(|descriptor| descriptor.size), Some(2));
        let other = Platform { os_version: Some("10.0.1".to_owned()), ..wanted };
        assert_eq!(choose(&there, &other), None);
    }

    #[test]
    fn rc_089_an_error_says_what_there_is() {
        let there = index(&["linux/amd64", "linux/arm", "unknown/unknown", "linux/amd64"]);
        let error = require(&there, &platform("linux/s390x")).expect_err("there is none");
        assert_eq!(
            error.to_string(),
            "there is no image for linux/s390x; there is linux/amd64, linux/arm/v7"
        );
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.hint().is_some_and(|hint| hint.contains("--platform=linux/amd64")));
        let empty = require(&index(&[]), &platform("linux/amd64")).expect_err("there is none");
        assert!(empty.to_string().ends_with("the index names no platform at all"), "{empty}");
    }
}
