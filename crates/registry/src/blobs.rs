//! Blobs: whole, in ranges, or only whether they are there (RS-010 … RS-013).

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use base::Cancel;
use hyper::{Response, StatusCode, header};
use image::{DiffId, Digest};
use store::repositories::RepositoryBlob;
use store::{Lease, Repository, Store};

use crate::body::Body;
use crate::range::{Wanted, wanted};
use crate::reply::{Answer, CONTENT_DIGEST, Code, Refusal, Reply, empty, set};
use crate::route::Name;
use crate::service::{Exchange, blocking};

const MEDIA_TYPE: &str = "application/octet-stream";

/// Reads a digest that a client gave.
pub(crate) fn digest(text: &str) -> Answer<Digest> {
    Digest::parse(text).map_err(|error| Refusal::new(Code::DigestInvalid, error.to_string()))
}

fn unknown(digest: &Digest) -> Refusal {
    Refusal::new(Code::BlobUnknown, "the repository does not have this blob")
        .detail(serde_json::json!({"digest": digest.to_string()}))
}

/// GET and HEAD.
pub(crate) async fn get(exchange: &Exchange, name: &Name, digest_text: &str) -> Answer {
    let digest = digest(digest_text)?;
    let repository = exchange.state.store.repositories().get(&name.name);
    let store = exchange.state.store.clone();
    let is_head = exchange.is_head();
    let (size, file) = blocking(move || {
        let found = repository.blob(&digest)?.ok_or_else(|| unknown(&digest))?;
        let file = if is_head { None } else { Some(open(&store, &repository, &digest, found)?) };
        Ok((found.size, file))
    })
    .await?;
    let etag = format!("\"{digest}\"");
    if is_known(exchange.header(header::IF_NONE_MATCH), &etag) {
        let mut reply = empty(StatusCode::NOT_MODIFIED);
        set(&mut reply, header::ETAG, &etag);
        return Ok(reply);
    }
    let asks_for_this = exchange.header(header::IF_RANGE).is_none_or(|tag| tag.trim() == etag);
    let range = exchange.header(header::RANGE).filter(|_| asks_for_this);
    let mut reply = match wanted(range, size) {
        Wanted::Whole => whole(size, file.as_ref()),
        Wanted::Nothing => {
            return Err(Refusal::new(Code::SizeInvalid, format!("the blob has {size} bytes"))
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{size}")));
        }
        Wanted::Parts(parts) => match parts.as_slice() {
            [part] => one(size, part, file.as_ref()),
            parts => several(size, parts, &digest, file.as_ref()),
        },
    };
    set(&mut reply, CONTENT_DIGEST, digest_text);
    set(&mut reply, header::ETAG, &etag);
    set(&mut reply, header::ACCEPT_RANGES, "bytes");
    set(&mut reply, header::CACHE_CONTROL, "max-age=31536000, immutable");
    Ok(reply)
}

/// Opens a blob, and makes it before when it is a layer's plain tar that is not there.
fn open(store: &Store, repository: &Repository, digest: &Digest, found: RepositoryBlob) -> Answer<Arc<File>> {
    if !found.is_there {
        let lease = make(store, digest)?;
        return Ok(Arc::new(store.blobs().open(&lease, digest)?.file));
    }
    Ok(Arc::new(repository.open_blob(digest)?.ok_or_else(|| unknown(digest))?.file))
}

/// Makes the plain tar of a layer, which stays as long as the lease is held.
pub(crate) fn make(store: &Store, digest: &Digest) -> Answer<Lease> {
    let lease = store.lease("serve a layer")?;
    let layer = store.layers().get(&DiffId(*digest))?.ok_or_else(|| unknown(digest))?;
    layer::forms::pack(store, &lease, &layer, &Cancel::new())?;
    Ok(lease)
}

/// Whether an `If-None-Match` names what would be sent.
pub(crate) fn is_known(header: Option<&str>, etag: &str) -> bool {
    let tags = header.unwrap_or_default().split(',').map(str::trim);
    tags.into_iter().any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn reply(status: StatusCode, media_type: &str, length: u64, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    set(&mut reply, header::CONTENT_TYPE, media_type);
    set(&mut reply, header::CONTENT_LENGTH, &length.to_string());
    reply
}

fn whole(size: u64, file: Option<&Arc<File>>) -> Reply {
    let mut body = Body::empty();
    if let Some(file) = file {
        body.push_file(file, 0..size);
    }
    reply(StatusCode::OK, MEDIA_TYPE, size, body)
}

fn one(size: u64, part: &Range<u64>, file: Option<&Arc<File>>) -> Reply {
    let mut body = Body::empty();
    if let Some(file) = file {
        body.push_file(file, part.clone());
    }
    let mut reply = reply(StatusCode::PARTIAL_CONTENT, MEDIA_TYPE, part.end - part.start, body);
    set(&mut reply, header::CONTENT_RANGE, &content_range(size, part));
    reply
}

/// Several ranges in one reply (podman asks for the parts of a zstd:chunked layer so).
fn several(size: u64, parts: &[Range<u64>], digest: &Digest, file: Option<&Arc<File>>) -> Reply {
    // No blob holds its own digest.
    let boundary = digest.hex().chars().take(32).collect::<String>();
    let mut body = Body::empty();
    let mut length = 0;
    for part in parts {
        let range = content_range(size, part);
        let head =
            format!("\r\n--{boundary}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Range: {range}\r\n\r\n");
        length += head.len() as u64 + part.end - part.start;
        if let Some(file) = file {
            body.push_bytes(head);
            body.push_file(file, part.clone());
        }
    }
    let end = format!("\r\n--{boundary}--\r\n");
    length += end.len() as u64;
    if file.is_some() {
        body.push_bytes(end);
    }
    reply(StatusCode::PARTIAL_CONTENT, &format!("multipart/byteranges; boundary={boundary}"), length, body)
}

fn content_range(size: u64, part: &Range<u64>) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end - 1)
}

/// DELETE.
pub(crate) async fn delete(exchange: &Exchange, name: &Name, digest_text: &str) -> Answer {
    let digest = digest(digest_text)?;
    let repository = exchange.state.store.repositories().get(&name.name);
    blocking(move || {
        let was_there = repository.remove_blob(&digest)?;
        match (repository.blob(&digest)?, was_there) {
            (Some(_), _) => Err(Refusal::new(
                Code::Unsupported,
                "an image of the registry's own store has this blob; it goes when the image does",
            )
            .header(header::ALLOW, "GET, HEAD")),
            (None, true) => Ok(empty(StatusCode::ACCEPTED)),
            (None, false) => Err(unknown(&digest)),
        }
    })
    .await
}
