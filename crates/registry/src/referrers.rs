//! Referrers: what manifests of a repository say of another one (RS-052).

use hyper::{StatusCode, header};
use image::{Descriptor, Digest, Document, MediaType};
use serde_json::json;
use store::Repository;
use store::repositories::ManifestRecord;

use crate::blobs::digest;
use crate::query::encode;
use crate::reply::{Answer, FILTERS_APPLIED, bytes, set};
use crate::route::Name;
use crate::service::{Exchange, blocking};

/// How large the list may become: clients read manifests of 4 MiB at most, and the list is an index. What comes before the last descriptor and behind it
/// has room in the rest.
const MAX_PAGE: usize = (4 << 20) - 1024;

/// GET: an index of the manifests whose subject this is; empty when there are none, whether or not the subject is here.
pub(crate) async fn list(exchange: &Exchange, name: &Name, digest_text: &str) -> Answer {
    let subject = digest(digest_text)?;
    let repository = exchange.state.store.repositories().get(&name.name);
    let filter = exchange.query.get("artifactType").filter(|kind| !kind.is_empty()).map(str::to_owned);
    let after = exchange.query.get("last").map(digest).transpose()?;
    let wanted = filter.clone();
    let (page, next) = blocking(move || page(&repository, &subject, wanted.as_deref(), after)).await?;
    let index = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": page});
    let mut reply = bytes(StatusCode::OK, MediaType::OCI_INDEX.as_str(), index.to_string());
    if filter.is_some() {
        set(&mut reply, FILTERS_APPLIED, "artifactType");
    }
    if let Some(last) = next {
        let filter = filter.map(|kind| format!("&artifactType={}", encode(&kind))).unwrap_or_default();
        let path = format!("/v2/{}/referrers/{subject}", name.asked);
        set(
            &mut reply,
            header::LINK,
            &format!("<{path}?last={}{filter}>; rel=\"next\"", encode(&last.to_string())),
        );
    }
    Ok(reply)
}

/// The descriptors of one page, and the last one's digest when there are more.
fn page(
    repository: &Repository,
    subject: &Digest,
    filter: Option<&str>,
    after: Option<Digest>,
) -> Answer<(Vec<Descriptor>, Option<Digest>)> {
    let mut size = 0;
    let mut page: Vec<Descriptor> = Vec::new();
    for record in repository.referrers(subject)? {
        if after.is_some_and(|after| record.digest <= after) {
            continue;
        }
        let descriptor = describe(repository, record)?;
        if filter
            .is_some_and(|kind| descriptor.artifact_type.as_ref().is_none_or(|found| found.as_str() != kind))
        {
            continue;
        }
        size += json!(descriptor).to_string().len() + 1;
        if size > MAX_PAGE && !page.is_empty() {
            let last = page.last().map(|last| last.digest);
            return Ok((page, last));
        }
        page.push(descriptor);
    }
    Ok((page, None))
}

/// A manifest as the list has it.
pub(crate) fn describe(repository: &Repository, record: ManifestRecord) -> Answer<Descriptor> {
    let document = Document::parse(&repository.read_manifest(&record.digest)?)?;
    Ok(document.as_referrer(Descriptor::new(record.media_type, record.digest, record.size)))
}
