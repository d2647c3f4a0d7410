//! The options of one mount, until its type is known and they can be checked against it.

use super::{
    BindMount, CacheMount, Field, Key, Mount, SecretMount, Sharing, SshMount, TmpfsMount, base_name,
};
use crate::error::{Error, Problem, Result};
use crate::span::{Span, Word};
use crate::suggest;
use crate::value::parse_size;

const TYPES: &[&str] = &["bind", "cache", "tmpfs", "secret", "ssh"];

/// All that was given, whatever the type.
#[derive(Debug, Default)]
pub(super) struct Options {
    kind: Option<&'static str>,
    from: Option<Word>,
    source: Option<String>,
    target: Option<String>,
    read_only: Option<bool>,
    id: Option<String>,
    sharing: Option<Sharing>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    required: Option<bool>,
    env: Option<String>,
    size: Option<u64>,
    /// Which options were given, and where.
    given: Vec<(Key, Span)>,
}

impl Options {
    pub fn take(&mut self, field: &Field, value: Option<Word>) -> Result<()> {
        self.given.push((field.key, field.whole.span));
        let value = value.unwrap_or_else(|| Word { raw: "true".to_owned(), span: field.whole.span });
        let text = || Some(value.raw.clone()).filter(|text| !text.is_empty());
        match field.key {
            Key::Type => self.kind = Some(kind(&value)?),
            Key::From => self.from = text().map(|_| value),
            Key::Source => self.source = text(),
            Key::Target => self.target = text(),
            Key::Id => self.id = text(),
            Key::Env => self.env = text(),
            Key::ReadOnly => self.read_only = Some(boolean(field.key, &value)?),
            Key::ReadWrite => self.read_only = Some(!boolean(field.key, &value)?),
            Key::Required => self.required = Some(boolean(field.key, &value)?),
            Key::Sharing => self.sharing = Some(sharing(&value)?),
            Key::Mode => self.mode = Some(number(field.key, &value, 8)?),
            Key::Uid => self.uid = Some(number(field.key, &value, 10)?),
            Key::Gid => self.gid = Some(number(field.key, &value, 10)?),
            Key::Size => {
                let size = parse_size(&value.raw).map_err(|error| Error::new(error, value.span))?;
                self.size = Some(size);
            }
        }
        Ok(())
    }

    pub fn mount(self, text: &Word) -> Result<Mount> {
        let kind = self.kind.unwrap_or("bind");
        self.check(kind)?;
        match kind {
            "cache" => self.cache(text),
            "tmpfs" => self.tmpfs(text),
            "secret" => self.secret(text),
            "ssh" => Ok(self.ssh()),
            _ => self.bind(text),
        }
    }

    /// Refuses options that the type does not have (DF-103).
    fn check(&self, kind: &'static str) -> Result<()> {
        for (key, span) in &self.given {
            let allowed = match key {
                Key::Type | Key::Target | Key::ReadOnly | Key::ReadWrite => true,
                // BuildKit takes an id for all types.
                Key::Id => true,
                Key::From => matches!(kind, "bind" | "cache"),
                Key::Source => matches!(kind, "bind" | "cache" | "secret"),
                Key::Mode | Key::Uid | Key::Gid => matches!(kind, "cache" | "secret" | "ssh"),
                Key::Required => matches!(kind, "secret" | "ssh"),
                Key::Sharing => kind == "cache",
                Key::Env => kind == "secret",
                Key::Size => kind == "tmpfs",
            };
            if !allowed {
                return Err(Error::new(
                    Problem::MisplacedMountOption { key: key.name(), mount: kind },
                    *span,
                ));
            }
        }
        Ok(())
    }

    fn target(&mut self, text: &Word) -> Result<String> {
        match self.target.take() {
            Some(target) if !target.trim_matches('/').is_empty() => Ok(target),
            Some(_) => {
                let problem = Problem::BadMount {
                    text: text.raw.clone(),
                    detail: "the target can not be /".to_owned(),
                };
                Err(Error::new(problem, text.span))
            }
            None => {
                let problem =
                    Problem::BadMount { text: text.raw.clone(), detail: "target is required".to_owned() };
                Err(Error::new(problem, text.span).hinted("add target=PATH"))
            }
        }
    }

    fn bind(mut self, text: &Word) -> Result<Mount> {
        let target = self.target(text)?;
        let read_only = self.read_only.unwrap_or(true);
        Ok(Mount::Bind(BindMount { from: self.from, source: self.source, target, read_only }))
    }

    fn cache(mut self, text: &Word) -> Result<Mount> {
        let target = self.target(text)?;
        Ok(Mount::Cache(CacheMount {
            id: self.id,
            target,
            sharing: self.sharing.unwrap_or_default(),
            from: self.from,
            source: self.source,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            read_only: self.read_only.unwrap_or(false),
        }))
    }

    fn tmpfs(mut self, text: &Word) -> Result<Mount> {
        let target = self.target(text)?;
        Ok(Mount::Tmpfs(TmpfsMount { target, size: self.size, read_only: self.read_only.unwrap_or(false) }))
    }

    fn secret(self, text: &Word) -> Result<Mount> {
        let fail = |detail: &str| {
            Err(Error::new(
                Problem::BadMount { text: text.raw.clone(), detail: detail.to_owned() },
                text.span,
            ))
        };
        if self.id.is_some() && self.source.is_some() {
            return fail("both source and id can't be set");
        }
        let from_target = self.target.as_deref().map(base_name).filter(|name| !name.is_empty());
        let Some(id) = self.id.or(self.source).or(from_target.map(str::to_owned)) else {
            return fail("one of id and target is required");
        };
        Ok(Mount::Secret(SecretMount {
            id,
            target: self.target,
            env: self.env,
            required: self.required.unwrap_or(false),
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
        }))
    }

    fn ssh(self) -> Mount {
        Mount::Ssh(SshMount {
            id: self.id.unwrap_or_else(|| "default".to_owned()),
            target: self.target,
            required: self.required.unwrap_or(false),
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
        })
    }
}

fn bad(key: Key, value: &Word, expected: impl Into<String>) -> Error {
    let problem =
        Problem::BadMountValue { key: key.name(), value: value.raw.clone(), expected: expected.into() };
    Error::new(problem, value.span)
}

fn kind(value: &Word) -> Result<&'static str> {
    let lower = value.raw.to_ascii_lowercase();
    TYPES.iter().find(|known| **known == lower).copied().ok_or_else(|| {
        bad(Key::Type, value, format!("it has to be one of {}", TYPES.join(", ")))
            .suggesting(suggest::nearest(&lower, TYPES.iter().copied()))
    })
}

fn sharing(value: &Word) -> Result<Sharing> {
    match value.raw.to_ascii_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        other => Err(bad(Key::Sharing, value, "it has to be one of shared, private, locked")
            .suggesting(suggest::nearest(other, ["shared", "private", "locked"]))),
    }
}

fn boolean(key: Key, value: &Word) -> Result<bool> {
    match value.raw.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(bad(key, value, "it has to be true or false")),
    }
}

fn number(key: Key, value: &Word, radix: u32) -> Result<u32> {
    let unsigned = value.raw.bytes().all(|digit| digit.is_ascii_digit());
    let number = unsigned.then(|| u32::from_str_radix(&value.raw, radix).ok()).flatten();
    let expected = if radix == 8 { "it has to be an octal number" } else { "it has to be a number" };
    number.ok_or_else(|| bad(key, value, expected))
}
