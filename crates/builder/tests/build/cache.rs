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
        trial("df_127_linked_copies_know_nothing_below", df_127_linked_copies_know_nothing_below),
        trial("df_127_linked_copies_replace_what_is_there", df_127_linked_copies_replace_what_is_there),
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

fn df_127_linked_copies_know_nothing_below() {
    let lab = Lab::new();
    lab.file("a", "a");
    for instruction in ["COPY --link", "ADD --link", "COPY --link --chmod=600 --chown=5:6"] {
        let build = |below: &str| lab.build(&format!("FROM busybox\nRUN {below}\n{instruction} a /w/x/\n"));
        let (first, _) = build("mkdir -m 700 -p /w/x");
        let (second, heard) = build(&format!("echo '{instruction}' > /other"));
        assert_eq!((second.steps.executed, second.steps.cached), (1, 1), "{:?}", heard.executed());
        let last = |image| lab.config(image).rootfs.diff_ids.last().copied().expect("a layer");
        assert_eq!(last(first.image), last(second.image), "{instruction}");
        let view = lab.view(first.image);
        let directory = view.find(b"w/x").expect("the directory");
        assert_eq!(view.entry(directory).mode, 0o755, "{instruction}: a new one");
        assert_eq!(lab.read(first.image, "w/x/a").as_deref(), Some("a"));
        lab.file("a", "changed");
        assert_eq!(build("mkdir -m 700 -p /w/x").0.steps.executed, 1, "{instruction}: contents count");
        lab.file("a", "a");
    }
    let (linked, plain) =
        (lab.build("FROM busybox\nCOPY --link a /y\n"), lab.build("FROM busybox\nCOPY a /y\n"));
    assert_eq!((linked.0.steps.executed, plain.0.steps.executed), (1, 1), "they are different steps");
    let (error, _) = lab.fail("FROM busybox\nCOPY --link --chown=me a /z\n");
    assert!(crate::lab::chain(&error).contains("--chown=me"), "names are not known without what is below");
}

/// A link at the destination is not followed, and a file gives way, in the tables and for the commands of a later RUN.
fn df_127_linked_copies_replace_what_is_there() {
    let lab = Lab::new();
    lab.file("a", "a");
    let (outcome, heard) = lab.build(
        "FROM busybox\nRUN mkdir /real && echo kept > /real/kept && ln -s /real /l && echo file > /f\n\
         COPY --link a /l/\nCOPY --link a /f/\nRUN test ! -L /l && test ! -e /real/a && test ! -e /l/kept && cat /l/a /f/a /real/kept\n",
    );
    assert_eq!(heard.output(), "aakept\n");
    assert_eq!(lab.read(outcome.image, "l/a").as_deref(), Some("a"));
    assert_eq!(lab.read(outcome.image, "f/a").as_deref(), Some("a"));
    assert_eq!(lab.read(outcome.image, "real/a"), None);
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
