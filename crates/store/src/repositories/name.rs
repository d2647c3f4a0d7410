//! Names of repositories, as the distribution specification has them, and the names of images that they stand for.

use std::fmt;

use image::Reference;

/// The longest name: clients refuse longer ones.
const MAX_NAME: usize = 255;
/// The longest tag.
const MAX_TAG: usize = 128;

/// The name of a repository, in the form that people write: `app`, `user/app`, `registry.example.com/app`.
///
/// It means what the same text means as the name of an image, so `app`, `library/app` and `docker.io/library/app` are one repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Reads a name; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_NAME || !text.split('/').all(is_component) {
            return None;
        }
        // What is too long for the name of an image with its host, or looks like an ID, is a repository all the same.
        let familiar = Reference::parse(text).ok().map(|reference| reference.familiar_repository());
        Some(Self(
            familiar.filter(|name| name.split('/').all(is_component)).unwrap_or_else(|| text.to_owned()),
        ))
    }

    /// The repository of an image's name; `None` for hosts that cannot be a part of a path, those with a port.
    pub fn of(reference: &Reference) -> Option<Self> {
        Self::parse(&reference.familiar_repository())
    }

    /// The name that an image has which is tagged here; `None` when it cannot have one.
    pub fn reference(&self, tag: &str) -> Option<Reference> {
        Reference::parse(&format!("{}:{tag}", self.0)).ok()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Words of lower-case letters and digits, joined by `.`, `_`, `__` or hyphens.
fn is_component(component: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let joins = |separator: &str| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    };
    component.starts_with(is_word) && component.ends_with(is_word) && component.split(is_word).all(joins)
}

/// Whether a text can be a tag.
pub fn is_tag(text: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.len() <= MAX_TAG
        && text.starts_with(is_word)
        && text.chars().all(|letter| is_word(letter) || matches!(letter, '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rs_002_names_of_repositories() {
        for (text, expected) in [
            ("app", Some("app")),
            ("library/app", Some("app")),
            ("docker.io/library/app", Some("app")),
            ("docker.io/user/app", Some("user/app")),
            ("library/a/b", Some("library/a/b")),
            ("a/blobs/uploads/b__c/d-----e/f.g", Some("a/blobs/uploads/b__c/d-----e/f.g")),
            ("localhost/app", Some("localhost/app")),
            ("docker.io/localhost/app", Some("docker.io/localhost/app")),
            ("registry.example.com/app", Some("registry.example.com/app")),
            ("", None),
            ("/", None),
            ("a//b", None),
            ("a/", None),
            ("..", None),
            ("a/../b", None),
            ("A", None),
            ("a___b", None),
            ("_a", None),
            ("a:1", None),
            ("a%2fb", None),
        ] {
            let name = RepositoryName::parse(text);
            assert_eq!(name.as_ref().map(RepositoryName::as_str), expected, "{text}");
            assert_eq!(name.as_ref().and_then(|name| RepositoryName::parse(name.as_str())), name, "{text}");
        }
        assert!(RepositoryName::parse(&"a".repeat(255)).is_some());
        assert!(RepositoryName::parse(&"a".repeat(256)).is_none());
    }

    #[test]
    fn a_repository_stands_for_the_name_of_an_image() {
        for (name, image) in [
            ("app", "docker.io/library/app:1"),
            ("user/app", "docker.io/user/app:1"),
            ("registry.example.com/app", "registry.example.com/app:1"),
            ("docker.io/localhost/app", "docker.io/localhost/app:1"),
        ] {
            let repository = RepositoryName::parse(name).expect("a name");
            let reference = repository.reference("1").expect("a reference");
            assert_eq!(reference.to_string(), image);
            assert_eq!(RepositoryName::of(&reference), Some(repository));
        }
        let ported = Reference::parse("localhost:5000/app:1").expect("a reference");
        assert_eq!(RepositoryName::of(&ported), None);
        let long = RepositoryName::parse(&"a".repeat(255)).expect("a name");
        assert_eq!(long.reference("1"), None);
    }

    #[test]
    fn tags() {
        for right in ["latest", "1.0-rc_1", "_x", &"a".repeat(128)] {
            assert!(is_tag(right), "{right}");
        }
        for wrong in ["", ".", "..", "-a", "a/b", "a:b", "ä", &"a".repeat(129)] {
            assert!(!is_tag(wrong), "{wrong}");
        }
    }
}
