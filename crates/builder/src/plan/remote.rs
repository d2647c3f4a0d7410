//! Sources that are not in a context: files of the web, and what is not supported (DF-138, DF-139, DF-141).

use dockerfile::Span;
use image::Digest;
use image::digest::Algorithm;

use super::error::{PlanError, PlanProblem};
use crate::copy::CopySource;

/// What a source is, once its variables are expanded.
pub(super) fn source(
    text: String,
    span: Span,
    checksum: Option<(Digest, Span)>,
    add: bool,
) -> Result<CopySource, PlanError> {
    if !is_remote(&text) {
        return Ok(CopySource::Path { pattern: text, span });
    }
    if !add {
        let reason = "COPY takes no URLs".to_owned();
        let problem = PlanProblem::Value { what: "source", value: text, reason };
        return Err(PlanError::new(problem, span).hinted("ADD downloads"));
    }
    if is_git(&text) {
        let hint = "clone it in a RUN, or before the build into the context";
        return Err(PlanError::unsupported("ADD of a git repository", span, hint));
    }
    Ok(CopySource::Url { url: text, checksum, span })
}

/// Whether a source is not a path.
pub(super) fn is_remote(source: &str) -> bool {
    is_web(source) || ["git://", "ssh://", "git@"].iter().any(|start| source.starts_with(start))
}

fn is_web(source: &str) -> bool {
    ["http://", "https://"].iter().any(|start| source.starts_with(start))
}

/// As BuildKit has it: what is no address of HTTP, or ends in `.git`.
fn is_git(source: &str) -> bool {
    let address = source.split(['?', '#']).next().unwrap_or_default();
    !is_web(source) || address.trim_end_matches('/').ends_with(".git")
}

/// What `--checksum` asks for; nothing when it is empty.
pub(super) fn checksum(text: &str, span: Span) -> Result<Option<(Digest, Span)>, PlanError> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = |reason| {
        let problem = PlanProblem::Value { what: "--checksum", value: text.to_owned(), reason };
        PlanError::new(problem, span)
            .hinted("write it like --checksum=sha256:24454f83…, as sha256sum prints it")
    };
    let digest = Digest::parse(text).map_err(|error| invalid(error.to_string()))?;
    if digest.algorithm() != Algorithm::Sha256 {
        return Err(invalid("only sha256 can be checked".to_owned()));
    }
    Ok(Some((digest, span)))
}

/// A checksum is for what is downloaded.
pub(super) fn check_checksum(
    sources: &[CopySource],
    checksum: Option<(Digest, Span)>,
) -> Result<(), PlanError> {
    match checksum {
        Some((digest, span)) if !sources.iter().any(|source| matches!(source, CopySource::Url { .. })) => {
            let reason = "it is for sources that are URLs".to_owned();
            let problem = PlanProblem::Value { what: "--checksum", value: digest.to_string(), reason };
            Err(PlanError::new(problem, span)
                .hinted("leave it out: files of the context are known by their contents"))
        }
        _ => Ok(()),
    }
}
