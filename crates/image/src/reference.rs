//! References: the names of images (RC-001 … RC-013).

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use base::{Classified, Kind};

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
/// The longest tag (RC-005).
const MAX_TAG: usize = 128;
/// How much of one piece of it.
const MAX_QUOTED: usize = 80;
/// How much of a wrong text an error repeats: more than the longest right one.
const MAX_SHOWN: usize = 600;

impl Reference {
    /// Reads a reference as docker users type it; neither tag nor digest is added.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        read(text).map_err(|fault| ReferenceError {
            text: text.chars().take(MAX_SHOWN).collect(),
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

/// What is wrong with a text, and what would be right.
#[derive(Debug)]
struct Fault {
    reason: String,
    hint: Option<String>,
}

impl Fault {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Asks whether `text` was meant, if that is a reference.
    fn did_you_mean(mut self, text: &str) -> Self {
        if read(text).is_ok() {
            self.hint = Some(format!("did you mean {text}?"));
        }
        self
    }
}

/// A piece of the text for a message, which repeats the whole already: the beginning will do.
fn quoted(piece: &str) -> String {
    let beginning: String = piece.chars().take(MAX_QUOTED).collect();
    let more = if beginning.len() < piece.len() { "…" } else { "" };
    format!("{}{more}", base::text::bytes(beginning.as_bytes()))
}

fn read(text: &str) -> Result<Reference, Fault> {
    if text.is_empty() {
        return Err(Fault::new("it is empty"));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let scheme = quoted(scheme);
        return Err(Fault::new(format!("it is an address, with {scheme}:// in front"))
            .did_you_mean(rest.trim_end_matches('/')));
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

fn read_digest(text: &str) -> Result<Digest, Fault> {
    Digest::parse(text).map_err(|error| Fault {
        reason: format!("{} behind its @ is not a digest, {}", quoted(&error.text), error.reason),
        hint: error.hint(),
    })
}

/// Whether the text before the first slash is a host (RC-001).
fn is_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.contains(|letter: char| letter.is_ascii_uppercase())
}

/// Splits at the colon behind the last slash.
fn split_tag(rest: &str) -> (&str, Option<&str>) {
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let colon = rest.get(last..).and_then(|name| name.find(':')).map(|colon| last + colon);
    match colon.and_then(|colon| rest.split_at_checked(colon)) {
        Some((path, tag)) => (path, tag.get(1..)),
        None => (rest, None),
    }
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

/// Checks `name`, `name:port`, `[IPv6]`, `[IPv6]:port` (RC-009, RC-010).
fn check_host(host: &str) -> Result<(), Fault> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) =
                rest.split_once(']').ok_or_else(|| Fault::new("the [ of its host is not closed"))?;
            check_ipv6(address)?;
            match (behind, behind.strip_prefix(':')) {
                ("", _) => (None, None),
                (_, Some(port)) => (None, Some(port)),
                _ => return Err(Fault::new("behind the ] of its host stands neither : nor /")),
            }
        }
        None => match host.rsplit_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    name.map_or(Ok(()), check_host_name)?;
    port.map_or(Ok(()), check_port)
}

fn check_ipv6(address: &str) -> Result<(), Fault> {
    if address.contains('%') {
        return Err(Fault::new("its host has a zone, which names of images cannot have"));
    }
    let plain = address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    if !plain || address.parse::<Ipv6Addr>().is_err() {
        let address = quoted(address);
        return Err(Fault::new(format!("{address} in the brackets of its host is not an address of IPv6")));
    }
    Ok(())
}

fn check_host_name(name: &str) -> Result<(), Fault> {
    let right = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if name.split('.').all(right) {
        return Ok(());
    }
    let name = quoted(name);
    Err(Fault::new(format!("its host {name} is not the name of a host"))
        .hint("hosts are letters, digits and inner hyphens, joined by single dots"))
}

fn check_port(port: &str) -> Result<(), Fault> {
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && port.parse::<u16>().is_ok_and(|port| port != 0) {
        return Ok(());
    }
    Err(Fault::new(format!("its port {} is not a number from 1 to 65535", quoted(port))))
}

/// Checks the components of a path (RC-004).
fn check_path(path: &str) -> Result<(), Fault> {
    if path.is_empty() {
        return Err(Fault::new("it has no repository"));
    }
    for component in path.split('/') {
        if component.is_empty() {
            return Err(Fault::new("its path begins or ends with a slash, or holds two in a row"));
        }
        if component.contains(|letter: char| letter.is_ascii_uppercase()) {
            return Err(Fault::new(
                "its path has upper-case letters, repositories have lower-case ones only",
            ));
        }
        if !is_component(component) {
            let component = quoted(component);
            return Err(Fault::new(format!("{component} in its path is not right")).hint(
                "the parts of a path are lower-case letters and digits, joined by one dot, one or two underscores, or hyphens",
            ));
        }
    }
    Ok(())
}

fn is_component(component: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let ends_well = component.starts_with(is_word) && component.ends_with(is_word);
    // Between the words stand the separators.
    let separators_are_right = component.split(is_word).all(|separator| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    });
    ends_well && separators_are_right
}

/// Checks a tag (RC-005).
fn check_tag(tag: &str) -> Result<(), Fault> {
    if tag.is_empty() {
        return Err(Fault::new("its tag is empty"));
    }
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let is_right =
        tag.starts_with(is_word) && tag.chars().all(|letter| is_word(letter) || matches!(letter, '.' | '-'));
    if !is_right {
        let tag = quoted(tag);
        return Err(Fault::new(format!("its tag {tag} is not right"))
            .hint("tags are letters of ASCII, digits, underscores, dots and hyphens, and begin with neither of the last two"));
    }
    if tag.len() > MAX_TAG {
        return Err(Fault::new(format!(
            "its tag has {} characters, at most {MAX_TAG} are allowed",
            tag.len()
        )));
    }
    Ok(())
}

/// Adds the lower-case form to a fault of a path, if that would be right.
fn lower_case(fault: Fault, host: Option<&str>, path: &str, text: &str) -> Fault {
    let start = host.map_or(0, |host| host.len() + 1);
    // A host that is one by its upper-case letters alone was not meant to be one.
    let start_lower = if host.is_some_and(|host| !host.contains(['.', ':'])) { 0 } else { start };
    let end = start + path.len();
    match (text.get(..start_lower), text.get(start_lower..end), text.get(end..)) {
        (Some(before), Some(path), Some(behind)) if path != path.to_ascii_lowercase() => {
            fault.did_you_mean(&format!("{before}{}{behind}", path.to_ascii_lowercase()))
        }
        _ => fault,
    }
}

/// Adds the form with brackets to a fault of a host which is a bare address of IPv6.
fn bracketed(fault: Fault, host: &str, text: &str) -> Fault {
    match text.strip_prefix(host) {
        Some(rest) if host.parse::<Ipv6Addr>().is_ok() => {
            Fault::new("an address of IPv6 stands in brackets").did_you_mean(&format!("[{host}]{rest}"))
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
