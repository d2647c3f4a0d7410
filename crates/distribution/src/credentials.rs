//! Who one is on a registry: docker's config.json, podman's auth.json, and helpers (RC-031 … RC-035).

mod fields;
mod file;
mod helper;
mod save;

use std::fmt;

use base::Cancel;

pub(crate) use file::read_text;
pub use save::{Saved, erase, save};

use crate::config::AuthFile;
use crate::host::Host;
use crate::{Config, Result};
use file::{Entry, Parsed};

/// Where credentials come from that are not kept yet, in messages.
pub(crate) const TYPED: &str = "what was typed";

/// Who one is, and where that was said.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// What is shown to the registry.
    pub secret: Secret,
    /// Where it comes from, for messages.
    pub source: String,
}

/// What is shown to a registry. It never stands in a message.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A user and a password (or what stands for one).
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that the token server takes instead of a password.
    Identity {
        /// The token.
        token: String,
    },
    /// A token that the registry itself takes.
    Bearer {
        /// The token.
        token: String,
    },
}

/// Nothing of it.
impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a secret")
    }
}

impl Credential {
    /// As whom, for messages.
    pub fn user(&self) -> &str {
        match &self.secret {
            Secret::Password { user, .. } => user,
            Secret::Identity { .. } => "the holder of an identity token",
            Secret::Bearer { .. } => "the holder of a registry token",
        }
    }
}

/// Without the secret.
impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} from {}", self.user(), self.source)
    }
}

/// Who one is for a repository: the first file that knows the repository, one of its namespaces or the host.
pub(crate) fn find(
    config: &Config,
    host: &Host,
    repository: &str,
    cancel: &Cancel,
) -> Result<Option<Credential>> {
    if config.anonymous {
        return Ok(None);
    }
    for auth_file in &config.auth_files {
        let Some(parsed) = Parsed::read(auth_file)? else { continue };
        if let Some(credential) = find_in(&parsed, auth_file, host, repository, cancel)? {
            return Ok(Some(credential));
        }
    }
    Ok(None)
}

/// In one file the helpers come first, as with docker.
fn find_in(
    parsed: &Parsed,
    auth_file: &AuthFile,
    host: &Host,
    repository: &str,
    cancel: &Cancel,
) -> Result<Option<Credential>> {
    let named = || match auth_file {
        AuthFile::Path(path) => base::text::path(path).into_owned(),
        AuthFile::Text { name, .. } => name.clone(),
    };
    if let Some(helper) = parsed.helper_for(host, repository) {
        let source = || format!("the credential helper {} of {}", helper::program(&helper), named());
        if let Some(secret) = helper::get(&helper, host.key(), cancel)? {
            return Ok(Some(Credential { secret, source: source() }));
        }
    }
    match parsed.entry_for(host, repository)? {
        Some(Entry::Secret(secret)) => Ok(Some(Credential { secret, source: named() })),
        // A mark that the helper has it; the helper has been asked.
        Some(Entry::Empty) | None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
