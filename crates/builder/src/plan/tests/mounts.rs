//! What mounts show: stages, images, and stages that no FROM begins.

use super::*;

/// What the mounts of each RUN of the last stage show.
fn shown(plan: &Plan) -> Vec<Shown> {
    let runs = plan.stages[plan.targets[0].stage].steps.iter().filter_map(|step| match &step.operation {
        Operation::Run(run) => Some(run.shown().map(|(_, shown)| shown.clone()).collect::<Vec<_>>()),
        _ => None,
    });
    runs.flatten().collect()
}

fn of(from: ShownFrom, path: &str) -> Shown {
    Shown { from, path: path.to_owned() }
}

#[test]
fn df_095_stages_and_images_are_shown_as_they_are() {
    let text = "FROM debian AS unused\nFROM debian AS a\nFROM a\nRUN --mount=from=a,source=x/../y,target=/1 --mount=from=debian,target=/2 true\n";
    let plan = plan(&request(text), &World::usual()).expect("a plan");
    assert_eq!(plan.stages.len(), 2, "what is not needed is not planned");
    assert_eq!(shown(&plan), [of(ShownFrom::Stage(0), "/y"), of(ShownFrom::Image(0), "/")]);
}

#[test]
fn df_096_what_is_shown_of_a_context_is_copied_once() {
    let text = "FROM debian AS a\nRUN --mount=source=src,target=/1 true\nFROM debian\nCOPY --from=a / /\nRUN --mount=target=/1 --mount=source=/src/,target=/2 true\nRUN --mount=target=/3 true\n";
    let plan = plan(&request(text), &World::usual()).expect("a plan");
    let names: Vec<_> = plan.stages.iter().map(|stage| stage.name.as_deref().unwrap_or("-")).collect();
    assert_eq!(names, ["/src of the build context", "a", "/ of the build context", "-"]);
    let expected = [(2, "/"), (0, "/src"), (2, "/")].map(|(place, path)| of(ShownFrom::Stage(place), path));
    assert_eq!(shown(&plan), expected);
    for stage in [0, 2] {
        let Operation::Copy(copy, from) = &plan.stages[stage].steps[0].operation else { panic!("no COPY") };
        assert_eq!((from, copy.parents), (&CopyFrom::Context(String::new()), true));
        assert_eq!(plan.stages[stage].base, Base::Scratch);
    }
}

#[test]
fn df_097_the_first_contents_of_a_cache_are_copied() {
    let text = "FROM debian AS a\nFROM debian AS a\nRUN true\nFROM debian\nRUN --mount=type=cache,target=/c,from=0,source=/x --mount=type=cache,target=/d,from=1,source=/x true\n";
    let plan = plan(&request(text), &World::usual()).expect("a plan");
    // Two stages of one name are two.
    assert_eq!(shown(&plan), [of(ShownFrom::Stage(2), "/x"), of(ShownFrom::Stage(3), "/x")]);
    let from = |stage: usize| match &plan.stages[stage].steps[0].operation {
        Operation::Copy(_, from) => from.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((from(2), from(3)), (CopyFrom::Stage(0), CopyFrom::Stage(1)));
}

#[test]
fn df_102_agents_get_places_and_one_gets_the_variable() {
    let agents = |environment: &str| -> Vec<(String, bool)> {
        let text = format!(
            "FROM debian\n{environment}RUN --mount=type=ssh,id=x,target=/z --mount=type=ssh --mount=type=ssh,id=y true\n"
        );
        let plan = plan(&request(&text), &World::usual()).expect("a plan");
        let Operation::Run(run) = &plan.stages[0].steps[0].operation else { panic!("no RUN") };
        let agent = |mount: &RunMount| match &mount.kind {
            MountKind::Agent(agent) => (mount.target.clone().expect("a target"), agent.is_named),
            other => panic!("{other:?}"),
        };
        run.mounts.iter().map(agent).collect()
    };
    let expected = |is_named| {
        [("/run/buildkit/ssh_agent.1", false), ("/run/buildkit/ssh_agent.2", false), ("/z", is_named)]
            .map(|(target, is_named)| (target.to_owned(), is_named))
    };
    assert_eq!(agents(""), expected(true));
    assert_eq!(agents("ENV SSH_AUTH_SOCK=/mine\n"), expected(false));
}
