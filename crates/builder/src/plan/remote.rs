//! Sources that are not in a context: files of the web, and repositories (DF-138, DF-139, DF-141).

use dockerfile::Span;
use git::{Source, SourceError};
use image::Digest;
use image::digest::Algorithm;

use super::error::{PlanError, PlanProblem};
use crate::copy::{CopySource, Repository};

/// What the flags of an instruction say of such sources.
pub(super) struct Flags {
    /// Whether it is ADD: nothing else takes them.
    pub add: bool,
    /// `--checksum`, unless it is empty.
    pub checksum: Option<(String, Span)>,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<(bool, Span)>,
    /// Whether archives of the web are unpacked: `--unpack`.
    pub unpack: bool,
}

/// What a source is, once its variables are expanded.
pub(super) fn source(text: String, span: Span, flags: &Flags) -> Result<CopySource, PlanError> {
    let invalid = |error: SourceError| {
        let problem =
            PlanProblem::Value { what: "source", value: git::shown(&text), reason: error.to_string() };
        PlanError::new(problem, span)
            .hinted("a repository is written like https://HOST/PATH.git#REF:DIRECTORY")
    };
    let repository = Source::parse(&text).map_err(invalid)?;
    if repository.is_none() && !is_web(&text) {
        return Ok(CopySource::Path { pattern: text, span });
    }
    if !flags.add {
        let reason = "COPY takes no URLs".to_owned();
        let problem = PlanProblem::Value { what: "source", value: git::shown(&text), reason };
        return Err(PlanError::new(problem, span).hinted("ADD downloads"));
    }
    match repository {
        Some(source) => repository_source(&text, source, span, flags),
        None => {
            let checksum = flags.checksum.as_ref().map(|(text, span)| Ok((sha256(text, *span)?, *span)));
            Ok(CopySource::Url { url: text, checksum: checksum.transpose()?, unpack: flags.unpack, span })
        }
    }
}

fn is_web(source: &str) -> bool {
    ["http://", "https://"].iter().any(|start| source.starts_with(start))
}

/// The flags and the address have to agree.
fn repository_source(
    text: &str,
    mut source: Source,
    span: Span,
    flags: &Flags,
) -> Result<CopySource, PlanError> {
    if let Some((checksum, span)) = &flags.checksum {
        source.require(checksum).map_err(|error| {
            let (what, value) = ("--checksum", checksum.clone());
            PlanError::new(PlanProblem::Value { what, value, reason: error.to_string() }, *span)
                .hinted("write the commit, as `git rev-parse` prints it")
        })?;
    }
    let keep_git_dir = match (flags.keep_git_dir, source.keep_git_dir) {
        (Some((flag, span)), Some(asked)) if flag != asked => {
            let reason = format!("the address says keep-git-dir={asked}");
            let problem = PlanProblem::Value { what: "--keep-git-dir", value: flag.to_string(), reason };
            return Err(PlanError::new(problem, span).hinted("say it once"));
        }
        (flag, asked) => flag.map(|(flag, _)| flag).or(asked).unwrap_or(false),
    };
    Ok(CopySource::Git(Box::new(Repository { text: git::shown(text), source, keep_git_dir, span })))
}

fn sha256(text: &str, span: Span) -> Result<Digest, PlanError> {
    let invalid = |reason| {
        let problem = PlanProblem::Value { what: "--checksum", value: text.to_owned(), reason };
        PlanError::new(problem, span)
            .hinted("write it like --checksum=sha256:24454f83…, as sha256sum prints it")
    };
    let digest = Digest::parse(text).map_err(|error| invalid(error.to_string()))?;
    if digest.algorithm() != Algorithm::Sha256 {
        return Err(invalid("only sha256 can be checked".to_owned()));
    }
    Ok(digest)
}

/// Flags that are for what is not there.
pub(super) fn check_flags(sources: &[CopySource], flags: &Flags) -> Result<(), PlanError> {
    let is_repository = |source: &CopySource| matches!(source, CopySource::Git(_));
    let is_remote = |source: &CopySource| is_repository(source) || matches!(source, CopySource::Url { .. });
    if let Some((checksum, span)) = &flags.checksum
        && !sources.iter().any(is_remote)
    {
        let reason = "it is for sources that are URLs".to_owned();
        let problem = PlanProblem::Value { what: "--checksum", value: checksum.clone(), reason };
        return Err(PlanError::new(problem, *span)
            .hinted("leave it out: files of the context are known by their contents"));
    }
    if let Some((true, span)) = flags.keep_git_dir
        && !sources.iter().any(is_repository)
    {
        let reason = "it is for sources that are git repositories".to_owned();
        let problem = PlanProblem::Value { what: "--keep-git-dir", value: "true".to_owned(), reason };
        return Err(PlanError::new(problem, span).hinted("leave it out"));
    }
    Ok(())
}
