//! Instructions that only describe the image: ENV, ARG, LABEL, CMD and so on (DF-146 … DF-159).

use std::collections::BTreeMap;

use dockerfile::instruction::{Arg, Expose, Healthcheck, Onbuild, Pairs, Volume};
use dockerfile::value::{parse_port, parse_signal};
use dockerfile::{CommandLine, Instruction, InstructionKind, Problem, Word};
use image::config::Empty;

use super::history::{Quoted, healthcheck_text, list};
use super::lint;
use super::stage::Builder;
use crate::error::BuildError;

/// The shell of shell forms when SHELL says nothing.
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Plans an instruction that executes nothing.
pub(super) fn instruction(builder: &mut Builder<'_>, instruction: &Instruction) -> Result<(), BuildError> {
    match &instruction.kind {
        InstructionKind::Env(pairs) => env(builder, instruction, pairs),
        InstructionKind::Label(pairs) => label(builder, instruction, pairs),
        InstructionKind::Arg(arg) => declare(builder, instruction, arg),
        InstructionKind::Cmd(command) => cmd(builder, instruction, command),
        InstructionKind::Entrypoint(command) => entrypoint(builder, instruction, command),
        InstructionKind::Expose(expose) => ports(builder, expose),
        InstructionKind::Healthcheck(check) => healthcheck(builder, instruction, check),
        InstructionKind::Maintainer(author) => maintainer(builder, author),
        InstructionKind::Onbuild(onbuild) => onbuild_trigger(builder, onbuild),
        InstructionKind::Shell(words) => shell(builder, words),
        InstructionKind::Stopsignal(signal) => stopsignal(builder, signal),
        InstructionKind::User(user) => set_user(builder, user),
        InstructionKind::Volume(volume) => volumes(builder, volume),
        // The others execute something, or begin a stage.
        _ => Err(BuildError::Internal(format!("{} describes nothing", instruction.keyword))),
    }
}

/// All values are expanded before any is set (DF-050).
fn expanded(
    builder: &mut Builder<'_>,
    instruction: &Instruction,
    pairs: &Pairs,
) -> Result<Vec<(String, String)>, BuildError> {
    let keyword = instruction.keyword.as_str();
    let mut all = Vec::with_capacity(pairs.pairs.len());
    for pair in &pairs.pairs {
        if pairs.is_legacy {
            builder.legacy_format(instruction, pair.span);
        }
        let key = builder.expand(&pair.key)?;
        if key.is_empty() {
            return Err(dockerfile::Error::new(Problem::BlankName { keyword }, pair.key.span).into());
        }
        all.push((key, builder.expand(&pair.value)?));
    }
    Ok(all)
}

fn env(builder: &mut Builder<'_>, instruction: &Instruction, written: &Pairs) -> Result<(), BuildError> {
    let pairs = expanded(builder, instruction, written)?;
    for ((name, _), pair) in pairs.iter().zip(&written.pairs) {
        builder.secret("ENV", name, pair.key.span);
    }
    let environment = &mut builder.config.config.env;
    for (name, value) in &pairs {
        let prefix = format!("{name}=");
        let pair = format!("{prefix}{value}");
        match environment.iter_mut().find(|known| known.starts_with(&prefix)) {
            Some(known) => *known = pair,
            None => environment.push(pair),
        }
        builder.variables.set(name, value);
    }
    builder.described(format!("ENV {}", joined_pairs(&pairs)));
    Ok(())
}

fn label(builder: &mut Builder<'_>, instruction: &Instruction, pairs: &Pairs) -> Result<(), BuildError> {
    let pairs = expanded(builder, instruction, pairs)?;
    builder.config.config.labels.extend(pairs.iter().cloned());
    builder.described(format!("LABEL {}", joined_pairs(&pairs)));
    Ok(())
}

fn joined_pairs(pairs: &[(String, String)]) -> String {
    let texts: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    texts.join(" ")
}

/// `--build-arg`, else the default, else the global value, else nothing (DF-057).
fn declare(builder: &mut Builder<'_>, instruction: &Instruction, arg: &Arg) -> Result<(), BuildError> {
    let mut texts = Vec::with_capacity(arg.declarations.len());
    for declaration in &arg.declarations {
        let name = builder.expand(&declaration.name)?;
        builder.secret("ARG", &name, declaration.name.span);
        let globals = builder.around.globals;
        let value = match (globals.argument(&name), &declaration.default) {
            (Some(argument), _) => Some(argument.to_owned()),
            (None, Some(default)) => Some(builder.expand(default)?),
            (None, None) => globals.value(&name).map(str::to_owned),
        };
        builder.note_argument(instruction, declaration, &name, value.as_deref());
        match value {
            Some(value) => {
                builder.variables.set(&name, &value);
                texts.push(format!("{name}={value}"));
            }
            None => texts.push(name.clone()),
        }
        if !builder.arguments.contains(&name) {
            builder.arguments.push(name);
        }
    }
    builder.described(format!("ARG {}", texts.join(" ")));
    Ok(())
}

/// The words of the shell that reads shell forms (DF-158).
pub(super) fn shell_of(builder: &Builder<'_>) -> Vec<String> {
    match &builder.config.config.shell {
        Some(shell) if !shell.is_empty() => shell.clone(),
        _ => DEFAULT_SHELL.map(str::to_owned).to_vec(),
    }
}

fn cmd(
    builder: &mut Builder<'_>,
    instruction: &Instruction,
    command: &CommandLine,
) -> Result<(), BuildError> {
    builder.only_last(instruction, lint::command);
    builder.shell_form(instruction, command);
    let arguments = command.arguments(&shell_of(builder));
    builder.described(format!("CMD {}", Quoted(&arguments)));
    let settings = &mut builder.config.config;
    settings.args_escaped = true;
    settings.cmd = Some(arguments).filter(|arguments| !arguments.is_empty());
    builder.has_command = true;
    Ok(())
}

fn entrypoint(
    builder: &mut Builder<'_>,
    instruction: &Instruction,
    command: &CommandLine,
) -> Result<(), BuildError> {
    builder.only_last(instruction, lint::entrypoint);
    builder.shell_form(instruction, command);
    let arguments = command.arguments(&shell_of(builder));
    builder.described(format!("ENTRYPOINT {}", Quoted(&arguments)));
    let settings = &mut builder.config.config;
    settings.entrypoint = Some(arguments).filter(|arguments| !arguments.is_empty());
    if !builder.has_command {
        settings.cmd = None;
    }
    Ok(())
}

fn ports(builder: &mut Builder<'_>, expose: &Expose) -> Result<(), BuildError> {
    let mut words: Vec<&Word> = expose.ports.iter().collect();
    words.sort_by(|one, other| one.raw.cmp(&other.raw));
    let mut all = Vec::new();
    for word in words {
        for text in builder.expand_words(word)? {
            let spec = parse_port(&text).map_err(|error| dockerfile::Error::new(error, word.span))?;
            builder.port(&text, &spec, word.span);
            all.extend(spec.expanded());
        }
    }
    builder.described(format!("EXPOSE {}", list(&all)));
    builder.config.config.exposed_ports.extend(all.into_iter().map(|port| (port, Empty {})));
    Ok(())
}

fn volumes(builder: &mut Builder<'_>, volume: &Volume) -> Result<(), BuildError> {
    let mut paths = Vec::new();
    for word in &volume.paths {
        let path = builder.expand(word)?;
        if path.is_empty() {
            let problem = Problem::Empty { what: "the path of a VOLUME" };
            return Err(dockerfile::Error::new(problem, word.span).into());
        }
        paths.push(path);
    }
    builder.described(format!("VOLUME {}", list(&paths)));
    let volumes: BTreeMap<String, Empty> = paths.into_iter().map(|path| (path, Empty {})).collect();
    builder.config.config.volumes.extend(volumes);
    Ok(())
}

fn healthcheck(
    builder: &mut Builder<'_>,
    instruction: &Instruction,
    check: &Healthcheck,
) -> Result<(), BuildError> {
    builder.only_last(instruction, lint::healthcheck);
    let nanoseconds = |duration: Option<std::time::Duration>| {
        duration.map_or(0, |duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    };
    let check = match check {
        Healthcheck::None => {
            image::Healthcheck { test: vec!["NONE".to_owned()], ..image::Healthcheck::default() }
        }
        Healthcheck::Command(check) => image::Healthcheck {
            test: match &check.command {
                // The shell form is for the shell of the image, when it runs (DF-158).
                CommandLine::Shell(text) => vec!["CMD-SHELL".to_owned(), text.raw.clone()],
                exec @ CommandLine::Exec(_) => {
                    ["CMD".to_owned()].into_iter().chain(exec.arguments(&[])).collect()
                }
            },
            interval: nanoseconds(check.interval),
            timeout: nanoseconds(check.timeout),
            start_period: nanoseconds(check.start_period),
            start_interval: nanoseconds(check.start_interval),
            retries: check.retries.unwrap_or(0).into(),
        },
    };
    builder.described(format!("HEALTHCHECK {}", healthcheck_text(&check)));
    builder.config.config.healthcheck = Some(check);
    Ok(())
}

fn maintainer(builder: &mut Builder<'_>, author: &Word) -> Result<(), BuildError> {
    builder.described(format!("MAINTAINER {author}"));
    builder.config.author = Some(author.raw.clone());
    Ok(())
}

/// The text is kept for whoever builds on this; it leaves no trace in the history (DF-159).
fn onbuild_trigger(builder: &mut Builder<'_>, onbuild: &Onbuild) -> Result<(), BuildError> {
    builder.config.config.on_build.push(onbuild.trigger.clone());
    Ok(())
}

fn shell(builder: &mut Builder<'_>, words: &[Word]) -> Result<(), BuildError> {
    let words: Vec<String> = words.iter().map(|word| word.raw.clone()).collect();
    builder.described(format!("SHELL {}", list(&words)));
    builder.config.config.shell = Some(words);
    Ok(())
}

fn stopsignal(builder: &mut Builder<'_>, signal: &Word) -> Result<(), BuildError> {
    let text = builder.expand(signal)?;
    parse_signal(&text).map_err(|error| dockerfile::Error::new(error, signal.span))?;
    builder.described(format!("STOPSIGNAL {text}"));
    builder.config.config.stop_signal = Some(text);
    Ok(())
}

fn set_user(builder: &mut Builder<'_>, user: &Word) -> Result<(), BuildError> {
    let user = builder.expand(user)?;
    builder.described(format!("USER {user}"));
    builder.config.config.user = user;
    Ok(())
}

/// A path, absolute or relative to a directory, cleaned: no `.`, `..`, doubled or trailing slashes.
pub(super) fn joined(directory: &str, path: &str) -> String {
    let directory = if path.starts_with('/') { "" } else { directory };
    let mut components: Vec<&str> = Vec::new();
    for component in directory.split('/').chain(path.split('/')) {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            component => components.push(component),
        }
    }
    format!("/{}", components.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_151_working_directories_are_cleaned() {
        for (directory, path, expected) in [
            ("/", "a", "/a"),
            ("/a", "b/", "/a/b"),
            ("/a", "/b", "/b"),
            ("/a", "../c", "/c"),
            ("/", "../..", "/"),
            ("/a", "./b//c/.", "/a/b/c"),
            ("", "x", "/x"),
            ("/a", "", "/a"),
        ] {
            assert_eq!(joined(directory, path), expected, "{directory} {path}");
        }
    }
}
