//! Uploads: in one request, in two, or in as many pieces as it takes (RS-020 … RS-030).

use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::{StatusCode, header};
use image::{Algorithm, DiffId, Digest};
use store::repositories::Upload;
use store::{Repository, RepositoryName, Store, StoreError};
use tokio::task::JoinHandle;

use crate::access::Action;
use crate::blobs::{digest, make};
use crate::body;
use crate::range::piece;
use crate::reply::{Answer, CONTENT_DIGEST, Code, Refusal, Reply, UPLOAD_ID, empty, set};
use crate::route::Name;
use crate::service::{Exchange, blocking};

/// How much is collected before it is written: this, and as much again that is being written, is the memory of an upload.
const PIECE: usize = 512 << 10;
/// A client that sends nothing for so long is gone.
const IDLE: Duration = Duration::from_secs(120);

/// POST: mounts a blob, takes one in one go, or begins an upload.
pub(crate) async fn begin(exchange: &Exchange, name: &Name, body: &mut Incoming) -> Answer {
    let algorithm = match exchange.query.get("digest-algorithm") {
        None => Algorithm::Sha256,
        Some(text) => Algorithm::ALL.into_iter().find(|known| known.name() == text).ok_or_else(|| {
            Refusal::new(Code::DigestInvalid, "digests of this algorithm cannot be verified here")
        })?,
    };
    if let Some(mounted) = exchange.query.get("mount") {
        let mounted = digest(mounted)?;
        if mount(exchange, name, mounted).await? {
            return Ok(created(name, &mounted));
        }
    }
    let whole = exchange.query.get("digest").map(digest).transpose()?;
    let algorithm = whole.map_or(algorithm, |digest| digest.algorithm());
    let repository = repository(exchange, name);
    let uploads = exchange.state.store.repositories().uploads();
    let upload = blocking(move || Ok(uploads.begin(&repository, algorithm)?)).await?;
    let Some(digest) = whole else {
        let id = upload.id().to_owned();
        pause(exchange, upload, None).await?;
        return Ok(progress(StatusCode::ACCEPTED, name, &id, 0));
    };
    match receive(exchange, body, upload, None).await {
        (Some(upload), Ok(())) => commit(exchange, name, upload, digest).await,
        (upload, Err(refusal)) => {
            // Nobody knows its name: it cannot be taken up again.
            if let Some(upload) = upload {
                blocking(move || Ok(upload.cancel()?)).await?;
            }
            Err(refusal)
        }
        (None, Ok(())) => Err(lost()),
    }
}

/// Lets a blob be seen that another repository has (RS-028): one that is named, or any that the client may read.
async fn mount(exchange: &Exchange, name: &Name, digest: Digest) -> Answer<bool> {
    let repositories = exchange.state.store.repositories();
    let target = repositories.get(&name.name);
    let from = exchange.query.get("from").map(RepositoryName::parse);
    let (state, user) = (exchange.state.clone(), exchange.user.clone());
    blocking(move || {
        let sources = match from {
            Some(from) => from.into_iter().collect(),
            // What the store does not have in any form, nobody needs to look for.
            None if !is_known(&state.store, &digest)? => Vec::new(),
            None => repositories.list()?,
        };
        for source in sources {
            if !state.access.may(&user, Action::Pull, &source) {
                continue;
            }
            let source = repositories.get(&source);
            let is_there = source.blob(&digest)?.map(|found| found.is_there);
            let _lease = (is_there == Some(false)).then(|| make(&state.store, &digest)).transpose()?;
            if is_there.is_some() && target.mount_blob(&source, &digest)? {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .await
}

/// Whether the store has this, as it is or as a layer whose tar can be made.
fn is_known(store: &Store, digest: &Digest) -> Answer<bool> {
    Ok(store.blobs().size(digest)?.is_some() || store.layers().get(&DiffId(*digest))?.is_some())
}

/// PATCH: more bytes.
pub(crate) async fn append(exchange: &Exchange, name: &Name, id: &str, body: &mut Incoming) -> Answer {
    let upload = resume(exchange, name, id).await?;
    let (upload, taken) = take(exchange, name, upload, body).await;
    let Some(upload) = upload else { return Err(lost()) };
    let size = upload.size();
    pause(exchange, upload, taken.as_ref().err()).await?;
    taken?;
    Ok(progress(StatusCode::ACCEPTED, name, id, size))
}

/// PUT: the last bytes, or none, and what all of them are.
pub(crate) async fn finish(exchange: &Exchange, name: &Name, id: &str, body: &mut Incoming) -> Answer {
    let Some(text) = exchange.query.get("digest") else {
        let text = "the digest of the blob is missing: ?digest=sha256:…";
        return Err(Refusal::new(Code::DigestInvalid, text));
    };
    let digest = digest(text)?;
    let upload = resume(exchange, name, id).await?;
    let (upload, taken) = if body.is_end_stream() && !exchange.headers.contains_key(header::CONTENT_RANGE) {
        (Some(upload), Ok(()))
    } else {
        take(exchange, name, upload, body).await
    };
    let Some(upload) = upload else { return Err(lost()) };
    if let Err(refusal) = taken {
        pause(exchange, upload, Some(&refusal)).await?;
        return Err(refusal);
    }
    commit(exchange, name, upload, digest).await
}

/// What has come stays, also when the connection broke (RS-026); but not when there was no room for the rest: then others need it more.
async fn pause(exchange: &Exchange, upload: Upload, refusal: Option<&Refusal>) -> Answer<()> {
    if refusal.is_some_and(|refusal| refusal.status == StatusCode::INSUFFICIENT_STORAGE) {
        return blocking(move || Ok(upload.cancel()?)).await;
    }
    let id = upload.id().to_owned();
    let known = blocking(move || Ok(upload.pause()?)).await?;
    exchange.state.remember(&id, known);
    Ok(())
}

/// GET and HEAD: how far it is.
pub(crate) async fn status(exchange: &Exchange, name: &Name, id: &str) -> Answer {
    let (repository, uploads) = (repository(exchange, name), exchange.state.store.repositories().uploads());
    let asked = id.to_owned();
    let size = blocking(move || uploads.size(&repository, &asked)?.ok_or_else(unknown)).await?;
    Ok(progress(StatusCode::NO_CONTENT, name, id, size))
}

/// DELETE: it is not wanted any more.
pub(crate) async fn cancel(exchange: &Exchange, name: &Name, id: &str) -> Answer {
    let upload = resume(exchange, name, id).await?;
    blocking(move || Ok(upload.cancel()?)).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn resume(exchange: &Exchange, name: &Name, id: &str) -> Answer<Upload> {
    let (repository, uploads) = (repository(exchange, name), exchange.state.store.repositories().uploads());
    let (state, id) = (exchange.state.clone(), id.to_owned());
    blocking(move || match uploads.resume(&repository, &id, state.recall(&id)) {
        Ok(upload) => upload.ok_or_else(unknown),
        Err(error @ StoreError::UploadBusy(_)) => {
            Err(Refusal::new(Code::BlobUploadInvalid, error.to_string()).status(StatusCode::CONFLICT))
        }
        Err(error) => Err(error.into()),
    })
    .await
}

/// Takes a piece, if it is the one that comes next. The upload comes back in any case, as far as it has come.
async fn take(
    exchange: &Exchange,
    name: &Name,
    upload: Upload,
    body: &mut Incoming,
) -> (Option<Upload>, Answer<()>) {
    let length = exchange.header(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    let expected = match exchange.header(header::CONTENT_RANGE) {
        None => None,
        Some(text) => match piece(text) {
            None => {
                let text = "the Content-Range is not FIRST-LAST";
                return (Some(upload), Err(Refusal::new(Code::BlobUploadInvalid, text)));
            }
            Some(piece) if piece.start != upload.size() => {
                let refusal = out_of_order(name, &upload);
                return (Some(upload), Err(refusal));
            }
            Some(piece) => Some(piece.end - piece.start),
        },
    };
    if let (Some(expected), Some(length)) = (expected, length)
        && expected != length
    {
        return (Some(upload), Err(wrong_length(expected)));
    }
    receive(exchange, body, upload, expected).await
}

fn out_of_order(name: &Name, upload: &Upload) -> Refusal {
    let size = upload.size();
    Refusal::new(Code::BlobUploadInvalid, format!("the next piece of this upload begins at {size}"))
        .status(StatusCode::RANGE_NOT_SATISFIABLE)
        .header(header::LOCATION, location(name, upload.id()))
        .header(header::RANGE, range(size))
        .header(UPLOAD_ID, upload.id())
}

fn wrong_length(expected: u64) -> Refusal {
    Refusal::new(
        Code::SizeInvalid,
        format!("the Content-Range speaks of {expected} bytes, and not as many came"),
    )
}

/// What is being written meanwhile.
type Writing = JoinHandle<(Upload, Vec<u8>, Result<(), StoreError>)>;

/// Takes a body: while one piece is written (and hashed), the next one is collected. When not as many bytes come as are expected, none counts.
async fn receive(
    exchange: &Exchange,
    body: &mut Incoming,
    upload: Upload,
    expected: Option<u64>,
) -> (Option<Upload>, Answer<()>) {
    let begun = upload.size();
    let mut idle = Some(upload);
    let mut writing: Option<Writing> = None;
    let (mut full, mut spare) = (Vec::new(), Vec::new());
    let mut count = 0;
    let mut outcome = Ok(());
    loop {
        let more = tokio::time::timeout(IDLE, body::next(body)).await;
        let is_end = match more {
            Ok(Some(Ok(bytes))) => {
                count += bytes.len() as u64;
                exchange.state.metrics.bytes_came(bytes.len() as u64);
                full.extend_from_slice(&bytes);
                if expected.is_some_and(|expected| count > expected) {
                    outcome = Err(wrong_length(expected.unwrap_or_default()));
                }
                outcome.is_err()
            }
            Ok(None) => true,
            Ok(Some(Err(error))) => {
                outcome = Err(broken(&error.to_string()));
                true
            }
            Err(_) => {
                outcome = Err(broken("nothing came for two minutes").status(StatusCode::REQUEST_TIMEOUT));
                true
            }
        };
        if full.len() < PIECE && !is_end {
            continue;
        }
        if let Some(writing) = writing.take() {
            match writing.await {
                Ok((upload, buffer, written)) => {
                    (idle, spare) = (Some(upload), buffer);
                    if let Err(error) = written {
                        return (idle, Err(error.into()));
                    }
                }
                Err(_) => return (None, Err(lost())),
            }
        }
        if full.is_empty() && is_end {
            break;
        }
        let Some(mut upload) = idle.take() else { return (None, Err(lost())) };
        spare.clear();
        let buffer = std::mem::replace(&mut full, std::mem::take(&mut spare));
        writing = Some(tokio::task::spawn_blocking(move || {
            let written = upload.append(&buffer);
            (upload, buffer, written)
        }));
        if is_end {
            match writing.take() {
                Some(writing) => match writing.await {
                    Ok((upload, _, written)) => {
                        idle = Some(upload);
                        outcome = outcome.and_then(|()| Ok(written?));
                    }
                    Err(_) => return (None, Err(lost())),
                },
                None => return (None, Err(lost())),
            }
            break;
        }
    }
    let is_wrong = expected.is_some_and(|expected| count != expected);
    if outcome.is_ok() && is_wrong {
        outcome = Err(wrong_length(expected.unwrap_or_default()));
    }
    // A broken connection leaves what came; a piece of another length than it says is none at all.
    let is_none = matches!(&outcome, Err(refusal) if refusal.status == StatusCode::BAD_REQUEST) && is_wrong;
    if let Some(upload) = &mut idle
        && is_none
        && let Err(error) = upload.truncate(begun)
    {
        outcome = Err(error.into());
    }
    (idle, outcome)
}

/// The connection broke: nobody reads this, but the log does.
fn broken(why: &str) -> Refusal {
    let mut refusal = Refusal::new(Code::BlobUploadInvalid, "the body did not come whole")
        .status(StatusCode::UNPROCESSABLE_ENTITY);
    refusal.cause = Some(why.to_owned());
    refusal
}

fn lost() -> Refusal {
    Refusal::new(Code::Unknown, "the registry failed; begin the upload again")
}

async fn commit(exchange: &Exchange, name: &Name, upload: Upload, digest: Digest) -> Answer {
    blocking(move || match upload.commit(&digest) {
        Err(StoreError::Mismatch { expected, found, .. }) => {
            let text = format!("the bytes that came have the digest {found}, not {expected}");
            Err(Refusal::new(Code::DigestInvalid, text))
        }
        result => Ok(result?),
    })
    .await?;
    exchange.state.metrics.blob_came();
    Ok(created(name, &digest))
}

fn created(name: &Name, digest: &Digest) -> Reply {
    let mut reply = empty(StatusCode::CREATED);
    set(&mut reply, header::LOCATION, &format!("/v2/{}/blobs/{digest}", name.asked));
    set(&mut reply, CONTENT_DIGEST, &digest.to_string());
    reply
}

fn progress(status: StatusCode, name: &Name, id: &str, size: u64) -> Reply {
    let mut reply = empty(status);
    set(&mut reply, header::LOCATION, &location(name, id));
    set(&mut reply, header::RANGE, &range(size));
    set(&mut reply, UPLOAD_ID, id);
    reply
}

/// A path, without a host: whatever proxies stand between, it leads to this registry (RS-027).
fn location(name: &Name, id: &str) -> String {
    format!("/v2/{}/blobs/uploads/{id}", name.asked)
}

/// `0-0` stands for nothing as well as for one byte; everybody does it so.
fn range(size: u64) -> String {
    format!("0-{}", size.saturating_sub(1))
}

fn repository(exchange: &Exchange, name: &Name) -> Repository {
    exchange.state.store.repositories().get(&name.name)
}

fn unknown() -> Refusal {
    Refusal::new(
        Code::BlobUploadUnknown,
        "there is no such upload: it was finished, cancelled, or idle for too long",
    )
}
