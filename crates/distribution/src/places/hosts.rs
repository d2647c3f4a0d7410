//! containerd's hosts.toml: which servers are asked for the images of a host, and what for (RC-042).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use toml::{Spanned, Value};

use super::{Capabilities, Place, broken, duration, line, unreadable};
use crate::credentials::read_text;
use crate::host::Host;
use crate::http::Trust;
use crate::{DistributionError, Result};

/// A server. The file itself says all this of the one that `server` names, and has the others in it.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Table {
    server: Option<Spanned<String>>,
    #[serde(default)]
    host: BTreeMap<Spanned<String>, Table>,
    capabilities: Option<Vec<Spanned<String>>>,
    ca: Option<Spanned<Value>>,
    client: Option<Spanned<Value>>,
    skip_verify: Option<bool>,
    // Of any type, so that no message of the library repeats what it has.
    header: Option<Spanned<Value>>,
    override_path: Option<bool>,
    dial_timeout: Option<Spanned<String>>,
}

/// The places for a repository, as the first file has them that there is for its host.
pub(super) fn find(directories: &[PathBuf], host: &Host, repository: &str) -> Result<Option<Vec<Place>>> {
    for directory in directories {
        // The first directory that is there counts, also without the file: its host is to be left as it is.
        let Some(found) = names(host).map(|name| directory.join(name)).into_iter().find(|path| path.is_dir())
        else {
            continue;
        };
        let path = found.join("hosts.toml");
        if let Some(text) = read_text(&path)? {
            return File { path: &path, text: &text, host, repository }.places().map(Some);
        }
    }
    Ok(None)
}

/// What a host's directory may be called. The form with a second underscore is for filesystems without colons in names.
fn names(host: &Host) -> [String; 3] {
    let name = host.name();
    let without_colon = name.rsplit_once(':').map(|(host, port)| format!("{host}_{port}_"));
    [without_colon.unwrap_or_else(|| name.to_owned()), name.to_owned(), "_default".to_owned()]
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    host: &'a Host,
    repository: &'a str,
}

impl File<'_> {
    fn places(&self) -> Result<Vec<Place>> {
        let table: Table =
            toml::from_str(self.text).map_err(|error| unreadable(self.path, self.text, &error))?;
        // Their order is the file's.
        let mut servers: Vec<_> = table.host.iter().collect();
        servers.sort_by_key(|(address, _)| address.span().start);
        let mut places = Vec::new();
        for (address, server) in servers {
            if server.server.is_some() || !server.host.is_empty() {
                return Err(self.broken(address.span().start, "a host has no server and no hosts in it"));
            }
            places.push(self.place(Some(address), server)?);
        }
        places.push(self.place(table.server.as_ref(), &table)?);
        Ok(places)
    }

    /// One place; without an address it is where the name says.
    fn place(&self, address: Option<&Spanned<String>>, table: &Table) -> Result<Place> {
        let mut place = Place::origin(self.host, self.repository);
        if let Some(address) = address {
            let at = address.span().start;
            let (host, base) = self.server(address.get_ref(), table.override_path == Some(true), at)?;
            place.namespace = (host != *self.host).then(|| self.host.name().to_owned());
            (place.host, place.base) = (host, Some(base));
            place.named_by = Some(format!("{}, line {}", base::text::path(self.path), line(self.text, at)));
        }
        if let Some(capabilities) = &table.capabilities {
            place.can = self.capabilities(capabilities)?;
        }
        place.headers = self.headers(table.header.as_ref())?;
        place.trust = self.trust(table)?;
        Ok(place)
    }

    /// The server that an address names, and where its API is: below `/v2`, unless the path is to be taken as it stands.
    fn server(&self, address: &str, as_it_stands: bool, at: usize) -> Result<(Host, Url)> {
        let whole = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let parsed = Url::parse(&whole).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
        });
        let authority = parsed.as_ref().map(crate::http::authority);
        let host = authority.as_deref().and_then(Host::parse);
        let (Some(mut url), Some(host)) = (parsed, host) else {
            return Err(
                self.broken(at, "this is not the address of a registry, as https://HOST[:PORT][/PATH]")
            );
        };
        // Docker Hub's API is not where its name says.
        if host.name() != host.authority() {
            let _ = url.set_host(Some(host.authority()));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if !as_it_stands && !path.ends_with("/v2") {
            url.set_path(&format!("{path}/v2"));
        }
        Ok((host, url))
    }

    fn capabilities(&self, names: &[Spanned<String>]) -> Result<Capabilities> {
        let mut can = Capabilities { pull: false, resolve: false, push: false };
        for name in names {
            match name.get_ref().as_str() {
                "pull" => can.pull = true,
                "resolve" => can.resolve = true,
                "push" => can.push = true,
                // Referrers are asked for where the name says.
                "referrers" => {}
                _ => {
                    let reason = "a capability is none of pull, resolve, push, referrers";
                    return Err(self.broken(name.span().start, reason));
                }
            }
        }
        Ok(can)
    }

    fn headers(&self, value: Option<&Spanned<Value>>) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let Some(value) = value else { return Ok(headers) };
        let wrong = || self.broken(value.span().start, "header is not a table of headers and their values");
        for (name, values) in value.get_ref().as_table().ok_or_else(wrong)? {
            let name: HeaderName = name.parse().map_err(|_| wrong())?;
            for value in strings(values).ok_or_else(wrong)? {
                let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
                value.set_sensitive(true);
                headers.append(name.clone(), value);
            }
        }
        Ok(headers)
    }

    fn trust(&self, table: &Table) -> Result<Trust> {
        let mut trust = Trust { anybody: table.skip_verify == Some(true), ..Trust::default() };
        if let Some(value) = &table.ca {
            let wrong = || self.broken(value.span().start, "ca is neither a file nor a list of files");
            let files = strings(value.get_ref()).ok_or_else(wrong)?;
            trust.authorities = files.into_iter().map(|file| self.file(file)).collect();
        }
        if let Some(value) = &table.client {
            let reason =
                "client is neither a file with certificate and key, nor one pair [[CERTIFICATE, KEY]]";
            let pair = pair(value.get_ref()).ok_or_else(|| self.broken(value.span().start, reason))?;
            trust.identity = Some((self.file(pair.0), self.file(pair.1)));
        }
        if let Some(text) = &table.dial_timeout {
            let wrong = || self.broken(text.span().start, "dial_timeout is not a duration as 3s or 1m30s");
            trust.connect = Some(duration::parse(text.get_ref()).ok_or_else(wrong)?);
        }
        Ok(trust)
    }

    /// What is not absolute lies beside the file.
    fn file(&self, name: &str) -> PathBuf {
        self.path.parent().unwrap_or(self.path).join(name)
    }

    fn broken(&self, at: usize, reason: &str) -> DistributionError {
        broken(self.path, self.text, at, reason)
    }
}

/// One string, or a list of them.
fn strings(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::Array(values) => values.iter().map(Value::as_str).collect(),
        value => Some(vec![value.as_str()?]),
    }
}

/// Certificate and key of a client: one file with both, or two. A server is shown one certificate, so there is one.
fn pair(value: &Value) -> Option<(&str, &str)> {
    match value {
        Value::Array(values) => match values.as_slice() {
            [Value::Array(pair)] => match pair.as_slice() {
                [Value::String(certificate), Value::String(key)] if key.is_empty() => {
                    Some((certificate, certificate))
                }
                [Value::String(certificate), Value::String(key)] => Some((certificate, key)),
                _ => None,
            },
            [Value::String(both)] => Some((both, both)),
            _ => None,
        },
        value => value.as_str().map(|both| (both, both)),
    }
}
