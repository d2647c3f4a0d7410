//! `--secret` (DF-101, DF-212): where secrets are. They are read when a step needs them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use base::Kind;
use distribution::web::{self, Authorization};

use crate::failure::{Failure, Outcome};

/// The secrets of a build, by their names.
#[derive(Default)]
pub struct Secrets(BTreeMap<String, Source>);

#[derive(Debug, PartialEq)]
enum Source {
    File(PathBuf),
    Variable(String),
}

impl Secrets {
    /// What is in one of them.
    pub fn read(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        match self.0.get(id) {
            None => Ok(None),
            Some(Source::Variable(name)) => Ok(std::env::var_os(name).map(OsStringExt::into_vec)),
            Some(Source::File(path)) => {
                let mut bytes = Vec::new();
                // One byte more shows that it is too large.
                File::open(path)?.take(builder::MAX_SECRET as u64 + 1).read_to_end(&mut bytes)?;
                Ok(Some(bytes))
            }
        }
    }

    /// Who asks for a file of the web (DF-140).
    pub fn authorization(&self, url: &str) -> Outcome<Option<Authorization>> {
        for secret in web::secrets(url) {
            let id = base::text::line(&secret.id);
            let refused = |kind, problem: String| {
                Failure::new(kind, format!("the secret {id} {problem}"))
                    .hint(format!("name a file or a variable with one line in it: --secret id={id},src=FILE"))
            };
            let value = self.read(&secret.id);
            let value =
                value.map_err(|error| refused(Kind::of_io(&error), format!("cannot be read: {error}")))?;
            if let Some(value) = value {
                let authorization = Authorization::of_secret(&secret, &value);
                let refused = || refused(Kind::Invalid, "is not one line of text".to_owned());
                return authorization.ok_or_else(refused).map(Some);
            }
        }
        Ok(None)
    }
}

/// Understands the options, and finds out whether there is what they name.
pub fn parse(texts: &[String]) -> Outcome<Secrets> {
    let secrets = texts.iter().map(|text| one(text)).collect::<Outcome<BTreeMap<_, _>>>()?;
    for (id, source) in &secrets {
        let (what, is_there) = match source {
            Source::File(path) => (format!("the file {}", base::text::path(path)), path.is_file()),
            Source::Variable(name) => (
                format!("the variable {}", base::text::bytes(name.as_bytes())),
                std::env::var_os(name).is_some(),
            ),
        };
        if !is_there {
            let id = base::text::bytes(id.as_bytes());
            return Err(Failure::new(
                Kind::NotFound,
                format!("there is no secret {id}: {what} is not there"),
            )
            .hint("name it: --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE"));
        }
    }
    Ok(Secrets(secrets))
}

fn one(text: &str) -> Outcome<(String, Source)> {
    let refused = |reason: String| {
        Failure::new(Kind::Invalid, format!("--secret {}: {reason}", base::text::bytes(text.as_bytes())))
            .hint("--secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE")
    };
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for field in text.split(',') {
        let (name, value) =
            field.split_once('=').ok_or_else(|| refused("a field has no value".to_owned()))?;
        let place = match name.to_ascii_lowercase().as_str() {
            "id" => &mut id,
            "src" | "source" => &mut file,
            "env" => &mut variable,
            "type" => &mut kind,
            other => return Err(refused(format!("there is no option {}", base::text::line(other)))),
        };
        *place = Some(value.to_owned());
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| refused("id is missing".to_owned()))?;
    let source = match (kind.as_deref(), file, variable) {
        (_, Some(_), Some(_)) => return Err(refused("src and env cannot both be given".to_owned())),
        (None | Some("file"), Some(file), None) => Source::File(file.into()),
        // docker takes src as the variable's name then.
        (Some("env"), Some(name), None) | (None | Some("env"), None, Some(name)) => Source::Variable(name),
        (Some("env"), None, None) => Source::Variable(id.clone()),
        (Some("file"), None, None) => Source::File(id.clone().into()),
        (None, None, None) if std::env::var_os(&id).is_some() => Source::Variable(id.clone()),
        (None, None, None) => Source::File(id.clone().into()),
        (Some(_), ..) => return Err(refused("type has to be file or env".to_owned())),
    };
    Ok((id, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_212_secrets_as_docker_says_them() {
        let file = |id: &str, path: &str| Ok((id.to_owned(), Source::File(path.into())));
        let variable = |id: &str, name: &str| Ok((id.to_owned(), Source::Variable(name.to_owned())));
        for (text, expected) in [
            ("id=a,src=b", file("a", "b")),
            ("source=b,id=a,type=file", file("a", "b")),
            ("id=a", file("a", "a")),
            ("id=a,env=B", variable("a", "B")),
            ("id=a,type=env", variable("a", "a")),
            ("id=a,type=env,src=B", variable("a", "B")),
            ("src=b", Err("id is missing")),
            ("id=a,src=b,env=C", Err("cannot both")),
            ("id=a,type=x", Err("file or env")),
            ("id=a,colour=red", Err("no option colour")),
            ("a", Err("no value")),
        ] {
            match (one(text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(error), Err(part)) => assert!(error.message().contains(part), "{text}"),
                (_, expected) => panic!("{text}: expected {expected:?}"),
            }
        }
    }
}
