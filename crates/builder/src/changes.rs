//! `--change`: instructions that describe an image, applied without a build (ST-042).

use base::{Classified, Kind};
use dockerfile::{Escape, InstructionKind, parse_instruction};
use image::{ContainerConfig, Platform};

use crate::error::BuildError;
use crate::plan::{self, BaseImage, Resolver, ResolverError};
use crate::request::{DockerfileText, Request};
use crate::session::NotBrought;

/// A change that is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The text is not an instruction.
    #[error("the change {} cannot be understood", base::text::bytes(.change.as_bytes()))]
    Syntax {
        /// What was given.
        change: String,
        /// What is wrong.
        #[source]
        source: Box<BuildError>,
    },
    /// The instruction does not describe an image.
    #[error("{keyword} cannot be a change")]
    Instruction {
        /// Which.
        keyword: String,
    },
}

impl Classified for ChangeError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        match self {
            ChangeError::Syntax { source, .. } => source.hint(),
            ChangeError::Instruction { .. } => Some(
                "changes are CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR"
                    .to_owned(),
            ),
        }
    }
}

/// The config that the changes make out of an empty one, in their order.
pub fn apply(changes: &[String]) -> Result<ContainerConfig, ChangeError> {
    let mut text = String::from("FROM scratch\n");
    for change in changes {
        check(change)?;
        text.push_str(change);
        text.push('\n');
    }
    let request = Request::new(DockerfileText { name: "--change".to_owned(), bytes: text.into_bytes() });
    let planned = plan::plan(&request, &Nothing).map_err(|source| syntax(&changes.join("; "), source))?;
    // The stage is the only one.
    let config = planned.stages.first().map(|stage| stage.config.config.clone()).unwrap_or_default();
    Ok(without_defaults(config, changes))
}

fn check(change: &str) -> Result<(), ChangeError> {
    let instruction =
        parse_instruction(change, Escape::default()).map_err(|source| syntax(change, source.into()))?;
    match instruction.kind {
        InstructionKind::Cmd(_)
        | InstructionKind::Entrypoint(_)
        | InstructionKind::Env(_)
        | InstructionKind::Expose(_)
        | InstructionKind::Healthcheck(_)
        | InstructionKind::Label(_)
        | InstructionKind::Onbuild(_)
        | InstructionKind::Stopsignal(_)
        | InstructionKind::User(_)
        | InstructionKind::Volume(_)
        | InstructionKind::Workdir(_) => Ok(()),
        _ => Err(ChangeError::Instruction { keyword: instruction.keyword.to_string() }),
    }
}

fn syntax(change: &str, source: BuildError) -> ChangeError {
    ChangeError::Syntax { change: change.to_owned(), source: Box::new(source) }
}

/// A build from scratch says PATH and the working directory (DF-162); an import says only what it was told.
fn without_defaults(mut config: ContainerConfig, changes: &[String]) -> ContainerConfig {
    let says = |keyword: &str| {
        changes.iter().any(|change| {
            change.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case(keyword))
        })
    };
    let default_path = format!("PATH={}", engine::merge::DEFAULT_PATH);
    config.env.retain(|pair| *pair != default_path);
    if !says("WORKDIR") {
        config.working_dir.clear();
    }
    config
}

/// Changes refer to nothing.
struct Nothing;

impl Resolver for Nothing {
    fn image(&self, _name: &str, _platform: &Platform) -> Result<Option<BaseImage>, ResolverError> {
        Ok(None)
    }

    fn image_names(&self) -> Result<Vec<String>, ResolverError> {
        Ok(Vec::new())
    }

    fn has_main_context(&self) -> Result<bool, NotBrought> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn st_042_changes_describe_an_image() {
        let config = apply(&changes(&[
            "CMD [\"sh\"]",
            "ENV A=1 B=$A",
            "env C=${A}x",
            "LABEL k=v",
            "EXPOSE 80",
            "USER app",
            "WORKDIR /w",
            "ONBUILD RUN true",
        ]))
        .expect("a config");
        assert_eq!(config.cmd, Some(vec!["sh".to_owned()]));
        assert_eq!(config.env, ["A=1", "B=", "C=1x"]);
        assert_eq!(config.labels.get("k").map(String::as_str), Some("v"));
        assert!(config.exposed_ports.contains_key("80/tcp"));
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("app", "/w"));
        assert_eq!(config.on_build, ["RUN true"]);
        assert_eq!(apply(&[]).expect("a config"), ContainerConfig::default());
    }

    #[test]
    fn what_executes_something_is_no_change() {
        for (text, said) in [
            ("RUN true", "RUN cannot be a change"),
            ("CMDD x", "CMDD"),
            ("FROM x", "FROM cannot be a change"),
        ] {
            let error = apply(&changes(&[text])).expect_err("no change");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
