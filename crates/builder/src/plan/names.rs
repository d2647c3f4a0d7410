//! What progress calls the steps of a stage (DF-214).

use base::text;
use dockerfile::{Instruction, InstructionKind};
use image::Platform;

use super::references::BaseReference;
use super::stage::Surroundings;

/// The ARGs by which a step knows for which platform it works.
const TARGET: [&str; 4] = ["TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"];

/// How progress names the steps of one stage: `[build 2/5] RUN make`; with several platforms `[linux/arm64 build 2/5] RUN make`, and
/// `[linux/amd64->arm64 build 2/5] RUN make` where a step knows that it works for another platform than its own (DF-214).
pub(super) struct StepNames {
    platform: Option<Prefix>,
    stage: String,
    total: usize,
    last: usize,
}

/// Platforms as names of steps show them.
struct Prefix {
    own: String,
    /// Empty when it is the same.
    target: String,
}

impl Prefix {
    fn of(own: &Platform, target: &Platform) -> Self {
        let is_same = (&own.os, &own.architecture) == (&target.os, &target.architecture);
        let whole = target.to_string();
        let target = match whole.strip_prefix(&format!("{}/", own.os)) {
            _ if is_same => String::new(),
            Some(architecture) => format!("->{architecture}"),
            None => format!("->{whole}"),
        };
        Self { own: own.to_string(), target }
    }
}

impl StepNames {
    pub fn of(
        around: &Surroundings<'_>,
        source: &dockerfile::Stage,
        platform: &Platform,
        has_image: bool,
    ) -> Self {
        let stage = match source.name() {
            Some(name) => format!("{name} "),
            None if around.file.stages.len() > 1 => format!("stage-{} ", source.index),
            None => String::new(),
        };
        let executes = |instruction: &&Instruction| {
            use InstructionKind::{Add, Copy, Run, Workdir};
            matches!(instruction.kind, Add(_) | Copy(_) | Run(_) | Workdir(_))
        };
        let references = around.references;
        let own = source.instructions.iter().filter(|_| !references.is_replaced(source.index));
        let steps = references.triggers(source.index).iter().chain(own).filter(executes).count();
        let has_files = matches!(references.base(source.index), Some(BaseReference::Context(_)));
        let total = steps + usize::from(has_image || has_files);
        let has_several = around.request.platforms.len() > 1;
        let platform = has_several.then(|| Prefix::of(platform, around.globals.platform()));
        Self { platform, stage, total, last: 0 }
    }

    /// The next one, where these ARGs are declared.
    pub fn next(&mut self, title: &str, arguments: &[String]) -> String {
        self.last += 1;
        let width = self.total.to_string().len();
        let knows_target = || arguments.iter().any(|name| TARGET.contains(&name.as_str()));
        let platform = match &self.platform {
            Some(prefix) if knows_target() => format!("{}{} ", prefix.own, prefix.target),
            Some(prefix) => format!("{} ", prefix.own),
            None => String::new(),
        };
        format!("[{platform}{}{:>width$}/{}] {title}", self.stage, self.last, self.total)
    }
}

/// What people call a step: the instruction with its keyword in capitals, and the first line of its heredoc (DF-039).
pub(super) fn title(instruction: &Instruction, is_trigger: bool) -> String {
    let rest = instruction.text.get(instruction.spelling.raw.len()..).unwrap_or_default();
    let mut title = format!("{}{}", instruction.keyword, text::line(rest));
    if is_trigger {
        title.insert_str(0, "ONBUILD ");
    }
    let heredoc = match &instruction.kind {
        InstructionKind::Run(run) => run.heredocs.first().map(|heredoc| heredoc.content().into_owned()),
        _ => None,
    };
    if let Some(content) = heredoc {
        let mut lines = content.lines();
        let first = text::line(lines.next().unwrap_or_default()).into_owned();
        let more = if lines.next().is_some() { "..." } else { "" };
        title.push_str(&format!(" ({first}{more})"));
    }
    title
}
