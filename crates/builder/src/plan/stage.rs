//! One stage: its environment, its config and its steps, as they grow from instruction to instruction.

use std::collections::BTreeMap;

use base::text;
use dockerfile::expand::Expander;
use dockerfile::lint::Linter;
use dockerfile::{Dockerfile, Heredoc, Instruction, InstructionKind, Span, Word};
use image::{Config, Platform, Reference};

use super::globals::Globals;
use super::graph::{Base, HistoryEntry, Operation, Stage, Step};
use super::names::{StepNames, title};
use super::outline::Noted;
use super::references::{BaseReference, References};
use super::variables::Variables;
use super::{at_from, lint, metadata};
use crate::error::BuildError;
use crate::request::Request;

/// The search path of images that have none (DF-162).
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What all stages share.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub request: &'a Request,
    pub file: &'a Dockerfile,
    pub globals: &'a Globals,
    pub references: &'a References<'a>,
    /// Hears of rules that are broken.
    pub linter: &'a Linter,
    /// The stages before this one that are needed, by number.
    pub planned: &'a BTreeMap<usize, Planned>,
    /// The same in the order of the plan, with those that no FROM begins.
    pub stages: &'a [Stage],
}

/// A stage that is planned, and what stages on top of it take over.
#[derive(Debug)]
pub(super) struct Planned {
    stage: Option<Stage>,
    /// What its mounts show of contexts, and what its caches begin with, if no stage before it has it: stages that come before it.
    pub selections: Vec<Stage>,
    config: Config,
    /// Its place in the plan.
    pub place: usize,
    /// What it takes.
    pub noted: Noted,
    variables: Variables,
    arguments: Vec<String>,
    has_workdir: bool,
}

impl Planned {
    /// The stage itself, once.
    pub fn take(&mut self) -> Stage {
        self.stage.take().unwrap_or_else(|| Stage {
            name: None,
            base: Base::Scratch,
            from: None,
            span: Span::default(),
            steps: Vec::new(),
            config: self.config.clone(),
            history: Vec::new(),
        })
    }
}

/// Plans the stage with this number; those that it refers to are planned already.
pub(super) fn plan(around: &Surroundings<'_>, index: usize) -> Result<Planned, BuildError> {
    let Some(source) = around.file.stages.get(index) else {
        return Err(BuildError::Internal(format!("there is no stage {index}")));
    };
    let mut builder = Builder::begin(*around, source)?;
    let span = source.instruction.span;
    if let Some(BaseReference::Context(context)) = around.references.base(index) {
        builder.files_of_context(source, context);
    }
    for trigger in around.references.triggers(index) {
        builder.trigger = Some(span);
        builder.instruction(trigger).map_err(|error| at_from(error, span))?;
    }
    builder.trigger = None;
    // Those of a stage that a context replaces are passed over (DF-080).
    for instruction in source.instructions.iter().filter(|_| !around.references.is_replaced(index)) {
        builder.instruction(instruction)?;
    }
    Ok(builder.finish(source))
}

/// A stage that is being planned.
pub(super) struct Builder<'a> {
    pub around: Surroundings<'a>,
    /// Its number in the file.
    pub index: usize,
    pub config: Config,
    /// What expansion and RUN see: the image's environment, ENV and ARG, the latest wins (DF-053).
    pub variables: Variables,
    /// The names that were declared with ARG, in the order of their first declarations (DF-065).
    pub arguments: Vec<String>,
    /// Whether this stage has had a CMD (DF-155).
    pub has_command: bool,
    pub platform: Platform,
    /// The instruction that is being planned.
    pub instruction: Span,
    /// Whether this stage, or one below it in the file, has had a WORKDIR (DF-230).
    pub has_workdir: bool,
    /// What it takes.
    pub noted: Noted,
    /// What counts so far of the instructions that count once (DF-232).
    pub last: lint::Last,
    /// What mounts show of contexts, and what caches begin with, if no stage before this one has it.
    pub selections: Vec<Stage>,
    /// The FROM whose trigger is being planned.
    trigger: Option<Span>,
    base: Base,
    from: Option<String>,
    names: StepNames,
    steps: Vec<Step>,
    history: Vec<HistoryEntry>,
}

impl<'a> Builder<'a> {
    fn begin(around: Surroundings<'a>, source: &dockerfile::Stage) -> Result<Self, BuildError> {
        let platform = around.globals.platform_of(source)?;
        let foundation = Foundation::of(&around, source, &platform)?;
        let mut names = StepNames::of(&around, source, &platform, foundation.from.is_some());
        let mut config = foundation.config;
        // They are executed here, and not again (DF-160).
        config.config.on_build.clear();
        let environment = || Variables::of_environment(&config.config.env);
        Ok(Self {
            around,
            index: source.index,
            variables: foundation.variables.unwrap_or_else(environment),
            config,
            arguments: foundation.arguments,
            has_command: false,
            platform,
            instruction: source.instruction.span,
            has_workdir: foundation.has_workdir,
            noted: Noted::default(),
            last: lint::Last::default(),
            selections: Vec::new(),
            trigger: None,
            base: foundation.base,
            from: foundation.from.map(|title| names.next(&title, &[])),
            names,
            steps: Vec::new(),
            history: Vec::new(),
        })
    }

    fn instruction(&mut self, instruction: &Instruction) -> Result<(), BuildError> {
        self.instruction = instruction.span;
        match &instruction.kind {
            InstructionKind::Run(run) => {
                self.note_mounts(instruction, run)?;
                self.run(instruction, run)
            }
            InstructionKind::Copy(copy) => self.copy(instruction, copy),
            InstructionKind::Add(add) => self.add(instruction, add),
            InstructionKind::Workdir(path) => self.workdir(instruction, path),
            _ => metadata::instruction(self, instruction),
        }
    }

    fn finish(self, source: &dockerfile::Stage) -> Planned {
        let stage = Stage {
            name: source.name().map(str::to_owned),
            base: self.base,
            from: self.from,
            span: source.instruction.span,
            steps: self.steps,
            config: self.config.clone(),
            history: self.history,
        };
        Planned {
            stage: Some(stage),
            selections: self.selections,
            config: self.config,
            place: 0,
            noted: self.noted,
            variables: self.variables,
            arguments: self.arguments,
            has_workdir: self.has_workdir,
        }
    }

    /// Where something is, for messages: with triggers, the FROM that pulls them.
    pub fn place(&self, span: Span) -> Span {
        self.trigger.unwrap_or(span)
    }

    /// Expands a word with the stage's variables.
    pub fn expand(&mut self, word: &Word) -> Result<String, dockerfile::Error> {
        let expanded = self.with_expander(|expander| expander.word(word))?;
        self.undefined(&expanded.undefined, word);
        Ok(expanded.text)
    }

    /// Expands a word that is expanded and reported elsewhere.
    pub fn expand_quietly(&self, word: &Word) -> Result<String, dockerfile::Error> {
        Ok(self.with_expander(|expander| expander.word(word))?.text)
    }

    /// Expands a word and splits what comes out (DF-051).
    pub fn expand_words(&mut self, word: &Word) -> Result<Vec<String>, dockerfile::Error> {
        let expanded = self.with_expander(|expander| expander.words(word))?;
        self.undefined(&expanded.undefined, word);
        Ok(expanded.words)
    }

    /// Expands what stands in a heredoc.
    pub fn expand_heredoc(&mut self, heredoc: &Heredoc) -> Result<String, dockerfile::Error> {
        let expanded = self.with_expander(|expander| expander.heredoc(heredoc))?;
        self.undefined(&expanded.undefined, &heredoc.body);
        Ok(expanded.text)
    }

    fn with_expander<T>(&self, expand: impl FnOnce(&Expander<'_>) -> T) -> T {
        let lookup = |name: &str| self.variables.get(name).map(str::to_owned);
        expand(&Expander::new(self.around.file.escape(), &lookup))
    }

    /// Adds what only describes the image to the history.
    pub fn described(&mut self, created_by: String) {
        self.history.push(HistoryEntry { created_by, step: None });
    }

    /// Adds a step, and its entry of the history.
    pub fn executed(&mut self, instruction: &Instruction, created_by: String, operation: Operation) {
        let title = title(instruction, self.trigger.is_some());
        self.step(&title, self.place(instruction.span), created_by, operation);
    }

    /// The same, for what is no instruction of its own.
    pub fn step(&mut self, title: &str, span: Span, created_by: String, operation: Operation) {
        let (name, platform) = (self.names.next(title, &self.arguments), self.platform.clone());
        self.history.push(HistoryEntry { created_by, step: Some(self.steps.len()) });
        self.steps.push(Step { name, span, platform, operation });
    }
}

/// What a stage begins with.
struct Foundation {
    base: Base,
    config: Config,
    /// The variables of the stage below; the environment of the config where there is none.
    variables: Option<Variables>,
    arguments: Vec<String>,
    /// What people call the step that looks up an image.
    from: Option<String>,
    has_workdir: bool,
}

impl Foundation {
    fn of(
        around: &Surroundings<'_>,
        source: &dockerfile::Stage,
        platform: &Platform,
    ) -> Result<Self, BuildError> {
        let plain = |base, config| Self {
            base,
            config,
            variables: None,
            arguments: Vec::new(),
            from: None,
            has_workdir: false,
        };
        Ok(match around.references.base(source.index) {
            // The files of a context come into it with the first step.
            None | Some(BaseReference::Scratch | BaseReference::Context(_)) => {
                plain(Base::Scratch, of_scratch(platform))
            }
            Some(BaseReference::Stage(below)) => {
                let below = around.planned.get(below);
                let below =
                    below.ok_or_else(|| BuildError::Internal("a base stage is not planned".to_owned()))?;
                // ARGs go on, but what the image itself says is stronger than an ARG of the same name that came later (DF-053, DF-058).
                let mut variables = below.variables.clone();
                variables.set_environment(&below.config.config.env);
                Self {
                    variables: Some(variables),
                    arguments: below.arguments.clone(),
                    has_workdir: below.has_workdir,
                    ..plain(Base::Stage(below.place), below.config.clone())
                }
            }
            Some(BaseReference::Image(image)) => {
                let own = image.config.platform();
                lint::base_platform(&image.name, &own, platform, source, around.linter);
                Self {
                    from: Some(format!("FROM {}", shown(&image.name))),
                    ..plain(Base::Image(image.clone()), of_image(&image.config, platform))
                }
            }
        })
    }
}

fn of_scratch(platform: &Platform) -> Config {
    let mut config = Config::default();
    set_platform(&mut config, platform);
    config.config.env = vec![format!("PATH={DEFAULT_PATH}")];
    "/".clone_into(&mut config.config.working_dir);
    config
}

/// A deep copy of a base's config, without its time (DF-161).
fn of_image(base: &Config, platform: &Platform) -> Config {
    let mut config = base.clone();
    config.created = None;
    // Docker's classic builder left these behind: they describe its last container, not the image.
    for stale in ["container", "container_config", "docker_version", "id", "parent"] {
        config.extra.remove(stale);
    }
    if config.architecture.is_empty() {
        set_platform(&mut config, platform);
    }
    let settings = &mut config.config;
    if !settings.env.iter().any(|pair| pair.starts_with("PATH=")) {
        settings.env.push(format!("PATH={DEFAULT_PATH}"));
    }
    if !settings.working_dir.is_empty() {
        settings.working_dir = metadata::joined("/", &settings.working_dir);
    }
    config
}

fn set_platform(config: &mut Config, platform: &Platform) {
    config.architecture.clone_from(&platform.architecture);
    config.os.clone_from(&platform.os);
    config.variant.clone_from(&platform.variant);
    config.os_version.clone_from(&platform.os_version);
    config.os_features.clone_from(&platform.os_features);
}

/// An image's name as BuildKit shows it: whole.
fn shown(name: &str) -> String {
    match Reference::parse(name) {
        Ok(reference) if image::Digest::parse(name).is_err() => reference.or_latest().to_string(),
        _ => text::line(name).into_owned(),
    }
}
