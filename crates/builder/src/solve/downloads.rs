//! What ADD downloads (DF-138, DF-139).
//!
//! A file whose version is known is asked for in case that it has changed. When it has not, its digest is known without it, which is enough to find
//! the step in the cache. What comes is hashed as it comes. Only a step that has to be executed all the same needs the file, and gets it then.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use base::Cancel;
use base::events::{Unit, VertexId};
use image::Digest;
use store::TempDir;
use store::downloads::{Arrived, DownloadRecord, Incoming, Version};

use super::Job;
use crate::copy::download::shown;
use crate::copy::{CopyError, CopySource, CopyStep, Downloaded};
use crate::session::{Download, DownloadRequest, MAX_DOWNLOAD};

/// How often it is said how far a download has come.
const PAUSE: Duration = Duration::from_millis(100);

/// The files of one step. Those that were downloaded go with this.
#[derive(Default)]
pub(super) struct Downloads {
    pub files: Vec<Downloaded>,
    /// Where they are; `None` when nothing is downloaded.
    directory: Option<TempDir>,
}

/// Where downloads happen.
pub(super) struct Downloader<'a> {
    pub job: &'a Job<'a>,
    pub vertex: VertexId,
    pub stop: &'a Cancel,
}

/// A source on the web.
struct Source<'a> {
    url: &'a str,
    checksum: Option<&'a (Digest, dockerfile::Span)>,
    span: dockerfile::Span,
}

impl Downloads {
    /// Whether every file is here.
    pub fn are_complete(&self) -> bool {
        self.files.iter().all(|file| file.path.is_some())
    }
}

impl Downloader<'_> {
    /// Gets what a step adds from the web; what has not changed is not downloaded, if `unless_known`.
    pub fn get(&self, step: &CopyStep, unless_known: bool) -> Result<Downloads, CopyError> {
        let mut downloads = Downloads::default();
        for source in &step.sources {
            let CopySource::Url { url, checksum, span, .. } = source else { continue };
            let source = Source { url, checksum: checksum.as_ref(), span: *span };
            let directory = match downloads.directory.take() {
                Some(directory) => directory,
                None => self.job.store.temp_dir("download")?,
            };
            let path = directory.path().join(downloads.files.len().to_string());
            downloads.directory = Some(directory);
            downloads.files.push(self.one(&source, path, unless_known)?);
        }
        Ok(downloads)
    }

    fn one(&self, source: &Source<'_>, path: PathBuf, unless_known: bool) -> Result<Downloaded, CopyError> {
        let records = self.job.store.downloads();
        let known = records.get(source.url).filter(|_| unless_known);
        let mut incoming = Incoming::create(&path)?;
        let answer = self.request(source, &mut incoming, known.as_ref().map(|known| &known.version))?;
        let (version, mtime) = match (answer, known) {
            (Download::Unchanged, Some(known)) => {
                check(source, &known.sha256)?;
                let DownloadRecord { size, content, .. } = known;
                return Ok(Downloaded { path: None, size, content, mtime: 0 });
            }
            (Download::Unchanged, None) => {
                return Err(CopyError::NotDownloaded { url: shown(source.url), span: source.span });
            }
            (Download::Whole { version, mtime }, _) => (version, mtime),
        };
        let Arrived { size, sha256, content } = incoming.finish();
        check(source, &sha256)?;
        if version.is_known() {
            records.set(source.url, &DownloadRecord { version, size, sha256, content })?;
        }
        let mtime = mtime.unwrap_or_else(now);
        Ok(Downloaded { path: Some(path), size, content, mtime })
    }

    fn request(
        &self,
        source: &Source<'_>,
        into: &mut Incoming,
        known: Option<&Version>,
    ) -> Result<Download, CopyError> {
        let url = shown(source.url);
        let (said, heard) = (Cell::new(None::<Instant>), Cell::new((0, None)));
        let tell = |completed| {
            let name = format!("download {}", base::text::line(&url));
            self.job.events.status(self.vertex, name, heard.get(), Unit::Bytes, completed);
        };
        let progress = |current, total| {
            heard.set((current, total));
            if said.get().is_none_or(|said| said.elapsed() >= PAUSE) {
                said.set(Some(Instant::now()));
                tell(false);
            }
        };
        let request = DownloadRequest {
            url: source.url,
            known,
            limit: MAX_DOWNLOAD,
            progress: &progress,
            cancel: self.stop,
        };
        let answer = self.job.session.download(&request, into);
        self.stop.check()?;
        if said.get().is_some() {
            tell(true);
        }
        answer.map_err(|reason| CopyError::Download { url: url.clone(), reason, span: source.span })
    }
}

fn check(source: &Source<'_>, found: &Digest) -> Result<(), CopyError> {
    match source.checksum {
        Some((expected, span)) if expected != found => Err(CopyError::Checksum {
            url: shown(source.url),
            expected: Box::new(*expected),
            found: Box::new(*found),
            span: *span,
        }),
        _ => Ok(()),
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
