//! FROM (DF-066, DF-075).

use super::parse::Request;
use crate::error::{Error, Problem, Result};
use crate::flags::{Known, Takes};
use crate::span::Word;
use crate::words;

/// FROM: the start of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// `--platform`; only global ARGs expand in it.
    pub platform: Option<Word>,
    /// An image, an earlier stage or a named context; only global ARGs expand in it.
    pub image: Word,
    /// The name of the stage.
    pub name: Option<StageName>,
}

/// `AS name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageName {
    /// The name, in lower case.
    pub name: String,
    /// The name as it was written.
    pub word: Word,
    /// `AS` as it was written.
    pub keyword: Word,
}

impl StageName {
    /// Whether a name can be a stage's, once it is in lower case.
    pub fn is_valid(name: &str) -> bool {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'))
    }
}

const FLAGS: Known = &[("platform", Takes::Text)];

pub(super) fn from(request: &Request<'_>) -> Result<From> {
    let platform = request.flags(FLAGS)?.text("platform").cloned();
    if let Some(empty) = platform.as_ref().filter(|platform| platform.raw.is_empty()) {
        return Err(Error::new(Problem::Empty { what: "the platform" }, empty.span));
    }
    let mut words = words::plain(request.arguments()).into_iter();
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(image), None, _, _) => Ok(From { platform, image, name: None }),
        (Some(image), Some(keyword), Some(word), None) if keyword.raw.eq_ignore_ascii_case("as") => {
            let name = word.raw.to_lowercase();
            if !StageName::is_valid(&name) {
                return Err(Error::new(Problem::BadStageName { name: word.raw }, word.span));
            }
            Ok(From { platform, image, name: Some(StageName { name, word, keyword }) })
        }
        (_, second, ..) => Err(wrong(request, second.as_ref())),
    }
}

fn wrong(request: &Request<'_>, second: Option<&Word>) -> Error {
    let error = request.wrong_arguments("either one argument, or three: FROM image AS name");
    match second {
        Some(second) if second.raw.starts_with('#') => {
            let hint = "a comment has to stand on a line of its own";
            error.noted(second.span, "this is no comment").hinted(hint)
        }
        Some(second) if !second.raw.eq_ignore_ascii_case("as") => {
            error.noted(second.span, "AS was expected here")
        }
        _ => error,
    }
}
