//! Media types: how manifests say what a blob is.

use serde::{Deserialize, Serialize};

/// A media type, as it was written. The constants are the ones that mean something here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(std::borrow::Cow<'static, str>);

macro_rules! media_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl MediaType {
            $($(#[$doc])* pub const $name: MediaType = MediaType(std::borrow::Cow::Borrowed($text));)*
        }
    };
}

media_types! {
    /// An OCI image index.
    OCI_INDEX = "application/vnd.oci.image.index.v1+json";
    /// An OCI image manifest.
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image config.
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
    /// A layer: a plain tar.
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
    /// A layer: a tar in gzip.
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer: a tar in zstd.
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// A layer that is not to be distributed: a plain tar.
    OCI_LAYER_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    /// A layer that is not to be distributed: a tar in gzip.
    OCI_LAYER_FOREIGN_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    /// A Docker manifest list.
    DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// A Docker image manifest.
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
    /// A Docker image config.
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
    /// A Docker layer: a plain tar.
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
    /// A Docker layer: a tar in gzip.
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// A Docker layer that is not to be distributed.
    DOCKER_LAYER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    /// Bytes.
    OCTET_STREAM = "application/octet-stream";
}

/// What is the same in OCI's words and in Docker's.
const SAME: [(MediaType, MediaType); 6] = [
    (MediaType::OCI_INDEX, MediaType::DOCKER_LIST),
    (MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST),
    (MediaType::OCI_CONFIG, MediaType::DOCKER_CONFIG),
    (MediaType::OCI_LAYER, MediaType::DOCKER_LAYER),
    (MediaType::OCI_LAYER_GZIP, MediaType::DOCKER_LAYER_GZIP),
    (MediaType::OCI_LAYER_FOREIGN_GZIP, MediaType::DOCKER_LAYER_FOREIGN),
];

impl MediaType {
    /// A media type that was read from somewhere.
    pub fn new(text: impl Into<String>) -> Self {
        Self(std::borrow::Cow::Owned(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a blob of this type is an index of manifests.
    pub fn is_index(&self) -> bool {
        *self == Self::OCI_INDEX || *self == Self::DOCKER_LIST
    }

    /// Whether it is a layer that registries need not have.
    pub fn is_foreign(&self) -> bool {
        const FOREIGN_ZSTD: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
        [Self::OCI_LAYER_FOREIGN, Self::OCI_LAYER_FOREIGN_GZIP, Self::DOCKER_LAYER_FOREIGN].contains(self)
            || self.as_str() == FOREIGN_ZSTD
    }

    /// Whether a blob of this type is the manifest of one image (or artifact).
    pub fn is_manifest(&self) -> bool {
        *self == Self::OCI_MANIFEST || *self == Self::DOCKER_MANIFEST
    }

    /// Whether a blob of this type is the config of an image; that of an artifact is anything else.
    pub fn is_image_config(&self) -> bool {
        *self == Self::OCI_CONFIG || *self == Self::DOCKER_CONFIG
    }

    /// What OCI calls the same as Docker's type; every other type stays what it is.
    #[must_use]
    pub fn as_oci(&self) -> Self {
        SAME.iter().find(|(_, docker)| docker == self).map_or_else(|| self.clone(), |(oci, _)| oci.clone())
    }

    /// What Docker calls the same, if there is such a thing in Docker's format.
    pub fn as_docker(&self) -> Option<Self> {
        SAME.iter().find(|(oci, docker)| oci == self || docker == self).map(|(_, docker)| docker.clone())
    }

    /// Whether a blob of this type is one or the other.
    pub fn is_document(&self) -> bool {
        self.is_manifest() || self.is_index()
    }
}

impl std::fmt::Display for MediaType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&base::text::line(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_told_apart() {
        for (media_type, is_index, is_manifest) in [
            (MediaType::OCI_INDEX, true, false),
            (MediaType::DOCKER_LIST, true, false),
            (MediaType::OCI_MANIFEST, false, true),
            (MediaType::DOCKER_MANIFEST, false, true),
            (MediaType::OCI_CONFIG, false, false),
            (MediaType::OCI_LAYER_GZIP, false, false),
            (MediaType::new("application/vnd.oci.image.index.v2+json"), false, false),
        ] {
            assert_eq!(
                (media_type.is_index(), media_type.is_manifest(), media_type.is_document()),
                (is_index, is_manifest, is_index || is_manifest),
                "{media_type}"
            );
        }
    }

    /// RC-098: types in one format and in the other.
    #[test]
    fn rc_098_types_of_both_formats() {
        for (oci, docker) in SAME {
            assert_eq!((docker.as_oci(), oci.as_oci()), (oci.clone(), oci.clone()));
            assert_eq!((oci.as_docker(), docker.as_docker()), (Some(docker.clone()), Some(docker.clone())));
        }
        assert_eq!(MediaType::OCI_LAYER_ZSTD.as_docker(), None, "docker's format has no such layers");
        assert_eq!(MediaType::OCI_LAYER_ZSTD.as_oci(), MediaType::OCI_LAYER_ZSTD);
    }

    #[test]
    fn a_media_type_is_kept_as_it_was_written_and_printed_harmlessly() {
        let json = r#""application/X+json; a=b""#;
        let read: MediaType = serde_json::from_str(json).expect("a string");
        assert_eq!(serde_json::to_string(&read).ok().as_deref(), Some(json));
        assert_eq!(MediaType::new("application/vnd.oci.image.index.v1+json"), MediaType::OCI_INDEX);
        assert_eq!(MediaType::new("a\u{1b}[1m").to_string(), "a\\u{1b}[1m");
    }
}
