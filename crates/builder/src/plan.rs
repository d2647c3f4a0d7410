//! Plan: a Dockerfile and a request → stages of steps. Pure, but for what a [`Resolver`] is asked.
//!
//! Two passes over the stages. From the target down to the first: what does a stage refer to, so what is needed (`references`)? References
//! only ever lead to earlier stages, so one pass finds all. Then from the first up to the target: each stage that is needed is expanded
//! with the environment that it has (`stage`). For several platforms that is done for each of them, one after the other, into one plan.

mod contexts;
mod epoch;
mod error;
mod execute;
mod globals;
mod graph;
mod history;
mod lint;
mod metadata;
mod mounts;
mod names;
mod outline;
mod references;
mod remote;
mod stage;
mod variables;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use dockerfile::lint::{CheckOptions, Finding, Linter, Rule};
use dockerfile::{Dockerfile, InstructionKind, Span, WarningKind};
use image::Platform;

pub use error::{PlanError, PlanProblem};
pub use graph::{
    Agent, Base, BaseImage, Cache, CopyFrom, HistoryEntry, MountKind, Operation, Plan, RunMount, RunStep,
    Script, Shown, ShownFrom, Stage, Step, Target, WorkdirStep,
};

use crate::error::BuildError;
use crate::outcome::BuildWarning;
use crate::outline::Outline;
use crate::request::Request;
use crate::session::{BuildContext, NotBrought};
use globals::Globals;
use references::References;
use stage::Planned;

/// What [`Resolver`] gives when it can't answer.
pub type ResolverError = Box<dyn std::error::Error + Send + Sync>;

/// What a plan has to know of the world.
pub trait Resolver {
    /// The image of this name, digest or ID, if there is one: the one for the platform, where there are several.
    fn image(&self, name: &str, platform: &Platform) -> Result<Option<BaseImage>, ResolverError>;

    /// The names of all images, to suggest one.
    fn image_names(&self) -> Result<Vec<String>, ResolverError>;

    /// Whether there is a main context.
    fn has_main_context(&self) -> Result<bool, NotBrought>;

    /// The named context of this name, if there is one; an image is the one for the platform.
    fn context(&self, name: &str, platform: &Platform) -> Result<Option<BuildContext>, NotBrought> {
        let _ = (name, platform);
        Ok(None)
    }

    /// The newest time of a file in the main context, in seconds since 1970; none when there is none.
    fn newest(&self) -> Result<Option<i64>, ResolverError> {
        Ok(None)
    }

    /// Whether the ignore file of the main context leaves out a path, and all that is below it.
    fn is_ignored(&self, path: &str) -> bool {
        let _ = path;
        false
    }
}

/// Which stages are planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that the target needs.
    Target,
    /// All, unless the request names a target: for checks.
    All,
}

/// What comes of planning, whether it succeeds or not.
#[derive(Debug)]
pub struct Examined {
    /// The plan.
    pub plan: Result<Plan, BuildError>,
    /// The rules that are broken, as far as it came.
    pub findings: Vec<Finding>,
    /// What else looks like a mistake.
    pub warnings: Vec<BuildWarning>,
}

impl Examined {
    fn failed(error: impl Into<BuildError>) -> Self {
        Self { plan: Err(error.into()), findings: Vec::new(), warnings: Vec::new() }
    }

    /// Findings and warnings.
    pub fn all_warnings(&self) -> Vec<BuildWarning> {
        let findings = self.findings.iter().cloned().map(BuildWarning::from);
        findings.chain(self.warnings.iter().cloned()).collect()
    }
}

/// Plans a build.
pub fn plan(request: &Request, resolver: &dyn Resolver) -> Result<Plan, BuildError> {
    examine(request, resolver, Scope::Target).plan
}

/// Plans a build, and says what looks like a mistake.
pub fn examine(request: &Request, resolver: &dyn Resolver, scope: Scope) -> Examined {
    let file = match dockerfile::parse(&request.dockerfile.bytes) {
        Ok(file) => file,
        Err(error) => return Examined::failed(error),
    };
    let options = match lint::options(&file, request) {
        Ok(options) => options,
        Err(error) => return Examined::failed(error),
    };
    let mut warnings = warnings_of(&file);
    warnings.extend(unknown_rules(&options, &file));
    warnings.extend(unknown_stages(&file, request));
    warnings.extend(contexts::unused(&file, request));
    let linter = Linter::new(options.clone(), &file);
    dockerfile::lint::check(&file, &linter);
    // What is wrong with the Dockerfile is said once: of several platforms, for the first one.
    let silent = Linter::new(options, &file);
    let plan = stages(&file, request, resolver, scope, [&linter, &silent]);
    warnings.extend(unused_arguments(&file, request, plan.as_ref().ok()));
    let mut examined = Examined { plan, findings: linter.findings(), warnings };
    let warnings = examined.all_warnings();
    if let Ok(plan) = &mut examined.plan {
        plan.warnings = warnings;
        if linter.is_strict() && !examined.findings.is_empty() {
            examined.plan = Err(BuildError::Checks(lint::names_of(&examined.findings)));
        }
    }
    examined
}

/// The linters are that of the first platform, and that of the others.
fn stages(
    file: &Dockerfile,
    request: &Request,
    resolver: &dyn Resolver,
    scope: Scope,
    [first, others]: [&Linter; 2],
) -> Result<Plan, BuildError> {
    refuse_other_syntax(file)?;
    let target = target(file, request)?;
    let targets = match scope {
        Scope::All if request.target.is_none() => 0..=target,
        _ => target..=target,
    };
    let mut plan = Plan {
        stages: Vec::new(),
        images: Vec::new(),
        targets: Vec::new(),
        epoch: None,
        warnings: Vec::new(),
        outline: Outline::default(),
    };
    let request = &*epoch::resolved(file, request, resolver)?;
    for (number, platform) in request.platforms.iter().enumerate() {
        let linter = if number == 0 { first } else { others };
        let globals = Globals::of(file, request, platform)?;
        lint::froms(file, request, &globals, linter);
        let images = std::mem::take(&mut plan.images);
        let references = References::find(file, targets.clone(), &globals, resolver, images)?;
        plan.images = references.images();
        let planned = for_platform(&mut plan, file, request, &references, linter)?;
        if number == 0 {
            plan.epoch = globals.epoch(request)?;
            let noted = planned.iter().map(|(index, stage)| (*index, &stage.noted));
            plan.outline = outline::of_stages(file, &globals, noted);
        }
    }
    Ok(plan)
}

/// Plans the stages that are needed for one platform, and gives them by number; the last one becomes an image.
fn for_platform(
    plan: &mut Plan,
    file: &Dockerfile,
    request: &Request,
    references: &References<'_>,
    linter: &Linter,
) -> Result<BTreeMap<usize, Planned>, BuildError> {
    let mut planned: BTreeMap<usize, Planned> = BTreeMap::new();
    for index in references.needed() {
        let (globals, stages) = (references.globals(), &plan.stages);
        let surroundings =
            stage::Surroundings { request, file, globals, references, linter, planned: &planned, stages };
        let mut stage = stage::plan(&surroundings, index)?;
        plan.stages.append(&mut stage.selections);
        stage.place = plan.stages.len();
        plan.stages.push(stage.take());
        planned.insert(index, stage);
    }
    let target = Target {
        platform: references.globals().platform().clone(),
        stage: plan.stages.len().saturating_sub(1),
    };
    if request.platforms.len() > 1 && request.makes_image() {
        check_platform(plan, &target)?;
    }
    plan.targets.push(target);
    Ok(planned)
}

/// Whoever asks an index for a platform has to get an image for it.
fn check_platform(plan: &Plan, target: &Target) -> Result<(), PlanError> {
    let Some(stage) = plan.stages.get(target.stage) else { return Ok(()) };
    let is_for = stage.config.platform();
    if is_for.matches(&target.platform) {
        return Ok(());
    }
    let (wanted, is_for) = (Box::new(target.platform.clone()), Box::new(is_for));
    let hint = "in a build for several platforms each image has a base for its own: leave a constant --platform out of FROM, or bring the base for it into the store";
    Err(PlanError::new(PlanProblem::OtherPlatform { wanted, is_for }, stage.span).hinted(hint))
}

/// The number of the stage to build (DF-074).
fn target(file: &Dockerfile, request: &Request) -> Result<usize, PlanError> {
    let Some(name) = &request.target else { return Ok(file.stages.len().saturating_sub(1)) };
    if let Some(stage) = file.stage_named(name) {
        return Ok(stage.index);
    }
    match name.parse::<usize>() {
        Ok(number) if number < file.stages.len() => return Ok(number),
        _ => {}
    }
    let names: Vec<&str> = file.stages.iter().filter_map(dockerfile::Stage::name).collect();
    let suggestion = dockerfile::suggest::nearest(name, names.iter().copied());
    // Nothing in the file is wrong; the last stage is where a reader looks for names.
    let span = file.stages.last().map_or_else(Span::default, |stage| stage.instruction.span);
    let error = PlanError::new(PlanProblem::NoTarget(name.clone()), span).suggesting(suggestion);
    Err(if names.is_empty() {
        error.hinted("no stage has a name: give one with FROM … AS NAME, or use its number")
    } else {
        error.hinted(format!("the stages are {}", names.join(", ")))
    })
}

fn refuse_other_syntax(file: &Dockerfile) -> Result<(), PlanError> {
    let Some(syntax) = file.directives.syntax.as_ref().filter(|_| !file.directives.syntax_is_docker()) else {
        return Ok(());
    };
    let problem = PlanProblem::Frontend(syntax.as_str().to_owned());
    let hint = "remove the line: what docker/dockerfile can do is built in";
    Err(PlanError::new(problem, syntax.span).hinted(hint))
}

fn warnings_of(file: &Dockerfile) -> Vec<BuildWarning> {
    let warning = |warning: &dockerfile::Warning| BuildWarning {
        rule: None,
        text: base::text::line(&warning.kind.to_string()).into_owned(),
        span: Some(warning.span),
    };
    // That one is a rule.
    let others =
        file.warnings.iter().filter(|warning| !matches!(warning.kind, WarningKind::EmptyContinuation { .. }));
    others.map(warning).collect()
}

/// Names in `skip=` and `experimental=` that no rule has.
fn unknown_rules(options: &CheckOptions, file: &Dockerfile) -> Vec<BuildWarning> {
    let warning = |name: &str| {
        let suggestion = dockerfile::suggest::nearest(name, Rule::ALL.into_iter().map(Rule::name));
        let suggestion = suggestion.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
        let text = format!("there is no check {}{suggestion}", base::text::line(name));
        BuildWarning { rule: None, text, span: file.directives.check.as_ref().map(|word| word.span) }
    };
    options.unknown().into_iter().map(warning).collect()
}

/// Build arguments that no ARG takes (DF-064): none of the file, nor, as far as the plan knows them, of the triggers of a base.
fn unused_arguments(file: &Dockerfile, request: &Request, plan: Option<&Plan>) -> Vec<BuildWarning> {
    let of_triggers = plan.map_or(&[][..], |plan| &plan.outline.arguments);
    let instructions = file.globals.iter().chain(file.stages.iter().flat_map(|stage| &stage.instructions));
    let declared: Vec<&str> = instructions
        .flat_map(|instruction| match &instruction.kind {
            InstructionKind::Arg(arg) => arg.declarations.as_slice(),
            _ => &[],
        })
        .map(|declaration| declaration.name.as_str())
        .chain(of_triggers.iter().map(|argument| argument.name.as_str()))
        .collect();
    let is_unused = |name: &&String| {
        !declared.contains(&name.as_str())
            && !globals::is_proxy(name)
            && !globals::is_automatic(name)
            && !name.starts_with("BUILDKIT_")
            && name.as_str() != globals::EPOCH
    };
    let names: Vec<&String> = request.build_args.iter().map(|(name, _)| name).filter(is_unused).collect();
    let warning = |name: &String| {
        let suggestion = dockerfile::suggest::nearest(name, declared.iter().copied());
        let suggestion = suggestion.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
        let name = base::text::bytes(name.as_bytes());
        let text = format!("the build argument {name} is not used{suggestion}");
        BuildWarning { rule: None, text, span: None }
    };
    names.into_iter().map(warning).collect()
}

/// Stages of `--no-cache-filter` that there are not (DF-181).
fn unknown_stages(file: &Dockerfile, request: &Request) -> Vec<BuildWarning> {
    let names: Vec<&str> = file.stages.iter().filter_map(dockerfile::Stage::name).collect();
    let warning = |name: &String| {
        let suggestion = dockerfile::suggest::nearest(name, names.iter().copied());
        let suggestion = suggestion.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
        let name = base::text::bytes(name.as_bytes());
        BuildWarning {
            text: format!("--no-cache-filter: no stage is called {name}{suggestion}"),
            span: None,
            rule: None,
        }
    };
    request.no_cache_stages.iter().filter(|name| file.stage_named(name).is_none()).map(warning).collect()
}

/// The resolver failed: not the Dockerfile's fault, but the place helps.
fn unresolved(error: ResolverError, span: Span) -> PlanError {
    PlanError::new(PlanProblem::Base(error), span)
}

/// Where errors of triggers are: at the FROM that pulls them (DF-160).
fn at_from(error: BuildError, span: Span) -> BuildError {
    match error {
        BuildError::Dockerfile(error) => PlanError::new(PlanProblem::Trigger(error), span).into(),
        BuildError::Plan(error) => error.moved(span).into(),
        other => other,
    }
}
