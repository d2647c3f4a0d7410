//! Instructions that execute something: RUN, COPY, ADD, WORKDIR.

use dockerfile::instruction::{
    Add, Copy, CopySource as Source, NetworkMode, Run, Script as Text, SecurityMode,
};
use dockerfile::value::Mode;
use dockerfile::{Instruction, Span, Word};
use engine::devices::DeviceRequest;

use super::error::{PlanError, PlanProblem};
use super::graph::{CopyFrom, Operation, RunStep, Script, WorkdirStep};
use super::metadata::{joined, shell_of};
use super::references;
use super::remote;
use super::stage::Builder;
use crate::copy::{CopySource, CopyStep};
use crate::entitlement::Entitlement;
use crate::error::BuildError;
use crate::request::Network;

/// Where heredocs that are programs appear (DF-035).
const PIPES: &str = "/dev/pipes";

impl Builder<'_> {
    pub(super) fn run(&mut self, instruction: &Instruction, run: &Run) -> Result<(), BuildError> {
        self.check_run(run)?;
        let mut script = None;
        let arguments = match run.script() {
            Text::Exec(words) => words.iter().map(|word| word.raw.clone()).collect(),
            Text::Shell(text) => shell_of(self).into_iter().chain([text.into_owned()]).collect(),
            Text::Executable { name, content } => {
                let path = format!("{PIPES}/{}", file_name(name, instruction.span)?);
                script = Some(Script { path: path.clone(), content: content.into_owned() });
                vec![path]
            }
        };
        let network = match run.network {
            Some((NetworkMode::None, _)) => Network::None,
            Some((NetworkMode::Host, _)) => Network::Host,
            Some((NetworkMode::Default, _)) | None => self.around.request.network,
        };
        let mut resources = self.around.request.resources.clone();
        resources.devices.extend(
            run.devices
                .iter()
                .map(|device| DeviceRequest::Cdi { name: device.name.clone(), required: device.required }),
        );
        let created_by = self.history_of_run(&arguments);
        let step = RunStep {
            arguments,
            script,
            environment: self.variables.pairs().to_vec(),
            proxies: self.around.globals.proxies(&self.variables),
            directory: joined("/", &self.config.config.working_dir),
            user: self.config.config.user.clone(),
            network,
            insecure: is_insecure(run),
            resources: Box::new(resources),
            mounts: self.mounts(run)?,
        };
        self.executed(instruction, created_by, Operation::Run(step));
        Ok(())
    }

    /// Refuses what is not allowed, and what is not done here.
    fn check_run(&self, run: &Run) -> Result<(), PlanError> {
        if let (true, Some((_, span))) = (is_insecure(run), run.security) {
            self.entitled(Entitlement::SecurityInsecure, "RUN --security=insecure", span)?;
        }
        // What the build has anyway takes no permission.
        match run.network {
            Some((NetworkMode::Host, span)) if self.around.request.network == Network::None => {
                self.entitled(Entitlement::NetworkHost, "RUN --network=host with --network none", span)?;
            }
            _ => {}
        }
        for device in &run.devices {
            self.entitled(Entitlement::Device, "RUN --device", device.span)?;
            if device.name.starts_with('/') {
                let reason = "it has to be a name of the Container Device Interface".to_owned();
                let problem = PlanProblem::Value { what: "device", value: device.name.clone(), reason };
                let hint = "give the path to all steps: lap build --device PATH";
                return Err(PlanError::new(problem, self.place(device.span)).hinted(hint));
            }
        }
        Ok(())
    }

    fn entitled(&self, entitlement: Entitlement, what: &'static str, span: Span) -> Result<(), PlanError> {
        if self.around.request.allowed.contains(&entitlement) {
            return Ok(());
        }
        let problem = PlanProblem::NotAllowed { what, entitlement };
        let hint = format!("if you trust this Dockerfile: lap build --allow {entitlement}");
        Err(PlanError::new(problem, self.place(span)).hinted(hint))
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
            Some(name) => Some(self.copy_from(name)?),
        };
        let parts = Parts {
            sources: &copy.sources,
            destination: &copy.destination,
            chown: copy.chown.as_ref(),
            chmod: copy.chmod.as_ref(),
            excludes: &copy.excludes,
            checksum: None,
            keep_git_dir: None,
            parents: copy.parents,
            link: copy.link,
            add: false,
            unpack: Some(false),
        };
        self.files(instruction, &parts, from)
    }

    pub(super) fn add(&mut self, instruction: &Instruction, add: &Add) -> Result<(), BuildError> {
        let parts = Parts {
            sources: &add.sources,
            destination: &add.destination,
            chown: add.chown.as_ref(),
            chmod: add.chmod.as_ref(),
            excludes: &add.excludes,
            checksum: add.checksum.as_ref(),
            keep_git_dir: add.keep_git_dir.map(|keep| (keep, flag_span(instruction, "keep-git-dir"))),
            parents: false,
            link: add.link,
            add: true,
            unpack: add.unpack,
        };
        self.files(instruction, &parts, None)
    }

    /// What the `from` of an instruction or a mount names.
    pub(super) fn copy_from(&self, name: &Word) -> Result<CopyFrom, BuildError> {
        match self.around.references.source(name, self.index)? {
            references::Source::Context(context) => Ok(CopyFrom::Context(context)),
            references::Source::Nothing => Ok(CopyFrom::Nothing),
            references::Source::Image(place) => Ok(CopyFrom::Image(place)),
            references::Source::Stage(number) => match self.around.planned.get(&number) {
                Some(planned) => Ok(CopyFrom::Stage(planned.place)),
                None => Err(BuildError::Internal("a stage that is copied from is not planned".to_owned())),
            },
        }
    }

    /// The main context.
    pub(super) fn main_context(&self, span: Span) -> Result<CopyFrom, PlanError> {
        if self.around.references.has_main_context(span)? {
            return Ok(CopyFrom::Context(String::new()));
        }
        let hint = "name a directory: lap build [OPTIONS] PATH";
        Err(PlanError::new(PlanProblem::NoContext, self.place(span)).hinted(hint))
    }

    fn expanded_sources(&mut self, parts: &Parts<'_>) -> Result<Vec<CopySource>, BuildError> {
        let checksum = match parts.checksum {
            Some(word) => Some((self.expand(word)?, self.place(word.span))),
            None => None,
        };
        let flags = remote::Flags {
            add: parts.add,
            checksum: checksum.filter(|(text, _)| !text.is_empty()),
            keep_git_dir: parts.keep_git_dir.map(|(keep, span)| (keep, self.place(span))),
            unpack: parts.unpack == Some(true),
        };
        let mut sources = Vec::with_capacity(parts.sources.len());
        for source in parts.sources {
            sources.push(match source {
                Source::Path(word) => {
                    let (text, span) = (self.expand(word)?, self.place(word.span));
                    remote::source(text, span, &flags)?
                }
                Source::Heredoc(heredoc) => CopySource::Heredoc {
                    name: file_name(&heredoc.name, self.place(heredoc.opener.span))?.to_owned(),
                    content: self.expand_heredoc(heredoc)?.into_bytes(),
                },
            });
        }
        // As with BuildKit: what is written here comes after what is copied, in the image and in its history.
        sources.sort_by_key(|source| matches!(source, CopySource::Heredoc { .. }));
        remote::check_flags(&sources, &flags)?;
        Ok(sources)
    }

    fn files(
        &mut self,
        instruction: &Instruction,
        parts: &Parts<'_>,
        from: Option<CopyFrom>,
    ) -> Result<(), BuildError> {
        let sources = self.expanded_sources(parts)?;
        let from = match from {
            Some(from) => from,
            None if sources.iter().any(|source| matches!(source, CopySource::Path { .. })) => {
                self.main_context(instruction.span)?
            }
            None => CopyFrom::Nothing,
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
    keep_git_dir: Option<(bool, Span)>,
    parents: bool,
    link: bool,
    add: bool,
    unpack: Option<bool>,
}

fn mode((text, span): (String, Span)) -> Result<Mode, dockerfile::Error> {
    Mode::parse(&text).map_err(|error| dockerfile::Error::new(error, span))
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
        CopySource::Git(repository) => repository.text.clone(),
        CopySource::Heredoc { name, .. } => format!("<<{name}"),
    }));
    words.extend([destination.to_owned(), "# buildkit".to_owned()]);
    words.join(" ")
}

fn is_insecure(run: &Run) -> bool {
    matches!(run.security, Some((SecurityMode::Insecure, _)))
}

/// A delimiter that becomes a file's name.
fn file_name(delimiter: &str, span: Span) -> Result<&str, PlanError> {
    if delimiter.contains('/') || matches!(delimiter, "." | "..") {
        let reason = "it has to be a file's name here".to_owned();
        let problem = PlanProblem::Value { what: "heredoc delimiter", value: delimiter.to_owned(), reason };
        return Err(PlanError::new(problem, span).hinted("write directories into the destination"));
    }
    Ok(delimiter)
}

fn flag_span(instruction: &Instruction, name: &str) -> Span {
    let flag = instruction.flags.iter().find(|flag| flag.name.as_str() == name);
    flag.map_or(instruction.span, |flag| flag.span)
}
