//! Whether a manifest is one, and whether all that it refers to is in the repository (RS-041).

use image::{Descriptor, Digest, Document, MediaType};
use serde_json::json;
use store::Repository;

use crate::reply::{Answer, Code, Refusal};

/// A manifest that is one.
pub(crate) struct Checked {
    /// What it is, as the client said.
    pub media_type: MediaType,
    /// What it is about.
    pub subject: Option<Digest>,
    /// The blobs that have to be in the repository.
    pub blobs: Vec<Digest>,
    /// The manifests of an index.
    pub manifests: Vec<Descriptor>,
}

/// Reads a manifest, and compares what it is with what it is said to be.
pub(crate) fn check(bytes: &[u8], content_type: Option<&str>) -> Answer<Checked> {
    let invalid = |text: String| Refusal::new(Code::ManifestInvalid, text);
    let document = Document::parse(bytes).map_err(|error| invalid(format!("{error}: {}", error.source)))?;
    let (is_index, said) = (document.is_index(), document.said_type());
    let content_type = content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
    let media_type = match (content_type.filter(|text| !text.is_empty()), said) {
        (None, _) => document.media_type(),
        (Some(content_type), Some(said)) if content_type != said.as_str() => {
            return Err(invalid(format!(
                "the Content-Type is {}, and the document says that it is {said}",
                base::text::line(content_type)
            )));
        }
        (Some(content_type), _) => MediaType::new(content_type),
    };
    let fits = if is_index { media_type.is_index() } else { media_type.is_manifest() };
    let is_other = if is_index { media_type.is_manifest() } else { media_type.is_index() };
    // A type that is not known here is taken when the document has it, too.
    if is_other || (!fits && said.is_none()) {
        let holds = if is_index { "manifests" } else { "a config and layers" };
        return Err(invalid(format!("the document holds {holds}, and the Content-Type is {media_type}")));
    }
    let subject = document.subject().map(|subject| subject.digest);
    Ok(match document {
        Document::Manifest(manifest) => {
            let parts = manifest.value().blobs();
            let blobs = parts.filter(|part| !part.media_type.is_foreign()).map(|part| part.digest).collect();
            Checked { media_type, subject, blobs, manifests: Vec::new() }
        }
        Document::Index(index) => {
            Checked { media_type, subject, blobs: Vec::new(), manifests: index.value().manifests.clone() }
        }
    })
}

/// Says everything that is missing, unless an index may be sparse.
pub(crate) fn check_parts(repository: &Repository, checked: &Checked, sparse: bool) -> Answer<()> {
    let mut missing = Vec::new();
    for blob in &checked.blobs {
        if repository.blob(blob)?.is_none() {
            missing.push(*blob);
        }
    }
    for part in checked.manifests.iter().filter(|_| !sparse) {
        let is_here =
            repository.manifest(&part.digest)?.is_some() || repository.blob(&part.digest)?.is_some();
        if !is_here {
            missing.push(part.digest);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let digests: Vec<String> = missing.iter().map(Digest::to_string).collect();
    let what = if checked.manifests.is_empty() { "blobs" } else { "manifests" };
    Err(Refusal::new(
        Code::ManifestBlobUnknown,
        format!("the repository lacks {what} that the manifest refers to"),
    )
    .detail(json!({"digests": digests})))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn manifest(media_type: Option<&str>) -> String {
        let said = media_type.map(|text| format!("\"mediaType\":\"{text}\",")).unwrap_or_default();
        let config = format!("{{\"mediaType\":\"application/x\",\"digest\":\"{DIGEST}\",\"size\":0}}");
        format!("{{\"schemaVersion\":2,{said}\"config\":{config},\"layers\":[]}}")
    }

    #[test]
    fn rs_041_the_type_of_a_manifest() {
        const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
        const INDEX: &str = "application/vnd.oci.image.index.v1+json";
        const OWN: &str = "application/vnd.example.manifest+json";
        for (said, content_type, expected) in [
            (Some(OCI), Some(OCI), Some(OCI)),
            (Some(OCI), None, Some(OCI)),
            (None, None, Some(OCI)),
            (None, Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"), Some(OCI)),
            (Some(OWN), Some(OWN), Some(OWN)),
            (None, Some(OWN), None),
            (Some(OCI), Some(INDEX), None),
            (None, Some(INDEX), None),
            (Some(INDEX), Some(INDEX), None),
            (Some(OCI), Some("application/json"), None),
        ] {
            let checked = check(manifest(said).as_bytes(), content_type);
            let found = checked.as_ref().ok().map(|checked| checked.media_type.as_str());
            assert_eq!(found, expected, "{said:?} {content_type:?}");
        }
    }

    #[test]
    fn rs_207_schema_1_is_refused_with_a_sentence() {
        let refusal = check(b"{\"schemaVersion\":1,\"fsLayers\":[]}", None).err().expect("a refusal");
        assert_eq!(refusal.status, hyper::StatusCode::BAD_REQUEST);
        assert!(format!("{refusal:?}").contains("schema 1"), "{refusal:?}");
    }
}
