//! Stages, targets, references, triggers, names.

use super::*;

const FIVE: &str = "FROM debian AS base\nRUN a\n\
                    FROM base AS left\nRUN b\n\
                    FROM debian AS right\nRUN c\n\
                    FROM debian AS unused\nRUN d\n\
                    FROM scratch\nCOPY --from=LEFT /x /x\nCOPY --from=2 /y /y\n";

fn stages_for(text: &str, target: Option<&str>) -> Vec<String> {
    let request = Request { target: target.map(str::to_owned), ..request(text) };
    let plan = planned(&request);
    let name = |stage: &Stage| stage.name.clone().unwrap_or_else(|| "-".to_owned());
    assert_eq!(plan.targets[0].stage, plan.stages.len() - 1, "the target comes last");
    plan.stages.iter().map(name).collect()
}

#[test]
fn df_073_only_what_the_target_needs() {
    assert_eq!(stages_for(FIVE, None), ["base", "left", "right", "-"]);
    assert_eq!(stages_for(FIVE, Some("Left")), ["base", "left"], "DF-074");
    assert_eq!(stages_for(FIVE, Some("2")), ["right"], "DF-071");
}

#[test]
fn df_067_df_071_where_files_come_from() {
    let plan = planned(&request(FIVE));
    let froms: Vec<&CopyFrom> = plan.stages[3]
        .steps
        .iter()
        .filter_map(|step| match &step.operation {
            Operation::Copy(_, from) => Some(from),
            _ => None,
        })
        .collect();
    assert_eq!(froms, [&CopyFrom::Stage(1), &CopyFrom::Stage(2)]);
    assert_eq!(plan.stages[1].base, Base::Stage(0));
}

#[test]
fn df_068_names_that_occur_twice() {
    let text = "FROM debian AS a\nENV x=1\nFROM debian AS a\nENV x=2\nFROM a\n";
    assert_eq!(target_of(text).config.config.env.last().map(String::as_str), Some("x=2"));
    let text = "FROM debian AS debian\nENV x=1\nFROM Debian\n";
    assert_eq!(target_of(text).config.config.env.last().map(String::as_str), Some("x=1"), "DF-067");
}

#[test]
fn df_069_nothing_is_copied_from_scratch_unless_a_stage_has_its_name() {
    let from = |text: &str| match &target_of(text).steps[0].operation {
        Operation::Copy(_, from) => from.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(from("FROM debian\nCOPY --from=scratch / /x\n"), CopyFrom::Nothing);
    let text = "FROM debian AS scratch\nENV x=1\nFROM scratch\nCOPY --from=Scratch / /x\n";
    assert_eq!(from(text), CopyFrom::Stage(0));
    assert_eq!(target_of(text).base, Base::Stage(0));
    assert_eq!(target_of("FROM scratch AS scratch\n").base, Base::Scratch);
}

#[test]
fn df_072_images_and_contexts_to_copy_from() {
    let mut world = World::usual();
    world.contexts.insert("assets".to_owned(), files());
    let text = "FROM scratch\nCOPY --from=debian /a /a\nCOPY --from=debian /b /b\nCOPY --from=assets c c\n";
    let plan = plan(&request(text), &world).expect("a plan");
    let froms = plan.stages[0].steps.iter().map(|step| match &step.operation {
        Operation::Copy(_, from) => from.clone(),
        other => panic!("{other:?}"),
    });
    let expected = [CopyFrom::Image(0), CopyFrom::Image(0), CopyFrom::Context("assets".to_owned())];
    assert_eq!(froms.collect::<Vec<_>>(), expected);
    assert_eq!(plan.images.len(), 1, "once");
}

fn files() -> BuildContext {
    BuildContext::Files(LocalContext { root: "/assets".into(), origin: None, ignore: None })
}

/// Plans with named contexts.
fn planned_with(text: &str, contexts: &[(&str, BuildContext)]) -> Plan {
    let mut world = World::usual();
    world.contexts = contexts.iter().map(|(name, context)| ((*name).to_owned(), context.clone())).collect();
    let contexts = world.contexts.keys().cloned().collect();
    plan(&Request { contexts, ..request(text) }, &world).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn df_078_contexts_stand_for_images() {
    let image = || BuildContext::Image("debian".to_owned());
    for name in ["alpine", "docker.io/library/alpine", "alpine:latest"] {
        let plan = planned_with(&format!("FROM {name}\nCOPY --from={name} /a /b\n"), &[("alpine", image())]);
        assert!(matches!(&plan.stages[0].base, Base::Image(image) if image.name == "debian"), "{name}");
        assert_eq!(plan.images.len(), 1, "{name}");
        assert_eq!(plan.warnings, [], "{name}");
    }
    let plan = planned_with("ARG x=alpine:3\nFROM $x\nENV a=1\n", &[("alpine:3", BuildContext::Scratch)]);
    assert_eq!(plan.stages[0].base, Base::Scratch);
    let plan = planned_with(
        "FROM alpine\nCOPY --from=none a b\nRUN x\n",
        &[("alpine", files()), ("none", BuildContext::Scratch)],
    );
    let stage = &plan.stages[0];
    assert_eq!(stage.base, Base::Scratch);
    assert_eq!(names_of(&plan), ["[1/3] FROM alpine", "[2/3] COPY --from=none a b", "[3/3] RUN x"]);
    assert_eq!(history_of(stage)[0], "FROM alpine # buildkit");
    let froms: Vec<_> = stage
        .steps
        .iter()
        .filter_map(|step| match &step.operation {
            Operation::Copy(step, from) => Some((step.destination.as_str(), from.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(froms, [("/", CopyFrom::Context("alpine".to_owned())), ("b", CopyFrom::Nothing)]);
}

#[test]
fn df_080_a_stage_that_a_context_replaces_is_passed_over() {
    let text = "FROM missing AS Build\nONBUILD RUN no\nRUN no\nFROM build AS next\nRUN yes\nFROM scratch\nCOPY --from=BUILD a a\nCOPY --from=0 b b\nCOPY --from=next c c\n";
    let plan = planned_with(text, &[("build", files())]);
    assert_eq!(
        names_of(&plan),
        [
            "[next 1/2] FROM build",
            "[next 2/2] RUN yes",
            "[stage-2 1/3] COPY --from=BUILD a a",
            "[stage-2 2/3] COPY --from=0 b b",
            "[stage-2 3/3] COPY --from=next c c",
        ]
    );
    let plan = planned_with(text, &[("build", BuildContext::Image("debian".to_owned()))]);
    assert!(matches!(plan.stages[0].base, Base::Image(_)));
    // As a target, too.
    let mut world = World::usual();
    world.contexts.insert("build".to_owned(), files());
    let wanted =
        Request { target: Some("build".to_owned()), contexts: vec!["build".to_owned()], ..request(text) };
    let plan = plan_of(&wanted, &world);
    assert_eq!(names_of(&plan), ["[build 1/1] FROM build"]);
}

fn plan_of(request: &Request, world: &World) -> Plan {
    plan(request, world).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn df_078_contexts_that_nothing_uses() {
    let text = "ARG base=debian\nFROM $base AS one\nRUN --mount=type=tmpfs,target=/x true\nFROM scratch AS assets\nFROM scratch\nCOPY --from=assets a b\n";
    let said = |name: &str| {
        let plan = planned_with(text, &[(name, files())]);
        plan.warnings.iter().map(|warning| warning.text.clone()).collect::<Vec<_>>()
    };
    for name in ["debian", "one", "assets"] {
        assert_eq!(said(name), Vec::<String>::new(), "{name}");
    }
    assert_eq!(said("asset"), ["the build context asset is not used (did you mean assets?)"]);
}

#[test]
fn df_214_names_of_steps() {
    let plan = planned(&request("FROM debian\nENV a=1\nRUN make \\\n  all\ncopy . /x\nWORKDIR /y\n"));
    assert_eq!(plan.stages[0].from.as_deref(), Some("[1/4] FROM docker.io/library/debian:latest"));
    assert_eq!(names_of(&plan), ["[2/4] RUN make   all", "[3/4] COPY . /x", "[4/4] WORKDIR /y"]);
    let plan = planned(&request("FROM debian AS build\nRUN a\nFROM build\nRUN <<EOF\nb\nc\nEOF\n"));
    assert_eq!(names_of(&plan), ["[build 2/2] RUN a", "[stage-1 1/1] RUN <<EOF (b...)"], "DF-039");
}

#[test]
fn df_160_triggers() {
    let mut base = World::usual().images["debian"].clone();
    base.config.on_build =
        vec!["ARG v=1".to_owned(), "COPY --from=first /a /a".to_owned(), "RUN t".to_owned()];
    let world = World::usual().with("base", base);
    let text = "FROM debian AS first\nRUN f\nFROM base AS second\nRUN own\nFROM second\nRUN last\n";
    let plan = plan(&request(text), &world).expect("a plan");
    assert_eq!(
        names_of(&plan),
        [
            "[first 2/2] RUN f",
            "[second 2/4] ONBUILD COPY --from=first /a /a",
            "[second 3/4] ONBUILD RUN t",
            "[second 4/4] RUN own",
            "[stage-2 1/1] RUN last",
        ]
    );
    assert!(plan.stages.iter().all(|stage| stage.config.config.on_build.is_empty()));
    let second = &plan.stages[1];
    assert!(second.steps[..2].iter().all(|step| step.span.line == 3), "they are at the FROM");
}

#[test]
fn df_160_triggers_of_stages() {
    let text = "FROM debian AS a\nONBUILD RUN t\nRUN a\nFROM a AS b\nFROM b\nRUN c\n";
    let plan = planned(&request(text));
    assert_eq!(names_of(&plan), ["[a 2/2] RUN a", "[b 1/1] ONBUILD RUN t", "[stage-2 1/1] RUN c"]);
    assert_eq!(plan.stages[0].config.config.on_build, ["RUN t"]);
}

#[test]
fn df_075_platforms_of_stages() {
    let stage = target_of("FROM --platform=linux/arm64 scratch\nRUN x\n");
    assert_eq!(
        (stage.config.architecture.as_str(), stage.steps[0].platform.architecture.as_str()),
        ("arm64", "arm64")
    );
    let stage = target_of("FROM --platform=$BUILDPLATFORM scratch\n");
    assert_eq!(stage.config.architecture, "amd64");
    let plan = planned(&request("FROM --platform=linux/arm64 debian\n"));
    assert_eq!(plan.stages[0].config.architecture, "amd64", "the image is what it is");
    assert_eq!(
        plan.warnings[1].text,
        "Base image debian was pulled with platform \"linux/amd64\", expected \"linux/arm64\" for current build"
    );
}

#[test]
fn df_033_heredocs_need_no_context() {
    let world = World { has_context: false, ..World::usual() };
    let text = "FROM scratch\nENV who=you\nCOPY <<a <<'b' /\nhello $who\na\n$who\nb\n";
    let plan = plan(&request(text), &world).expect("a plan");
    let Operation::Copy(step, from) = &plan.stages[0].steps[0].operation else { panic!("no COPY") };
    assert_eq!(*from, CopyFrom::Nothing);
    let contents: Vec<&[u8]> = step
        .sources
        .iter()
        .filter_map(|source| match source {
            crate::copy::CopySource::Heredoc { content, .. } => Some(content.as_slice()),
            _ => None,
        })
        .collect();
    assert_eq!(contents, [&b"hello you\n"[..], b"$who\n"]);
}

#[test]
fn df_084_names_say_for_which_platform() {
    let text = "FROM --platform=$BUILDPLATFORM debian AS build\nRUN one\nARG TARGETARCH\nRUN two\nFROM scratch\nCOPY --from=build /x /\n";
    let platforms = ["amd64", "arm64"].map(|architecture| image::Platform::new("linux", architecture, None));
    let plan = planned(&Request { platforms: platforms.to_vec(), ..request(text) });
    let expected = [
        "[linux/amd64 build 2/3] RUN one",
        "[linux/amd64 build 3/3] RUN two",
        "[linux/amd64 stage-1 1/1] COPY --from=build /x /",
        "[linux/amd64 build 2/3] RUN one",
        "[linux/amd64->arm64 build 3/3] RUN two",
        "[linux/arm64 stage-1 1/1] COPY --from=build /x /",
    ];
    assert_eq!(names_of(&plan), expected);
    assert_eq!(plan.targets.iter().map(|target| target.stage).collect::<Vec<_>>(), [1, 3]);
}
