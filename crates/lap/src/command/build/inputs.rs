//! What a build reads before it begins: the Dockerfile and the ignore file (DF-026, DF-184).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use base::{IoContext, Kind};
use builder::{DockerfileText, IgnoreText, LocalContext};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::bring::Brought;
use super::read_limited;
use crate::failure::{Failure, Outcome};

/// Far more than any Dockerfile has, heredocs included.
const MAX_DOCKERFILE_SIZE: u64 = 16 << 20;
/// Far more than any ignore file has.
const MAX_IGNORE_SIZE: u64 = 4 << 20;
/// The names of a Dockerfile that is not named; the first that is there counts.
const DOCKERFILES: [&str; 3] = ["Dockerfile", "dockerfile", "Containerfile"];
/// The names of a context's ignore file.
const IGNORE_FILES: [&str; 2] = [".dockerignore", ".containerignore"];

/// Read before the build begins.
pub struct Inputs {
    /// The Dockerfile.
    pub dockerfile: DockerfileText,
    /// The context; none for a Dockerfile alone.
    pub context: Option<LocalContext>,
}

/// Whether the standard input is meant.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Finds and reads the Dockerfile and the ignore file of a directory of the user.
pub fn of_directory(context: &Path, file: Option<&Path>) -> Outcome<Inputs> {
    let (path, dockerfile) = match file {
        Some(file) if is_stdin(file) => (None, dockerfile_of("-".to_owned(), io::stdin().lock())?),
        Some(file) => (Some(file.to_owned()), from_file(file)?),
        None => {
            let path = default_dockerfile(context)?;
            let text = from_file(&path)?;
            (Some(path), text)
        }
    };
    let ignore = ignore_file(context, path.as_deref())?;
    let context = LocalContext { root: context.to_owned(), origin: None, ignore };
    Ok(Inputs { dockerfile, context: Some(context) })
}

/// The same for files that were brought here: the Dockerfile is one of them, and no link leads out of them.
pub fn of_brought(brought: &Brought, file: Option<&Path>) -> Outcome<Inputs> {
    let (name, dockerfile) = match file {
        Some(file) if is_stdin(file) => (None, dockerfile_of("-".to_owned(), io::stdin().lock())?),
        file => {
            let paths =
                file.map_or_else(|| DOCKERFILES.map(PathBuf::from).to_vec(), |file| vec![file.to_owned()]);
            let found = first_inside(brought, paths, MAX_DOCKERFILE_SIZE)?;
            let (path, bytes) = found.ok_or_else(|| no_dockerfile(file))?;
            let name = path.to_string_lossy().into_owned();
            (Some(path), DockerfileText { name, bytes })
        }
    };
    Ok(Inputs { dockerfile, context: Some(context_of(brought, name.as_deref())?) })
}

/// Files that were brought here as a context, with the ignore file of this Dockerfile, else their own.
pub fn context_of(brought: &Brought, dockerfile: Option<&Path>) -> Outcome<LocalContext> {
    let paths = dockerfile.map(beside).into_iter().chain(IGNORE_FILES.map(PathBuf::from));
    let ignore = first_inside(brought, paths, MAX_IGNORE_SIZE)?;
    let ignore = ignore.map(|(path, bytes)| IgnoreText { name: path.to_string_lossy().into_owned(), bytes });
    Ok(LocalContext { root: brought.root.clone(), origin: Some(brought.origin.clone()), ignore })
}

fn no_dockerfile(file: Option<&Path>) -> Failure {
    let (called, hint) = match file {
        Some(file) => (base::text::path(file), "-f names a file of the context, by its path in there"),
        None => ("Dockerfile".into(), "name one with -f"),
    };
    Failure::new(Kind::NotFound, format!("there is no {called} in the context")).hint(hint)
}

/// The first of these files that is there.
fn first_inside(
    brought: &Brought,
    paths: impl IntoIterator<Item = PathBuf>,
    limit: u64,
) -> Outcome<Option<(PathBuf, Vec<u8>)>> {
    for path in paths {
        if let Some(bytes) = inside(brought, &path, limit)? {
            return Ok(Some((path, bytes)));
        }
    }
    Ok(None)
}

/// Reads a file of a directory that may hold anything; `None` when there is none.
fn inside(brought: &Brought, path: &Path, limit: u64) -> Outcome<Option<Vec<u8>>> {
    let root = &brought.root;
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(root, directory, Mode::empty()).context("open", root)?;
    // A pipe is not waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(&directory, path, flags, Mode::empty(), resolve) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        result => File::from(result.context("open", path)?),
    };
    if !file.metadata().context("stat", path)?.is_file() {
        return Err(Failure::new(Kind::Invalid, format!("{} is not a file", base::text::path(path)))
            .hint("put a file in its place"));
    }
    read_limited(path, &mut &file, limit).map(Some)
}

fn default_dockerfile(context: &Path) -> Outcome<PathBuf> {
    for name in DOCKERFILES {
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

/// A Dockerfile that comes through a stream.
pub fn dockerfile_of(name: String, mut stream: impl Read) -> Outcome<DockerfileText> {
    let called = if name == "-" { "standard input" } else { &name };
    let bytes = read_limited(Path::new(called), &mut stream, MAX_DOCKERFILE_SIZE)?;
    Ok(DockerfileText { name, bytes })
}

/// The name of the ignore file of a Dockerfile alone.
fn beside(dockerfile: &Path) -> PathBuf {
    let mut name = dockerfile.as_os_str().to_owned();
    name.push(".dockerignore");
    PathBuf::from(name)
}

/// The ignore file of this Dockerfile, else that of the context (DF-184).
pub fn ignore_file(context: &Path, dockerfile: Option<&Path>) -> Outcome<Option<IgnoreText>> {
    for path in dockerfile.map(beside).into_iter().chain(IGNORE_FILES.map(|name| context.join(name))) {
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
