//! The grammar of references: which hosts, paths, tags and digests there are, and what is said of others.

use std::net::Ipv6Addr;

use base::Classified as _;

use crate::Digest;

/// The longest tag (RC-005).
const MAX_TAG: usize = 128;
/// How much of a piece of a wrong text is quoted.
const MAX_QUOTED: usize = 80;

/// What is wrong with a text, and what would be right.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reason: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A piece of the text for a message, which repeats the whole already: the beginning will do.
pub(super) fn quoted(piece: &str) -> String {
    let beginning: String = piece.chars().take(MAX_QUOTED).collect();
    let more = if beginning.len() < piece.len() { "…" } else { "" };
    format!("{}{more}", base::text::bytes(beginning.as_bytes()))
}

/// Whether the text before the first slash is a host (RC-001).
pub(super) fn is_host(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.contains(|letter: char| letter.is_ascii_uppercase())
}

/// Splits at the colon behind the last slash.
pub(super) fn split_tag(rest: &str) -> (&str, Option<&str>) {
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let colon = rest.get(last..).and_then(|name| name.find(':')).map(|colon| last + colon);
    match colon.and_then(|colon| rest.split_at_checked(colon)) {
        Some((path, tag)) => (path, tag.get(1..)),
        None => (rest, None),
    }
}

/// Reads what stands behind the `@` (RC-008).
pub(super) fn read_digest(text: &str) -> Result<Digest, Fault> {
    Digest::parse(text).map_err(|error| Fault {
        reason: format!("{} behind its @ is not a digest, {}", quoted(&error.text), error.reason),
        hint: error.hint(),
    })
}

/// Checks `name`, `name:port`, `[IPv6]`, `[IPv6]:port` (RC-009, RC-010).
pub(super) fn check_host(host: &str) -> Result<(), Fault> {
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
pub(super) fn check_path(path: &str) -> Result<(), Fault> {
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
pub(super) fn check_tag(tag: &str) -> Result<(), Fault> {
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
