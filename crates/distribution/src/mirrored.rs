//! A source with mirrors: each thing is asked for at one place after the other (RC-042).
//!
//! Whatever a server does wrong leads to the next one; what is wrong here (the disk, a file of settings) is an error at once. A blob that breaks off is
//! continued elsewhere from where it is: its digest, which whoever reads it verifies, does not depend on where its parts are from.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use base::Cancel;
use image::{Descriptor, Digest, Reference};

use crate::client::Client;
use crate::error::in_one_line;
use crate::http::{Fault, TransportError};
use crate::manifests::Fetched;
use crate::places::{Capabilities, Place};
use crate::registry::{Registry, shown};
use crate::source::{Incoming, Remote, Source};
use crate::{DistributionError, Result};

/// A repository, at all places where it may be had.
pub(crate) struct Mirrored<'a> {
    client: &'a Client,
    reference: Reference,
    spots: Vec<Spot<'a>>,
    /// Blobs that were asked for. One that is asked for again was wrong.
    asked: Mutex<HashSet<Digest>>,
    cancel: &'a Cancel,
}

/// One of the places.
struct Spot<'a> {
    place: Place,
    /// Opened when it is first needed: a registry whose mirror has everything need not be there.
    remote: OnceLock<Remote<'a>>,
    /// It cannot be reached: nobody waits for it a second time.
    away: AtomicBool,
}

impl<'a> Mirrored<'a> {
    pub(crate) fn new(
        client: &'a Client,
        reference: &Reference,
        places: Vec<Place>,
        cancel: &'a Cancel,
    ) -> Self {
        let spot = |place| Spot { place, remote: OnceLock::new(), away: AtomicBool::new(false) };
        let spots = places.into_iter().map(spot).collect();
        Self { client, reference: reference.clone(), spots, asked: Mutex::default(), cancel }
    }

    fn remote(&self, spot: &'_ Spot<'a>) -> Result<()> {
        if spot.remote.get().is_none() {
            let registry = self.client.open(spot.place.clone(), self.cancel)?;
            let _ = spot.remote.set(Remote { registry, reference: self.reference.clone() });
        }
        Ok(())
    }

    /// Asks one place.
    fn ask<'s, T>(&'s self, spot: &'s Spot<'a>, ask: impl FnOnce(&'s Remote<'a>) -> Result<T>) -> Result<T> {
        self.remote(spot)?;
        spot.remote.get().map_or_else(|| Err(self.nobody("gives images")), ask)
    }

    /// Asks one place after the other, until one gives it.
    fn anywhere<'s, T>(
        &'s self,
        what: &'static str,
        fits: impl Fn(Capabilities) -> bool,
        ask: impl Fn(&'s Remote<'a>) -> Result<T>,
    ) -> Result<T> {
        let mut failures = Failures::default();
        for spot in self.spots.iter().filter(|spot| fits(spot.place.can)) {
            if failures.passes_over(spot) {
                continue;
            }
            match self.ask(spot, &ask) {
                Err(error) if is_of_server(&error) => failures.add(spot, error),
                result => return result,
            }
        }
        Err(failures.error(self).unwrap_or_else(|| self.nobody(what)))
    }

    /// The error of places that are all meant for something else.
    fn nobody(&self, what: &'static str) -> DistributionError {
        let named_by = self.spots.iter().find_map(|spot| spot.place.named_by.clone());
        let host = self.reference.host().to_owned();
        DistributionError::NoPlace { host, what, named_by: named_by.unwrap_or_default() }
    }

    /// Where the name itself says, which stands last.
    fn origin(&self) -> Option<&Spot<'a>> {
        self.spots.last()
    }
}

impl Source for Mirrored<'_> {
    fn called(&self) -> String {
        shown(&self.reference)
    }

    fn keeper(&self) -> String {
        self.reference.host().to_owned()
    }

    fn first(&self) -> Result<Fetched> {
        let by_digest = self.reference.digest().is_some();
        let fits = |can: Capabilities| if by_digest { can.pull } else { can.resolve };
        self.anywhere("says what tags mean", fits, Source::first)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Fetched> {
        self.anywhere("gives images", |can| can.pull, |remote| remote.document(descriptor))
    }

    fn blob(&self, descriptor: &Descriptor, position: u64) -> Result<Box<dyn Incoming + '_>> {
        let mut spots: Vec<_> = self.spots.iter().filter(|spot| spot.place.can.pull).collect();
        let is_again = !self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(descriptor.digest);
        // Whoever gave wrong bytes is asked last (RC-060).
        if is_again && !spots.is_empty() {
            spots.rotate_left(1);
        }
        spots.reverse();
        let (descriptor, failures) = (descriptor.clone(), Failures::default());
        Ok(Box::new(Anywhere {
            source: self,
            spots,
            descriptor,
            position,
            is_again,
            now: None,
            failures,
            failure: None,
        }))
    }

    /// Mirrors need not know what was added to an image.
    fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        self.origin()
            .map_or_else(|| Ok(Vec::new()), |spot| self.ask(spot, |remote| remote.referrers(subject)))
    }

    fn digest_tags(&self, subject: &Digest) -> Result<Vec<(String, Fetched)>> {
        self.origin()
            .map_or_else(|| Ok(Vec::new()), |spot| self.ask(spot, |remote| remote.digest_tags(subject)))
    }

    fn repository(&self) -> Option<&Registry<'_>> {
        let spot = self.origin()?;
        self.remote(spot).ok()?;
        spot.remote.get().map(|remote| &remote.registry)
    }
}

/// A blob that comes from the first place that has it, and goes on at the next one when it breaks off.
struct Anywhere<'s, 'a> {
    source: &'s Mirrored<'a>,
    /// Those that are still to be asked, the next one last.
    spots: Vec<&'s Spot<'a>>,
    descriptor: Descriptor,
    position: u64,
    /// Then it comes in one stream: a wrong part is found out by the digest of the whole only.
    is_again: bool,
    now: Option<(&'s Spot<'a>, Box<dyn Incoming + 's>)>,
    failures: Failures,
    failure: Option<DistributionError>,
}

impl Anywhere<'_, '_> {
    fn next(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let Some((spot, incoming)) = &mut self.now else {
                let Some(spot) = self.spots.pop() else {
                    let error = std::mem::take(&mut self.failures).error(self.source);
                    return Err(error.unwrap_or_else(|| self.source.nobody("gives images")));
                };
                if self.failures.passes_over(spot) {
                    continue;
                }
                match self
                    .source
                    .ask(spot, |remote| remote.incoming(&self.descriptor, self.position, self.is_again))
                {
                    Ok(incoming) => self.now = Some((spot, incoming)),
                    Err(error) if is_of_server(&error) => self.failures.add(spot, error),
                    Err(error) => return Err(error),
                }
                continue;
            };
            match incoming.read(buffer) {
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(source) => {
                    let error = incoming.failure().unwrap_or(DistributionError::Body { source });
                    if !is_of_server(&error) {
                        return Err(error);
                    }
                    self.failures.add(spot, error);
                    self.now = None;
                }
            }
        }
    }
}

impl Read for Anywhere<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(|error| {
            let text = error.to_string();
            self.failure = Some(error);
            io::Error::other(text)
        })
    }
}

impl Incoming for Anywhere<'_, '_> {
    fn failure(&mut self) -> Option<DistributionError> {
        self.failure.take()
    }
}

/// What went wrong at which place.
#[derive(Default)]
struct Failures {
    before: Vec<String>,
    last: Option<(String, DistributionError)>,
}

impl Failures {
    /// Whether nobody answers there anyway.
    fn passes_over(&mut self, spot: &Spot<'_>) -> bool {
        let away = spot.away.load(Ordering::Relaxed);
        if away {
            self.before.push(format!("{}: it could not be reached", spot.place.called()));
        }
        away
    }

    fn add(&mut self, spot: &Spot<'_>, error: DistributionError) {
        if let DistributionError::Transport(TransportError {
            fault: Fault::Connect(_) | Fault::UnknownHost(_), ..
        }) = &error
            // Where the name itself says is asked as often as without mirrors.
            && spot.place.named_by.is_some()
        {
            spot.away.store(true, Ordering::Relaxed);
        }
        if let Some((called, error)) = self.last.replace((spot.place.called(), error)) {
            self.before.push(format!("{called}: {}", in_one_line(&error)));
        }
    }

    /// All of it, if there is something; what the last place said is the reason.
    fn error(self, source: &Mirrored<'_>) -> Option<DistributionError> {
        let (called, error) = self.last?;
        if self.before.is_empty() && source.spots.len() == 1 {
            return Some(error);
        }
        let mut mirrors = self.before;
        mirrors.push(called);
        let host = source.reference.host().to_owned();
        Some(DistributionError::Mirrors { host, mirrors, source: Box::new(error) })
    }
}

/// Whether another server may do better.
fn is_of_server(error: &DistributionError) -> bool {
    matches!(
        error,
        DistributionError::Transport(_)
            | DistributionError::Login { .. }
            | DistributionError::Denied { .. }
            | DistributionError::NotFound { .. }
            | DistributionError::Throttled { .. }
            | DistributionError::Answer { .. }
            | DistributionError::Protocol { .. }
            | DistributionError::Mismatch { .. }
            | DistributionError::TooLarge { .. }
            | DistributionError::Document { .. }
            | DistributionError::Foreign { .. }
    )
}
