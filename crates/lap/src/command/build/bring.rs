//! Contexts that are not directories of the user: unpacked into a temporary directory of the store, which goes when the build has ended.
//!
//! What comes from elsewhere is not trusted: the archive is unpacked by [`layer::unpack`], and nothing in it is followed out of the directory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use base::task::{Counted, Task};
use base::{Cancel, Events, IoContext, Kind};
use builder::DockerfileText;
use builder::checkout::{self, Files, Repositories};
use distribution::{DistributionError, web};
use layer::{LayerError, unpack};
use store::downloads::Incoming;
use store::{Store, TempDir};

use super::inputs::{self, Inputs};
use super::secrets::Secrets;
use super::source::{Remote, Source};
use super::ssh::Agents;
use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::network::Fetcher;

/// Files that were brought here for one build.
pub struct Brought {
    /// Where they are.
    pub root: PathBuf,
    /// Where they came from: what they are known by in the next build.
    pub origin: String,
    /// Removed with this.
    _directory: TempDir,
}

/// What is at an address.
pub enum Found {
    /// Files.
    Files(Brought),
    /// A Dockerfile, and no context.
    Dockerfile(DockerfileText),
}

/// Brings contexts here.
pub struct Bringer<'a> {
    /// Where they are put.
    pub store: &'a Store,
    /// Downloads.
    pub fetcher: &'a Fetcher,
    /// Who asks for a repository.
    pub secrets: &'a Secrets,
    /// The same, over SSH.
    pub agents: &'a Agents,
    /// Hears how far it has come.
    pub events: &'a Events,
    /// Stops it.
    pub cancel: &'a Cancel,
}

/// What a build begins with, wherever it is; and what has to be kept until it has ended.
pub fn inputs(
    bringer: &Bringer<'_>,
    source: Source,
    file: Option<&Path>,
) -> Outcome<(Inputs, Option<Brought>)> {
    let found = match source {
        Source::Here(inputs) => return Ok((inputs, None)),
        Source::Archive(archive) => {
            Found::Files(bringer.archive(archive, "the context from standard input", "-")?)
        }
        Source::Remote(remote) => bringer.remote(&remote)?,
    };
    match (found, file) {
        (Found::Files(brought), file) => Ok((inputs::of_brought(&brought, file)?, Some(brought))),
        (Found::Dockerfile(dockerfile), None) => Ok((Inputs { dockerfile, context: None }, None)),
        (Found::Dockerfile(dockerfile), Some(file)) => {
            let (name, file) = (base::text::line(&dockerfile.name), base::text::path(file));
            Err(Failure::new(Kind::Invalid, format!("{name} is a Dockerfile, and -f names {file}"))
                .hint("leave -f out, or give the address of a tar"))
        }
    }
}

impl Bringer<'_> {
    /// What is at an address.
    pub fn remote(&self, remote: &Remote) -> Outcome<Found> {
        match remote {
            Remote::Web(url) => self.web(url),
            Remote::Git(url) => self.git(url).map(Found::Files),
        }
    }

    /// The files of an archive.
    pub fn archive(&self, archive: Box<dyn Read + Send>, name: &str, origin: &str) -> Outcome<Brought> {
        let directory = self.store.temp_dir("context")?;
        let root = self.unpack(archive, name, &directory)?;
        Ok(Brought { root, origin: origin.to_owned(), _directory: directory })
    }

    fn unpack(&self, archive: Box<dyn Read + Send>, name: &str, directory: &TempDir) -> Outcome<PathBuf> {
        let unpacked = Task::run(self.events, format!("unpack {}", base::text::line(name)), |task| {
            let archive = Counted { inner: archive, count: task.count(None) };
            let unpacked = unpack::unpack(Box::new(archive), directory, self.cancel)?;
            unpacked.warnings.iter().for_each(|warning| task.say(warning));
            Ok::<_, LayerError>(unpacked)
        });
        self.cancel.check()?;
        Ok(unpacked?.root)
    }

    fn web(&self, url: &str) -> Outcome<Found> {
        let directory = self.store.temp_dir("context")?;
        let path = directory.path().join("download");
        let shown = builder::copy::shown(url);
        let mut incoming = Incoming::create(&path)?;
        let authorization = self.secrets.authorization(url)?;
        Task::run(self.events, format!("download {}", base::text::line(&shown)), |task| {
            let count = std::cell::RefCell::new(task.count(None));
            let progress = |bytes, _| count.borrow_mut().set(bytes);
            let wanted = web::Wanted {
                url,
                known: None,
                authorization: authorization.as_ref(),
                limit: builder::MAX_DOWNLOAD,
                progress: &progress,
                cancel: self.cancel,
            };
            let fetched = self.fetcher.download(&wanted, &mut incoming)?;
            count.borrow().end();
            Ok::<_, DistributionError>(fetched)
        })?;
        if self.is_archive(&path)? {
            let root =
                self.unpack(Box::new(File::open(&path).context("open", &path)?), &shown, &directory)?;
            std::fs::remove_file(&path).context("remove", &path)?;
            let origin = url.to_owned();
            return Ok(Found::Files(Brought { root, origin, _directory: directory }));
        }
        let file = File::open(&path).context("open", &path)?;
        Ok(Found::Dockerfile(inputs::dockerfile_of(shown, file)?))
    }

    fn is_archive(&self, path: &Path) -> Outcome<bool> {
        let mut beginning = Vec::new();
        let file = File::open(path).context("open", path)?;
        file.take(unpack::BEGINNING as u64).read_to_end(&mut beginning).context("read", path)?;
        Ok(unpack::begins_archive(&beginning))
    }

    fn git(&self, text: &str) -> Outcome<Brought> {
        let origin = git::shown(text);
        let called = base::text::line(&origin).into_owned();
        let invalid = |reason: String| {
            Failure::new(Kind::Invalid, format!("the context {called} can not be used: {reason}"))
                .hint("a repository is written like https://HOST/PATH.git#REF:DIRECTORY")
        };
        let source = git::Source::parse_context(text).map_err(|error| invalid(error.to_string()))?;
        let source = source.ok_or_else(|| invalid("it is no repository".to_owned()))?;
        let files = Task::run(self.events, format!("fetch {called}"), |task| {
            let repositories = Repositories {
                store: self.store,
                outside: Some(environment::git()),
                secret: &|id| self.secrets.read(id),
                agent: &|| self.agents.socket(checkout::AGENT),
                progress: &|_, _| {},
                waiting: &|| task.say("waiting for another build that fetches it"),
                cancel: self.cancel,
            };
            let resolved = repositories.resolve(&source)?;
            task.say(&format!("commit {}", resolved.commit));
            repositories.check_out(&source, &resolved, source.keep_git_dir.unwrap_or(false))
        });
        self.cancel.check()?;
        let Files { root, directory } = files?;
        Ok(Brought { root, origin, _directory: directory })
    }
}
