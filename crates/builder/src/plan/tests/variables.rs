//! Arguments, environments and what RUN sees of them.

use super::*;

fn runs(plan: &Plan) -> Vec<&RunStep> {
    let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
    steps
        .filter_map(|step| match &step.operation {
            Operation::Run(run) => Some(run),
            _ => None,
        })
        .collect()
}

/// The environment of the last RUN, without PATH.
fn environment(text: &str, arguments: &[(&str, &str)]) -> Vec<String> {
    let plan = planned(&with_arguments(text, arguments));
    let run = (*runs(&plan).last().expect("a RUN")).clone();
    let pairs = run.environment.iter().filter(|(name, _)| name != "PATH");
    pairs.map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn where_values_come_from() {
    type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);
    let rows: &[Row] = &[
        ("DF-057 default", "ARG a=1", &[], &["a=1"]),
        ("DF-057 argument", "ARG a=1", &[("a", "2")], &["a=2"]),
        ("DF-057 undeclared", "ARG a", &[], &[]),
        ("DF-057 not declared at all", "ENV b=1", &[("a", "2")], &["b=1"]),
        ("DF-055 empty", "ARG a=", &[], &["a="]),
        ("DF-055 names", "ENV n=b\nARG \"a\"=1 $n=2", &[("a", "3")], &["n=b", "a=3", "b=2"]),
        ("DF-056 global", "ARG g", &[], &["g=global"]),
        ("DF-057 default before global", "ARG g=own", &[], &["g=own"]),
        ("DF-059 overridden global", "ARG g", &[("g", "x")], &["g=x"]),
        ("DF-059 from globals", "ARG h", &[], &["h=global+amd64"]),
        ("DF-053 ARG after ENV", "ENV a=1\nARG a=2", &[], &["a=2"]),
        ("DF-053 ENV after ARG", "ARG a=2\nENV a=1", &[("a", "3")], &["a=1"]),
        ("DF-050 one snapshot", "ENV a=1\nENV a=2 b=$a", &[], &["a=2", "b=1"]),
        ("DF-057 expanded default", "ENV a=1\nARG b=${a}2", &[], &["a=1", "b=12"]),
        (
            "DF-060 automatic",
            "ARG TARGETARCH\nARG BUILDPLATFORM",
            &[],
            &["TARGETARCH=amd64", "BUILDPLATFORM=linux/amd64"],
        ),
        ("DF-060 overridden", "ARG TARGETOS", &[("TARGETOS", "plan9")], &["TARGETOS=plan9"]),
        ("DF-060 stage", "ARG TARGETSTAGE", &[], &["TARGETSTAGE=last"]),
    ];
    for (what, instructions, arguments, expected) in rows {
        let text =
            format!("ARG g=global\nARG h=$g+$TARGETARCH\nFROM scratch AS last\n{instructions}\nRUN x\n");
        assert_eq!(environment(&text, arguments), *expected, "{what}");
    }
}

#[test]
fn df_058_a_stage_on_a_stage_has_its_arguments_below_the_env_of_its_image() {
    let text = "FROM scratch AS one\nENV a=env\nARG a=argument b=2\nRUN x\nFROM one\nRUN x\n";
    assert_eq!(environment(text, &[]), ["a=env", "b=2"]);
}

#[test]
fn df_053_the_image_keeps_its_env() {
    let stage = target_of("FROM scratch\nENV a=1\nARG a=2\n");
    assert_eq!(stage.config.config.env.last().map(String::as_str), Some("a=1"));
}

#[test]
fn df_058_stages_inherit_arguments() {
    let text = "FROM debian AS a\nARG x=1\nFROM a\nRUN y\n";
    assert_eq!(environment(text, &[]), ["BASE=1", "x=1"]);
    let plan = planned(&request(text));
    assert_eq!(history_of(&plan.stages[1]), ["RUN |1 x=1 /bin/sh -c y # buildkit"]);
    assert_eq!(
        environment("FROM debian AS a\nARG x=1\nFROM debian\nCOPY --from=a / /\nRUN y\n", &[]),
        ["BASE=1"]
    );
}

#[test]
fn df_061_proxies() {
    let plan = planned(&with_arguments("FROM debian\nRUN x\n", &[("http_proxy", "p"), ("NO_PROXY", "n")]));
    let run = runs(&plan)[0];
    let mut names: Vec<&str> = run.proxies.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["HTTP_PROXY", "NO_PROXY", "http_proxy", "no_proxy"]);
    assert_eq!(history_of(&plan.stages[0]), ["RUN /bin/sh -c x # buildkit"]);
    assert!(plan.warnings.is_empty(), "they are used: {:?}", plan.warnings);

    let plan = planned(&with_arguments("FROM debian\nARG http_proxy\nRUN x\n", &[("http_proxy", "p")]));
    let run = runs(&plan)[0];
    assert!(
        run.environment.contains(&("http_proxy".to_owned(), "p".to_owned())),
        "declared: part of the key"
    );
    assert_eq!(run.proxies, [("HTTP_PROXY".to_owned(), "p".to_owned())]);
}

#[test]
fn df_087_df_034_what_is_executed() {
    let rows: &[(&str, &[&str])] = &[
        ("RUN make $x", &["/bin/sh", "-c", "make $x"]),
        ("RUN [\"make\", \"$x\"]", &["make", "$x"]),
        ("SHELL [\"bash\", \"-ec\"]\nRUN make", &["bash", "-ec", "make"]),
        ("RUN <<EOF\na\nb\nEOF", &["/bin/sh", "-c", "a\nb\n"]),
        ("RUN <<-EOF\n\ta\nEOF", &["/bin/sh", "-c", "a\n"]),
        ("RUN python <<EOF\na\nEOF", &["/bin/sh", "-c", "python <<EOF\na\nEOF"]),
        ("RUN <<EOF\n#!/bin/env python\nEOF", &["/dev/pipes/EOF"]),
    ];
    for (text, expected) in rows {
        let plan = planned(&request(&format!("FROM debian\n{text}\n")));
        let run = runs(&plan)[0];
        assert_eq!(run.arguments, *expected, "{text}");
        assert_eq!(run.script.is_some(), expected[0].starts_with("/dev"), "DF-035");
    }
}

#[test]
fn df_088_df_089_surroundings_of_a_run() {
    let plan = planned(&request("FROM debian\nWORKDIR a\nUSER me\nRUN --network=none x\n"));
    let run = runs(&plan)[0];
    assert_eq!((run.directory.as_str(), run.user.as_str(), run.network), ("/a", "me", crate::Network::None));
    assert_eq!(run.environment[0], ("PATH".to_owned(), "/bin".to_owned()));
}

#[test]
fn df_166_the_epoch() {
    let epoch = |text: &str, arguments: &[(&str, &str)]| planned(&with_arguments(text, arguments)).epoch;
    assert_eq!(epoch("FROM scratch\n", &[]), None);
    assert_eq!(epoch("FROM scratch\n", &[("SOURCE_DATE_EPOCH", "12")]), Some(12));
    assert_eq!(epoch("ARG SOURCE_DATE_EPOCH=7\nFROM scratch\n", &[]), Some(7));
    assert_eq!(epoch("ARG SOURCE_DATE_EPOCH=7\nFROM scratch\n", &[("SOURCE_DATE_EPOCH", "")]), None);
}

#[test]
fn df_064_df_046_warnings() {
    type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str);
    let rows: &[Row] = &[
        (
            "FROM debian\nARG VERSION\n",
            &[("VERSON", "1")],
            "the build argument VERSON is not used (did you mean VERSION?)",
        ),
        ("FROM debian\nENV NAME=1 b=$NAMEE\n", &[], "Usage of undefined variable '$NAMEE'"),
        ("ARG TAG=x\nFROM debian$TAGG\n", &[], "FROM argument 'TAGG' is not declared (did you mean TAG?)"),
    ];
    for (text, arguments, expected) in rows {
        let warnings = planned(&with_arguments(text, arguments)).warnings;
        assert_eq!(warnings.iter().map(|warning| warning.text.as_str()).collect::<Vec<_>>(), [*expected]);
    }
}

#[test]
fn df_064_an_argument_of_a_trigger_is_used() {
    let mut base = World::usual().images["debian"].clone();
    base.config.on_build = vec!["ARG version".to_owned()];
    let world = World::usual().with("base", base);
    let request = with_arguments("FROM base\nRUN x\n", &[("version", "1"), ("versoin", "1")]);
    let warnings = plan(&request, &world).expect("a plan").warnings;
    assert_eq!(
        warnings.iter().map(|warning| warning.text.as_str()).collect::<Vec<_>>(),
        ["the build argument versoin is not used (did you mean version?)"]
    );
}

#[test]
fn df_047_df_048_which_words_expand() {
    let head = "FROM debian\nENV v=x p=81\n";
    let texts = |line: &str| {
        let stage = target_of(&format!("{head}{line}\n"));
        stage.history.last().map(|entry| entry.created_by.clone()).unwrap_or_default()
    };
    for (line, expected) in [
        ("COPY a$v b$v/", "COPY ax bx/ # buildkit"),
        ("COPY --chown=$p --chmod=6${p#8}4 a /", "COPY --chown=81 --chmod=614 a / # buildkit"),
        ("WORKDIR /w$v", "WORKDIR /wx"),
        ("RUN echo $v", "RUN /bin/sh -c echo $v # buildkit"),
        ("RUN [\"echo\", \"$v\"]", "RUN echo $v # buildkit"),
        ("ENV k$v=a$v", "ENV kx=ax"),
        ("LABEL k$v=a$v", "LABEL kx=ax"),
        ("EXPOSE $p", "EXPOSE [81/tcp]"),
        ("USER u$v", "USER ux"),
        ("VOLUME /d$v", "VOLUME [/dx]"),
        ("STOPSIGNAL 1${p#8}", "STOPSIGNAL 11"),
        ("ARG a=$v", "ARG a=x"),
        ("CMD [\"$v\"]", "CMD [\"$v\"]"),
        ("ENTRYPOINT [\"$v\"]", "ENTRYPOINT [\"$v\"]"),
        ("SHELL [\"$v\"]", "SHELL [$v]"),
        ("MAINTAINER $v", "MAINTAINER $v"),
        ("HEALTHCHECK CMD $v", "HEALTHCHECK &{[\"CMD-SHELL\" \"$v\"] \"0s\" \"0s\" \"0s\" \"0s\" '\\x00'}"),
    ] {
        assert_eq!(texts(line), expected, "{line}");
    }
    let trigger = target_of(&format!("{head}ONBUILD RUN echo $v\n")).config.config.on_build;
    assert_eq!(trigger, ["RUN echo $v"]);
}

#[test]
fn df_062_arguments_that_steer_buildkit() {
    let text = "FROM scratch\nRUN x\n";
    for name in ["BUILDKIT_INLINE_CACHE", "BUILDKIT_MULTI_PLATFORM", "BUILDKIT_SANDBOX_HOSTNAME"] {
        let plan = planned(&with_arguments(text, &[(name, "1")]));
        assert!(plan.warnings.is_empty(), "{name}: {:?}", plan.warnings);
        assert_eq!(environment(text, &[(name, "1")]), [""; 0], "{name}");
    }
}

#[test]
fn df_181_stages_that_there_are_not() {
    let filter = |stage: &str| Request {
        no_cache_stages: vec![stage.to_owned()],
        ..request("FROM scratch AS build\nFROM build\n")
    };
    assert!(planned(&filter("BUILD")).warnings.is_empty());
    let warnings = planned(&filter("biuld")).warnings;
    assert_eq!(warnings[0].text, "--no-cache-filter: no stage is called biuld (did you mean build?)");
}
