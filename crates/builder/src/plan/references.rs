//! What names in FROM and `--from` mean, and so which stages a target needs (DF-066 … DF-074, DF-160).

use std::collections::{BTreeMap, BTreeSet};

use dockerfile::mount::MountSpec;
use dockerfile::{Dockerfile, Instruction, InstructionKind, Span, Word, suggest};
use image::{Platform, Reference};

use super::error::{PlanError, PlanProblem};
use super::globals::Globals;
use super::graph::BaseImage;
use super::{Resolver, ResolverError, at_from, unresolved};
use crate::error::BuildError;
use crate::request::context_name;
use crate::session::BuildContext;

/// What a stage stands on.
#[derive(Debug, Clone)]
pub(super) enum BaseReference {
    /// Nothing.
    Scratch,
    /// The stage with this number.
    Stage(usize),
    /// An image.
    Image(Box<BaseImage>),
    /// The files of the context of this name.
    Context(String),
}

/// What the `from` of COPY and of mounts names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// The context of this name.
    Context(String),
    /// An empty filesystem: `scratch`, or a context that stands for it.
    Nothing,
    /// The stage with this number.
    Stage(usize),
    /// The image at this place of the plan's images.
    Image(usize),
}

/// What the stages that a target needs refer to.
pub(super) struct References<'a> {
    file: &'a Dockerfile,
    globals: &'a Globals,
    resolver: &'a dyn Resolver,
    bases: BTreeMap<usize, BaseReference>,
    triggers: BTreeMap<usize, Vec<Instruction>>,
    images: Vec<BaseImage>,
    /// The stages that contexts stand for.
    replaced: BTreeSet<usize>,
}

impl<'a> References<'a> {
    /// Follows all references from some stages. The images are those of the plan so far.
    pub fn find(
        file: &'a Dockerfile,
        targets: impl IntoIterator<Item = usize>,
        globals: &'a Globals,
        resolver: &'a dyn Resolver,
        images: Vec<BaseImage>,
    ) -> Result<Self, BuildError> {
        let mut references = Self {
            file,
            globals,
            resolver,
            bases: BTreeMap::new(),
            triggers: BTreeMap::new(),
            images,
            replaced: BTreeSet::new(),
        };
        let mut needed: BTreeSet<usize> = targets.into_iter().collect();
        while let Some(index) = needed.pop_last() {
            references.stage(index, &mut needed)?;
        }
        Ok(references)
    }

    /// What is known before the first FROM.
    pub fn globals(&self) -> &'a Globals {
        self.globals
    }

    /// The platform of a stage, and so of the images that it names.
    fn platform(&self, index: usize) -> Result<Platform, BuildError> {
        match self.file.stages.get(index) {
            Some(stage) => self.globals.platform_of(stage),
            None => Ok(self.globals.platform().clone()),
        }
    }

    /// The numbers of the stages that are needed, in order.
    pub fn needed(&self) -> Vec<usize> {
        self.bases.keys().copied().collect()
    }

    /// The images that files are copied from.
    pub fn images(&self) -> Vec<BaseImage> {
        self.images.clone()
    }

    /// How one of them was named.
    pub fn image_name(&self, place: usize) -> Option<&str> {
        self.images.get(place).map(|image| image.name.as_str())
    }

    /// What a stage that is needed stands on.
    pub fn base(&self, index: usize) -> Option<&BaseReference> {
        self.bases.get(&index)
    }

    /// The triggers that a stage has to execute first.
    pub fn triggers(&self, index: usize) -> &[Instruction] {
        self.triggers.get(&index).map_or(&[], Vec::as_slice)
    }

    /// Whether a context stands for a stage, whose own instructions count for nothing then (DF-080).
    pub fn is_replaced(&self, index: usize) -> bool {
        self.replaced.contains(&index)
    }

    /// What the name in a `--from` of a stage means: a context, a stage, nothing, an image.
    pub fn source(&self, name: &Word, index: usize) -> Result<Source, BuildError> {
        let text = match self.context_of(name, index)? {
            Some((context, BuildContext::Files(_))) => return Ok(Source::Context(context)),
            Some((_, BuildContext::Scratch)) => return Ok(Source::Nothing),
            Some((_, BuildContext::Image(image))) => return self.image_source(&image, name.span, index),
            None => name.as_str(),
        };
        if let Some(stage) = self.file.stage_named(text) {
            return Ok(Source::Stage(earlier(self.file, stage.index, index, name)?));
        }
        if let Ok(number) = text.parse::<usize>() {
            let count = self.file.stages.len();
            if number >= count {
                return Err(PlanError::new(PlanProblem::NoStageNumber(number, count), name.span).into());
            }
            return Ok(Source::Stage(earlier(self.file, number, index, name)?));
        }
        if is_scratch(text) {
            return Ok(Source::Nothing);
        }
        self.image_source(text, name.span, index)
    }

    fn image_source(&self, name: &str, span: Span, index: usize) -> Result<Source, BuildError> {
        match self.loaded(name, index)? {
            Some(place) => Ok(Source::Image(place)),
            None => Err(self.no_image(name, span, index).into()),
        }
    }

    /// The place of the image that a stage means by a name, once it was looked up.
    fn loaded(&self, name: &str, index: usize) -> Result<Option<usize>, BuildError> {
        let platform = self.platform(index)?;
        Ok(self.images.iter().position(|image| image.name == name && image.platform == platform))
    }

    /// The context that was given for a name, as a stage sees it.
    fn context(
        &self,
        name: &str,
        span: Span,
        index: usize,
    ) -> Result<Option<(String, BuildContext)>, BuildError> {
        let name = context_name(name);
        match self.resolver.context(&name, &self.platform(index)?) {
            Ok(context) => Ok(context.map(|context| (name, context))),
            Err(source) => Err(PlanError::new(PlanProblem::Context { name, source }, span).into()),
        }
    }

    /// The context that was given for the name in a `--from` of a stage, or for the stage that has this number.
    fn context_of(&self, from: &Word, index: usize) -> Result<Option<(String, BuildContext)>, BuildError> {
        if let Some(found) = self.context(from.as_str(), from.span, index)? {
            return Ok(Some(found));
        }
        let number = from.as_str().parse::<usize>().ok();
        match number.and_then(|number| self.file.stages.get(number)?.name()) {
            Some(stage) => self.context(stage, from.span, index),
            None => Ok(None),
        }
    }

    /// Whether the ignore file of the main context leaves out a path, and all that is below it.
    pub fn is_ignored(&self, path: &str) -> bool {
        self.resolver.is_ignored(path)
    }

    /// Whether there is a main context.
    pub fn has_main_context(&self, span: Span) -> Result<bool, PlanError> {
        let failed = |source| PlanProblem::Context { name: String::new(), source };
        self.resolver.has_main_context().map_err(|error| PlanError::new(failed(error), span))
    }

    fn stage(&mut self, index: usize, needed: &mut BTreeSet<usize>) -> Result<(), BuildError> {
        let Some(stage) = self.file.stages.get(index) else { return Ok(()) };
        let replaced = match stage.name() {
            Some(name) => self.context(name, stage.instruction.span, index)?,
            None => None,
        };
        if let Some((name, context)) = replaced {
            let base = self.base_of_context(name, context, stage)?;
            self.bases.insert(index, base);
            self.replaced.insert(index);
            return Ok(());
        }
        let base = self.base_of(stage)?;
        let triggers = match &base {
            BaseReference::Scratch | BaseReference::Context(_) => Vec::new(),
            BaseReference::Image(image) => image.config.config.on_build.clone(),
            BaseReference::Stage(below) => {
                needed.insert(*below);
                self.file.stages.get(*below).map(triggers_of).unwrap_or_default()
            }
        };
        let span = stage.instruction.span;
        let triggers = triggers.iter().map(|text| dockerfile::parse_trigger(text, self.file.escape()));
        let triggers: Vec<Instruction> =
            triggers.collect::<Result<_, _>>().map_err(|error| at_from(error.into(), span))?;
        for trigger in &triggers {
            self.follow(trigger, index, needed).map_err(|error| at_from(error, span))?;
        }
        for instruction in &stage.instructions {
            self.follow(instruction, index, needed)?;
        }
        self.bases.insert(index, base);
        self.triggers.insert(index, triggers);
        Ok(())
    }

    /// Notes what an instruction copies from, or mounts.
    fn follow(
        &mut self,
        instruction: &Instruction,
        index: usize,
        needed: &mut BTreeSet<usize>,
    ) -> Result<(), BuildError> {
        for from in froms(&instruction.kind) {
            self.load_image(from, index)?;
            if let Source::Stage(number) = self.source(from, index)? {
                needed.insert(number);
            }
        }
        Ok(())
    }

    /// Looks up the image of a `--from` that is nothing else.
    fn load_image(&mut self, from: &Word, index: usize) -> Result<(), BuildError> {
        let text = from.as_str();
        let name = match self.context_of(from, index)? {
            Some((_, BuildContext::Image(image))) => image,
            Some(_) => return Ok(()),
            None if self.file.stage_named(text).is_some()
                || text.parse::<usize>().is_ok()
                || is_scratch(text) =>
            {
                return Ok(());
            }
            None => text.to_owned(),
        };
        if self.loaded(&name, index)?.is_none() {
            self.images.extend(self.image(&name, from.span, index)?);
        }
        Ok(())
    }

    /// The image of this name, if there is one.
    fn image(&self, name: &str, span: Span, index: usize) -> Result<Option<BaseImage>, BuildError> {
        check_reference(name, span)?;
        let found = self.resolver.image(name, &self.platform(index)?);
        found.map_err(|error| self.not_brought(error, name, span, index).into())
    }

    fn base_of_image(&self, name: &str, span: Span, index: usize) -> Result<BaseReference, BuildError> {
        match self.image(name, span, index)? {
            Some(image) => Ok(BaseReference::Image(Box::new(image))),
            None => Err(self.no_image(name, span, index).into()),
        }
    }

    fn base_of_context(
        &self,
        name: String,
        context: BuildContext,
        stage: &dockerfile::Stage,
    ) -> Result<BaseReference, BuildError> {
        match context {
            BuildContext::Files(_) => Ok(BaseReference::Context(name)),
            BuildContext::Scratch => Ok(BaseReference::Scratch),
            BuildContext::Image(image) => self.base_of_image(&image, stage.from.image.span, stage.index),
        }
    }

    fn base_of(&mut self, stage: &dockerfile::Stage) -> Result<BaseReference, BuildError> {
        let word = &stage.from.image;
        let expanded = self.globals.expand(word)?;
        let name = expanded.text;
        if name.is_empty() {
            let hint = "give the ARG a default, or a value with --build-arg";
            return Err(PlanError::new(PlanProblem::EmptyBase, word.span).hinted(hint).into());
        }
        // Nothing can be given in place of scratch.
        if !is_scratch(&name)
            && let Some((name, context)) = self.context(&name, word.span, stage.index)?
        {
            return self.base_of_context(name, context, stage);
        }
        // The nearest one above counts (DF-068).
        if let Some(base) = self.file.stage_before(stage.index, &name) {
            return Ok(BaseReference::Stage(base.index));
        }
        if is_scratch(&name) {
            return Ok(BaseReference::Scratch);
        }
        self.base_of_image(&name, word.span, stage.index)
    }

    /// An image that is not there and could not be brought: maybe another name was meant.
    fn not_brought(&self, error: ResolverError, name: &str, span: Span, index: usize) -> PlanError {
        let error = unresolved(error, span).suggesting(self.suggestion(name, index));
        match self.file.stage_named(name) {
            Some(later) => error
                .noted(later.instruction.span, "the stage of this name is defined here, too late")
                .hinted("move the stage above the one that uses it"),
            None => error,
        }
    }

    /// The nearest stage above, or image.
    fn suggestion(&self, name: &str, index: usize) -> Option<String> {
        let mut candidates: Vec<String> = self
            .file
            .stages
            .iter()
            .filter(|stage| stage.index < index)
            .filter_map(|stage| stage.name().map(str::to_owned))
            .collect();
        candidates.extend(self.resolver.image_names().unwrap_or_default());
        suggest::nearest(name, candidates.iter().map(String::as_str)).map(str::to_owned)
    }

    /// With the nearest stage or image, and with a word about a stage that comes too late.
    fn no_image(&self, name: &str, span: Span, index: usize) -> PlanError {
        let suggestion = self.suggestion(name, index);
        let shown = base::text::bytes(name.as_bytes()).into_owned();
        let error = PlanError::new(PlanProblem::NoImage(shown), span).suggesting(suggestion);
        match self.file.stage_named(name) {
            Some(later) => error
                .noted(later.instruction.span, "the stage of this name is defined here, too late")
                .hinted("move the stage above the one that uses it"),
            None => error.hinted(
                "`lap images` lists what there is; `lap import ROOTFS.tar NAME` and `lap load -i IMAGE.tar` bring images in",
            ),
        }
    }
}

/// Whether a name means nothing at all, where no stage has it (DF-069).
/// What an instruction copies from, or mounts.
pub(super) fn froms(kind: &InstructionKind) -> Vec<&Word> {
    let froms: Vec<&Word> = match kind {
        InstructionKind::Copy(copy) => copy.from.iter().collect(),
        InstructionKind::Run(run) => run.mounts.iter().filter_map(MountSpec::from).collect(),
        _ => Vec::new(),
    };
    froms.into_iter().filter(|from| !from.raw.is_empty()).collect()
}

fn is_scratch(name: &str) -> bool {
    name.eq_ignore_ascii_case("scratch")
}

fn check_reference(name: &str, span: Span) -> Result<(), PlanError> {
    // An ID with its algorithm is no reference, and means an image too.
    if image::Digest::parse(name).is_ok() {
        return Ok(());
    }
    Reference::parse(name).map(drop).map_err(|error| PlanError::new(error, span))
}

/// A stage can only use what is above it (DF-068, DF-071).
fn earlier(file: &Dockerfile, found: usize, index: usize, name: &Word) -> Result<usize, PlanError> {
    if found < index {
        return Ok(found);
    }
    let error = PlanError::new(PlanProblem::LaterStage(name.raw.clone()), name.span);
    let defined = file.stages.get(found).map_or_else(Span::default, |stage| stage.instruction.span);
    Err(if found == index {
        error.noted(defined, "this is the stage itself").hinted("a stage can not take files from itself")
    } else {
        error.noted(defined, "it is defined here").hinted("move it above the stage that uses it")
    })
}

/// The triggers that a stage declares for those that stand on it.
fn triggers_of(stage: &dockerfile::Stage) -> Vec<String> {
    let trigger = |instruction: &Instruction| match &instruction.kind {
        InstructionKind::Onbuild(onbuild) => Some(onbuild.trigger.clone()),
        _ => None,
    };
    stage.instructions.iter().filter_map(trigger).collect()
}
