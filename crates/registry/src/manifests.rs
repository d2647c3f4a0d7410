//! Manifests: by tag and by digest, byte for byte (RS-040 … RS-047).

use std::io::Write as _;

use base::IoContext as _;
use hyper::body::Incoming;
use hyper::{Response, StatusCode, header};
use image::manifest::MAX_MANIFEST_SIZE;
use image::{Descriptor, Digest, Digester};
use store::repositories::{Condition, NewManifest, is_tag};
use store::{Repository, StoreError};

use crate::access::Action;
use crate::blobs::{digest, is_known};
use crate::body::{self, Body};
use crate::reply::{Answer, CONTENT_DIGEST, Code, Refusal, SUBJECT, TAG, add, empty, set};
use crate::route::Name;
use crate::service::{Exchange, blocking};
use crate::validate::{Checked, check, check_parts};

/// How many tags a manifest gets in one request at most.
const MAX_TAGS: usize = 64;

/// What stands at the end of the path of a manifest.
enum Selector {
    Tag(String),
    Digest(Digest),
}

impl Selector {
    /// Tags hold no colon, digests do.
    fn parse(text: &str) -> Answer<Self> {
        if text.contains(':') {
            return digest(text).map(Self::Digest);
        }
        if !is_tag(text) {
            let text = format!("{} is neither a tag nor a digest", base::text::bytes(text.as_bytes()));
            return Err(Refusal::new(Code::TagInvalid, text));
        }
        Ok(Self::Tag(text.to_owned()))
    }

    /// The manifest that is meant.
    fn find(&self, repository: &Repository) -> Answer<Descriptor> {
        let found = match self {
            Selector::Digest(digest) => repository.manifest(digest)?,
            // The tag says what it is; whether that is still here is another matter.
            Selector::Tag(tag) => match repository.tag(tag)? {
                Some(tag) => repository.manifest(&tag.target.digest)?,
                None => None,
            },
        };
        match found {
            Some(found) => Ok(found),
            None if !repository.exists()? => {
                Err(Refusal::new(Code::NameUnknown, "there is no such repository, or nothing in it"))
            }
            None => Err(Refusal::new(Code::ManifestUnknown, "the repository has no such manifest")),
        }
    }
}

/// GET and HEAD.
pub(crate) async fn get(exchange: &Exchange, name: &Name, reference: &str) -> Answer {
    let selector = Selector::parse(reference)?;
    let by_digest = matches!(selector, Selector::Digest(_));
    let repository = exchange.state.store.repositories().get(&name.name);
    let is_head = exchange.is_head();
    let (found, bytes) = blocking(move || {
        let found = selector.find(&repository)?;
        let bytes = if is_head { Vec::new() } else { repository.read_manifest(&found.digest)? };
        Ok((found, bytes))
    })
    .await?;
    let etag = format!("\"{}\"", found.digest);
    let mut reply = if is_known(exchange.header(header::IF_NONE_MATCH), &etag) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut reply = Response::new(Body::bytes(bytes));
        set(&mut reply, header::CONTENT_TYPE, found.media_type.as_str());
        set(&mut reply, header::CONTENT_LENGTH, &found.size.to_string());
        reply
    };
    set(&mut reply, CONTENT_DIGEST, &found.digest.to_string());
    set(&mut reply, header::ETAG, &etag);
    set(
        &mut reply,
        header::CACHE_CONTROL,
        if by_digest { "max-age=31536000, immutable" } else { "no-cache" },
    );
    Ok(reply)
}

/// PUT.
pub(crate) async fn put(exchange: &Exchange, name: &Name, reference: &str, body: &mut Incoming) -> Answer {
    let selector = Selector::parse(reference)?;
    let (expected, mut tags) = match selector {
        Selector::Tag(tag) => (None, vec![tag]),
        Selector::Digest(digest) => (Some(digest), Vec::new()),
    };
    let more: Vec<&str> = exchange.query.all("tag").collect();
    if more.len() > MAX_TAGS {
        return Err(Refusal::new(Code::TagInvalid, format!("at most {MAX_TAGS} tags are given at a time"))
            .status(StatusCode::URI_TOO_LONG));
    }
    if let Some(wrong) = more.iter().find(|tag| !is_tag(tag)) {
        let text = format!("{} is not a tag", base::text::bytes(wrong.as_bytes()));
        return Err(Refusal::new(Code::TagInvalid, text));
    }
    tags.extend(more.iter().map(|tag| (*tag).to_owned()));
    let mut condition = condition(exchange)?;
    if !exchange.state.access.may(&exchange.user, Action::Overwrite, &name.name) {
        // Who may only add may not say anew what a tag means.
        condition = Condition::Absent;
    }
    let bytes = collect(exchange, body).await?;
    let content_type = exchange.header(header::CONTENT_TYPE).map(str::to_owned);
    let state = exchange.state.clone();
    let repository_name = name.name.clone();
    let given = tags.clone();
    let (digest, subject) = blocking(move || {
        let repository = state.store.repositories().get(&repository_name);
        let digest = digest_of(&bytes, expected)?;
        let checked = check(&bytes, content_type.as_deref())?;
        check_parts(&repository, &checked, state.options.sparse_indexes)?;
        store(&state.store, &repository, &bytes, digest, &checked, &given, condition)?;
        if !given.is_empty() {
            state.adopter.look_at(repository.name().clone());
        }
        Ok((digest, checked.subject))
    })
    .await?;
    let mut reply = empty(StatusCode::CREATED);
    set(&mut reply, header::LOCATION, &format!("/v2/{}/manifests/{digest}", name.asked));
    set(&mut reply, CONTENT_DIGEST, &digest.to_string());
    if let Some(subject) = subject {
        set(&mut reply, SUBJECT, &subject.to_string());
    }
    for tag in more {
        add(&mut reply, TAG, tag);
    }
    Ok(reply)
}

/// What has to hold for a tag to be given (RS-047): `If-None-Match: *` that there is none, `If-Match: "DIGEST"` that it means this.
fn condition(exchange: &Exchange) -> Answer<Condition> {
    let unclear = |text: &str| Refusal::new(Code::ManifestInvalid, text.to_owned());
    match (exchange.header(header::IF_NONE_MATCH), exchange.header(header::IF_MATCH)) {
        (None, None) => Ok(Condition::Any),
        (Some(tag), None) if tag.trim() == "*" => Ok(Condition::Absent),
        (None, Some(tag)) => digest(tag.trim().trim_matches('"')).map(Condition::Is),
        _ => Err(unclear("the condition is not understood: If-None-Match: *, or If-Match: \"DIGEST\"")),
    }
}

/// Takes a manifest into memory, unless it is larger than any (RS-046).
async fn collect(exchange: &Exchange, body: &mut Incoming) -> Answer<Vec<u8>> {
    let too_large = || {
        Refusal::new(Code::SizeInvalid, format!("a manifest has at most {MAX_MANIFEST_SIZE} bytes"))
            .status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    let length = exchange.header(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_MANIFEST_SIZE) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(piece) = body::next(body).await {
        let piece =
            piece.map_err(|_| Refusal::new(Code::ManifestInvalid, "the manifest did not come whole"))?;
        if (bytes.len() + piece.len()) as u64 > MAX_MANIFEST_SIZE {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn digest_of(bytes: &[u8], expected: Option<Digest>) -> Answer<Digest> {
    let Some(expected) = expected else { return Ok(Digest::sha256(bytes)) };
    let mut digester = Digester::new(expected.algorithm());
    digester.update(bytes);
    let found = digester.finish();
    if found != expected {
        let text = format!("the manifest that came has the digest {found}, not {expected}");
        return Err(Refusal::new(Code::DigestInvalid, text));
    }
    Ok(found)
}

fn store(
    store: &store::Store,
    repository: &Repository,
    bytes: &[u8],
    digest: Digest,
    checked: &Checked,
    tags: &[String],
    condition: Condition,
) -> Answer<()> {
    let lease = store.lease("push a manifest")?;
    let size = bytes.len() as u64;
    let mut writer = store.blobs().writer(&lease)?;
    writer.write_all(bytes).context("write", store.blobs().path(&digest))?;
    writer.commit(Some((digest, size)))?;
    let new = NewManifest {
        descriptor: Descriptor::new(checked.media_type.clone(), digest, size),
        subject: checked.subject,
        blobs: &checked.blobs,
        // Which of them have to be here was seen before; what has gone since then was deleted on purpose.
        manifests: &[],
        tags,
        condition,
    };
    match repository.add_manifest(&new) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(meant)) => {
            let meant = meant.map_or("nothing".to_owned(), |tag| tag.target.digest.to_string());
            Err(Refusal::new(Code::Denied, format!("the tag means {meant}"))
                .status(StatusCode::PRECONDITION_FAILED))
        }
        Err(StoreError::NoBlob(missing)) => {
            Err(Refusal::new(Code::ManifestBlobUnknown, "a blob of the manifest has just been deleted")
                .detail(serde_json::json!({"digest": missing.to_string()})))
        }
        Err(error) => Err(error.into()),
    }
}

/// DELETE: of a tag alone, or of a manifest and the tags that mean it.
pub(crate) async fn delete(exchange: &Exchange, name: &Name, reference: &str) -> Answer {
    let selector = Selector::parse(reference)?;
    let repository = exchange.state.store.repositories().get(&name.name);
    blocking(move || {
        let unknown = || Refusal::new(Code::ManifestUnknown, "the repository has no such manifest");
        match selector {
            Selector::Tag(tag) if repository.remove_tag(&tag)? => Ok(empty(StatusCode::ACCEPTED)),
            Selector::Tag(_) => Err(unknown()),
            Selector::Digest(digest) => match (
                repository.remove_manifest(&digest)?,
                repository.manifest(&digest)?,
            ) {
                (false, _) => Err(unknown()),
                (true, None) => Ok(empty(StatusCode::ACCEPTED)),
                (true, Some(_)) => Err(Refusal::new(
                    Code::Unsupported,
                    "this manifest is a part of an index that the registry's own store has; delete the index",
                )
                .header(header::ALLOW, "GET, HEAD, PUT")),
            },
        }
    })
    .await
}
