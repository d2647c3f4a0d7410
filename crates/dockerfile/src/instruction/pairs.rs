//! ENV, LABEL and ARG: names and values (DF-050, DF-052, DF-055, DF-147).

use super::parse::Request;
use crate::error::{Error, Problem, Result};
use crate::span::{Slice, Span, Word};
use crate::words;

/// ENV and LABEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// At least one. They are expanded with the environment as it is before the instruction.
    pub pairs: Vec<KeyValue>,
    /// Whether it is the old form, `ENV name the value`, which has a single pair.
    pub is_legacy: bool,
}

/// A name and its value; both keep their quotes, and both are expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The name.
    pub key: Word,
    /// The value.
    pub value: Word,
    /// Both.
    pub span: Span,
}

/// ARG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// At least one.
    pub declarations: Vec<ArgDeclaration>,
}

/// One argument of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgDeclaration {
    /// The name.
    pub name: Word,
    /// What follows `=`, if that stands there; quotes are kept.
    pub default: Option<Word>,
    /// Both.
    pub span: Span,
}

pub(super) fn pairs(request: &Request<'_>) -> Result<Pairs> {
    request.no_flags()?;
    let arguments = request.arguments();
    let words = words::quoted(arguments, request.escape);
    let Some(first) = words.first() else { return Err(request.wrong_arguments("at least one argument")) };
    if !first.as_str().contains('=') {
        return legacy(request);
    }
    let pairs = words.into_iter().map(|word| pair(request, word)).collect::<Result<_>>()?;
    Ok(Pairs { pairs, is_legacy: false })
}

fn legacy(request: &Request<'_>) -> Result<Pairs> {
    let arguments = request.arguments();
    let (key, value) = words::first(arguments);
    if value.is_empty() {
        let problem = Problem::Arguments { keyword: request.name(), expected: "two arguments" };
        return Err(
            Error::new(problem, request.span()).hinted(format!("write {} name=value", request.name()))
        );
    }
    let pair = KeyValue { key: key.word(), value: value.word(), span: arguments.span() };
    Ok(Pairs { pairs: vec![pair], is_legacy: true })
}

fn pair(request: &Request<'_>, word: Slice<'_>) -> Result<KeyValue> {
    let Some((key, value)) = split(word) else {
        let error = Error::new(Problem::NotKeyValue { word: word.as_str().to_owned() }, word.span());
        return Err(error.hinted("put a value with blanks in double quotes"));
    };
    Ok(KeyValue { key: name(request, key)?, value: value.word(), span: word.span() })
}

pub(super) fn arg(request: &Request<'_>) -> Result<Arg> {
    request.no_flags()?;
    let words = words::quoted(request.arguments(), request.escape);
    if words.is_empty() {
        return Err(request.wrong_arguments("at least one argument"));
    }
    let declaration = |word: Slice<'_>| {
        let (key, default) = split(word).map_or((word, None), |(key, value)| (key, Some(value.word())));
        Ok(ArgDeclaration { name: name(request, key)?, default, span: word.span() })
    };
    let declarations = words.into_iter().map(declaration).collect::<Result<_>>()?;
    Ok(Arg { declarations })
}

fn split(word: Slice<'_>) -> Option<(Slice<'_>, Slice<'_>)> {
    let at = word.as_str().find('=')?;
    Some((word.part(0..at), word.from(at + 1)))
}

fn name(request: &Request<'_>, key: Slice<'_>) -> Result<Word> {
    if key.is_empty() {
        return Err(Error::new(Problem::BlankName { keyword: request.name() }, key.span()));
    }
    Ok(key.word())
}
