//! What is known before the first FROM: build arguments, global ARGs, platforms (DF-055 … DF-062).

use dockerfile::expand::{Expanded, Expander};
use dockerfile::instruction::ArgDeclaration;
use dockerfile::{Dockerfile, Escape, Instruction, InstructionKind, Span, Stage, Word};
use image::Platform;

use super::error::{PlanError, PlanProblem};
use super::variables::Variables;
use crate::error::BuildError;
use crate::outline::OutlineArgument;
use crate::request::{Epoch, Request};

/// The variable that clamps times (DF-166).
pub(super) const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Proxies: usable in RUN without an ARG (DF-061).
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Set by the builder itself (DF-060).
const AUTOMATIC: [&str; 11] = [
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETOSVERSION",
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
    "BUILDOSVERSION",
    "TARGETSTAGE",
];

/// Whether a name is a proxy's, in either case.
pub(super) fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether the builder sets this name itself.
pub(super) fn is_automatic(name: &str) -> bool {
    AUTOMATIC.contains(&name)
}

/// A global ARG.
#[derive(Debug)]
pub(super) struct Declared {
    /// What it is called, and has.
    pub argument: OutlineArgument,
    /// The variables in its default.
    pub used: Vec<String>,
}

/// Build arguments and global ARGs.
#[derive(Debug)]
pub(super) struct Globals {
    /// The platform that the image is for.
    platform: Platform,
    /// `--build-arg`; the last one of a name counts.
    arguments: Variables,
    /// The automatic ones, then the global ARGs that have a value.
    values: Variables,
    /// The global ARGs, each name once.
    declared: Vec<Declared>,
    escape: Escape,
    /// Where the ARG of the epoch stands.
    epoch_span: Option<Span>,
}

impl Globals {
    /// Evaluates the ARGs before the first FROM.
    pub fn of(file: &Dockerfile, request: &Request, platform: &Platform) -> Result<Self, dockerfile::Error> {
        Self::with_arguments(file, request, platform, &request.build_args)
    }

    /// Evaluates them with other build arguments than the request's.
    pub fn with_arguments(
        file: &Dockerfile,
        request: &Request,
        platform: &Platform,
        build_args: &[(String, String)],
    ) -> Result<Self, dockerfile::Error> {
        let mut arguments = Variables::default();
        for (name, value) in build_args {
            arguments.set(name, value);
        }
        let values = automatic(file, request, platform, &arguments);
        let mut globals = Self {
            platform: platform.clone(),
            arguments,
            values,
            declared: Vec::new(),
            escape: file.escape(),
            epoch_span: None,
        };
        for instruction in &file.globals {
            let InstructionKind::Arg(arg) = &instruction.kind else { continue };
            for declaration in &arg.declarations {
                globals.declare(instruction, declaration)?;
            }
        }
        Ok(globals)
    }

    fn declare(
        &mut self,
        instruction: &Instruction,
        declaration: &ArgDeclaration,
    ) -> Result<(), dockerfile::Error> {
        let name = self.expand(&declaration.name)?.text;
        if name == EPOCH {
            self.epoch_span = Some(declaration.span);
        }
        let (value, used) = match (self.argument(&name), &declaration.default) {
            (Some(argument), _) => (Some(argument.to_owned()), Vec::new()),
            (None, Some(default)) => {
                let expanded = self.expand(default)?;
                (Some(expanded.text), expanded.used)
            }
            (None, None) => (None, Vec::new()),
        };
        if let Some(value) = &value {
            self.values.set(&name, value);
        }
        let description = instruction.description(&name).map(str::to_owned);
        self.declared.retain(|declared| declared.argument.name != name);
        let argument = OutlineArgument { name, description, value, span: instruction.span };
        self.declared.push(Declared { argument, used });
        Ok(())
    }

    /// The platform that the image is for.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The platform of a stage: what its FROM says, else that of the image (DF-075).
    pub fn platform_of(&self, stage: &Stage) -> Result<Platform, BuildError> {
        let Some(word) = &stage.from.platform else { return Ok(self.platform.clone()) };
        let said = self.expand(word)?.text;
        Platform::parse(&said).map_err(|error| PlanError::new(error, word.span).into())
    }

    /// What `--build-arg` says.
    pub fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.get(name)
    }

    /// What a global ARG, or the builder itself, says.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name)
    }

    /// The names that FROM can use.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.names().chain(self.declared.iter().map(|declared| declared.argument.name.as_str()))
    }

    /// The global ARGs.
    pub fn declarations(&self) -> &[Declared] {
        &self.declared
    }

    /// The global ARG of this name.
    pub fn declaration(&self, name: &str) -> Option<&Declared> {
        self.declared.iter().find(|declared| declared.argument.name == name)
    }

    /// Whether FROM can use a name, be it without a value.
    pub fn declares(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Expands a word of FROM, or of a global ARG.
    pub fn expand(&self, word: &Word) -> Result<Expanded, dockerfile::Error> {
        let lookup = |name: &str| self.values.get(name).map(str::to_owned);
        Expander::new(self.escape, &lookup).word(word)
    }

    /// The proxies that a RUN gets, in both cases, without those that the environment has already.
    pub fn proxies(&self, environment: &Variables) -> Vec<(String, String)> {
        let mut proxies = Variables::default();
        for (name, value) in self.arguments.pairs().iter().filter(|(name, _)| is_proxy(name)) {
            for name in [name.to_ascii_uppercase(), name.to_ascii_lowercase()] {
                if environment.get(&name).is_none()
                    && self.arguments.get(&name).is_none_or(|own| own == value)
                {
                    proxies.set(&name, value);
                }
            }
        }
        proxies.pairs().to_vec()
    }

    /// Until when times may go: what the request says, else the build argument, else the global ARG; an empty one says nothing.
    pub fn epoch(&self, request: &Request) -> Result<Option<i64>, PlanError> {
        if let Some(Epoch::At(seconds)) = request.source_date_epoch {
            return Ok(Some(seconds));
        }
        let said = self.argument(EPOCH).or_else(|| self.value(EPOCH)).unwrap_or_default();
        if said.is_empty() {
            return Ok(None);
        }
        match said.parse::<i64>() {
            Ok(seconds) if seconds >= 0 => Ok(Some(seconds)),
            _ => {
                let reason =
                    "it has to be a number of seconds since the beginning of 1970, or context".to_owned();
                let problem = PlanProblem::Value { what: EPOCH, value: said.to_owned(), reason };
                Err(PlanError::new(problem, self.epoch_span.unwrap_or_default()))
            }
        }
    }
}

/// The automatic ones; build arguments override them.
fn automatic(file: &Dockerfile, request: &Request, platform: &Platform, arguments: &Variables) -> Variables {
    let last = file.stages.last().and_then(dockerfile::Stage::name);
    let stage = request.target.as_deref().or(last).unwrap_or("default");
    let of = |platform: &Platform| {
        [
            platform.to_string(),
            platform.os.clone(),
            platform.architecture.clone(),
            platform.variant.clone().unwrap_or_default(),
            platform.os_version.clone().unwrap_or_default(),
        ]
    };
    let values = of(platform).into_iter().chain(of(&request.build_platform)).chain([stage.to_owned()]);
    let mut automatic = Variables::default();
    for (name, value) in AUTOMATIC.iter().zip(values) {
        automatic.set(name, arguments.get(name).unwrap_or(&value));
    }
    automatic
}
