//! What a build could be asked for: its stages, and what the target takes (DF-216).

use dockerfile::{Dockerfile, Span};

use crate::error::BuildError;
use crate::request::DockerfileText;

/// What a target takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outline {
    /// The stage's name.
    pub name: Option<String>,
    /// What the comment above it says (DF-024).
    pub description: Option<String>,
    /// The build arguments, in the order of the file.
    pub arguments: Vec<OutlineArgument>,
    /// The secrets, each once.
    pub secrets: Vec<OutlineNeed>,
    /// The SSH agents, each once.
    pub ssh: Vec<OutlineNeed>,
    /// The caches, each once.
    pub caches: Vec<OutlineNeed>,
}

/// A build argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlineArgument {
    /// Its name.
    pub name: String,
    /// What the comment above it says (DF-024).
    pub description: Option<String>,
    /// The value that it has.
    pub value: Option<String>,
    /// The ARG.
    pub span: Span,
}

/// Something from outside that a mount needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlineNeed {
    /// Its ID.
    pub id: String,
    /// Whether it is an error that there is none.
    pub is_required: bool,
    /// The RUN.
    pub span: Span,
}

impl Outline {
    /// In the order of the file, each once.
    pub(crate) fn sort(&mut self) {
        self.arguments.sort_by_key(|argument| argument.span);
        for needs in [&mut self.secrets, &mut self.ssh, &mut self.caches] {
            needs.sort_by_key(|need| need.span);
            let all = std::mem::take(needs);
            for need in all {
                match needs.iter_mut().find(|known| known.id == need.id) {
                    Some(known) => known.is_required |= need.is_required,
                    None => needs.push(need),
                }
            }
        }
    }
}

/// A stage that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: Option<String>,
    /// Whether it is built when no target is named.
    pub is_default: bool,
    /// What the comment above it says (DF-024).
    pub description: Option<String>,
    /// What it stands on, as it is written.
    pub base: String,
    /// Its platform, as it is written.
    pub platform: Option<String>,
    /// Its FROM.
    pub span: Span,
}

/// The stages of a Dockerfile.
pub fn targets(text: &DockerfileText) -> Result<Vec<Target>, BuildError> {
    let file: Dockerfile = dockerfile::parse(&text.bytes)?;
    let last = file.stages.len().saturating_sub(1);
    let target = |stage: &dockerfile::Stage| Target {
        name: stage.name().map(str::to_owned),
        is_default: stage.index == last,
        description: stage.description().map(str::to_owned),
        base: stage.from.image.raw.clone(),
        platform: stage.from.platform.as_ref().map(|platform| platform.raw.clone()),
        span: stage.instruction.span,
    };
    Ok(file.stages.iter().map(target).collect())
}
