//! Where a build's files come from, as users write it (DF-078, DF-081).

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use base::{IoContext, Kind};
use builder::context_name;
use image::Reference;
use layer::unpack;

use super::inputs::{self, Inputs};
use crate::command::copy::place::Located;
use crate::failure::{Failure, Outcome};

/// The main context, and the Dockerfile.
pub enum Source {
    /// On this machine, and read.
    Here(Inputs),
    /// An archive on the standard input.
    Archive(Box<dyn Read + Send>),
    /// Somewhere else.
    Remote(Remote),
}

/// Where the main context is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Stdin,
    Directory(PathBuf),
    Remote(Remote),
}

/// Somewhere that is not on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A file of the web.
    Web(String),
    /// A git repository, as it was written.
    Git(String),
}

/// A named context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A directory of this machine.
    Directory(PathBuf),
    /// Somewhere else: an archive, a repository.
    Remote(Remote),
    /// An image.
    Image(String),
    /// An image of an OCI layout.
    Layout(Located),
    /// Nothing.
    Scratch,
}

impl Remote {
    /// What something is that has an address in front; `None` for a path.
    fn parse(text: &str) -> Option<Self> {
        let is_web = ["http://", "https://"].iter().any(|start| text.starts_with(start));
        // One that is not valid is said to be so when it is fetched.
        let is_git = !matches!(git::Source::parse_context(text), Ok(None));
        match (is_git, is_web) {
            (true, _) => Some(Remote::Git(text.to_owned())),
            (false, true) => Some(Remote::Web(text.to_owned())),
            (false, false) => None,
        }
    }
}

/// Finds the main context. What is on the standard input is told by its beginning: an archive, or a Dockerfile.
pub fn main(context: &Path, file: Option<&Path>) -> Outcome<Source> {
    match place(context)? {
        Place::Stdin => of_stdin(file),
        Place::Directory(directory) => Ok(Source::Here(inputs::of_directory(&directory, file)?)),
        Place::Remote(remote) => Ok(Source::Remote(remote)),
    }
}

fn place(context: &Path) -> Outcome<Place> {
    if inputs::is_stdin(context) {
        return Ok(Place::Stdin);
    }
    match context.to_str().and_then(Remote::parse).filter(|_| !context.exists()) {
        Some(remote) => Ok(Place::Remote(remote)),
        None => Ok(Place::Directory(directory(context, "the context")?)),
    }
}

fn of_stdin(file: Option<&Path>) -> Outcome<Source> {
    let name = Path::new("standard input");
    let mut beginning = Vec::new();
    let stdin = io::stdin();
    stdin.lock().take(unpack::BEGINNING as u64).read_to_end(&mut beginning).context("read", name)?;
    let is_archive = unpack::begins_archive(&beginning);
    let whole = Cursor::new(beginning).chain(stdin);
    match (is_archive, file) {
        (true, Some(file)) if inputs::is_stdin(file) => Err(Failure::new(
            Kind::Invalid,
            "the standard input is an archive, and cannot be the Dockerfile as well",
        )
        .hint("name a Dockerfile of the archive with -f, or none")),
        (true, _) => Ok(Source::Archive(Box::new(whole))),
        (false, Some(file)) if !inputs::is_stdin(file) => Err(Failure::new(
            Kind::Invalid,
            format!("the standard input is a Dockerfile, and -f names {}", base::text::path(file)),
        )
        .hint("leave -f out; a context comes through the standard input as a tar, compressed or not")),
        (false, _) => {
            let name = "-".to_owned();
            Ok(Source::Here(Inputs { dockerfile: inputs::dockerfile_of(name, whole)?, context: None }))
        }
    }
}

/// A directory that has to be there.
fn directory(path: &Path, what: &str) -> Outcome<PathBuf> {
    let shown = base::text::path(path);
    let hint = "a context is a directory, or an address: https://… of a tar or of a git repository";
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(path.to_owned()),
        Ok(_) => Err(Failure::new(Kind::Invalid, format!("{what} {shown} is not a directory"))
            .hint("name the directory that COPY copies from; the Dockerfile is named with -f")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::new(Kind::NotFound, format!("{what} {shown} does not exist")).hint(hint))
        }
        result => Ok(result.context("open the context", path).map(|_| path.to_owned())?),
    }
}

/// Reads all `--build-context`; the last one of a name counts.
pub fn named(texts: &[String]) -> Outcome<BTreeMap<String, Named>> {
    texts.iter().map(|text| named_one(text)).collect()
}

fn named_one(text: &str) -> Outcome<(String, Named)> {
    let shown = || base::text::bytes(text.as_bytes()).into_owned();
    let invalid = |reason: String| {
        Failure::new(Kind::Invalid, format!("--build-context {}: {reason}", shown()))
            .hint("--build-context NAME=DIR, or NAME=docker-image://IMAGE, NAME=oci-layout://DIR, NAME=https://… of a tar or a git repository")
    };
    let (name, value) = text.split_once('=').ok_or_else(|| invalid("there is no value".to_owned()))?;
    Reference::parse(name).map_err(|error| invalid(format!("the name is not valid: {error}")))?;
    if value.is_empty() {
        return Err(invalid("the value is empty".to_owned()));
    }
    let here = || {
        let called = format!("the build context {}:", base::text::bytes(name.as_bytes()));
        directory(Path::new(value), &called).map(Named::Directory)
    };
    let named = match value.split_once("://") {
        Some(("docker-image", "scratch")) => Named::Scratch,
        Some(("docker-image", image)) => {
            Reference::parse(image).map_err(|error| invalid(format!("the image is not valid: {error}")))?;
            Named::Image(image.to_owned())
        }
        Some(("oci-layout", text)) => {
            let located = Located::parse(value, text)?;
            directory(&located.path, &format!("the OCI image layout of --build-context {}:", shown()))?;
            Named::Layout(located)
        }
        _ if Path::new(value).exists() => here()?,
        split => match (Remote::parse(value), split) {
            (Some(remote), _) => Named::Remote(remote),
            (None, Some((scheme, _))) => return Err(invalid(format!("{scheme}:// is not known"))),
            (None, None) if value.starts_with("target:") => {
                return Err(invalid("targets of other builds are for bake".to_owned())
                    .hint("a stage of this Dockerfile is referred to by its name"));
            }
            // Says what is wrong with it.
            (None, None) => here()?,
        },
    };
    Ok((context_name(name), named))
}

#[cfg(test)]
mod tests {
    use archive::layout::Which;

    use super::*;

    #[test]
    fn df_078_contexts_as_docker_says_them() {
        let web = |text: &str| Named::Remote(Remote::Web(text.to_owned()));
        let git = |text: &str| Named::Remote(Remote::Git(text.to_owned()));
        for (text, name, expected) in [
            ("a=.", "a", Named::Directory(".".into())),
            ("docker.io/library/alpine:latest=src", "alpine", Named::Directory("src".into())),
            ("alpine:3.20=docker-image://alpine:edge", "alpine:3.20", Named::Image("alpine:edge".to_owned())),
            ("a=docker-image://scratch", "a", Named::Scratch),
            (
                "a=oci-layout://src:1",
                "a",
                Named::Layout(Located { path: "src".into(), which: Which::Name("1".to_owned()) }),
            ),
            ("a=https://host/x.tar.gz", "a", web("https://host/x.tar.gz")),
            ("a=https://host/x.git#main:sub", "a", git("https://host/x.git#main:sub")),
            ("a=git@host:x", "a", git("git@host:x")),
            ("a=github.com/b/c", "a", git("github.com/b/c")),
        ] {
            let found = named_one(text).unwrap_or_else(|failure| panic!("{text}: {}", failure.message()));
            assert_eq!(found, (name.to_owned(), expected), "{text}");
        }
        for (text, said) in [
            ("a", "no value"),
            ("a=", "is empty"),
            ("A=.", "name is not valid"),
            ("a b=.", "name is not valid"),
            ("a=none", "does not exist"),
            ("a=Cargo.toml", "not a directory"),
            ("a=docker-image://", "image is not valid"),
            ("a=ftp://host/x", "ftp:// is not known"),
            ("a=oci-layout://x:y", "does not exist"),
            ("a=oci-layout://:y", "no path"),
            ("a=target:b", "bake"),
        ] {
            let failure = named_one(text).expect_err(text);
            assert!(failure.message().contains(said), "{text}: {}", failure.message());
        }
    }

    #[test]
    fn df_081_main_contexts() {
        let web = |text: &str| Place::Remote(Remote::Web(text.to_owned()));
        let git = |text: &str| Place::Remote(Remote::Git(text.to_owned()));
        for (text, expected) in [
            ("-", Some(Place::Stdin)),
            (".", Some(Place::Directory(".".into()))),
            ("https://host/Dockerfile", Some(web("https://host/Dockerfile"))),
            ("http://host/x.git?ref=1", Some(git("http://host/x.git?ref=1"))),
            ("ssh://host/x", Some(git("ssh://host/x"))),
            ("none", None),
            ("ftp://host/x", None),
        ] {
            assert_eq!(place(Path::new(text)).ok(), expected, "{text}");
        }
    }
}
