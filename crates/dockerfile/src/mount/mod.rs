//! `RUN --mount`: what a step sees besides its root filesystem (DF-094 … DF-103).
//!
//! Values are expanded when the step is planned, so a mount is read twice: [`MountSpec::parse`]
//! splits and checks what can be checked, and [`MountSpec::resolve`] makes a [`Mount`] once the variables are known.

mod options;
#[cfg(test)]
mod tests;

use crate::error::{Error, Problem, Result};
use crate::span::Word;
use crate::suggest;
use options::Options;

/// A mount as it was written: its fields are known, their values are not expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// The text after `--mount=`.
    pub text: Word,
    fields: Vec<Field>,
}

/// One field: an option, and the text behind `=`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    key: Key,
    value: Option<Word>,
    whole: Word,
}

/// A mount that a step asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// A directory or file of the context, a stage or an image.
    Bind(BindMount),
    /// A directory that lives on between builds.
    Cache(CacheMount),
    /// A directory in memory.
    Tmpfs(TmpfsMount),
    /// A secret, as a file or in the environment.
    Secret(SecretMount),
    /// The socket of an SSH agent.
    Ssh(SshMount),
}

/// `type=bind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindMount {
    /// A stage, a named context or an image; the main context if there is none.
    pub from: Option<Word>,
    /// What of it; its root if there is none.
    pub source: Option<String>,
    /// Where; relative to the working directory.
    pub target: String,
    /// Whether the step can't write to it; what it writes is thrown away otherwise.
    pub read_only: bool,
}

/// `type=cache`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMount {
    /// Which cache; the cleaned target if there is none.
    pub id: Option<String>,
    /// Where; relative to the working directory.
    pub target: String,
    /// Who may use it at the same time.
    pub sharing: Sharing,
    /// Where the first contents come from.
    pub from: Option<Word>,
    /// What of `from`.
    pub source: Option<String>,
    /// The mode of the new directory, 0755 if there is none.
    pub mode: Option<u32>,
    /// The owner of the new directory, 0 if there is none.
    pub uid: Option<u32>,
    /// The group of the new directory, 0 if there is none.
    pub gid: Option<u32>,
    /// Whether the step can't write to it.
    pub read_only: bool,
}

/// Who may use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// One; another gets an empty one.
    Private,
    /// One; another waits.
    Locked,
}

/// `type=tmpfs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TmpfsMount {
    /// Where; relative to the working directory.
    pub target: String,
    /// How many bytes it can hold.
    pub size: Option<u64>,
    /// Whether the step can't write to it.
    pub read_only: bool,
}

/// `type=secret`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretMount {
    /// Which secret: `id`, or `source`, or the last part of the target.
    pub id: String,
    /// The file, if it was given.
    pub target: Option<String>,
    /// The environment variable, if it was given.
    pub env: Option<String>,
    /// Whether it is an error that there is no such secret.
    pub required: bool,
    /// The file's mode, 0400 if there is none.
    pub mode: Option<u32>,
    /// The file's owner, 0 if there is none.
    pub uid: Option<u32>,
    /// The file's group, 0 if there is none.
    pub gid: Option<u32>,
}

impl SecretMount {
    /// The file that the step sees; none when the secret goes to the environment only.
    pub fn file(&self) -> Option<String> {
        match (&self.target, &self.env) {
            (Some(target), _) => Some(target.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(format!("/run/secrets/{}", base_name(&self.id))),
        }
    }
}

/// `type=ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshMount {
    /// Which agent.
    pub id: String,
    /// The socket, if it was given.
    pub target: Option<String>,
    /// Whether it is an error that there is no such agent.
    pub required: bool,
    /// The socket's mode, 0600 if there is none.
    pub mode: Option<u32>,
    /// The socket's owner, 0 if there is none.
    pub uid: Option<u32>,
    /// The socket's group, 0 if there is none.
    pub gid: Option<u32>,
}

/// The last part of a path.
fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// The options of mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Type,
    From,
    Source,
    Target,
    ReadOnly,
    ReadWrite,
    Id,
    Sharing,
    Mode,
    Uid,
    Gid,
    Required,
    Env,
    Size,
}

const KEYS: &[(&str, Key)] = &[
    ("type", Key::Type),
    ("from", Key::From),
    ("source", Key::Source),
    ("src", Key::Source),
    ("target", Key::Target),
    ("dst", Key::Target),
    ("destination", Key::Target),
    ("readonly", Key::ReadOnly),
    ("ro", Key::ReadOnly),
    ("readwrite", Key::ReadWrite),
    ("rw", Key::ReadWrite),
    ("id", Key::Id),
    ("sharing", Key::Sharing),
    ("mode", Key::Mode),
    ("uid", Key::Uid),
    ("gid", Key::Gid),
    ("required", Key::Required),
    ("env", Key::Env),
    ("size", Key::Size),
];

impl Key {
    /// The option's first name, for messages.
    fn name(self) -> &'static str {
        KEYS.iter().find(|(_, key)| *key == self).map_or("", |(name, _)| name)
    }

    fn is_boolean(self) -> bool {
        matches!(self, Key::ReadOnly | Key::ReadWrite | Key::Required)
    }
}

impl MountSpec {
    /// Splits a mount's text, and checks all that does not depend on variables.
    pub fn parse(text: &Word) -> Result<Self> {
        let fields =
            split(text)?.into_iter().map(|field| Field::parse(text, field)).collect::<Result<Vec<_>>>()?;
        let spec = Self { text: text.clone(), fields };
        if spec.has_variables() {
            spec.check_from()?;
        } else {
            spec.resolve(|value| Ok(value.raw.clone()))?;
        }
        Ok(spec)
    }

    /// Whether any value needs expansion.
    pub fn has_variables(&self) -> bool {
        self.fields.iter().any(|field| field.value.as_ref().is_some_and(Word::has_variable))
    }

    /// The stage, context or image that the mount is from: known without expansion, so that stages can be put in order.
    pub fn from(&self) -> Option<&Word> {
        self.fields.iter().rev().find(|field| field.key == Key::From).and_then(|field| field.value.as_ref())
    }

    /// Makes the mount, with the values as `expand` gives them.
    pub fn resolve(&self, mut expand: impl FnMut(&Word) -> Result<String>) -> Result<Mount> {
        self.check_from()?;
        let mut options = Options::default();
        for field in &self.fields {
            let value = match (&field.value, field.key) {
                (Some(value), Key::From) => Some(value.clone()),
                (Some(value), _) => Some(Word { raw: expand(value)?, span: value.span }),
                (None, _) => None,
            };
            options.take(field, value)?;
        }
        options.mount(&self.text)
    }

    fn check_from(&self) -> Result<()> {
        match self.from().filter(|from| from.has_variable()) {
            Some(from) => {
                let problem = Problem::NoExpansion { place: "from".to_owned(), value: from.raw.clone() };
                Err(Error::new(problem, from.span)
                    .hinted("define a stage with FROM, which can use a global ARG, and name that stage"))
            }
            None => Ok(()),
        }
    }
}

impl Field {
    fn parse(text: &Word, whole: Word) -> Result<Self> {
        let (name, value) = match whole.raw.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (whole.raw.as_str(), None),
        };
        let lower = name.to_ascii_lowercase();
        let Some((_, key)) = KEYS.iter().find(|(known, _)| *known == lower) else {
            let problem = Problem::UnknownMountOption { key: name.to_owned(), field: whole.raw.clone() };
            let nearest = suggest::nearest(&lower, KEYS.iter().map(|(known, _)| *known));
            return Err(Error::new(problem, whole.span_of(0..name.len())).suggesting(nearest));
        };
        if value.is_none() && !key.is_boolean() {
            let detail = format!("{name:?} must be a key=value pair");
            return Err(Error::new(Problem::BadMount { text: text.raw.clone(), detail }, whole.span));
        }
        let start = name.len() + 1;
        let value =
            value.map(|value| Word { raw: value.to_owned(), span: whole.span_of(start..whole.raw.len()) });
        Ok(Self { key: *key, value, whole })
    }
}

/// Splits comma-separated values; a value in double quotes may hold commas.
fn split(text: &Word) -> Result<Vec<Word>> {
    let fail = |detail: &str| {
        Err(Error::new(Problem::BadMount { text: text.raw.clone(), detail: detail.to_owned() }, text.span))
    };
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let rest = text.raw.get(at..).unwrap_or_default();
        let (raw, length) = match rest.strip_prefix('"') {
            None => {
                let length = rest.find(',').unwrap_or(rest.len());
                (rest.get(..length).unwrap_or_default().to_owned(), length)
            }
            Some(quoted) => match quoted_field(quoted) {
                Some((raw, length)) => (raw, length + 1),
                None => return fail("a double quote does not end"),
            },
        };
        if !rest.starts_with('"') && raw.contains('"') {
            return fail("a double quote within a value");
        }
        fields.push(Word { span: text.span_of(at..at + length), raw });
        match rest.get(length..).unwrap_or_default().chars().next() {
            None => return Ok(fields),
            Some(',') => at += length + 1,
            Some(_) => return fail("text after a double quote"),
        }
    }
}

/// The contents of a quoted field (after its quote), and how long it is with the closing quote.
fn quoted_field(text: &str) -> Option<(String, usize)> {
    let mut raw = String::new();
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let length = rest.find('"')?;
        raw.push_str(rest.get(..length)?);
        at += length + 1;
        if !text.get(at..)?.starts_with('"') {
            return Some((raw, at));
        }
        raw.push('"');
        at += 1;
    }
}
