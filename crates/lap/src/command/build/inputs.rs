//! What a build reads: the Dockerfile, the context, the ignore file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base::{Classified, IoContext, Kind};
use builder::{
    BuildWarning, DockerfileText, Download, DownloadRequest, IgnoreText, ImageRequest, LocalContext,
    NoDownload, NoImage, Session,
};
use distribution::web;

use super::outputs::Outputs;
use super::secrets::Secrets;
use super::{Stream, read_limited};
use crate::failure::{Failure, Outcome};
use crate::network::Fetcher;

/// Far more than any Dockerfile has, heredocs included.
const MAX_DOCKERFILE_SIZE: u64 = 16 << 20;
/// Far more than any ignore file has.
const MAX_IGNORE_SIZE: u64 = 4 << 20;

/// Read before the build begins.
pub struct Inputs {
    /// The Dockerfile.
    pub dockerfile: DockerfileText,
    /// The context; none for `lap build -`.
    pub context: Option<LocalContext>,
}

/// Finds and reads the Dockerfile and the ignore file (DF-026, DF-081, DF-184).
pub fn read(context: &Path, file: Option<&Path>) -> Outcome<Inputs> {
    let is_stdin = |path: &Path| path.as_os_str() == "-";
    refuse_remote(context)?;
    if is_stdin(context) {
        if file.is_some_and(|file| !is_stdin(file)) {
            return Err(Failure::new(Kind::Unsupported, "a context from standard input is not supported")
                .hint("unpack it, and name the directory"));
        }
        return Ok(Inputs { dockerfile: from_stdin()?, context: None });
    }
    let metadata = std::fs::metadata(context).context("open the context", context)?;
    if !metadata.is_dir() {
        return Err(Failure::new(
            Kind::Invalid,
            format!("the context {} is not a directory", base::text::path(context)),
        )
        .hint("name the directory that COPY copies from; the Dockerfile is named with -f"));
    }
    let (path, dockerfile) = match file {
        Some(file) if is_stdin(file) => (None, from_stdin()?),
        Some(file) => (Some(file.to_owned()), from_file(file)?),
        None => {
            let path = default_dockerfile(context)?;
            let text = from_file(&path)?;
            (Some(path), text)
        }
    };
    let ignore = ignore_file(context, path.as_deref())?;
    Ok(Inputs { dockerfile, context: Some(LocalContext { root: context.to_owned(), ignore }) })
}

fn refuse_remote(context: &Path) -> Outcome {
    let text = context.to_string_lossy();
    let remote =
        ["http://", "https://", "git://", "ssh://", "git@"].iter().any(|prefix| text.starts_with(prefix));
    if remote && !context.exists() {
        return Err(Failure::new(Kind::Unsupported, "contexts from the network are not supported")
            .hint("clone or download it, and name the directory"));
    }
    Ok(())
}

fn default_dockerfile(context: &Path) -> Outcome<PathBuf> {
    for name in ["Dockerfile", "dockerfile", "Containerfile"] {
        let path = context.join(name);
        if path.exists() {
            refuse_pipe(&path)?;
            return Ok(path);
        }
    }
    Err(Failure::new(Kind::NotFound, format!("there is no Dockerfile in {}", base::text::path(context)))
        .hint("name one with -f"))
}

/// Nobody who names a directory means a pipe in it, which would be waited for without an end. One that is named itself is read.
fn refuse_pipe(path: &Path) -> Outcome {
    if !path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        return Ok(());
    }
    Err(Failure::new(Kind::Invalid, format!("{} is a pipe, not a file", base::text::path(path)))
        .hint("put a file in its place; a Dockerfile can come through a pipe that is named with -f"))
}

fn from_file(path: &Path) -> Outcome<DockerfileText> {
    let mut file = File::open(path).context("open", path)?;
    let bytes = read_limited(path, &mut file, MAX_DOCKERFILE_SIZE)?;
    Ok(DockerfileText { name: path.to_string_lossy().into_owned(), bytes })
}

fn from_stdin() -> Outcome<DockerfileText> {
    let bytes = read_limited(Path::new("standard input"), &mut io::stdin().lock(), MAX_DOCKERFILE_SIZE)?;
    Ok(DockerfileText { name: "-".to_owned(), bytes })
}

/// The ignore file of this Dockerfile, else that of the context (DF-184).
fn ignore_file(context: &Path, dockerfile: Option<&Path>) -> Outcome<Option<IgnoreText>> {
    let own = dockerfile.map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for path in own.into_iter().chain([context.join(".dockerignore"), context.join(".containerignore")]) {
        refuse_pipe(&path)?;
        match File::open(&path) {
            Ok(mut file) => {
                let bytes = read_limited(&path, &mut file, MAX_IGNORE_SIZE)?;
                return Ok(Some(IgnoreText { name: path.to_string_lossy().into_owned(), bytes }));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::from(base::IoError { action: "open", path, source: error })),
        }
    }
    Ok(None)
}

/// The session of a command: its context, the images it fetches, its outputs.
pub struct CommandSession {
    context: Option<LocalContext>,
    fetcher: Fetcher,
    outputs: Mutex<Outputs>,
    warnings: Mutex<Vec<BuildWarning>>,
    secrets: Secrets,
}

impl CommandSession {
    /// From what was read and asked for.
    pub fn new(inputs: Inputs, fetcher: Fetcher, outputs: Outputs, secrets: Secrets) -> Self {
        Self {
            context: inputs.context,
            fetcher,
            outputs: Mutex::new(outputs),
            warnings: Mutex::default(),
            secrets,
        }
    }

    /// What the build looked askance at.
    pub fn take_warnings(&self) -> Vec<BuildWarning> {
        std::mem::take(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The build has succeeded: the outputs get their names.
    pub fn commit(self) -> Outcome {
        self.outputs.into_inner().unwrap_or_else(PoisonError::into_inner).commit()
    }
}

impl Session for CommandSession {
    fn context(&self, name: &str) -> io::Result<Option<LocalContext>> {
        Ok(self.context.clone().filter(|_| name.is_empty()))
    }

    fn image(&self, request: &ImageRequest<'_>) -> Result<(), NoImage> {
        let ImageRequest { name, is_there, platform, events, cancel } = *request;
        self.fetcher.fetch(name, is_there, platform, events, cancel).map_err(|error| NoImage {
            kind: error.kind(),
            hint: error.hint(),
            reason: Failure::from(error).message(),
        })
    }

    fn download(&self, request: &DownloadRequest<'_>) -> Result<Download, NoDownload> {
        let DownloadRequest { url, known, path, limit, progress, cancel } = *request;
        let wanted = web::Wanted { url, known, path, limit, progress, cancel };
        match self.fetcher.download(&wanted) {
            Ok(web::Fetched::Unchanged) => Ok(Download::Unchanged),
            Ok(web::Fetched::Whole(version)) => {
                let mtime = web::time(&version);
                Ok(Download::Whole { version, mtime })
            }
            Err(error) => Err(NoDownload {
                kind: error.kind(),
                hint: error.hint(),
                reason: Failure::from(error).message(),
            }),
        }
    }

    fn git(&self) -> Option<git::Outside> {
        Some(crate::environment::git())
    }

    fn warned(&self, warnings: &[BuildWarning]) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(warnings);
    }

    fn secret(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        self.secrets.read(id)
    }

    fn output(&self, export: usize) -> io::Result<Stream> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).stream(export)
    }
}
