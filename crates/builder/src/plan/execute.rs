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
        for path in paths(&copy.sources) {
            if is_remote(path.as_str()) {
                let reason = "COPY takes no URLs".to_owned();
                let problem = PlanProblem::Value { what: "source", value: path.raw.clone(), reason };
                return Err(PlanError::new(problem, path.span).hinted("ADD downloads").into());
            }
        }
        let from = match copy.from.as_ref().filter(|from| !from.raw.is_empty()) {
            None => self.main_context(&copy.sources, instruction)?,
            Some(name) => match self.around.references.source(name, self.index)? {
                references::Source::Context => CopyFrom::Context(name.raw.clone()),
                references::Source::Image(place) => CopyFrom::Image(place),
                references::Source::Stage(number) => match self.around.planned.get(&number) {
                    Some(planned) => CopyFrom::Stage(planned.place),
                    None => {
                        return Err(BuildError::Internal(
                            "a stage that is copied from is not planned".to_owned(),
                        ));
                    }
                },
            },
        };
        let parts = Parts {
            sources: &copy.sources,
            destination: &copy.destination,
            chown: copy.chown.as_ref(),
            chmod: copy.chmod.as_ref(),
            excludes: &copy.excludes,
            parents: copy.parents,
            link: copy.link,
            add: false,
            unpack: false,
        };
        self.files(instruction, &parts, from)
    }

    pub(super) fn add(&mut self, instruction: &Instruction, add: &Add) -> Result<(), BuildError> {
        refuse_of_add(instruction, add)?;
        let from = self.main_context(&add.sources, instruction)?;
        let parts = Parts {
            sources: &add.sources,
            destination: &add.destination,
            chown: add.chown.as_ref(),
            chmod: add.chmod.as_ref(),
            excludes: &add.excludes,
            parents: false,
            link: add.link,
            add: true,
            // To unpack local archives is what ADD does when nothing is said.
            unpack: add.unpack != Some(false),
        };
        self.files(instruction, &parts, from)
    }

    /// The main context, unless all sources are heredocs.
    fn main_context(&self, sources: &[Source], instruction: &Instruction) -> Result<CopyFrom, PlanError> {
        if paths(sources).next().is_none() {
            return Ok(CopyFrom::Nothing);
        }
        if self.around.references.has_main_context(instruction.span)? {
            return Ok(CopyFrom::Context(String::new()));
        }
        let hint = "name a directory: lap build [OPTIONS] PATH";
        Err(PlanError::new(PlanProblem::NoContext, self.place(instruction.span)).hinted(hint))
    }

    fn expanded_sources(&mut self, parts: &Parts<'_>) -> Result<Vec<CopySource>, BuildError> {
        let mut sources = Vec::with_capacity(parts.sources.len());
        for source in parts.sources {
            sources.push(match source {
                Source::Path(word) => {
                    CopySource::Path { pattern: self.expand(word)?, span: self.place(word.span) }
                }
                Source::Heredoc(heredoc) => CopySource::Heredoc {
                    name: heredoc.name.clone(),
                    content: self.expand_heredoc(heredoc)?.into_bytes(),
                },
            });
        }
        refuse_expanded(&sources)?;
        Ok(sources)
    }

    fn files(
        &mut self,
        instruction: &Instruction,
        parts: &Parts<'_>,
        from: CopyFrom,
    ) -> Result<(), BuildError> {
        let sources = self.expanded_sources(parts)?;
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
            unpack: parts.unpack,
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
    parents: bool,
    link: bool,
    add: bool,
    unpack: bool,
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
        CopySource::Heredoc { name, .. } => format!("<<{name}"),
    }));
    words.extend([destination.to_owned(), "# buildkit".to_owned()]);
    words.join(" ")
}

fn paths(sources: &[Source]) -> impl Iterator<Item = &Word> {
    sources.iter().filter_map(|source| match source {
        Source::Path(word) => Some(word),
        Source::Heredoc(_) => None,
    })
}

pub(super) fn is_remote(source: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"].iter().any(|start| source.starts_with(start))
}

/// A variable can hold a URL.
fn refuse_expanded(sources: &[CopySource]) -> Result<(), PlanError> {
    for source in sources {
        if let CopySource::Path { pattern, span } = source
            && is_remote(pattern)
        {
            return Err(remote(*span));
        }
    }
    Ok(())
}

fn remote(span: Span) -> PlanError {
    let hint = "download it in a RUN, or before the build into the context";
    PlanError::unsupported("ADD of a URL or git repository", span, hint)
}

fn refuse_of_add(instruction: &Instruction, add: &Add) -> Result<(), PlanError> {
    if let Some(path) = paths(&add.sources).find(|path| is_remote(path.as_str())) {
        return Err(remote(path.span));
    }
    let refused = [("checksum", add.checksum.is_some()), ("keep-git-dir", add.keep_git_dir.is_some())];
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
