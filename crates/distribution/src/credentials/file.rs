//! Reading the files: one format, in which docker and podman keep credentials.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::IoContext;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::Secret;
use crate::config::AuthFile;
use crate::host::Host;
use crate::{DistributionError, Result};

/// Larger files hold something else.
pub(super) const MAX_FILE: u64 = 4 << 20;

/// Files exist in which the padding was left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a file says of credentials.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Contents {
    #[serde(default)]
    auths: Option<BTreeMap<String, RawEntry>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
struct RawEntry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

/// A file that was read.
pub(super) struct Parsed {
    path: PathBuf,
    contents: Contents,
}

/// What a file says of a registry.
pub(super) enum Entry {
    Secret(Secret),
    /// The registry is named, and nothing is said.
    Empty,
}

impl Parsed {
    /// Reads a file; `None` when there is none.
    pub(super) fn read(file: &AuthFile) -> Result<Option<Self>> {
        let (path, text) = match file {
            AuthFile::Text { name, text } => (PathBuf::from(name), text.clone()),
            AuthFile::Path(path) => match read_text(path)? {
                Some(text) => (path.clone(), text),
                None => return Ok(None),
            },
        };
        if text.trim().is_empty() {
            return Ok(Some(Self { path, contents: Contents::default() }));
        }
        // The library's message may repeat a value, which may be a secret: only the place is told.
        let contents = serde_json::from_str(&text).map_err(|error| DistributionError::File {
            path: path.clone(),
            reason: format!(
                "it is not JSON as docker and podman keep credentials in, at line {} column {}",
                error.line(),
                error.column()
            ),
        })?;
        Ok(Some(Self { path, contents }))
    }

    /// The helper for a repository.
    pub(super) fn helper_for(&self, host: &Host, repository: &str) -> Option<String> {
        let special = self.contents.cred_helpers.as_ref().and_then(|helpers| best(helpers, host, repository));
        let helper = special.or(self.contents.creds_store.as_ref()).cloned();
        // The name becomes part of a program's.
        helper.filter(|name| !name.is_empty() && !name.contains('/'))
    }

    /// What is said of a repository.
    pub(super) fn entry_for(&self, host: &Host, repository: &str) -> Result<Option<Entry>> {
        let Some(raw) = self.contents.auths.as_ref().and_then(|auths| best(auths, host, repository)) else {
            return Ok(None);
        };
        let secret = if !raw.registrytoken.is_empty() {
            Secret::Bearer { token: raw.registrytoken.clone() }
        } else if !raw.identitytoken.is_empty() {
            Secret::Identity { token: raw.identitytoken.clone() }
        } else if !raw.auth.is_empty() {
            self.decode(&raw.auth, host)?
        } else if !raw.username.is_empty() {
            Secret::Password { user: raw.username.clone(), password: raw.password.clone() }
        } else {
            return Ok(Some(Entry::Empty));
        };
        Ok(Some(Entry::Secret(secret)))
    }

    fn decode(&self, auth: &str, host: &Host) -> Result<Secret> {
        let wrong = || DistributionError::File {
            path: self.path.clone(),
            reason: format!("its auth for {host} is not user:password in base64"),
        };
        let bytes = BASE64.decode(auth.trim()).map_err(|_| wrong())?;
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        let (user, password) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Secret::Password { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() })
    }
}

/// The text of a file; `None` when there is none.
pub(crate) fn read_text(path: &std::path::Path) -> Result<Option<String>> {
    use std::io::Read as _;
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        result => result.context("open", path)?,
    };
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).context("read", path)?;
    Ok(Some(text))
}

/// A key as it is compared: `host[:port][/path]`, with one name for Docker Hub.
pub(super) fn normalized(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let bare = bare.trim_end_matches('/');
    let is_address = bare.len() < key.trim_end_matches('/').len();
    // `/v1` and `/v2` are parts of addresses, and no namespaces.
    let bare = if is_address {
        bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare)
    } else {
        bare
    };
    let (host, path) = bare.split_once('/').map_or((bare, None), |(host, path)| (host, Some(path)));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    path.map_or_else(|| host.to_owned(), |path| format!("{host}/{path}"))
}

/// The value whose key fits a repository best: the repository, its namespaces from the inside outwards, the host.
fn best<'a, T>(all: &'a BTreeMap<String, T>, host: &Host, repository: &str) -> Option<&'a T> {
    let mut wanted = format!("{}/{repository}", host.name());
    loop {
        let fits = |(key, _): &(&String, &T)| {
            let key = normalized(key);
            key == wanted || key.strip_suffix(":443").is_some_and(|key| key == wanted)
        };
        // The form that docker itself writes comes before others that mean the same.
        let exact = all.get_key_value(host.key()).filter(|_| wanted == host.name());
        if let Some((_, value)) = exact.or_else(|| all.iter().find(fits)) {
            return Some(value);
        }
        wanted.truncate(wanted.rfind('/')?);
    }
}
