//! Named contexts (DF-078 … DF-080): what stands on one, and those that nothing refers to.

use dockerfile::{Dockerfile, Stage};

use super::globals::Globals;
use super::graph::{CopyFrom, Operation};
use super::references::froms;
use super::stage::Builder;
use crate::copy::CopyStep;
use crate::outcome::BuildWarning;
use crate::request::{Request, context_name};

impl Builder<'_> {
    /// A stage that stands on the files of a context: all of them are its first layer.
    pub(super) fn files_of_context(&mut self, source: &Stage, context: &str) {
        let span = source.from.image.span;
        let step = CopyStep { parents: false, ..CopyStep::of_path(".", span) };
        let title = format!("FROM {}", base::text::line(context));
        let created_by = format!("{title} # buildkit");
        self.step(&title, span, created_by, Operation::Copy(step, CopyFrom::Context(context.to_owned())));
    }
}

/// Contexts that were given, and that no FROM, no `--from` and no stage has the name of.
pub(super) fn unused(file: &Dockerfile, request: &Request) -> Vec<BuildWarning> {
    if request.contexts.is_empty() {
        return Vec::new();
    }
    let mut names = Vec::new();
    for platform in &request.platforms {
        // What is wrong with the ARGs is said where they are evaluated.
        let Ok(globals) = Globals::of(file, request, platform) else { return Vec::new() };
        let bases = file.stages.iter().filter_map(|stage| globals.expand(&stage.from.image).ok());
        names.extend(bases.map(|expanded| expanded.text));
    }
    for stage in &file.stages {
        names.extend(stage.name().map(str::to_owned));
        let froms = stage.instructions.iter().flat_map(|instruction| froms(&instruction.kind));
        names.extend(froms.map(|from| from.raw.clone()));
    }
    let known: Vec<String> = names.iter().map(|name| context_name(name)).collect();
    let warning = |name: &String| {
        let suggestion = dockerfile::suggest::nearest(name, known.iter().map(String::as_str));
        let suggestion = suggestion.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
        let name = base::text::bytes(name.as_bytes());
        let text = format!("the build context {name} is not used{suggestion}");
        BuildWarning { rule: None, text: base::text::line(&text).into_owned(), span: None }
    };
    request.contexts.iter().filter(|name| !known.contains(name)).map(warning).collect()
}
