//! Rules that depend on variables, images and contexts (DF-227, DF-229 … DF-239, DF-241, DF-242).

use std::collections::BTreeSet;

use dockerfile::lint::{CheckOptions, Linter, Rule, secret};
use dockerfile::value::PortSpec;
use dockerfile::{CommandLine, Dockerfile, Instruction, Span, Stage, Word, suggest};
use image::{Platform, Reference};

use super::globals::Globals;
use super::stage::Builder;
use crate::copy::CopySource;
use crate::error::BuildError;
use crate::request::Request;

/// The build argument that counts instead of the directive (DF-017).
const CHECK: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// Variables that only the builder reads.
const NOT_IN_ENVIRONMENT: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Which rules apply.
pub(super) fn options(file: &Dockerfile, request: &Request) -> Result<CheckOptions, BuildError> {
    let argument = request.build_args.iter().rev().find(|(name, _)| name == CHECK);
    match (argument, &file.directives.check) {
        (Some((_, value)), _) if value.trim().is_empty() => Ok(CheckOptions::default()),
        (Some((_, value)), _) => CheckOptions::parse(&Word::unplaced(value.as_str()))
            .map_err(|error| BuildError::CheckArgument { argument: CHECK, reason: error.to_string() }),
        (None, Some(directive)) => Ok(CheckOptions::parse(directive)?),
        (None, None) => Ok(CheckOptions::default()),
    }
}

/// Reports what is wrong with the FROMs, also of stages that are not needed.
pub(super) fn froms(file: &Dockerfile, request: &Request, globals: &Globals, linter: &Linter) {
    default_bases(file, request, globals.platform(), linter);
    for stage in &file.stages {
        undeclared(&stage.from.image, stage, globals, linter);
        let Some(platform) = &stage.from.platform else { continue };
        undeclared(platform, stage, globals, linter);
        constant_platform(platform, stage, globals, linter);
    }
}

/// DF-237: without build arguments, every base has to have a name.
fn default_bases(file: &Dockerfile, request: &Request, platform: &Platform, linter: &Linter) {
    // What is wrong with the ARGs themselves is said where they are evaluated with what was given.
    let Ok(globals) = Globals::with_arguments(file, request, platform, &[]) else { return };
    for stage in &file.stages {
        let word = &stage.from.image;
        let Ok(expanded) = globals.expand(word) else { return };
        if Reference::parse(&expanded.text).is_err() && image::Digest::parse(&expanded.text).is_err() {
            let message = format!("Default value for ARG {word} results in empty or invalid base image name");
            linter.report(Rule::InvalidDefaultArgInFrom, message, word.span, stage.instruction.span);
        }
    }
}

/// DF-229.
fn undeclared(word: &Word, stage: &Stage, globals: &Globals, linter: &Linter) {
    // What can't be expanded is an error where it is needed.
    let Ok(expanded) = globals.expand(word) else { return };
    for name in expanded.undefined.iter().filter(|name| !globals.declares(name)) {
        let meant = meant(name, globals.names(), "");
        let message = format!("FROM argument '{name}' is not declared{meant}");
        linter.report(Rule::UndefinedArgInFrom, message, place_of(name, word), stage.instruction.span);
    }
}

/// DF-235, DF-238.
fn constant_platform(word: &Word, stage: &Stage, globals: &Globals, linter: &Linter) {
    let Ok(expanded) = globals.expand(word) else { return };
    if !expanded.undefined.is_empty() {
        return;
    }
    let instruction = stage.instruction.span;
    match expanded.used.as_slice() {
        [] => {
            let Ok(platform) = Platform::parse(&expanded.text) else { return };
            let is_named = |part: &str| stage.name().is_some_and(|name| name.contains(part));
            if !is_named(&platform.os) && !is_named(&platform.architecture) {
                let message =
                    format!("FROM --platform flag should not use constant value {:?}", expanded.text);
                linter.report(Rule::FromPlatformFlagConstDisallowed, message, word.span, instruction);
            }
        }
        [only] if only == "TARGETPLATFORM" && globals.value(only) == Some(expanded.text.as_str()) => {
            let message = format!(
                "Setting platform to predefined {word} in FROM is redundant as this is the default behavior"
            );
            linter.report(Rule::RedundantTargetPlatform, message, word.span, instruction);
        }
        _ => {}
    }
}

/// ` (did you mean X?)`, or nothing.
fn meant<'n>(name: &str, names: impl Iterator<Item = &'n str>, sign: &str) -> String {
    suggest::nearest(name, names).map_or_else(String::new, |name| format!(" (did you mean {sign}{name}?)"))
}

/// Where a word mentions a variable.
fn place_of(name: &str, word: &Word) -> Span {
    let found = [format!("${name}"), format!("${{{name}")].iter().find_map(|mention| {
        let start = word.raw.find(mention.as_str())?;
        Some(start..start + mention.len())
    });
    match found {
        // With the brace that closes it.
        Some(range) if word.raw.get(range.end..).is_some_and(|rest| rest.starts_with('}')) => {
            word.span_of(range.start..range.end + 1)
        }
        Some(range) => word.span_of(range),
        None => word.span,
    }
}

/// Instructions of which only the last one counts.
#[derive(Debug, Default)]
pub(super) struct Last {
    command: Option<Span>,
    entrypoint: Option<Span>,
    healthcheck: Option<Span>,
}

impl Builder<'_> {
    /// Reports that the instruction breaks a rule.
    pub fn report(&self, rule: Rule, message: String, span: Span) {
        self.around.linter.report(rule, message, self.place(span), self.place(self.instruction));
    }

    /// DF-231: an ARG without a value is declared all the same.
    pub fn undefined(&self, names: &[String], word: &Word) {
        for name in names {
            if !self.arguments.contains(name) && !NOT_IN_ENVIRONMENT.contains(&name.as_str()) {
                let meant = meant(name, self.variables.names(), "$");
                let message = format!("Usage of undefined variable '${name}'{meant}");
                self.report(Rule::UndefinedVar, message, place_of(name, word));
            }
        }
    }

    /// DF-233.
    pub fn legacy_format(&self, instruction: &Instruction, span: Span) {
        let name = &instruction.spelling;
        let message =
            format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
        self.report(Rule::LegacyKeyValueFormat, message, span);
    }

    /// DF-236.
    pub fn secret(&self, keyword: &str, name: &str, span: Span) {
        if secret::is_secret(name) {
            let message =
                format!("Do not use ARG or ENV instructions for sensitive data ({keyword} {name:?})");
            self.report(Rule::SecretsUsedInArgOrEnv, message, span);
        }
    }

    /// DF-227: a shell that was chosen is wanted.
    pub fn shell_form(&self, instruction: &Instruction, command: &CommandLine) {
        let has_shell = self.config.config.shell.as_ref().is_some_and(|shell| !shell.is_empty());
        if let (CommandLine::Shell(text), false) = (command, has_shell) {
            let message = format!(
                "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                instruction.spelling
            );
            self.report(Rule::JsonArgsRecommended, message, text.span);
        }
    }

    /// DF-232: reported where the one that does not count stands.
    pub fn only_last(&mut self, instruction: &Instruction, which: impl Fn(&mut Last) -> &mut Option<Span>) {
        let span = self.place(instruction.span);
        if let Some(before) = which(&mut self.last).replace(span) {
            let message = format!(
                "Multiple {} instructions should not be used in the same stage because only the last one will be used",
                instruction.spelling
            );
            self.around.linter.report(Rule::MultipleInstructionsDisallowed, message, before, before);
        }
    }

    /// DF-241, DF-242.
    pub fn port(&self, text: &str, spec: &PortSpec, span: Span) {
        if spec.unusual_case {
            let message = format!("Defined protocol '{text}' in EXPOSE instruction should be lowercase");
            self.report(Rule::ExposeProtoCasing, message, span);
        }
        if spec.has_host {
            let message = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'"
            );
            self.report(Rule::ExposeInvalidFormat, message, span);
        }
    }

    /// DF-230: the first WORKDIR of a stage and of those below it in the file.
    pub fn first_workdir(&mut self, path: &str, span: Span) {
        if !std::mem::replace(&mut self.has_workdir, true) && !path.starts_with('/') {
            let message =
                format!("Relative workdir {path:?} can have unexpected results if the base image changes");
            self.report(Rule::WorkdirRelativePath, message, span);
        }
    }

    /// DF-239: sources of the main context that are named literally, and that nothing brings back.
    pub fn ignored_sources(&self, sources: &[CopySource], add: bool) {
        let keyword = if add { "Add" } else { "Copy" };
        for source in sources {
            if let CopySource::Path { pattern, span } = source
                && self.around.references.is_ignored(pattern)
            {
                let message =
                    format!("Attempting to {keyword} file {pattern:?} that is excluded by .dockerignore");
                self.report(Rule::CopyIgnoredFile, message, *span);
            }
        }
    }
}

/// The command that CMD gives.
pub(super) fn command(last: &mut Last) -> &mut Option<Span> {
    &mut last.command
}

/// The one that ENTRYPOINT gives.
pub(super) fn entrypoint(last: &mut Last) -> &mut Option<Span> {
    &mut last.entrypoint
}

/// The check that HEALTHCHECK gives.
pub(super) fn healthcheck(last: &mut Last) -> &mut Option<Span> {
    &mut last.healthcheck
}

/// DF-234: an image for another platform than the one that is asked for; its own is kept (DF-076).
pub(super) fn base_platform(name: &str, own: &Platform, wanted: &Platform, stage: &Stage, linter: &Linter) {
    let differs = own.os != wanted.os || own.architecture != wanted.architecture;
    if differs && !own.architecture.is_empty() {
        let message = format!(
            "Base image {name} was pulled with platform {:?}, expected {:?} for current build",
            own.to_string(),
            wanted.to_string()
        );
        linter.report(Rule::InvalidBaseImagePlatform, message, stage.from.image.span, stage.instruction.span);
    }
}

/// The names of the rules that findings are about, each once, in alphabetical order.
pub(super) fn names_of(findings: &[dockerfile::lint::Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.rule.name()).collect::<BTreeSet<_>>().into_iter().collect()
}
