//! What can be done with a repository.

use base::{Classified, Finding};
use image::{Descriptor, Document, Reference};
use reqwest::Method;
use reqwest::header::{HeaderValue, RANGE};

use super::{Look, call, failed};
use crate::http::{Answer, Body};
use crate::limits::Limits;
use crate::manifests::{self, Fetched};
use crate::places::Place;
use crate::registry::Registry;
use crate::upload::CHUNK_MIN_LENGTH;
use crate::{DistributionError, Result, delete, referrers};

/// The repository whose manifest Docker asks to look at for its limits.
const LIMITS_OF_HUB: &str = "ratelimitpreview/test";
/// Below this part of what is allowed, what is left is worth a word.
const FEW: u64 = 10;

/// Looks at an image, and at what can be done in its repository.
pub(super) fn look(look: &mut Look<'_>, image: Reference) -> Result<()> {
    let registry = match look.client.open(look.place.clone(), look.cancel) {
        Ok(registry) => registry,
        Err(error) => return look.add_failure("image", error),
    };
    let described = match manifests::head(&registry, &image) {
        Ok(answer) => {
            let described = manifests::said_by(&answer, &image);
            look.findings.extend(Limits::of(answer.headers()).map(|limits| told(&limits, &registry)));
            described
        }
        // What is wrong is said by the answer to a GET.
        Err(error @ DistributionError::Cancelled(_)) => return Err(error),
        Err(_) => None,
    };
    let fetched = match manifests::get(&registry, &image) {
        Ok(fetched) => fetched,
        Err(error) => {
            look.add_failure("image", error)?;
            return if look.wish.push { push(look, &registry, &image, None) } else { Ok(()) };
        }
    };
    look.add(found(&image, &fetched.descriptor, described.as_ref()));
    let blob = match some_blob(&registry, &image, &fetched) {
        Ok(blob) => blob,
        Err(error) => {
            look.add_failure("blobs", error)?;
            None
        }
    };
    if let Some(blob) = &blob {
        ranges(look, &registry, blob)?;
    }
    match referrers::by_api(&registry, &fetched.descriptor.digest, None) {
        Ok(Some(list)) => {
            look.add(Finding::ok(
                "referrers",
                format!("the registry keeps the list of what is about it: {}", list.len()),
            ));
        }
        Ok(None) => look.add(Finding::ok(
            "referrers",
            "the registry keeps no list of what is about an image: a tag has it",
        )),
        Err(error) => look.add_failure("referrers", error)?,
    }
    if look.wish.push { push(look, &registry, &image, blob.as_ref()) } else { Ok(()) }
}

/// What the name means; a registry that says nothing, or something else, to who asks for the head only makes more work.
fn found(image: &Reference, is: &Descriptor, by_head: Option<&Descriptor>) -> Finding {
    let text =
        format!("{} is {} ({}, {} bytes)", image.familiar(), is.digest, is.media_type.as_str(), is.size);
    match by_head {
        Some(head) if head.digest == is.digest => Finding::ok("image", text),
        Some(head) => Finding::missing(
            "image",
            format!("{text}, and HEAD says {}", head.digest),
            Some("a cache before the registry keeps what is old: ask whoever runs it".to_owned()),
        ),
        None => Finding::ok(
            "image",
            format!("{text}; HEAD does not say so, so it is fetched whenever it is asked for"),
        ),
    }
}

/// What Docker Hub allows, when no image is named. Looking counts nothing.
pub(super) fn limits_of_hub(look: &mut Look<'_>, whole: &Registry<'_>) -> Result<()> {
    if !look.place.host.is_hub() {
        return Ok(());
    }
    let Ok(image) = Reference::parse(LIMITS_OF_HUB) else { return Ok(()) };
    let place = Place { repository: LIMITS_OF_HUB.to_owned(), ..look.place.clone() };
    let credential = whole.authorizer.credential.clone();
    let asked = Registry::open(look.client, place, credential, look.cancel)
        .and_then(|registry| manifests::head(&registry, &image.or_latest()));
    match asked {
        Ok(answer) => look.add(match Limits::of(answer.headers()) {
            Some(limits) => told(&limits, whole),
            None => Finding::ok("limits", "it says none for this user"),
        }),
        Err(error) => look.add_failure("limits", error)?,
    }
    Ok(())
}

/// Limits (RC-063), and what gets around them.
fn told(limits: &Limits, registry: &Registry<'_>) -> Finding {
    let host = registry.host.name();
    let remedy = match registry.authorizer.credential {
        None => format!("users have more: lap login {host}; or set up a mirror"),
        Some(_) => "set up a mirror that keeps what is pulled often".to_owned(),
    };
    match limits.remaining {
        Some(0) => Finding::missing("limits", limits.to_string(), Some(remedy)),
        Some(left) if left < limits.limit / FEW => {
            Finding::better("limits", limits.to_string(), Some(remedy))
        }
        _ => Finding::ok("limits", limits.to_string()),
    }
}

/// A blob of an image, or of the first one of an index; none in an index of nothing.
fn some_blob(registry: &Registry<'_>, image: &Reference, fetched: &Fetched) -> Result<Option<Descriptor>> {
    match &fetched.document {
        Document::Manifest(raw) => Ok(Some(raw.value().config.clone())),
        Document::Index(raw) => match raw.value().manifests.first() {
            None => Ok(None),
            Some(first) => match manifests::get_described(registry, image, first)?.document {
                Document::Manifest(raw) => Ok(Some(raw.value().config.clone())),
                Document::Index(_) => Ok(None),
            },
        },
    }
}

/// Whether a part of a blob can be had: without it, what breaks off begins again.
fn ranges(look: &mut Look<'_>, registry: &Registry<'_>, blob: &Descriptor) -> Result<()> {
    let url = registry.url(&format!("blobs/{}", blob.digest));
    let mut call = call(registry, Method::GET, url, "pull", "give a part of a blob");
    call.headers.insert(RANGE, HeaderValue::from_static("bytes=1-"));
    let answer = match registry.send(&call) {
        Ok(answer) => answer,
        Err(error) => return look.add_failure("ranges", error),
    };
    let from = match answer.url().origin() == call.url.origin() {
        true => String::new(),
        false => format!(", and they come from {}", crate::http::shown(answer.url())),
    };
    look.add(match answer.status().as_u16() {
        206 => Finding::ok("ranges", format!("parts of blobs can be had{from}")),
        200 => Finding::better(
            "ranges",
            format!("parts of blobs cannot be had{from}: what breaks off is read again from its beginning"),
            Some("let what stands before the registry pass on the header Range".to_owned()),
        ),
        _ => failed("ranges", &registry.refused(answer, &call, &format!("the blob {}", blob.digest))),
    });
    Ok(())
}

/// Whether there is the right to push, and what the registry wants of pushes.
fn push(
    look: &mut Look<'_>,
    registry: &Registry<'_>,
    image: &Reference,
    blob: Option<&Descriptor>,
) -> Result<()> {
    if !look.place.can.push {
        look.add(Finding::ok("push", "nothing is pushed here, by the settings"));
        return Ok(());
    }
    let body = Body::empty();
    let mut begin =
        call(registry, Method::POST, registry.url("blobs/uploads/"), "pull,push", "begin an upload");
    begin.body = Some(&body);
    let answer = match registry.send(&begin) {
        Ok(answer) if answer.status() == 202 => answer,
        Ok(answer) => {
            let what = format!("the repository {}", registry.full_name());
            look.add(failed("push", &registry.refused(answer, &begin, &what)));
            return Ok(());
        }
        Err(error) => return look.add_failure("push", error),
    };
    let ended = cancelled(registry, &answer)?;
    look.add(Finding::ok("push", format!("{} may push; {ended}", registry.authorizer.who())));
    look.add(Finding::ok(
        "chunks",
        match answer.header(CHUNK_MIN_LENGTH).map(base::text::line) {
            Some(least) => format!("none but the last may be smaller than {least} bytes"),
            None => "of any size".to_owned(),
        },
    ));
    answer.drain();
    if let Some(blob) = blob {
        mount(look, registry, blob)?;
    }
    match delete::may_delete(registry, image) {
        Ok(()) => look.add(Finding::ok("delete", "manifests can be deleted")),
        Err(error @ DistributionError::Cancelled(_)) => return Err(error),
        Err(error) => {
            let why = crate::error::in_one_line(&error);
            look.add(Finding::better("delete", format!("manifests cannot be deleted: {why}"), error.hint()));
        }
    }
    Ok(())
}

/// Whether a blob that the registry has can be taken over instead of being sent.
fn mount(look: &mut Look<'_>, registry: &Registry<'_>, blob: &Descriptor) -> Result<()> {
    let mut url = registry.url("blobs/uploads/");
    url.query_pairs_mut()
        .append_pair("mount", &blob.digest.to_string())
        .append_pair("from", &registry.repository);
    let body = Body::empty();
    let mut begin = call(registry, Method::POST, url, "pull,push", "take over a blob");
    begin.body = Some(&body);
    let answer = match registry.send(&begin) {
        Ok(answer) => answer,
        Err(error) => return look.add_failure("mount", error),
    };
    match answer.status().as_u16() {
        201 => look.add(Finding::ok("mount", "blobs of other repositories are taken over, and not sent")),
        202 => {
            cancelled(registry, &answer)?;
            look.add(Finding::ok("mount", "blobs of other repositories are sent again"));
        }
        _ => {
            let status = answer.status();
            look.add(Finding::ok("mount", format!("blobs of other repositories are sent again ({status})")));
        }
    }
    answer.drain();
    Ok(())
}

/// Cancels an upload that an answer has begun (RC-073), and says what came of it.
fn cancelled(registry: &Registry<'_>, begun: &Answer<'_>) -> Result<&'static str> {
    let action = "cancel an upload";
    let ended = registry
        .location(begun, action)
        .and_then(|location| registry.send(&call(registry, Method::DELETE, location, "pull,push", action)));
    match ended {
        Ok(answer) if answer.status().is_success() => Ok("the upload that tried it was cancelled"),
        Err(error @ DistributionError::Cancelled(_)) => Err(error),
        Ok(_) | Err(_) => {
            Ok("the upload that tried it cannot be cancelled, and ends when the registry forgets it")
        }
    }
}
