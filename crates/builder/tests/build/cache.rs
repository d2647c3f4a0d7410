//! What is found, and what is executed again (DF-173 … DF-182).

use std::sync::Arc;

use base::Cancel;
use libtest_mimic::Trial;

use crate::lab::{Lab, request, set_time, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("df_173_the_second_build_executes_nothing", the_second_build_executes_nothing),
        trial("df_174_what_makes_a_copy_again", df_174_what_makes_a_copy_again),
        trial("df_178_a_base_counts_by_its_contents", df_178_a_base_counts_by_its_contents),
        trial("df_180_descriptions_do_not_count", df_180_descriptions_do_not_count),
        trial("df_181_no_cache", df_181_no_cache),
        trial("df_181_no_cache_of_some_stages", df_181_no_cache_of_some_stages),
        trial("df_182_failures_are_not_cached", df_182_failures_are_not_cached),
        trial("df_182_identical_steps_run_once", df_182_identical_steps_run_once),
        trial("copies_unpack_nothing", copies_unpack_nothing),
        trial("a_step_made_again_identically_is_a_hit", a_step_made_again_identically_is_a_hit),
    ]
}

const DOCKERFILE: &str = "FROM busybox\nWORKDIR /w\nCOPY a b ./\nRUN echo ran >> /log\n";

fn the_second_build_executes_nothing() {
    let lab = Lab::new();
    lab.file("a", "a");
    lab.file("b", "b");
    let (first, heard) = lab.build(DOCKERFILE);
    assert_eq!((first.steps.executed, first.steps.cached), (3, 0), "{:?}", heard.executed());
    let (second, heard) = lab.build(DOCKERFILE);
    assert_eq!((second.steps.executed, second.steps.cached), (0, 3), "{:?}", heard.executed());
    assert_eq!((second.image, &second.manifest), (first.image, &first.manifest));
}

fn df_174_what_makes_a_copy_again() {
    let lab = Lab::new();
    lab.file("a", "a");
    lab.file("b", "b");
    lab.build(DOCKERFILE);
    let executed = || lab.build(DOCKERFILE).0.steps.executed;

    set_time(&lab.context().join("a"), 1_200_000_000);
    assert_eq!(executed(), 0, "times do not count");
    lab.file("c", "c");
    assert_eq!(executed(), 0, "other files do not count");
    lab.file("a", "changed");
    assert_eq!(executed(), 2, "contents do, and what comes after");
    lab.file("a", "a");
    assert_eq!(executed(), 0, "and the old ones are remembered");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(lab.context().join("b"), mode).expect("a mode");
    assert_eq!(executed(), 2, "modes do");
}

fn df_180_descriptions_do_not_count() {
    let lab = Lab::new();
    let build =
        |middle: &str| lab.build(&format!("FROM busybox\n{middle}\nRUN echo x > /tmp/x\n")).0.steps.executed;
    assert_eq!(build(""), 1);
    for middle in
        ["LABEL a=1", "CMD [\"x\"]", "EXPOSE 80", "VOLUME /v", "ONBUILD RUN y", "STOPSIGNAL 9", "ARG unset"]
    {
        assert_eq!(build(middle), 0, "{middle}");
    }
    for middle in ["ENV a=1", "ARG a=2", "USER me:root\nWORKDIR /tmp", "SHELL [\"/bin/sh\", \"-ec\"]"] {
        let again = build(middle);
        assert!(again >= 1, "{middle}: DF-063, DF-176");
        assert_eq!(build(middle), 0, "{middle}");
    }
}

fn df_181_no_cache() {
    let lab = Lab::new();
    lab.file("a", "a");
    lab.file("b", "b");
    lab.build(DOCKERFILE);
    let (outcome, _) = lab.build_with(builder::Request { no_cache: true, ..request(DOCKERFILE) });
    assert_eq!((outcome.steps.executed, outcome.steps.cached), (3, 0));
    assert_eq!(lab.read(outcome.image, "log").as_deref(), Some("ran\n"));
}

fn df_181_no_cache_of_some_stages() {
    let lab = Lab::new();
    let text = "FROM busybox AS one\nRUN echo 1 > /1\nFROM busybox AS Two\nRUN echo 2 > /2\nFROM one\nCOPY --from=two /2 /2\n";
    lab.build(text);
    let stages = vec!["TWO".to_owned()];
    let (outcome, heard) = lab.build_with(builder::Request { no_cache_stages: stages, ..request(text) });
    assert_eq!((outcome.steps.executed, outcome.steps.cached), (1, 2), "{:?}", heard.executed());
    assert!(heard.executed()[0].contains("echo 2"), "{:?}", heard.executed());
}

/// Two names for the same layers, with other configs.
fn df_178_a_base_counts_by_its_contents() {
    let lab = Lab::new();
    let steps = "RUN echo x > /x\nUSER me\n";
    lab.build(&format!("FROM busybox\nWORKDIR /tmp\n{steps}"));
    let (outcome, heard) = lab.build(&format!("FROM placed\nWORKDIR /tmp\n{steps}"));
    assert_eq!((outcome.steps.executed, outcome.steps.cached), (0, 2), "{:?}", heard.executed());
}

fn df_182_failures_are_not_cached() {
    let lab = Lab::new();
    let dockerfile = "FROM busybox\nRUN echo first > /first\nRUN echo try; test -e /nothing\n";
    for _ in 0..2 {
        let (_, heard) = lab.fail(dockerfile);
        assert_eq!(heard.output(), "try\n", "it runs again");
    }
    let (outcome, _) = lab.build("FROM busybox\nRUN echo first > /first\n");
    assert_eq!(outcome.steps.cached, 1, "what had finished stays");
}

/// Two stages with the same step, and two builds at the same time: one execution.
fn df_182_identical_steps_run_once() {
    let lab = Arc::new(Lab::new());
    let dockerfile = "FROM busybox AS a\nRUN sleep 0.3; echo once; date +%N > /t\nFROM busybox AS b\nRUN sleep 0.3; echo once; date +%N > /t\n\
                      FROM scratch\nCOPY --from=a /t /a\nCOPY --from=b /t /b\n";
    let builds: Vec<_> = (0..2)
        .map(|_| {
            let lab = lab.clone();
            std::thread::spawn(move || lab.attempt(&request(dockerfile), &Cancel::new()))
        })
        .collect();
    let results: Vec<_> = builds.into_iter().map(|build| build.join().expect("no panic")).collect();
    let outputs: String = results.iter().map(|(_, heard)| heard.output()).collect();
    assert_eq!(outputs, "once\n");
    assert!(results.iter().any(|(_, heard)| heard.has_waited()), "and says so");
    let images: Vec<_> = results.into_iter().map(|(result, _)| result.expect("a build").image).collect();
    assert_eq!(images[0], images[1]);
    assert_eq!(lab.read(images[0], "a"), lab.read(images[0], "b"));
}

/// A RUN that is executed again and makes the same files (with other times) does not make what follows run again.
fn a_step_made_again_identically_is_a_hit() {
    let lab = Lab::new();
    let text = |first: &str| format!("FROM busybox\nRUN {first}\nRUN cat /x > /y\n");
    lab.build(&text("echo same > /x"));
    let (outcome, heard) = lab.build(&text("echo   same > /x"));
    assert_eq!((outcome.steps.executed, outcome.steps.cached), (1, 1), "{:?}", heard.executed());
}

/// COPY and WORKDIR need tables; only a RUN needs trees.
fn copies_unpack_nothing() {
    let lab = Lab::new();
    lab.file("a", "a");
    let trees = |text: &str| {
        let (outcome, _) = lab.build(text);
        let view = lab.view(outcome.image);
        view.layers().iter().filter(|layer| layer.tree(None).expect("the store").is_some()).count()
    };
    let copies =
        "FROM busybox AS one\nWORKDIR /w\nCOPY --chown=me a .\nFROM busybox\nCOPY --from=one /w /w\n";
    assert_eq!(trees(copies), 0);
    assert_eq!(trees(&format!("{copies}RUN true\n")), 3, "all of them, and its own");
}
