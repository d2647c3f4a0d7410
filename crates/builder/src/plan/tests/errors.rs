//! What can't be built: the message, the line, the hint.

use base::Classified;

use super::*;

/// Line, message, and a part of the hint (empty: there need not be one).
type Row = (&'static str, &'static str, u32, &'static str, &'static str);

fn check(rows: &[Row]) {
    for (number, text, line, message, hint) in rows {
        let error = plan(&request(text), &World::usual()).expect_err(number);
        assert_eq!(error.to_string(), *message, "{number}");
        assert_eq!(error.place().map(|place| place.span.line), Some(*line), "{number}");
        let found = error.hint().unwrap_or_default();
        assert!(found.contains(hint), "{number}: {found:?} has no {hint:?}");
    }
}

#[test]
fn df_033_delimiters_that_are_no_names_of_files() {
    let hint = "into the destination";
    let message = |name: &str| format!("invalid heredoc delimiter {name:?}: it has to be a file's name here");
    for (name, keyword) in [("a/b", "COPY"), ("../x", "ADD"), ("..", "COPY")] {
        let text = format!("FROM debian\n{keyword} <<{name} /d/\nx\n{name}\n");
        let error = plan(&request(&text), &World::usual()).expect_err(name);
        assert_eq!(error.to_string(), message(name));
        assert_eq!(
            error.place().map(|place| (place.span.line, place.span.column)),
            Some((2, keyword.len() as u32 + 2))
        );
        assert!(error.hint().unwrap_or_default().contains(hint), "{name}");
    }
}

#[test]
fn df_052_df_070_wrong_names_and_references() {
    check(&[
        (
            "DF-070",
            "ARG x\nFROM $x\n",
            2,
            "the name of the base image is empty after expansion",
            "--build-arg",
        ),
        (
            "DF-070",
            "FROM debain\n",
            1,
            "there is no image debain in the store (did you mean debian?)",
            "lap import",
        ),
        (
            "DF-070",
            "FROM debian AS build\nFROM biuld\n",
            2,
            "there is no image biuld in the store (did you mean build?)",
            "",
        ),
        (
            "DF-068",
            "FROM b AS a\nFROM debian AS b\nFROM a\n",
            1,
            "there is no image b in the store",
            "move the stage",
        ),
        (
            "DF-070",
            "FROM x/UPPER\n",
            1,
            "x/UPPER is not the name of an image: its path has upper-case letters, repositories have lower-case ones only",
            "",
        ),
        (
            "DF-071",
            "FROM debian AS a\nCOPY --from=a / /\n",
            2,
            "stage \"a\" must be defined before it is used",
            "itself",
        ),
        (
            "DF-071",
            "FROM debian AS a\nCOPY --from=1 / /\nFROM debian\nFROM a\n",
            2,
            "stage \"1\" must be defined before it is used",
            "above",
        ),
        (
            "DF-071",
            "FROM debian\nCOPY --from=7 / /\n",
            2,
            "there is no stage number 7: there are 1 stages, counted from 0",
            "",
        ),
        ("DF-052", "FROM debian\nENV $none=x\n", 2, "ENV names can not be blank", ""),
        (
            "DF-075",
            "FROM --platform=linux/a/b/c debian\n",
            1,
            "linux/a/b/c is not a platform: it has more than three parts",
            "",
        ),
    ]);
}

#[test]
fn df_074_targets() {
    let text = "FROM debian AS build\nFROM debian AS test\n";
    let request = Request { target: Some("buidl".to_owned()), ..request(text) };
    let error = plan(&request, &World::usual()).expect_err("no such stage");
    assert_eq!(error.to_string(), "there is no stage \"buidl\" to build (did you mean build?)");
    assert_eq!(error.hint().as_deref(), Some("the stages are build, test"));
}

#[test]
fn what_is_not_done_yet_is_refused() {
    check(&[
        (
            "DF-105",
            "FROM debian\nRUN --security=insecure x\n",
            2,
            "RUN --security=insecure is not allowed: it takes the entitlement security.insecure",
            "lap build --allow security.insecure",
        ),
        (
            "DF-106",
            "FROM debian\nRUN --device=a/b x\n",
            2,
            "RUN --device is not allowed: it takes the entitlement device",
            "lap build --allow device",
        ),
        (
            "DF-015",
            "# syntax=example/frontend:1\nFROM debian\n",
            1,
            "the frontend example/frontend:1 is not supported",
            "built in",
        ),
    ]);
}

#[test]
fn wrong_values() {
    check(&[
        (
            "DF-141",
            "FROM debian\nCOPY git@x:y /z\n",
            2,
            "invalid source \"git@x:y\": COPY takes no URLs",
            "ADD downloads",
        ),
        (
            "DF-082",
            "FROM debian\nENV u=http://u:w@x/y.git#a..b\nADD $u /z\n",
            3,
            "invalid source \"http://x/y.git#a..b\": \"a..b\" can not be the name of a branch, a tag or a commit",
            "https://HOST",
        ),
        (
            "DF-141",
            "FROM debian\nADD --checksum=12 git@x:y /z\n",
            2,
            "invalid --checksum \"12\": \"12\" is not the beginning of a commit: 7 or more hexadecimal digits",
            "rev-parse",
        ),
        (
            "DF-126",
            "FROM debian\nARG m=9\nCOPY --chmod=$m a b\n",
            3,
            "invalid mode \"9\": it should be an octal number between 0 and 07777",
            "",
        ),
        (
            "DF-141",
            "FROM debian\nCOPY https://x/y /z\n",
            2,
            "invalid source \"https://x/y\": COPY takes no URLs",
            "ADD",
        ),
        (
            "DF-166",
            "ARG SOURCE_DATE_EPOCH=now\nFROM debian\n",
            1,
            "invalid SOURCE_DATE_EPOCH \"now\": it has to be a number of seconds since the beginning of 1970, or context",
            "",
        ),
        (
            "DF-035",
            "FROM debian\nRUN <<a/b\n#!/bin/sh\na/b\n",
            2,
            "invalid heredoc delimiter \"a/b\": it has to be a file's name here",
            "",
        ),
    ]);
    let error = plan(&request("FROM debian\nRUN\nENV\n"), &World::usual()).expect_err("a syntax error");
    assert!(matches!(error, BuildError::Dockerfile(_)));
}

#[test]
fn errors_of_stages_that_are_not_needed_do_not_count() {
    planned(&request("FROM nowhere AS unused\nRUN --mount=from=nothing,target=/c x\nFROM debian\n"));
}

#[test]
fn a_missing_context_is_an_error() {
    let world = World { has_context: false, ..World::usual() };
    for text in ["FROM debian\nCOPY a b\n", "FROM debian\nRUN --mount=target=/a true\n"] {
        let error = plan(&request(text), &world).expect_err("no context");
        assert_eq!(error.to_string(), "there is no build context to copy from");
        assert_eq!(error.kind(), base::Kind::NotFound);
    }
}

#[test]
fn df_160_errors_of_triggers_are_at_the_from() {
    let mut base = World::usual().images["debian"].clone();
    for (trigger, message) in [
        ("COPY --from=late / /", "there is no image late in the store"),
        ("BOGUS x", "an ONBUILD trigger of the base is not valid: unknown instruction: BOGUS"),
        ("RUN --mount=from=late,target=/c x", "there is no image late in the store"),
        ("RUN --mount=type=cache,source=a,target=/c x", "the source of a cache needs a from"),
        ("USER ${x?needed}", "an ONBUILD trigger of the base is not valid: x: needed"),
    ] {
        base.config.on_build = vec![trigger.to_owned()];
        let world = World::usual().with("base", base.clone());
        let error = plan(&request("FROM debian\n\nFROM base\n"), &world).expect_err(trigger);
        assert_eq!(error.to_string(), message);
        assert_eq!(error.place().map(|place| place.span.line), Some(3), "{trigger}");
    }
}

#[test]
fn df_213_what_takes_isolation_away_has_to_be_allowed() {
    use crate::entitlement::Entitlement;
    let text = "FROM debian\nRUN --security=insecure x\nRUN --network=host y\n";
    let with = |allowed: &[Entitlement], network| {
        let request = Request { allowed: allowed.to_vec(), network, ..request(text) };
        plan(&request, &World::usual()).map_err(|error| error.to_string())
    };
    let (host, none) = (crate::Network::Host, crate::Network::None);
    let insecure = "RUN --security=insecure is not allowed: it takes the entitlement security.insecure";
    assert_eq!(with(&[], host).expect_err("refused"), insecure);
    assert!(
        with(&[Entitlement::SecurityInsecure], host).is_ok(),
        "the build has the machine's network anyway"
    );
    assert_eq!(
        with(&[Entitlement::SecurityInsecure], none).expect_err("refused"),
        "RUN --network=host with --network none is not allowed: it takes the entitlement network.host"
    );
    assert!(with(&Entitlement::ALL, none).is_ok());
}
