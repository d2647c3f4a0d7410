//! What a container is: the image's config, and what the user asked for on top of it. Pure.

use base::{Classified, Kind};
use image::ContainerConfig;

/// What docker puts into `PATH` when nobody says anything else (DF-088).
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the user asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The command; empty for the image's own.
    pub command: Vec<String>,
    /// `--entrypoint`: replaces the image's, and drops its command. An empty one removes it.
    pub entrypoint: Option<String>,
    /// `-e`, in order.
    pub env: Vec<(String, String)>,
    /// `-w`.
    pub working_directory: Option<String>,
    /// `-u`.
    pub user: Option<String>,
    /// The host name; the beginning of the container's ID when nothing was asked for.
    pub hostname: String,
    /// Whether there is a terminal.
    pub terminal: bool,
}

/// What will be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The command and its arguments.
    pub args: Vec<String>,
    /// The environment, without `HOME` (it depends on the user).
    pub env: Vec<String>,
    /// The working directory, absolute.
    pub working_directory: String,
    /// The user, as written.
    pub user: String,
}

/// An image and wishes that do not make a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// There is nothing to execute.
    #[error("no command specified, and the image has none")]
    NoCommand,
    /// The working directory is not absolute.
    #[error("the working directory {} is not an absolute path", base::text::bytes(.0.as_bytes()))]
    RelativeWorkingDirectory(String),
}

impl Classified for MergeError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        match self {
            MergeError::NoCommand => Some("name one: lap run --rm IMAGE COMMAND [ARG...]".to_owned()),
            MergeError::RelativeWorkingDirectory(_) => None,
        }
    }
}

/// Merges them (CT-12, CT-14).
pub fn merge(image: &ContainerConfig, wishes: &Wishes) -> Result<Command, MergeError> {
    let mut args: Vec<String> = match &wishes.entrypoint {
        Some(entrypoint) if entrypoint.is_empty() => Vec::new(),
        Some(entrypoint) => vec![entrypoint.clone()],
        None => image.entrypoint.clone().unwrap_or_default(),
    };
    match (&wishes.command, &wishes.entrypoint) {
        (command, _) if !command.is_empty() => args.extend(command.iter().cloned()),
        (_, None) => args.extend(image.cmd.iter().flatten().cloned()),
        (_, Some(_)) => {}
    }
    if args.first().is_none_or(String::is_empty) {
        return Err(MergeError::NoCommand);
    }
    let working_directory = match &wishes.working_directory {
        Some(directory) => directory.clone(),
        None if image.working_dir.is_empty() => "/".to_owned(),
        None => image.working_dir.clone(),
    };
    if !working_directory.starts_with('/') {
        return Err(MergeError::RelativeWorkingDirectory(working_directory));
    }
    Ok(Command {
        args,
        env: environment(image, wishes),
        working_directory,
        user: wishes.user.clone().unwrap_or_else(|| image.user.clone()),
    })
}

/// Docker's order: PATH, HOSTNAME and TERM first, then the image's, then the user's; a later one replaces an earlier one in its place.
fn environment(image: &ContainerConfig, wishes: &Wishes) -> Vec<String> {
    let mut env =
        vec![("PATH".to_owned(), DEFAULT_PATH.to_owned()), ("HOSTNAME".to_owned(), wishes.hostname.clone())];
    if wishes.terminal {
        env.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    let of_image = image.env.iter().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.to_owned(), value.to_owned())
    });
    for (name, value) in of_image.chain(wishes.env.iter().cloned()) {
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => env.push((name, value)),
        }
    }
    env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn commands_are_put_together_as_docker_does() {
        type Row = (
            &'static [&'static str],
            &'static [&'static str],
            Option<&'static str>,
            &'static [&'static str],
            &'static [&'static str],
        );
        let table: &[Row] = &[
            (&["/entry"], &["default"], None, &[], &["/entry", "default"]),
            (&["/entry"], &["default"], None, &["mine"], &["/entry", "mine"]),
            (&["/entry"], &["default"], Some("/other"), &[], &["/other"]),
            (&["/entry"], &["default"], Some("/other"), &["x"], &["/other", "x"]),
            (&["/entry"], &[], Some(""), &["sh"], &["sh"]),
            (&[], &["sh", "-c", "true"], None, &[], &["sh", "-c", "true"]),
        ];
        for (entrypoint, cmd, asked, command, expected) in table {
            let image = ContainerConfig {
                entrypoint: Some(strings(entrypoint)),
                cmd: Some(strings(cmd)),
                ..ContainerConfig::default()
            };
            let wishes = Wishes {
                command: strings(command),
                entrypoint: asked.map(str::to_owned),
                ..Wishes::default()
            };
            let merged = merge(&image, &wishes).expect("a command");
            assert_eq!(merged.args, strings(expected));
        }
        assert_eq!(merge(&ContainerConfig::default(), &Wishes::default()), Err(MergeError::NoCommand));
    }

    #[test]
    fn ct_12_environment() {
        let image =
            ContainerConfig { env: strings(&["PATH=/bin", "A=1", "B=2"]), ..ContainerConfig::default() };
        let wishes = Wishes {
            command: strings(&["sh"]),
            env: vec![("A".to_owned(), "9".to_owned()), ("C".to_owned(), String::new())],
            hostname: "box".to_owned(),
            terminal: true,
            ..Wishes::default()
        };
        let merged = merge(&image, &wishes).expect("a command");
        assert_eq!(merged.env, strings(&["PATH=/bin", "HOSTNAME=box", "TERM=xterm", "A=9", "B=2", "C="]));
        assert_eq!(merged.working_directory, "/");
    }
}
