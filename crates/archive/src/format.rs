//! What the files of an archive are called, and what stands in them.

use image::{Digest, Reference};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Says that the archive is an OCI image layout (ST-030).
pub(crate) const LAYOUT: &str = "oci-layout";
/// Where the blobs of an OCI image layout are, in a directory for each algorithm.
pub(crate) const BLOBS: &str = "blobs";
/// The images of an OCI image layout.
pub(crate) const INDEX: &str = "index.json";
/// The images of a docker archive.
pub(crate) const MANIFEST: &str = "manifest.json";
/// The images of an archive of docker before 1.10.
pub(crate) const REPOSITORIES: &str = "repositories";
/// The one version of OCI image layouts.
pub(crate) const LAYOUT_VERSION: &str = "1.0.0";

/// The whole, canonical name of an image (ST-020c).
pub(crate) const FULL_NAME: &str = "io.containerd.image.name";
/// The tag alone, or whatever a tool takes for a name (ST-031).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The largest `manifest.json` that is read: what containerd reads (ST-012).
pub(crate) const MAX_DOCKER_MANIFEST: u64 = 20 << 20;

/// Where a blob lies in an OCI image layout.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm().name(), digest.hex())
}

/// The digest that a path like `blobs/sha256/…` names.
pub(crate) fn digest_of_path(path: &[u8]) -> Option<Digest> {
    let path = std::str::from_utf8(path).ok()?.strip_prefix(BLOBS)?.strip_prefix('/')?;
    let (algorithm, hex) = path.split_once('/')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

/// The contents of [`LAYOUT`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    /// Which version of the layout it is.
    pub(crate) image_layout_version: String,
}

/// One image in [`MANIFEST`] (ST-010).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerImage {
    /// The path of the config.
    pub(crate) config: String,
    /// The names.
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    /// The paths of the layers, lowest first. Go writes `null` for none.
    pub(crate) layers: Option<Vec<String>>,
    /// What else there is: `Parent`, `LayerSources`.
    #[serde(flatten, skip_serializing)]
    pub(crate) others: Map<String, Value>,
}

impl DockerImage {
    /// A key that Go would take for one of ours although it is written differently: docker would read another image than we do.
    pub(crate) fn misspelt(&self) -> Option<&str> {
        self.others
            .keys()
            .map(String::as_str)
            .find(|key| ["Config", "RepoTags", "Layers"].iter().any(|known| known.eq_ignore_ascii_case(key)))
    }
}

/// The name that an image gets in an archive: with a tag, and without a digest.
pub(crate) fn tagged(name: &Reference) -> Option<Reference> {
    name.with_tag(name.tag().unwrap_or("latest")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_030_paths_name_digests_and_nothing_else() {
        let digest = Digest::sha256(b"x");
        assert_eq!(digest_of_path(blob_path(&digest).as_bytes()), Some(digest));
        let long = format!("blobs/sha512/{}", "0a".repeat(64));
        assert_eq!(digest_of_path(long.as_bytes()).map(|digest| blob_path(&digest)), Some(long));
        let hex = digest.hex();
        // CVE-2024-3727: a digest that was not checked names files.
        for other in [
            format!("blobs/sha256/{}", hex.to_uppercase()),
            format!("blobs/sha256/{}", &hex[1..]),
            format!("blobs/md5/{hex}"),
            format!("blobs/sha256/../{hex}"),
            format!("x/blobs/sha256/{hex}"),
            format!("sha256/{hex}"),
        ] {
            assert_eq!(digest_of_path(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn st_010_null_means_none_and_keys_are_exact() {
        let read = |text: &str| serde_json::from_str::<DockerImage>(text);
        let image = read(r#"{"Config":"c","RepoTags":null,"Layers":null,"Parent":"p"}"#).expect("an image");
        assert_eq!((&image.repo_tags, &image.layers, image.misspelt()), (&None, &None, None));
        let image = read(r#"{"Config":"c","Layers":[],"repotags":["a:b"]}"#).expect("an image");
        assert_eq!(image.misspelt(), Some("repotags"));
        assert!(read(r#"{"config":"c","Layers":[]}"#).is_err());
        assert!(read("null").is_err());
    }
}
