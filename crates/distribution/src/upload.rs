//! A blob on its way to a registry (RC-068 … RC-075).
//!
//! ```text
//! is it there? ─▶ is it in another repository? ─▶ a session ─▶ small: one PUT
//!                                                     └──────▶ large: chunks ─▶ a PUT that ends it
//! ```
//!
//! A blob may still be growing: then its chunks are sent as they become whole, and its digest, and so whether the registry has it, is known at the end.
//!
//! The session of a large blob is noted in the store after each chunk. Whatever goes wrong, the next attempt, of this process or of another one, begins at the top: the
//! blob may have arrived; else the registry is asked how far the session has come.

mod blob;

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use base::task::{Count, Task};
use base::{Cancelled, sizes};
use image::{Algorithm, Descriptor, Digest};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RANGE};
use reqwest::{Method, Url};
use store::Store;

use self::blob::Told;
pub(crate) use self::blob::{Blob, Content, grown, stored};
use crate::blobs;
use crate::http::{Answer, Body};
use crate::registry::{Call, Registry};
use crate::retry::{self, Attempts};
use crate::scope::scope;
use crate::{DistributionError, Result};

/// Blobs up to this size go in one request; larger ones in chunks of it, so that at most one chunk is sent again (RC-069).
const CHUNK: u64 = 16 << 20;
/// The smallest chunk that a registry takes (RC-070).
pub(crate) const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// One blob, to one repository.
pub(crate) struct Upload<'a> {
    pub registry: &'a Registry<'a>,
    /// Where sessions are noted.
    pub store: &'a Store,
    pub content: Content,
    pub blob: Blob<'a>,
    /// Under which digest sessions are noted: the blob's, or that of how it is made.
    pub noted_as: Digest,
    /// Another repository of the registry that may have it.
    pub from: Option<&'a str>,
    pub task: &'a Task<'a>,
}

/// Why an attempt failed.
enum Failure {
    /// Another attempt may succeed.
    Passing(DistributionError),
    /// None will.
    Lasting(DistributionError),
}

impl From<DistributionError> for Failure {
    fn from(error: DistributionError) -> Self {
        if retry::may_pass(&error) { Failure::Passing(error) } else { Failure::Lasting(error) }
    }
}

impl From<store::StoreError> for Failure {
    fn from(error: store::StoreError) -> Self {
        Failure::Lasting(error.into())
    }
}

/// How far an upload has come, over all attempts.
#[derive(Default)]
struct SoFar {
    /// How much the registry had when this began; unknown until a session is open.
    was_there: Option<u64>,
    /// How much it has.
    reached: u64,
    /// All has been sent, whether or not the answer to that came.
    is_complete: bool,
}

/// Where an upload goes on.
struct Session {
    location: Url,
    /// How much the registry has.
    offset: u64,
    chunk: u64,
}

/// Whether a repository has a blob (RC-075). A registry that does not say so clearly gets it again.
pub(crate) fn is_there(registry: &Registry<'_>, blob: &Descriptor, rights: &str) -> Result<bool> {
    let (answer, call) = blobs::head(registry, &blob.digest, rights)?;
    match answer.status().as_u16() {
        200 => Ok(answer.length().is_none_or(|length| length == blob.size)),
        status if retry::passes(status) => {
            let what = format!("the repository {}", registry.full_name());
            Err(registry.refused(answer, &call, &what))
        }
        // The answer to a HEAD has no body that would say more; what follows is refused as well, and says it.
        _ => Ok(false),
    }
}

impl Upload<'_> {
    /// Gets the blob there. Gives how many bytes of it had to be sent; if none, it is said why.
    pub(crate) fn run(&self) -> Result<u64> {
        let count = Arc::new(Mutex::new(self.task.count(self.blob.known().map(|blob| blob.size))));
        let mut attempts = Attempts::default();
        let mut so_far = SoFar::default();
        loop {
            let before = so_far.reached;
            let failure = match self.attempt(&count, &mut so_far) {
                Ok(sent) => return Ok(sent),
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing(error)) => error,
            };
            if so_far.reached > before {
                attempts.progress();
            }
            match attempts.next_pause(self.registry.patience()) {
                Some(pause) => retry::sleep(pause, self.registry.cancel)?,
                None => return Err(failure),
            }
        }
    }

    fn attempt(&self, count: &Arc<Mutex<Count>>, so_far: &mut SoFar) -> Result<u64, Failure> {
        // With less than a chunk of it, there is nothing to begin with.
        self.blob.wait(CHUNK, self.registry.cancel)?;
        if let Some(blob) = self.blob.known()
            && is_there(self.registry, &blob, "pull,push")?
        {
            self.forget()?;
            if so_far.is_complete {
                // It arrived the last time; the answer did not.
                count.lock().unwrap_or_else(PoisonError::into_inner).end();
                return Ok(blob.size.saturating_sub(so_far.was_there.unwrap_or_default()));
            }
            self.task.say("is there already");
            return Ok(0);
        }
        let resumed = self.resumed()?;
        let is_resumed = resumed.is_some();
        let mut session = match resumed {
            Some(session) => session,
            None => match self.begin()? {
                Some(session) => session,
                None => return Ok(0),
            },
        };
        // What an attempt before this one has sent was not there. A session that has gone takes with it what was.
        let was_there = so_far.was_there.map_or(session.offset, |before| before.min(session.offset));
        so_far.was_there = Some(was_there);
        if session.offset > 0 {
            let at = match self.blob.known() {
                Some(blob) => sizes::share(session.offset, blob.size),
                None => sizes::size(session.offset),
            };
            self.task.say(&format!("resumed at {at}"));
        }
        while let Some(end) = self.next_chunk(&session)? {
            self.chunk(&mut session, end, count)?;
            so_far.reached = so_far.reached.max(session.offset);
        }
        so_far.is_complete = true;
        self.complete(&session, count, is_resumed)?;
        self.forget()?;
        count.lock().unwrap_or_else(PoisonError::into_inner).end();
        // What was sent to its end is known.
        let size = self.blob.known().map_or(0, |blob| blob.size);
        Ok(size.saturating_sub(was_there))
    }

    /// Where the next chunk ends; `None` when nothing is left, or all of it goes with the request that ends the session.
    fn next_chunk(&self, session: &Session) -> Result<Option<u64>, Failure> {
        let end = self.blob.wait(session.offset.saturating_add(session.chunk), self.registry.cancel)?;
        let is_small =
            session.offset == 0 && self.blob.known().is_some_and(|blob| blob.size <= session.chunk);
        if end < session.offset {
            self.forget()?;
            // It is the session of something else.
            let reason = "it has more of the blob than there is";
            return Err(Failure::Passing(self.registry.strange(&self.action(), reason)));
        }
        Ok((end > session.offset && !is_small).then_some(end))
    }

    /// For messages.
    fn action(&self) -> String {
        match self.blob.known() {
            Some(blob) => format!("take the blob {}", blob.digest),
            None => "take a layer".to_owned(),
        }
    }

    fn forget(&self) -> Result<(), Failure> {
        Ok(self.store.uploads().remove(&self.registry.full_name(), &self.noted_as)?)
    }

    fn call<'c>(&self, method: Method, url: Url) -> Call<'c> {
        Call {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            scopes: self.registry.scope("pull,push"),
            action: self.action(),
            again: false,
        }
    }

    fn refused(&self, answer: Answer<'_>, call: &Call<'_>) -> DistributionError {
        let what = format!("the repository {}", self.registry.full_name());
        self.registry.refused(answer, call, &what)
    }

    /// The session of an earlier attempt, if the registry still knows it.
    fn resumed(&self) -> Result<Option<Session>, Failure> {
        let noted = self.store.uploads().get(&self.registry.full_name(), &self.noted_as);
        let Some(location) = noted.and_then(|location| Url::parse(&location).ok()) else { return Ok(None) };
        let call = self.call(Method::GET, location.clone());
        let answer = self.registry.send(&call)?;
        let offset = received(&answer);
        match (answer.status().as_u16(), offset) {
            (204 | 202 | 200, Some(offset)) if self.blob.known().is_none_or(|blob| offset <= blob.size) => {
                let location = self.registry.location(&answer, &call.action).unwrap_or(location);
                Ok(Some(Session { location, offset, chunk: CHUNK }))
            }
            _ => {
                self.forget()?;
                Ok(None)
            }
        }
    }

    /// Begins a session; none is needed when the blob could be taken over from another repository (RC-074).
    fn begin(&self) -> Result<Option<Session>, Failure> {
        if let (Some(from), Some(blob)) = (self.from, self.blob.known()) {
            let mut url = self.registry.url("blobs/uploads/");
            url.query_pairs_mut().append_pair("mount", &blob.digest.to_string()).append_pair("from", from);
            let mut call = self.call(Method::POST, url);
            call.scopes.insert(scope(from, "pull"));
            let body = Body::empty();
            call.body = Some(&body);
            // Whoever may not read the other repository may still write to this one.
            match self.registry.send(&call) {
                Ok(answer) if answer.status() == 201 => {
                    self.task.say(&format!("taken over from {from}"));
                    return Ok(None);
                }
                Ok(answer) if answer.status() == 202 => return Ok(Some(self.session(&answer, &call)?)),
                Ok(answer) => answer.drain(),
                Err(DistributionError::Denied { .. } | DistributionError::Login { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut url = self.registry.url("blobs/uploads/");
        // A registry that hashes what arrives has to know how (RC-118); the others expect sha256.
        if let Some(algorithm) = self.blob.known().map(|blob| blob.digest.algorithm())
            && algorithm != Algorithm::Sha256
        {
            url.query_pairs_mut().append_pair("digest-algorithm", algorithm.name());
        }
        let mut call = self.call(Method::POST, url);
        let body = Body::empty();
        call.body = Some(&body);
        let answer = self.registry.send(&call)?;
        if answer.status() != 202 {
            return Err(self.refused(answer, &call).into());
        }
        Ok(Some(self.session(&answer, &call)?))
    }

    fn session(&self, answer: &Answer<'_>, call: &Call<'_>) -> Result<Session, Failure> {
        let least = answer.header(CHUNK_MIN_LENGTH).and_then(|text| text.parse().ok()).unwrap_or(0);
        let location = self.registry.location(answer, &call.action)?;
        Ok(Session { location, offset: 0, chunk: CHUNK.max(least) })
    }

    /// Sends the next chunk, and notes how far that has come.
    fn chunk(&self, session: &mut Session, end: u64, count: &Arc<Mutex<Count>>) -> Result<(), Failure> {
        let body = self.body(session.offset, end, count);
        let mut call = self.call(Method::PATCH, session.location.clone());
        call.body = Some(&body);
        let range = format!("{}-{}", session.offset, end.saturating_sub(1));
        call.headers = octets();
        call.headers.extend(HeaderValue::from_str(&range).ok().map(|range| (CONTENT_RANGE, range)));
        // Before anything is sent: the process may end at any moment.
        self.note(session)?;
        let answer = self.registry.send(&call)?;
        match answer.status().as_u16() {
            // 201 is what one large registry says.
            201 | 202 => {}
            // The session has gone, or is elsewhere than it was thought to be: it is asked, or begun again.
            404 | 416 => return Err(Failure::Passing(self.refused(answer, &call))),
            _ => return Err(self.refused(answer, &call).into()),
        }
        if let Ok(location) = self.registry.location(&answer, &call.action) {
            session.location = location;
        }
        session.offset =
            received(&answer).filter(|offset| (session.offset + 1..=end).contains(offset)).unwrap_or(end);
        self.note(session)
    }

    fn note(&self, session: &Session) -> Result<(), Failure> {
        let name = self.registry.full_name();
        Ok(self.store.uploads().set(&name, &self.noted_as, session.location.as_str())?)
    }

    /// Ends the session: with the whole blob, when nothing of it was sent before.
    fn complete(
        &self,
        session: &Session,
        count: &Arc<Mutex<Count>>,
        is_resumed: bool,
    ) -> Result<(), Failure> {
        let mut url = session.location.clone();
        // What was sent to its end is complete.
        let blob = self.blob.known().ok_or(DistributionError::from(Cancelled))?;
        url.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        let body = match session.offset {
            0 => self.body(0, blob.size, count),
            _ => Body::empty(),
        };
        let mut call = self.call(Method::PUT, url);
        call.headers = octets();
        call.body = Some(&body);
        let answer = self.registry.send(&call)?;
        match answer.status().as_u16() {
            201 | 204 => Ok(()),
            // Where a session was continued, what the registry had of it may have been something else.
            404 | 416 => Err(Failure::Passing(self.refused(answer, &call))),
            400 if is_resumed => {
                self.forget()?;
                Err(Failure::Passing(self.refused(answer, &call)))
            }
            _ => Err(self.refused(answer, &call).into()),
        }
    }

    /// A part of the blob.
    fn body(&self, begin: u64, end: u64, count: &Arc<Mutex<Count>>) -> Body {
        if begin == end {
            return Body::empty();
        }
        let (content, count) = (self.content.clone(), count.clone());
        let open = move || -> Result<Box<dyn Read + Send>> {
            let bytes = content(begin)?;
            count.lock().unwrap_or_else(PoisonError::into_inner).set(begin);
            Ok(Box::new(Told { inner: bytes.take(end - begin), count: count.clone() }))
        };
        Body::Stream { length: end - begin, open: Box::new(open) }
    }
}

fn octets() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))])
}

/// How much a registry says that it has: `0-N` are N + 1 bytes, but `0-0` none. (Where it is one byte, that one is sent again.)
fn received(answer: &Answer<'_>) -> Option<u64> {
    let range = answer.header(RANGE)?;
    let last: u64 =
        range.trim().strip_prefix("bytes=").unwrap_or(range.trim()).split_once('-')?.1.parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}
