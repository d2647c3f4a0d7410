//! podman's registries.conf: where the repositories below a prefix are, and their mirrors (RC-043).

use std::fs;
use std::path::{Path, PathBuf};

use base::IoContext;
use serde::Deserialize;
use toml::{Spanned, Value};

use super::{Capabilities, Only, Place, broken, line, unreadable};
use crate::credentials::read_text;
use crate::host::Host;
use crate::{DistributionError, Result};

/// A file of version 2. What it says of short names and credential helpers is for podman: names without a host are docker's here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "what is known and not used is told from what is not known")]
struct Contents {
    #[serde(default)]
    registry: Vec<Spanned<Entry>>,
    unqualified_search_registries: Option<Value>,
    credential_helpers: Option<Value>,
    short_name_mode: Option<Value>,
    additional_layer_store_auth_helper: Option<Value>,
    aliases: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Spanned<Mirror>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    pull_from_mirror: Option<Spanned<String>>,
}

/// An entry, and where it stands.
struct Found {
    path: PathBuf,
    text: String,
    at: usize,
    prefix: String,
    entry: Entry,
}

/// The places for a repository, as the entry with the longest prefix has them. Of equal prefixes the last one counts.
pub(super) fn find(files: &[PathBuf], host: &Host, repository: &str) -> Result<Option<Vec<Place>>> {
    let name =
        if repository.is_empty() { host.name().to_owned() } else { format!("{}/{repository}", host.name()) };
    let mut best: Option<Found> = None;
    for path in files {
        for path in parts(path)? {
            for found in read(&path)? {
                let longest = best.as_ref().map_or(0, |best| best.prefix.len());
                if matched(&found.prefix, &name).is_some() && found.prefix.len() >= longest {
                    best = Some(found);
                }
            }
        }
    }
    best.map(|found| found.places(&name)).transpose()
}

/// A file, or the files of a directory that end in `.conf`, by their names.
fn parts(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut parts = Vec::new();
    for entry in fs::read_dir(path).context("read the directory", path)? {
        parts.push(entry.context("read the directory", path)?.path());
    }
    parts.retain(|part| part.extension().is_some_and(|extension| extension == "conf"));
    parts.sort();
    Ok(parts)
}

fn read(path: &Path) -> Result<Vec<Found>> {
    let Some(text) = read_text(path)? else { return Ok(Vec::new()) };
    let contents: Contents = toml::from_str(&text).map_err(|error| unreadable(path, &text, &error))?;
    let mut all = Vec::new();
    for entry in contents.registry {
        let (at, entry) = (entry.span().start, entry.into_inner());
        let prefix = if entry.prefix.is_empty() { &entry.location } else { &entry.prefix };
        let prefix = prefix.trim_end_matches('/').to_owned();
        let wrong = |reason| Err(broken(path, &text, at, reason));
        if prefix.is_empty() || prefix.contains("://") {
            return wrong("a registry has neither a prefix nor a location as HOST[:PORT][/PATH]");
        }
        if entry.location.starts_with('*') {
            return wrong("a location is no pattern; write the pattern as prefix");
        }
        if entry.mirror_by_digest_only
            && entry.mirror.iter().any(|mirror| mirror.get_ref().pull_from_mirror.is_some())
        {
            return wrong("mirror-by-digest-only and pull-from-mirror exclude each other");
        }
        all.push(Found { path: path.to_owned(), text: text.clone(), at, prefix, entry });
    }
    Ok(all)
}

/// What stands behind a prefix in a name, when it ends where a part of the name does; `*.example.com` fits what is below this domain.
fn matched<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    let rest = match prefix.strip_prefix('*') {
        None => name.strip_prefix(prefix)?,
        Some(domain) => {
            let host = name.split('/').next().unwrap_or_default();
            let bare = host.split(':').next().unwrap_or_default();
            if domain.contains('/') || !bare.ends_with(domain) || bare.len() == domain.len() {
                return None;
            }
            &name[bare.len()..]
        }
    };
    // A prefix without a port does not mean other ports, but for patterns, which have none.
    let ends = rest.is_empty() || rest.starts_with('/') || (prefix.starts_with('*') && rest.starts_with(':'));
    ends.then_some(rest)
}

impl Found {
    fn places(&self, name: &str) -> Result<Vec<Place>> {
        let Entry { location, insecure, blocked, .. } = &self.entry;
        if *blocked {
            return Err(DistributionError::Blocked {
                what: name.to_owned(),
                named_by: self.named_by(self.at),
            });
        }
        let rest = matched(&self.prefix, name).unwrap_or_default();
        let mut places = Vec::new();
        for mirror in &self.entry.mirror {
            let at = mirror.span().start;
            let mirror = mirror.get_ref();
            let mut place = self.place(&format!("{}{rest}", mirror.location), mirror.insecure, at)?;
            place.can = Capabilities { push: false, ..Capabilities::ALL };
            place.only = self.only(mirror)?;
            places.push(place);
        }
        let whole = if location.is_empty() { name.to_owned() } else { format!("{location}{rest}") };
        places.push(self.place(&whole, *insecure, self.at)?);
        Ok(places)
    }

    /// Which names a mirror is for.
    fn only(&self, mirror: &Mirror) -> Result<Option<Only>> {
        match mirror.pull_from_mirror.as_ref().map(|when| (when.get_ref().as_str(), when.span().start)) {
            None => Ok(self.entry.mirror_by_digest_only.then_some(Only::Digests)),
            Some(("all", _)) => Ok(None),
            Some(("digest-only", _)) => Ok(Some(Only::Digests)),
            Some(("tag-only", _)) => Ok(Some(Only::Tags)),
            Some((_, at)) => Err(broken(
                &self.path,
                &self.text,
                at,
                "pull-from-mirror is none of all, digest-only, tag-only",
            )),
        }
    }

    /// A place by its host and path.
    fn place(&self, whole: &str, insecure: bool, at: usize) -> Result<Place> {
        let (host, repository) = whole.split_once('/').unwrap_or((whole, ""));
        let host = Host::parse(host)
            .filter(|_| !whole.contains("://"))
            .ok_or_else(|| broken(&self.path, &self.text, at, "a location is not HOST[:PORT][/PATH]"))?;
        let mut place = Place::origin(&host, repository);
        place.trust.anybody = insecure;
        place.named_by = Some(self.named_by(at));
        Ok(place)
    }

    fn named_by(&self, at: usize) -> String {
        format!("{}, line {}", base::text::path(&self.path), line(&self.text, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc_043_prefixes_end_where_parts_of_names_do() {
        for (prefix, name, expected) in [
            ("example.com", "example.com/app", Some("/app")),
            ("example.com", "example.com:5000/app", None),
            ("example.com", "example.community/app", None),
            ("example.com/team", "example.com/team/app", Some("/app")),
            ("example.com/team", "example.com/teams/app", None),
            ("example.com/team/app", "example.com/team/app", Some("")),
            ("*.example.com", "a.example.com/app", Some("/app")),
            ("*.example.com", "a.b.example.com:5000/app", Some(":5000/app")),
            ("*.example.com", "example.com/app", None),
            ("*.example.com", "badexample.com/app", None),
            ("*.example.com", "other.org/a.example.com", None),
        ] {
            assert_eq!(matched(prefix, name), expected, "{prefix} {name}");
        }
    }
}
