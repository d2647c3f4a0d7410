//! References: the names of images (RC-001 … RC-013).

mod grammar;

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use base::{Classified, Kind};

use self::grammar::{Fault, check_host, check_path, check_tag, is_host, quoted, read_digest, split_tag};
use crate::{Algorithm, Digest};

/// The name of an image: a registry's host, a repository's path, a tag, a digest.
///
/// Always canonical: Docker Hub is `docker.io`, its official images are below `library/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A text that is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not the name of an image: {reason}", base::text::bytes(.text.as_bytes()))]
pub struct ReferenceError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
    /// What would be right.
    pub hint: Option<String>,
}

impl Classified for ReferenceError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// The registry that names without a host belong to.
const HUB: &str = "docker.io";
/// The other names of that registry (RC-002).
const HUB_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// Where that registry keeps the repositories that people name by one word (RC-003).
const OFFICIAL: &str = "library/";
/// The longest host and path: clients refuse longer ones (RC-005).
const MAX_REPOSITORY: usize = 255;
/// The longest text that is looked at, and how much of a wrong one an error repeats: more than the longest right one
/// (255 + a tag of 129 + a digest of 136).
const MAX_TEXT: usize = 600;

impl Reference {
    /// Reads a reference as docker users type it; neither tag nor digest is added.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        read(text).map_err(|fault| ReferenceError {
            text: text.chars().take(MAX_TEXT).collect(),
            reason: fault.reason,
            hint: fault.hint,
        })
    }

    /// The registry: `docker.io`, `localhost:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository's path: `library/debian`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if there is one. It decides what is meant, a tag beside it is a remark (RC-007).
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// With the tag `latest` when it has neither a tag nor a digest (RC-011).
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// With this tag instead of its own, and without a digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        Self::parse(&format!("{}:{tag}", self.repository()))
    }

    /// With this digest instead of its own, and with its tag.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The repository in full: `docker.io/library/debian`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// The repository as people write it: `debian`, `user/app`, `localhost:5000/app` (RC-003).
    pub fn familiar_repository(&self) -> String {
        if self.host != HUB {
            return self.repository();
        }
        match self.path.split_once('/') {
            Some(("library", name)) if !name.contains('/') => name.to_owned(),
            // `docker.io/localhost/x` without its host would be something else.
            Some((first, _)) if is_host(first) => self.repository(),
            _ => self.path.clone(),
        }
    }

    /// The whole as people write it: `debian:bookworm`.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_repository(), Selector(self))
    }
}

/// What stands behind the repository: `:tag@digest`, either or neither.
struct Selector<'a>(&'a Reference);

impl fmt::Display for Selector<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tag) = &self.0.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.0.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

/// Reads the parts from the outside inwards: digest, host, tag, path. (A hint reads a shorter or a smaller text.)
fn read(text: &str) -> Result<Reference, Fault> {
    if text.is_empty() {
        return Err(Fault::new("it is empty"));
    }
    if text.len() > MAX_TEXT {
        return Err(Fault::new(format!(
            "it has {} bytes, and no name of an image has that many",
            text.len()
        )));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let scheme = quoted(scheme);
        let fault = Fault::new(format!("it is an address, with {scheme}:// in front"));
        return Err(did_you_mean(fault, rest.trim_end_matches('/')));
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(read_digest(digest)?)),
        None => (text, None),
    };
    let (host, rest) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (Some(first), rest),
        _ => (None, name),
    };
    // An address of IPv6 without a repository would be cut at its last colon.
    if host.is_none() && name.starts_with('[') {
        return Err(Fault::new("there is no repository behind its host"));
    }
    let (path, tag) = split_tag(rest);
    if let Some(host) = host {
        check_host(host).map_err(|fault| bracketed(fault, host, text))?;
    }
    check_path(path).map_err(|fault| lower_case(fault, host, path, text))?;
    if let Some(tag) = tag {
        check_tag(tag)?;
    }
    let reference = canonical(host, path, tag, digest);
    check_whole(&reference)?;
    Ok(reference)
}

fn canonical(host: Option<&str>, path: &str, tag: Option<&str>, digest: Option<Digest>) -> Reference {
    let host = host.unwrap_or(HUB);
    let is_hub =
        host.eq_ignore_ascii_case(HUB) || HUB_ALIASES.iter().any(|alias| host.eq_ignore_ascii_case(alias));
    let prefix = if is_hub && !path.contains('/') { OFFICIAL } else { "" };
    Reference {
        host: if is_hub { HUB } else { host }.to_owned(),
        path: format!("{prefix}{path}"),
        tag: tag.map(str::to_owned),
        digest,
    }
}

/// What only shows when all parts are known: the length (RC-005), and IDs of images (RC-006).
fn check_whole(reference: &Reference) -> Result<(), Fault> {
    let length = reference.host.len() + 1 + reference.path.len();
    if length > MAX_REPOSITORY {
        return Err(Fault::new(format!(
            "its host and path have {length} characters, at most {MAX_REPOSITORY} are allowed"
        )));
    }
    let official = (reference.host == HUB).then(|| reference.path.strip_prefix(OFFICIAL)).flatten();
    let is_id = match official {
        Some("sha256") => reference.tag.as_deref().is_some_and(is_hex_64),
        Some(name) => is_hex_64(name),
        None => false,
    };
    if is_id {
        return Err(Fault::new(
            "it is the ID of an image (64 hexadecimal digits), not the name of a repository",
        )
        .hint("a repository with a digest is written NAME@sha256:DIGITS"));
    }
    Ok(())
}

fn is_hex_64(text: &str) -> bool {
    Digest::from_hex(Algorithm::Sha256, text).is_ok()
}

/// Asks whether `text` was meant, if that is a reference.
fn did_you_mean(fault: Fault, text: &str) -> Fault {
    if read(text).is_ok() { fault.hint(format!("did you mean {text}?")) } else { fault }
}

/// Adds the lower-case form to a fault of a path, if that would be right.
fn lower_case(fault: Fault, host: Option<&str>, path: &str, text: &str) -> Fault {
    let start = host.map_or(0, |host| host.len() + 1);
    // A host that is one by its upper-case letters alone was not meant to be one.
    let start_lower = if host.is_some_and(|host| !host.contains(['.', ':'])) { 0 } else { start };
    let end = start + path.len();
    match (text.get(..start_lower), text.get(start_lower..end), text.get(end..)) {
        (Some(before), Some(path), Some(behind)) if path != path.to_ascii_lowercase() => {
            did_you_mean(fault, &format!("{before}{}{behind}", path.to_ascii_lowercase()))
        }
        _ => fault,
    }
}

/// Adds the form with brackets to a fault of a host which is a bare address of IPv6.
fn bracketed(fault: Fault, host: &str, text: &str) -> Fault {
    match text.strip_prefix(host) {
        Some(rest) if host.parse::<Ipv6Addr>().is_ok() => {
            did_you_mean(Fault::new("an address of IPv6 stands in brackets"), &format!("[{host}]{rest}"))
        }
        _ => fault,
    }
}

/// The canonical form: `docker.io/library/debian:bookworm`.
impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}{}", self.host, self.path, Selector(self))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
