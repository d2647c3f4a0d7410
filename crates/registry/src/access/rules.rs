//! Rules for repositories (RS-104), in a file:
//!
//! ```text
//! # USERS      ACTIONS        REPOSITORIES
//! *            read           public/**
//! ci           read,create    team/*
//! ann,ben      all            **
//! ```
//!
//! `*` for a user is everybody, also who has not logged in; `@` is everybody who has. Actions are `read`, `create` (what is not there yet), `update` (tags
//! that are there), `delete`, `write` (create and update) and `all`. In a repository `*` stands for a part of one component, `**` for any components. What no rule allows is denied.

use std::fs;
use std::path::Path;

use base::IoContext;
use store::RepositoryName;

use super::Action;
use crate::ServeError;

/// The rules.
pub(super) struct Rules(Vec<Rule>);

struct Rule {
    users: Vec<String>,
    actions: Vec<Action>,
    repositories: String,
}

impl Rules {
    pub fn load(path: &Path) -> Result<Self, ServeError> {
        let text = fs::read_to_string(path).context("read", path)?;
        Self::parse(&text).map_err(|reason| ServeError::File { path: path.to_owned(), reason })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let (users, actions, repositories) = match words.as_slice() {
                [] => continue,
                [users, actions, repositories] => (users, actions, repositories),
                _ => return Err(format!("line {} is not USERS ACTIONS REPOSITORIES", number + 1)),
            };
            let mut allowed = Vec::new();
            for action in actions.split(',') {
                allowed.extend_from_slice(match action {
                    "read" => &[Action::Pull],
                    "create" => &[Action::Push],
                    "update" => &[Action::Overwrite],
                    "write" => &[Action::Push, Action::Overwrite],
                    "delete" => &[Action::Delete],
                    "all" => &[Action::Pull, Action::Push, Action::Overwrite, Action::Delete],
                    other => {
                        let other = base::text::bytes(other.as_bytes());
                        return Err(format!("{other} in line {} is not an action", number + 1));
                    }
                });
            }
            rules.push(Rule {
                users: users.split(',').map(str::to_owned).collect(),
                actions: allowed,
                repositories: (*repositories).to_owned(),
            });
        }
        Ok(Self(rules))
    }

    /// Whether a user may do something.
    pub fn allow(&self, user: Option<&str>, action: Action, repository: &RepositoryName) -> bool {
        self.0.iter().any(|rule| {
            rule.is_for(user)
                && rule.actions.contains(&action)
                && matches(&rule.repositories, repository.as_str())
        })
    }

    /// Whether something is allowed to who has not logged in.
    pub fn know_nobody(&self) -> bool {
        self.0.iter().any(|rule| rule.is_for(None))
    }
}

impl Rule {
    fn is_for(&self, user: Option<&str>) -> bool {
        self.users.iter().any(|known| match known.as_str() {
            "*" => true,
            "@" => user.is_some(),
            known => user == Some(known),
        })
    }
}

/// Whether a pattern matches: component by component, `**` any number of them.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let name: Vec<&str> = name.split('/').collect();
    components(&pattern, &name)
}

fn components(pattern: &[&str], name: &[&str]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            (0..=name.len()).any(|skipped| components(rest, name.get(skipped..).unwrap_or_default()))
        }
        (Some((first, rest)), Some((component, behind))) => {
            part(first, component) && components(rest, behind)
        }
        _ => false,
    }
}

/// Whether a component matches: what stands between the stars is there, in order.
fn part(pattern: &str, component: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = component.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        match rest.split_once(piece) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rs_104_patterns() {
        for (pattern, name, expected) in [
            ("**", "a", true),
            ("**", "a/b/c", true),
            ("*", "a", true),
            ("*", "a/b", false),
            ("team/*", "team/app", true),
            ("team/*", "team", false),
            ("team/*", "team/a/b", false),
            ("team/**", "team/a/b", true),
            ("**/app", "a/b/app", true),
            ("a-*-z", "a-b-z", true),
            ("a-*-z", "a-z", false),
            ("a*", "app", true),
            ("app", "app2", false),
            ("*a*b", "xaybzb", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn rs_104_rules() {
        let rules = Rules::parse(
            "# all\n* read public/**\nci read,create team/* # no overwriting\nann all **\n@ read **\n",
        );
        let rules = rules.expect("rules");
        let name = |text: &str| RepositoryName::parse(text).expect("a name");
        for (user, action, repository, expected) in [
            (None, Action::Pull, "public/a", true),
            (None, Action::Pull, "team/a", false),
            (None, Action::Push, "public/a", false),
            (Some("ci"), Action::Push, "team/a", true),
            (Some("ci"), Action::Overwrite, "team/a", false),
            (Some("ci"), Action::Push, "other", false),
            (Some("ci"), Action::Pull, "other", true),
            (Some("ann"), Action::Delete, "other", true),
        ] {
            assert_eq!(
                rules.allow(user, action, &name(repository)),
                expected,
                "{user:?} {action:?} {repository}"
            );
        }
        assert!(rules.know_nobody());
        assert!(Rules::parse("ann all").is_err() && Rules::parse("ann fly **").is_err());
    }
}
