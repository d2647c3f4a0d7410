//! COPY and ADD (DF-033, DF-049, DF-110 … DF-145).

use super::command::CommandLine;
use super::parse::Request;
use crate::error::{Error, Problem, Result};
use crate::flags::{Flags, Known, Takes};
use crate::heredoc::Heredoc;
use crate::span::Word;
use crate::value::Mode;
use crate::words;

/// COPY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// `--from`: a stage, a named context or an image; never expanded. An empty one is as good as none.
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`: see [`Mode::parse`].
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, in order; never expanded.
    pub excludes: Vec<Word>,
    /// What to copy, at least one.
    pub sources: Vec<CopySource>,
    /// Where to.
    pub destination: Word,
}

/// ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`: see [`Mode::parse`].
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`, in order; never expanded.
    pub excludes: Vec<Word>,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--keep-git-dir`, if it was given.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`, if it was given.
    pub unpack: Option<bool>,
    /// What to add, at least one.
    pub sources: Vec<CopySource>,
    /// Where to.
    pub destination: Word,
}

/// One source of a COPY or ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySource {
    /// A path, a pattern, or (for ADD) a URL.
    Path(Word),
    /// A file that is written in the Dockerfile.
    Heredoc(Heredoc),
}

const COPY_FLAGS: Known = &[
    ("from", Takes::Text),
    ("chown", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Boolean),
    ("parents", Takes::Boolean),
    ("exclude", Takes::List),
];

const ADD_FLAGS: Known = &[
    ("chown", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Boolean),
    ("keep-git-dir", Takes::Boolean),
    ("checksum", Takes::Text),
    ("unpack", Takes::Boolean),
    ("exclude", Takes::List),
];

pub(super) fn copy(mut request: Request<'_>) -> Result<Copy> {
    let heredocs = std::mem::take(&mut request.heredocs);
    let flags = request.flags(COPY_FLAGS)?;
    if let Some(from) = flags.text("from").filter(|from| from.has_variable()) {
        let problem = Problem::NoExpansion { place: "--from".to_owned(), value: from.raw.clone() };
        return Err(Error::new(problem, from.span)
            .hinted("define a stage with FROM, which can use a global ARG, and name that stage"));
    }
    let (sources, destination) = sources(&request, heredocs)?;
    Ok(Copy {
        from: flags.text("from").cloned(),
        chown: flags.text("chown").cloned(),
        chmod: chmod(flags)?,
        link: flags.boolean("link").unwrap_or(false),
        parents: flags.boolean("parents").unwrap_or(false),
        excludes: flags.list("exclude").cloned().collect(),
        sources,
        destination,
    })
}

pub(super) fn add(mut request: Request<'_>) -> Result<Add> {
    let heredocs = std::mem::take(&mut request.heredocs);
    let flags = request.flags(ADD_FLAGS)?;
    let (sources, destination) = sources(&request, heredocs)?;
    let checksum = flags.text("checksum").cloned();
    if let Some(checksum) = checksum.as_ref().filter(|_| sources.len() > 1) {
        return Err(Error::new(Problem::ChecksumOfMany, checksum.span));
    }
    Ok(Add {
        chown: flags.text("chown").cloned(),
        chmod: chmod(flags)?,
        link: flags.boolean("link").unwrap_or(false),
        excludes: flags.list("exclude").cloned().collect(),
        checksum,
        keep_git_dir: flags.boolean("keep-git-dir"),
        unpack: flags.boolean("unpack"),
        sources,
        destination,
    })
}

/// The mode, checked when it is known already. Escapes and variables need expansion.
fn chmod(flags: Flags<'_>) -> Result<Option<Word>> {
    let Some(word) = flags.text("chmod") else { return Ok(None) };
    let is_final = !word.raw.contains(['$', '\\', '`', '"', '\'']);
    if is_final && !word.raw.is_empty() {
        Mode::parse(&word.raw).map_err(|error| Error::new(error, word.span))?;
    }
    Ok(Some(word.clone()))
}

/// The sources and the destination.
fn sources(request: &Request<'_>, heredocs: Vec<Heredoc>) -> Result<(Vec<CopySource>, Word)> {
    let words = match CommandLine::parse(request.name(), request.arguments())? {
        CommandLine::Exec(words) => words,
        CommandLine::Shell(_) => words::plain(request.arguments()),
    };
    let mut sources = Vec::with_capacity(words.len());
    let mut heredocs = heredocs.into_iter().peekable();
    for word in words {
        // An opener may be several words: `<< EOF`.
        let opened = heredocs.next_if(|heredoc| word.span.start >= heredoc.opener.span.start);
        if let Some(heredoc) = opened {
            sources.push(CopySource::Heredoc(heredoc));
            continue;
        }
        let in_opener = |heredoc: &Heredoc| word.span.end <= heredoc.opener.span.end;
        if !matches!(sources.last(), Some(CopySource::Heredoc(heredoc)) if in_opener(heredoc)) {
            sources.push(CopySource::Path(word));
        }
    }
    match sources.pop() {
        Some(CopySource::Heredoc(heredoc)) => {
            let problem = Problem::HeredocDestination { keyword: request.name() };
            Err(Error::new(problem, heredoc.opener.span).hinted("write the destination after it"))
        }
        Some(CopySource::Path(destination)) if !sources.is_empty() => Ok((sources, destination)),
        Some(CopySource::Path(only)) => Err(request
            .wrong_arguments(
                "at least two arguments, but only one was provided: destination could not be determined",
            )
            .noted(only.span, "the only argument")),
        None => Err(request.wrong_arguments("at least two arguments")),
    }
}
