//! Which commit a name is, as the server says: nothing is fetched.

use crate::error::GitError;
use crate::program::{Call, Git};
use crate::source::{Source, is_commit};

/// What a source means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The commit.
    pub commit: String,
    /// The same, or the annotated tag that names it.
    pub object: String,
    /// The whole name (`refs/…`) that was asked for; none when a commit was.
    pub reference: Option<String>,
}

impl Resolved {
    /// What a source means whose commit is written out: neither git nor a server is needed for that. `None` for every other one.
    pub fn written(source: &Source) -> Result<Option<Self>, GitError> {
        let Some(commit) = whole_commit(source) else { return Ok(None) };
        let resolved = Self { commit: commit.to_owned(), object: commit.to_owned(), reference: None };
        resolved.checked(source).map(Some)
    }

    /// Compared with the checksum.
    fn checked(self, source: &Source) -> Result<Self, GitError> {
        match &source.checksum {
            Some(expected) if !self.commit.starts_with(expected) && !self.object.starts_with(expected) => {
                Err(GitError::Checksum { expected: expected.clone(), found: self.commit })
            }
            _ => Ok(self),
        }
    }
}

impl Git<'_> {
    /// Asks the server which commit is meant, and compares it with the checksum. Whose commit is written out need not ask ([`Resolved::written`]).
    pub fn resolve(&self, source: &Source) -> Result<Resolved, GitError> {
        self.ask(source.reference.as_deref())?.checked(source)
    }

    fn ask(&self, name: Option<&str>) -> Result<Resolved, GitError> {
        let peeled = name.map(|name| format!("{name}^{{}}"));
        let wanted = [name.or(Some("HEAD")), peeled.as_deref()];
        let options = ["ls-remote", "--symref", "--", &self.remote().url];
        let answer = self.text(
            Call::remote("ask for the commit"),
            options.into_iter().chain(wanted.into_iter().flatten()),
        )?;
        let found = match name {
            None => head(&answer).ok_or(GitError::Empty)?,
            Some(name) => named(&answer, name).ok_or_else(|| GitError::NoReference(name.to_owned()))?,
        };
        if is_commit(&found.commit) && is_commit(&found.object) {
            Ok(found)
        } else {
            Err(GitError::Answer(answer))
        }
    }
}

fn whole_commit(source: &Source) -> Option<&str> {
    let checksum = source.checksum.as_deref().filter(|_| source.by_commit);
    [checksum, source.reference.as_deref()].into_iter().flatten().find(|text| is_commit(text))
}

/// What a server says of a name.
fn find<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = answer.lines().filter_map(|line| line.split_once('\t'));
    lines.find(|(digest, found)| *found == name && !digest.starts_with("ref: ")).map(|(digest, _)| digest)
}

fn head(answer: &str) -> Option<Resolved> {
    let object = find(answer, "HEAD")?.to_owned();
    let symbolic = |line: &str| Some(line.strip_prefix("ref: ")?.strip_suffix("\tHEAD")?.to_owned());
    Some(Resolved { commit: object.clone(), object, reference: answer.lines().find_map(symbolic) })
}

/// What git itself takes a name for (gitrevisions): a server's answer has all names that end in it.
fn named(answer: &str, name: &str) -> Option<Resolved> {
    ["", "refs/", "refs/tags/", "refs/heads/"].into_iter().find_map(|prefix| {
        let reference = format!("{prefix}{name}");
        let object = find(answer, &reference)?.to_owned();
        let commit = find(answer, &format!("{reference}^{{}}")).map_or_else(|| object.clone(), str::to_owned);
        Some(Resolved { commit, object, reference: Some(reference) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_082_a_name_is_what_git_takes_it_for() {
        let answer = "1\trefs/heads/a/main\n2\trefs/heads/main\n3\trefs/tags/main\n4\trefs/tags/main^{}\n5\trefs/pull/7/head\n";
        let found = |name: &str| {
            named(answer, name).map(|found| (found.commit, found.object, found.reference.unwrap_or_default()))
        };
        let expect = |commit: &str, object: &str, reference: &str| {
            Some((commit.to_owned(), object.to_owned(), reference.to_owned()))
        };
        assert_eq!(found("main"), expect("4", "3", "refs/tags/main"));
        assert_eq!(found("refs/heads/main"), expect("2", "2", "refs/heads/main"));
        assert_eq!(found("heads/main"), expect("2", "2", "refs/heads/main"));
        assert_eq!(found("pull/7/head"), expect("5", "5", "refs/pull/7/head"));
        assert_eq!(found("a"), None);
        let found = head("ref: refs/heads/trunk\tHEAD\n7\tHEAD\n").expect("a commit");
        assert_eq!((found.commit.as_str(), found.reference.as_deref()), ("7", Some("refs/heads/trunk")));
        assert_eq!(head(""), None);
    }
}
