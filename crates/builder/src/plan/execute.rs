//! Instructions that execute something: RUN, COPY, ADD, WORKDIR.

use dockerfile::instruction::{
    Add, Copy, CopySource as Source, NetworkMode, Run, Script as Text, SecurityMode,
};
use dockerfile::value::Mode;
use dockerfile::{Instruction, Span, Word};

use super::error::{PlanError, PlanProblem};
use super::graph::{CopyFrom, Operation, RunStep, Script, WorkdirStep};
use super::metadata::{joined, shell_of};
use super::references;
use super::remote;
use super::stage::Builder;
use crate::copy::{CopySource, CopyStep};
use crate::error::BuildError;
use crate::request::Network;

/// Where heredocs that are programs appear (DF-035).
const PIPES: &str = "/dev/pipes";

impl Builder<'_> {
    pub(super) fn run(&mut self, instruction: &Instruction, run: &Run) -> Result<(), BuildError> {
        refuse_of_run(run)?;
        let mut script = None;
        let arguments = match run.script() {
            Text::Exec(words) => words.iter().map(|word| word.raw.clone()).collect(),
            Text::Shell(text) => shell_of(self).into_iter().chain([text.into_owned()]).collect(),
            Text::Executable { name, content } => {
                let path = script_path(name, instruction.span)?;
                script = Some(Script { path: path.clone(), content: content.into_owned() });
                vec![path]
            }
        };
        let network = match run.network {
            Some((NetworkMode::None, _)) => Network::None,
            Some((NetworkMode::Host, _)) => Network::Host,
            Some((NetworkMode::Default, _)) | None => self.around.request.network,
        };
        let created_by = self.history_of_run(&arguments);
        let step = RunStep {
            arguments,
            script,
            environment: self.variables.pairs().to_vec(),
            proxies: self.around.globals.proxies(&self.variables),
            directory: joined("/", &self.config.config.working_dir),
            user: self.config.config.user.clone(),
            network,
            mounts: self.mounts(run)?,
        };
        self.executed(instruction, created_by, Operation::Run(step));
        Ok(())
    }

    /// `RUN |2 A=1 B=2 /bin/sh -c make # buildkit` (DF-065).
    fn history_of_run(&self, arguments: &[String]) -> String {
        let mut words = vec!["RUN".to_owned()];
        if !self.arguments.is_empty() {
            words.push(format!("|{}", self.arguments.len()));
            let value = |name: &String| format!("{name}={}", self.variables.get(name).unwrap_or_default());
            words.extend(self.arguments.iter().map(value));
        }
        words.extend(arguments.iter().cloned());
        words.push("# buildkit".to_owned());
        words.join(" ")
    }

    pub(super) fn workdir(&mut self, instruction: &Instruction, path: &Word) -> Result<(), BuildError> {
        let (span, path) = (path.span, self.expand(path)?);
        self.first_workdir(&path, span);
        let path = joined(&self.config.config.working_dir, &path);
        let created_by = format!("WORKDIR {path}");
        self.config.config.working_dir.clone_from(&path);
        if path == "/" {
            self.described(created_by);
        } else {
            let user = self.config.config.user.clone();
            self.executed(instruction, created_by, Operation::Workdir(WorkdirStep { path, user }));
        }
        Ok(())
    }

    pub(super) fn copy(&mut self, instruction: &Instruction, copy: &Copy) -> Result<(), BuildError> {
        let from = match copy.from.as_ref().filter(|from| !from.raw.is_empty()) {
            None => None,
            Some(name) => Some(match self.around.references.source(name, self.index)? {
                references::Source::Context(context) => CopyFrom::Context(context),
                references::Source::Nothing => CopyFrom::Nothing,
                references::Source::Image(place) => CopyFrom::Image(place),
                references::Source::Stage(number) => match self.around.planned.get(&number) {
                    Some(planned) => CopyFrom::Stage(planned.place),
                    None => {
                        return Err(BuildError::Internal(
                            "a stage that is copied from is not planned".to_owned(),
                        ));
                    }
                },
            }),
        };
        let parts = Parts {
            sources: &copy.sources,
            destination: &copy.destination,
            chown: copy.chown.as_ref(),
            chmod: copy.chmod.as_ref(),
            excludes: &copy.excludes,
            checksum: None,
            parents: copy.parents,
            link: copy.link,
            add: false,
            unpack: Some(false),
        };
        self.files(instruction, &parts, from)
    }

    pub(super) fn add(&mut self, instruction: &Instruction, add: &Add) -> Result<(), BuildError> {
        refuse_of_add(instruction, add)?;
        let parts = Parts {
            sources: &add.sources,
            destination: &add.destination,
            chown: add.chown.as_ref(),
            chmod: add.chmod.as_ref(),
            excludes: &add.excludes,
            checksum: add.checksum.as_ref(),
            parents: false,
            link: add.link,
            add: true,
            unpack: add.unpack,
        };
        self.files(instruction, &parts, None)
    }

    /// The main context, unless all sources are heredocs or on the web.
    fn main_context(&self, sources: &[CopySource], instruction: &Instruction) -> Result<CopyFrom, PlanError> {
        if !sources.iter().any(|source| matches!(source, CopySource::Path { .. })) {
            return Ok(CopyFrom::Nothing);
        }
        if self.around.references.has_main_context(instruction.span)? {
            return Ok(CopyFrom::Context(String::new()));
        }
        let hint = "name a directory: lap build [OPTIONS] PATH";
        Err(PlanError::new(PlanProblem::NoContext, self.place(instruction.span)).hinted(hint))
    }

    fn expanded_sources(&mut self, parts: &Parts<'_>) -> Result<Vec<CopySource>, BuildError> {
        let checksum = match parts.checksum {
            Some(word) => remote::checksum(&self.expand(word)?, self.place(word.span))?,
            None => None,
        };
        let mut sources = Vec::with_capacity(parts.sources.len());
        for source in parts.sources {
            sources.push(match source {
                Source::Path(word) => {
                    let (text, span) = (self.expand(word)?, self.place(word.span));
                    remote::source(text, span, checksum, parts.add)?
                }
                Source::Heredoc(heredoc) => CopySource::Heredoc {
                    name: heredoc.name.clone(),
                    content: self.expand_heredoc(heredoc)?.into_bytes(),
                },
            });
        }
        remote::check_checksum(&sources, checksum)?;
        Ok(sources)
    }

    fn files(
        &mut self,
        instruction: &Instruction,
        parts: &Parts<'_>,
        from: Option<CopyFrom>,
    ) -> Result<(), BuildError> {
        let sources = self.expanded_sources(parts)?;
        if parts.unpack == Some(true) && sources.iter().any(|source| matches!(source, CopySource::Url { .. }))
        {
            let hint = "leave the flag out, and unpack it in a RUN";
            let span = self.place(flag_span(instruction, "unpack"));
            return Err(PlanError::unsupported("ADD --unpack of a URL", span, hint).into());
        }
        let from = match from {
            Some(from) => from,
            None => self.main_context(&sources, instruction)?,
        };
        if matches!(&from, CopyFrom::Context(name) if name.is_empty()) {
            self.ignored_sources(&sources, parts.add);
        }
        let destination = self.expand(parts.destination)?;
        let chown = match parts.chown {
            Some(word) => Some((self.expand(word)?, self.place(word.span))),
            None => None,
        };
        let chmod = match parts.chmod {
            Some(word) => Some((self.expand(word)?, word.span)),
            None => None,
        };
        let created_by = history_of_copy(parts, &sources, &destination, chown.as_ref(), chmod.as_ref());
        let step = CopyStep {
            sources,
            destination,
            destination_span: self.place(parts.destination.span),
            working_directory: joined("/", &self.config.config.working_dir),
            chown: chown.filter(|(owner, _)| !owner.is_empty()),
            chmod: chmod.filter(|(mode, _)| !mode.is_empty()).map(mode).transpose()?,
            parents: parts.parents,
            exclude: parts.excludes.iter().map(|word| word.raw.clone()).collect(),
            link: parts.link,
            add: parts.add,
            // To unpack local archives is what ADD does when nothing is said.
            unpack: parts.unpack != Some(false),
            span: self.place(instruction.span),
        };
        self.executed(instruction, created_by, Operation::Copy(step, from));
        Ok(())
    }
}

/// What COPY and ADD have in common.
struct Parts<'a> {
    sources: &'a [Source],
    destination: &'a Word,
    chown: Option<&'a Word>,
    chmod: Option<&'a Word>,
    excludes: &'a [Word],
    checksum: Option<&'a Word>,
    parents: bool,
    link: bool,
    add: bool,
    unpack: Option<bool>,
}

fn mode((text, span): (String, Span)) -> Result<Mode, dockerfile::Error> {
    Mode::parse(&text).map_err(|error| dockerfile::Error::new(error.into(), span))
}

/// `COPY --chown=a --chmod=b src… dest # buildkit` (DF-164).
fn history_of_copy(
    parts: &Parts<'_>,
    sources: &[CopySource],
    destination: &str,
    chown: Option<&(String, Span)>,
    chmod: Option<&(String, Span)>,
) -> String {
    let mut words = vec![if parts.add { "ADD" } else { "COPY" }.to_owned()];
    words.extend(parts.parents.then(|| "--parents".to_owned()));
    words.extend(chown.filter(|(owner, _)| !owner.is_empty()).map(|(owner, _)| format!("--chown={owner}")));
    words.extend(chmod.filter(|(mode, _)| !mode.is_empty()).map(|(mode, _)| format!("--chmod={mode}")));
    words.extend(sources.iter().map(|source| match source {
        CopySource::Path { pattern, .. } => pattern.clone(),
        CopySource::Url { url, .. } => url.clone(),
        CopySource::Heredoc { name, .. } => format!("<<{name}"),
    }));
    words.extend([destination.to_owned(), "# buildkit".to_owned()]);
    words.join(" ")
}

fn refuse_of_add(instruction: &Instruction, add: &Add) -> Result<(), PlanError> {
    let refused = [("keep-git-dir", add.keep_git_dir.is_some())];
    match refused.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => {
            let hint = "leave the flag out";
            Err(PlanError::unsupported(format!("ADD --{flag}"), flag_span(instruction, flag), hint))
        }
    }
}

fn refuse_of_run(run: &Run) -> Result<(), PlanError> {
    if let Some((SecurityMode::Insecure, span)) = run.security {
        let hint = "leave the flag out: the command runs with docker's default capabilities";
        return Err(PlanError::unsupported("RUN --security=insecure", span, hint));
    }
    match run.devices.first() {
        Some(device) => Err(PlanError::unsupported("RUN --device", device.span, "leave the flag out")),
        None => Ok(()),
    }
}

/// The delimiter becomes a file's name.
fn script_path(name: &str, span: Span) -> Result<String, PlanError> {
    if name.contains('/') || matches!(name, "." | "..") {
        let reason = "it has to be a file's name here".to_owned();
        let problem = PlanProblem::Value { what: "heredoc delimiter", value: name.to_owned(), reason };
        return Err(PlanError::new(problem, span));
    }
    Ok(format!("{PIPES}/{name}"))
}

fn flag_span(instruction: &Instruction, name: &str) -> Span {
    let flag = instruction.flags.iter().find(|flag| flag.name.as_str() == name);
    flag.map_or(instruction.span, |flag| flag.span)
}
