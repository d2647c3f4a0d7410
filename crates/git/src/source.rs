//! Addresses of git repositories, as Dockerfiles write them (DF-082).
//!
//! `https://host/path.git`, `http://…`, `git://host/path`, `ssh://user@host/path` and `user@host:path`; then a query (`?branch=main&subdir=src`) or a fragment
//! (`#main:src`), or both, if they agree.

use crate::authorization::Authorization;

/// The longest digest of a commit: SHA-256 in hexadecimal.
const LONGEST_COMMIT: usize = 64;
/// Shorter beginnings of a commit are too easily those of another one.
const SHORTEST_CHECKSUM: usize = 7;

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP, in the clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// SSH.
    Ssh,
    /// git's own, in the clear.
    Git,
}

/// Where a repository is.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its address, without credentials.
    pub url: String,
    /// How it is reached.
    pub transport: Transport,
    /// The server, with its port if there is one.
    pub host: String,
    /// The user and the password that the address had (HTTP only).
    pub(crate) login: Option<Authorization>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.url)
    }
}

/// A repository, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub remote: Remote,
    /// A branch, a tag, a whole name (`refs/…`) or a commit; the server's default branch when it is not said.
    pub reference: Option<String>,
    /// The directory of it that is meant.
    pub subdirectory: Option<String>,
    /// What the commit has to begin with.
    pub checksum: Option<String>,
    /// Whether `.git` is wanted; not said is no.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are fetched, too.
    pub submodules: bool,
    /// Whether a checksum that is a whole commit is fetched without asking what the reference is.
    pub by_commit: bool,
}

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No server, or one whose name would be taken for an option.
    #[error("it names no server")]
    NoHost,
    /// No path.
    #[error("it names no repository")]
    NoPath,
    /// A name that no branch, tag or commit can have.
    #[error("{0:?} can not be the name of a branch, a tag or a commit")]
    Reference(String),
    /// A directory outside.
    #[error("the subdirectory {0:?} is not one of the repository")]
    Subdirectory(String),
    /// No beginning of a commit.
    #[error("{0:?} is not the beginning of a commit: {SHORTEST_CHECKSUM} or more hexadecimal digits")]
    Checksum(String),
    /// A key that means nothing.
    #[error("there is no option {0:?} for a repository")]
    Unknown(String),
    /// A key without a value.
    #[error("{0} has no value")]
    NoValue(&'static str),
    /// A key that is there twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// Two things that are said, and differ.
    #[error("more than one {what} is asked for: {one:?} and {other:?}")]
    Conflict {
        /// What of.
        what: &'static str,
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// Neither true nor false.
    #[error("{key} is {value:?}, which is neither true nor false")]
    Boolean {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// Times that would differ each time.
    #[error("mtime is {0:?}: files have the time of their commit, so that the same commit is the same layer")]
    Times(String),
}

impl Source {
    /// Understands an address. `None` when it is not one of a git repository: a path, or a file of the web.
    pub fn parse(text: &str) -> Result<Option<Self>, SourceError> {
        let Some(parts) = Parts::of(text) else { return Ok(None) };
        if matches!(parts.transport, Transport::Http | Transport::Https)
            && !decoded(parts.path).ends_with(".git")
        {
            return Ok(None);
        }
        Self::from_parts(&parts).map(Some)
    }

    /// The same for a build context: there, `github.com/user/repository` is one, too.
    pub fn parse_context(text: &str) -> Result<Option<Self>, SourceError> {
        if !text.starts_with("github.com/") {
            return Self::parse(text);
        }
        let text = format!("https://{text}");
        Parts::of(&text).map(|parts| Self::from_parts(&parts)).transpose()
    }

    fn from_parts(parts: &Parts<'_>) -> Result<Self, SourceError> {
        if parts.host.is_empty() || parts.host.starts_with('-') {
            return Err(SourceError::NoHost);
        }
        if parts.path.trim_matches('/').is_empty() || parts.path.starts_with('-') {
            return Err(SourceError::NoPath);
        }
        let fragment = decoded(parts.fragment);
        let (reference, subdirectory) = fragment.split_once(':').unwrap_or((&fragment, ""));
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let mut source = Self {
            remote: parts.remote(),
            reference: text(reference),
            subdirectory: text(subdirectory),
            checksum: None,
            keep_git_dir: None,
            submodules: true,
            by_commit: false,
        };
        source.query(parts.query)?;
        if let Some(reference) = source.reference.as_ref().filter(|reference| !is_reference(reference)) {
            return Err(SourceError::Reference(reference.clone()));
        }
        if let Some(directory) = source.subdirectory.take() {
            let names = directory.split('/').filter(|name| !matches!(*name, "" | "."));
            let clean = names.clone().collect::<Vec<_>>().join("/");
            if names.into_iter().any(|name| name == "..") || clean.contains('\0') {
                return Err(SourceError::Subdirectory(directory));
            }
            source.subdirectory = text(&clean);
        }
        Ok(source)
    }

    fn query(&mut self, query: &str) -> Result<(), SourceError> {
        const KEYS: [&str; 10] = [
            "ref",
            "tag",
            "branch",
            "subdir",
            "checksum",
            "commit",
            "keep-git-dir",
            "submodules",
            "mtime",
            "fetch-by-commit",
        ];
        let mut seen = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (decoded(key), decoded(&value.replace('+', " ")));
            let key = KEYS.into_iter().find(|known| *known == key).ok_or(SourceError::Unknown(key))?;
            if seen.contains(&key) {
                return Err(SourceError::Twice(key));
            }
            seen.push(key);
            let flag = |value: &str| match value {
                "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
                _ => Err(SourceError::Boolean { key, value: value.to_owned() }),
            };
            match key {
                "keep-git-dir" => self.keep_git_dir = Some(flag(&value)?),
                "submodules" => self.submodules = flag(&value)?,
                "fetch-by-commit" => self.by_commit = flag(&value)?,
                _ if value.is_empty() => return Err(SourceError::NoValue(key)),
                "ref" => agree("ref", &mut self.reference, value)?,
                "tag" => agree("ref", &mut self.reference, prefixed("refs/tags/", value))?,
                "branch" => agree("ref", &mut self.reference, prefixed("refs/heads/", value))?,
                "subdir" => agree("subdirectory", &mut self.subdirectory, value)?,
                "mtime" if value == "commit" => {}
                "mtime" => return Err(SourceError::Times(value)),
                _ => self.require(&value)?,
            }
        }
        if self.reference.is_none() {
            self.reference.clone_from(&self.checksum);
        }
        Ok(())
    }

    /// Asks for a commit that begins like this, as `--checksum` does.
    pub fn require(&mut self, checksum: &str) -> Result<(), SourceError> {
        let is_checksum = (SHORTEST_CHECKSUM..=LONGEST_COMMIT).contains(&checksum.len())
            && checksum.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_checksum {
            return Err(SourceError::Checksum(checksum.to_owned()));
        }
        agree("checksum", &mut self.checksum, checksum.to_ascii_lowercase())
    }
}

/// Whether a reference is a whole commit.
pub(crate) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | LONGEST_COMMIT)
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The rules of `git check-ref-format`, and nothing that looks like an option.
fn is_reference(text: &str) -> bool {
    let is_bad = |character: char| {
        character.is_control() || character.is_whitespace() || "~^:?*[\\".contains(character)
    };
    let is_component = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.ends_with(".lock");
    !text.starts_with('-')
        && !text.ends_with('.')
        && !text.contains("..")
        && !text.contains("@{")
        && text != "@"
        && !text.chars().any(is_bad)
        && text.split('/').all(is_component)
}

fn agree(what: &'static str, place: &mut Option<String>, value: String) -> Result<(), SourceError> {
    match place.replace(value.clone()) {
        Some(one) if one != value => Err(SourceError::Conflict { what, one, other: value }),
        _ => Ok(()),
    }
}

fn prefixed(prefix: &str, value: String) -> String {
    if value.starts_with(prefix) { value } else { format!("{prefix}{value}") }
}

/// An address in its parts.
struct Parts<'t> {
    transport: Transport,
    /// `None` for `user@host:path`.
    scheme: Option<&'static str>,
    user: Option<&'t str>,
    host: &'t str,
    path: &'t str,
    query: &'t str,
    fragment: &'t str,
}

impl<'t> Parts<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (address, query) = address.split_once('?').unwrap_or((address, ""));
        if let Some((scheme, rest)) = address.split_once("://")
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            let (transport, scheme) = match scheme.to_ascii_lowercase().as_str() {
                "http" => (Transport::Http, "http"),
                "https" => (Transport::Https, "https"),
                "ssh" => (Transport::Ssh, "ssh"),
                "git" => (Transport::Git, "git"),
                _ => return None,
            };
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let (user, host) = match authority.rsplit_once('@') {
                Some((user, host)) => (Some(user), host),
                None => (None, authority),
            };
            return Some(Self { transport, scheme: Some(scheme), user, host, path, query, fragment });
        }
        let (user, rest) = address.split_once('@')?;
        let (host, path) = rest.split_once(':')?;
        let consists = |text: &str, others: &str| {
            !text.is_empty() && text.chars().all(|one| one.is_ascii_alphanumeric() || others.contains(one))
        };
        let is_one = consists(user, "-_") && consists(host, "-.");
        let transport = Transport::Ssh;
        is_one.then_some(Self { transport, scheme: None, user: Some(user), host, path, query, fragment })
    }

    fn remote(&self) -> Remote {
        let &Self { transport, host, path, .. } = self;
        let user = self.user.unwrap_or_default();
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let url = match self.scheme {
            None => format!("{user}@{host}:{path}"),
            Some(scheme) if transport == Transport::Ssh && !name.is_empty() => {
                format!("{scheme}://{name}@{host}{path}")
            }
            Some(scheme) => format!("{scheme}://{host}{path}"),
        };
        let is_web = matches!(transport, Transport::Http | Transport::Https);
        let login =
            (is_web && !user.is_empty()).then(|| Authorization::basic(&decoded(name), &decoded(password)));
        Remote { url, transport, host: host.to_owned(), login }
    }
}

/// An address for messages and records: what may be secret in it (users of HTTP, passwords) is left out.
pub fn shown(text: &str) -> String {
    let Some(parts) = Parts::of(text) else { return text.to_owned() };
    let rest = text.find(['?', '#']).and_then(|at| text.get(at..)).unwrap_or_default();
    parts.remote().url + rest
}

/// What is not UTF-8 becomes U+FFFD, which nothing is called.
fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&base::text::percent_decoded(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Source {
        Source::parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn df_082_what_is_a_repository() {
        for (text, url) in [
            ("https://host/a/b.git", "https://host/a/b.git"),
            ("HTTPS://host/a.git", "https://host/a.git"),
            ("http://host:8/a.git#main", "http://host:8/a.git"),
            ("https://host/a.git?ref=main", "https://host/a.git"),
            ("https://host/a%2egit", "https://host/a%2egit"),
            ("git://host/a", "git://host/a"),
            ("ssh://git@host:22/a/b", "ssh://git@host:22/a/b"),
            ("git@host:a/b.git", "git@host:a/b.git"),
            ("someone@host:a#main", "someone@host:a"),
        ] {
            assert_eq!(parse(text).remote.url, url, "{text}");
        }
        for text in [
            "https://host/a",
            "https://host/a.git/",
            "https://host/a.tar?x=.git",
            "https://host/a#b.git",
            "github.com/a/b",
            "github.com/a/b.git",
            "file:///a.git",
            "ftp://host/a.git",
            "a.git",
            "./git@host:a",
            "a b@host:c",
            "@host:c",
            "dir/user@host:c",
        ] {
            assert_eq!(Source::parse(text), Ok(None), "{text}");
        }
        let context = Source::parse_context("github.com/a/b#c:d").expect("valid").expect("a repository");
        assert_eq!(context.remote.url, "https://github.com/a/b");
        assert_eq!((context.reference.as_deref(), context.subdirectory.as_deref()), (Some("c"), Some("d")));
    }

    #[test]
    fn df_082_fragments_and_queries() {
        for (rest, reference, subdirectory) in [
            ("", None, None),
            ("#", None, None),
            ("#main", Some("main"), None),
            ("#:src", None, Some("src")),
            ("#v1:/a//./b/", Some("v1"), Some("a/b")),
            ("#pull/1/head:.", Some("pull/1/head"), None),
            ("?ref=main&subdir=a", Some("main"), Some("a")),
            ("?tag=v1", Some("refs/tags/v1"), None),
            ("?tag=refs/tags/v1", Some("refs/tags/v1"), None),
            ("?branch=a%2Fb", Some("refs/heads/a/b"), None),
            ("?ref=main#main:x", Some("main"), Some("x")),
            ("?commit=0123456", Some("0123456"), None),
        ] {
            let source = parse(&format!("https://host/a.git{rest}"));
            assert_eq!(source.reference.as_deref(), reference, "{rest}");
            assert_eq!(source.subdirectory.as_deref(), subdirectory, "{rest}");
        }
        let source = parse(
            "git@host:a?keep-git-dir&submodules=false&checksum=0123456ABC&fetch-by-commit=1&mtime=commit&ref=b",
        );
        assert_eq!((source.keep_git_dir, source.submodules, source.by_commit), (Some(true), false, true));
        assert_eq!(source.checksum.as_deref(), Some("0123456abc"));
        assert_eq!(source.reference.as_deref(), Some("b"));
    }

    #[test]
    fn df_082_what_is_refused() {
        for (text, said) in [
            ("https:///a.git", "no server"),
            ("ssh://-oProxyCommand=x/a", "no server"),
            ("git@-h:a", "no server"),
            ("git@host:", "no repository"),
            ("git@host:-a", "no repository"),
            ("git://host/", "no repository"),
            ("https://host/a.git#--upload-pack=x", "name of a branch"),
            ("https://host/a.git#a..b", "name of a branch"),
            ("https://host/a.git#a%20b", "name of a branch"),
            ("https://host/a.git#*", "name of a branch"),
            ("https://host/a.git#:../b", "not one of the repository"),
            ("https://host/a.git?colour=red", "no option \"colour\""),
            ("https://host/a.git?ref", "ref has no value"),
            ("https://host/a.git?ref=a&ref=a", "ref is given twice"),
            ("https://host/a.git?ref=a#b", "more than one ref is asked for: \"b\" and \"a\""),
            ("https://host/a.git?branch=a&tag=a", "more than one ref"),
            ("https://host/a.git?subdir=a#:b", "more than one subdirectory"),
            ("https://host/a.git?commit=0123456&checksum=1234567", "more than one checksum"),
            ("https://host/a.git?submodules=maybe", "neither true nor false"),
            ("https://host/a.git?checksum=012", "hexadecimal"),
            ("https://host/a.git?mtime=checkout", "time of their commit"),
        ] {
            let error = Source::parse(text).expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn df_140_passwords_are_not_in_addresses() {
        for (text, expected) in [
            ("https://user:pa%40ss@host/a.git?ref=b#c", "https://host/a.git?ref=b#c"),
            ("https://token@host/a.git", "https://host/a.git"),
            ("ssh://git:word@host/a", "ssh://git@host/a"),
            ("git@host:a", "git@host:a"),
            ("https://u:p@host/file", "https://host/file"),
            ("plain", "plain"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
            if let Ok(Some(source)) = Source::parse(text) {
                assert!(!format!("{source:?}").contains("word"));
            }
        }
        let login = parse("https://user:pa%40ss@host/a.git").remote.login;
        assert_eq!(login, Some(Authorization::basic("user", "pa@ss")));
        assert_eq!(parse("https://host/a.git").remote.login, None);
    }
}
