//! Rules that depend on variables, images and contexts: what breaks them, where, and what does not.

use dockerfile::Span;
use dockerfile::lint::Rule;

use super::*;

/// A finding: rule, message, line of the instruction, and the text at the place.
type Row = (Rule, String, u32, String);

#[track_caller]
fn found_in(world: &World, request: &Request, scope: Scope) -> Vec<Row> {
    let text = std::str::from_utf8(&request.dockerfile.bytes).expect("text");
    let examined = examine(request, world, scope);
    if let Err(error) = &examined.plan {
        assert!(matches!(error, BuildError::Checks(_)), "{error}: {text}");
    }
    let place = |span: Span| text.get(span.range()).expect("a place in the text").to_owned();
    let findings = examined.findings.into_iter();
    findings.map(|found| (found.rule, found.message, found.instruction.line, place(found.span))).collect()
}

#[track_caller]
fn found(text: &str) -> Vec<Row> {
    found_in(&World::usual(), &request(text), Scope::Target)
}

/// One finding in each text, of this rule: message, line, place.
#[track_caller]
fn broken(rule: Rule, table: &[(&str, &str, u32, &str)]) {
    for (text, message, line, place) in table {
        assert_eq!(found(text), [(rule, (*message).to_owned(), *line, (*place).to_owned())], "{text}");
    }
}

#[track_caller]
fn kept(table: &[&str]) {
    for text in table {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn df_227_json_args_recommended() {
    let message = |name: &str| {
        format!("JSON arguments recommended for {name} to prevent unintended behavior related to OS signals")
    };
    broken(
        Rule::JsonArgsRecommended,
        &[
            ("FROM scratch\nCMD echo $x", &message("CMD"), 2, "echo $x"),
            ("FROM scratch\nENTRYPOINT [\"a]", &message("ENTRYPOINT"), 2, "[\"a]"),
            ("from scratch\ncmd a \\\n b", &message("cmd"), 2, "a \\\n b"),
            ("FROM scratch\nCMD a\nSHELL [\"sh\"]", &message("CMD"), 2, "a"),
            ("FROM scratch AS a\nONBUILD CMD x\nFROM a", &message("CMD"), 3, "FROM a"),
        ],
    );
    kept(&[
        "FROM scratch\nCMD [\"a\"]\nENTRYPOINT [\"a\"]",
        "FROM scratch\nSHELL [\"sh\", \"-c\"]\nCMD a\nENTRYPOINT b",
        "FROM scratch AS a\nSHELL [\"sh\"]\nFROM a\nCMD a",
        "FROM scratch\nRUN a\nHEALTHCHECK CMD a",
    ]);
}

#[test]
fn df_229_undefined_arg_in_from() {
    let message = |name: &str, meant: &str| format!("FROM argument '{name}' is not declared{meant}");
    broken(
        Rule::UndefinedArgInFrom,
        &[
            ("FROM debian$TAGG", &message("TAGG", ""), 1, "$TAGG"),
            ("ARG TAG=x\nFROM debian${TAGG}", &message("TAGG", " (did you mean TAG?)"), 2, "${TAGG}"),
            ("FROM debian\nARG SUFFIX\nFROM debian${SUFFIX}", &message("SUFFIX", ""), 3, "${SUFFIX}"),
            (
                "FROM debian\nFROM --platform=${BUILDPLATFROM:-linux/amd64}$X debian AS linux",
                &message("X", ""),
                2,
                "$X",
            ),
        ]
        .map(|(text, message, line, place)| (text, message.as_str(), line, place)),
    );
    kept(&[
        "ARG SUFFIX\nFROM debian$SUFFIX",
        "ARG SUFFIX=\nFROM debian$SUFFIX",
        "FROM --platform=$BUILDPLATFORM debian",
        "FROM debian${TAG:-}",
    ]);
}

#[test]
fn df_230_workdir_relative_path() {
    let message = |path: &str| {
        format!("Relative workdir {path:?} can have unexpected results if the base image changes")
    };
    broken(
        Rule::WorkdirRelativePath,
        &[
            ("FROM debian\nWORKDIR a\nWORKDIR b", &message("a"), 2, "a"),
            ("FROM debian\nENV d=x/y\nWORKDIR $d", &message("x/y"), 3, "$d"),
            ("FROM debian AS a\nWORKDIR a\nFROM a\nWORKDIR b", &message("a"), 2, "a"),
        ],
    );
    kept(&[
        "FROM debian\nWORKDIR /a\nWORKDIR b",
        "FROM debian AS a\nWORKDIR /a\nFROM a\nWORKDIR b",
        "FROM debian\nENV d=/\nWORKDIR $d",
    ]);
    assert_eq!(found("FROM debian AS a\nWORKDIR a\nFROM debian\nCOPY --from=a / /\nWORKDIR b").len(), 2);
}

#[test]
fn df_231_undefined_var() {
    let message = |name: &str, meant: &str| format!("Usage of undefined variable '${name}'{meant}");
    broken(
        Rule::UndefinedVar,
        &[
            ("FROM debian\nCOPY $foo /", &message("foo", ""), 2, "$foo"),
            ("FROM debian\nENV A=x:$PAHT", &message("PAHT", " (did you mean $PATH?)"), 2, "$PAHT"),
            ("FROM debian\nENV A=\"${no}x\"", &message("no", ""), 2, "${no}"),
            ("FROM debian\nENV A=${no#x}", &message("no", ""), 2, "${no"),
            ("FROM debian\nARG x=$TARGETARCH", &message("TARGETARCH", ""), 2, "$TARGETARCH"),
            ("FROM debian\nENV a=1 \\\n  b=$no", &message("no", ""), 2, "$no"),
            ("FROM debian\nLABEL a=$no", &message("no", ""), 2, "$no"),
            ("FROM debian\nUSER $no", &message("no", ""), 2, "$no"),
            ("FROM debian\nVOLUME /$no", &message("no", ""), 2, "$no"),
            ("FROM debian\nEXPOSE $no", &message("no", ""), 2, "$no"),
            ("FROM debian\nCOPY <<E /x\n1 $no\nE\n", &message("no", ""), 2, "$no"),
            ("FROM debian AS a\nARG x=1\nFROM debian\nCOPY --from=a / /$x", &message("x", ""), 4, "$x"),
            ("ARG global=1\nFROM debian\nUSER $global", &message("global", ""), 3, "$global"),
        ],
    );
    kept(&[
        "FROM debian\nENV A=$PATH B=$BASE",
        "FROM debian\nARG x\nENV A=$x",
        "FROM debian AS a\nARG x\nFROM a\nENV A=$x",
        "ARG g=1\nFROM debian\nARG g\nENV A=$g",
        "FROM debian\nENV A=${no:-1} B=${no-} C=${no:+1}",
        "FROM debian\nENV A='$no' B=\\$no",
        "FROM debian\nRUN echo $no",
        "FROM debian\nCOPY <<'E' /x\n$no\nE\n",
        "FROM debian\nONBUILD USER $no",
        "FROM debian\nARG TARGETARCH\nENV A=$TARGETARCH",
    ]);
}

#[test]
fn df_232_multiple_instructions_disallowed() {
    let message = |name: &str| {
        format!(
            "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
        )
    };
    broken(
        Rule::MultipleInstructionsDisallowed,
        &[
            ("FROM debian\nCMD [\"a\"]\nUSER x\nCMD [\"b\"]", &message("CMD"), 2, "CMD [\"a\"]"),
            (
                "FROM debian\nENTRYPOINT [\"a\"]\nENTRYPOINT [\"b\"]",
                &message("ENTRYPOINT"),
                2,
                "ENTRYPOINT [\"a\"]",
            ),
            (
                "FROM debian\nHEALTHCHECK NONE\nHEALTHCHECK CMD b",
                &message("HEALTHCHECK"),
                2,
                "HEALTHCHECK NONE",
            ),
        ],
    );
    kept(&[
        "FROM debian\nCMD [\"a\"]\nENTRYPOINT [\"a\"]\nHEALTHCHECK CMD a",
        "FROM debian AS a\nCMD [\"a\"]\nFROM a\nCMD [\"a\"]",
    ]);
    assert_eq!(found("FROM debian\nCMD [\"a\"]\nCMD [\"b\"]\nCMD [\"c\"]").len(), 2, "all but the last");
}

#[test]
fn df_233_legacy_key_value_format() {
    let message = |name: &str| {
        format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format")
    };
    broken(
        Rule::LegacyKeyValueFormat,
        &[
            ("FROM debian\nENV a b c", &message("ENV"), 2, "a b c"),
            ("FROM debian\nLABEL a b=c", &message("LABEL"), 2, "a b=c"),
            ("from debian\nenv a b", &message("env"), 2, "a b"),
        ],
    );
    kept(&["FROM debian\nENV a=b c=d\nLABEL a=\"b c\""]);
}

#[test]
fn df_234_invalid_base_image_platform() {
    let message = "Base image debian was pulled with platform \"linux/amd64\", expected \"linux/arm64\" for current build";
    broken(
        Rule::InvalidBaseImagePlatform,
        &[(
            "FROM --platform=linux/$BUILDARCH debian AS x\nFROM --platform=linux/arm64 debian AS arm64",
            message,
            2,
            "debian",
        )],
    );
    let arm = image::Platform::new("linux", "arm64", None);
    let other = Request { platforms: vec![arm], ..request("FROM debian\n") };
    let rules = found_in(&World::usual(), &other, Scope::Target);
    assert_eq!(rules, [(Rule::InvalidBaseImagePlatform, message.to_owned(), 1, "debian".to_owned())]);
    kept(&["FROM debian", "FROM --platform=$BUILDPLATFORM debian"]);
    let unreached = "FROM --platform=linux/arm64 debian AS arm64\nFROM debian";
    assert_eq!(found(unreached), [], "nobody asks for that image");
    assert_eq!(found_in(&World::usual(), &request(unreached), Scope::All).len(), 1);
}

#[test]
fn df_235_redundant_target_platform() {
    let message = |written: &str| {
        format!(
            "Setting platform to predefined {written} in FROM is redundant as this is the default behavior"
        )
    };
    broken(
        Rule::RedundantTargetPlatform,
        &[
            ("FROM --platform=$TARGETPLATFORM debian", &message("$TARGETPLATFORM"), 1, "$TARGETPLATFORM"),
            (
                "FROM --platform=${TARGETPLATFORM} debian",
                &message("${TARGETPLATFORM}"),
                1,
                "${TARGETPLATFORM}",
            ),
        ],
    );
    kept(&["FROM --platform=$BUILDPLATFORM debian", "FROM --platform=$TARGETOS/$TARGETARCH debian"]);
}

#[test]
fn df_236_secrets_used_in_arg_or_env() {
    let message = |keyword: &str, name: &str| {
        format!("Do not use ARG or ENV instructions for sensitive data ({keyword} {name:?})")
    };
    broken(
        Rule::SecretsUsedInArgOrEnv,
        &[
            (
                "FROM debian\nARG AWS_SECRET_ACCESS_KEY",
                &message("ARG", "AWS_SECRET_ACCESS_KEY"),
                2,
                "AWS_SECRET_ACCESS_KEY",
            ),
            ("FROM debian\nENV a=1 token=x", &message("ENV", "token"), 2, "token"),
        ],
    );
    kept(&[
        "FROM debian\nENV monkey=1 PUBLIC_KEY=2 TOKEN_FILE=3",
        "ARG API_KEY\nFROM debian",
        "FROM debian\nLABEL key=x",
    ]);
}

#[test]
fn df_237_invalid_default_arg_in_from() {
    let message =
        |word: &str| format!("Default value for ARG {word} results in empty or invalid base image name");
    let tagged = &[("TAG", "debian")];
    for (text, line, word) in [
        ("ARG TAG\nFROM $TAG", 2, "$TAG"),
        ("ARG TAG\nFROM scratch AS a\nFROM ${TAG} AS b", 3, "${TAG}"),
        ("ARG TAG=a:\nFROM $TAG", 2, "$TAG"),
    ] {
        let findings = found_in(&World::usual(), &with_arguments(text, tagged), Scope::Target);
        let expected = (Rule::InvalidDefaultArgInFrom, message(word), line, word.to_owned());
        assert_eq!(findings, [expected], "{text}");
    }
    kept(&["ARG TAG=debian\nFROM $TAG", "ARG TAG\nFROM debian$TAG", "FROM scratch AS a\nFROM a"]);
    let findings =
        found_in(&World::usual(), &with_arguments("ARG TAG\nFROM ${TAG:-debian}", tagged), Scope::Target);
    assert_eq!(findings, []);
}

#[test]
fn df_238_from_platform_flag_const_disallowed() {
    let message = "FROM --platform flag should not use constant value \"linux/amd64\"";
    broken(
        Rule::FromPlatformFlagConstDisallowed,
        &[
            ("FROM --platform=linux/amd64 debian", message, 1, "linux/amd64"),
            ("FROM --platform=linux/amd64 debian AS build", message, 1, "linux/amd64"),
        ],
    );
    kept(&[
        "FROM --platform=linux/amd64 debian AS build-amd64",
        "FROM --platform=linux/amd64 debian AS linux",
        "FROM --platform=linux/$BUILDARCH debian",
        "ARG P=linux/amd64\nFROM --platform=$P debian",
    ]);
}

#[test]
fn df_239_df_145_copy_ignored_file() {
    let message = |keyword: &str, path: &str| {
        format!("Attempting to {keyword} file {path:?} that is excluded by .dockerignore")
    };
    let with = |ignore: &'static str| World { ignore, ..World::usual() };
    for (ignore, text, expected) in [
        ("a\nb", "COPY a b c /x/", vec![("Copy", "a"), ("Copy", "b")]),
        ("a", "ADD a /x", vec![("Add", "a")]),
        ("a", "COPY a/b ./a /a /x/", vec![("Copy", "a/b"), ("Copy", "./a"), ("Copy", "/a")]),
        ("a\n!c", "COPY a c /x/", vec![("Copy", "a")]),
        ("*\n!src", "COPY src x . /x/", vec![("Copy", "x")]),
        ("src\n!src/main.c", "COPY src /x/", vec![]),
        ("**/*.o", "COPY a.o b/*.o /x/", vec![("Copy", "a.o")]),
        ("a", "COPY --from=debian a /x", vec![]),
        ("*", "COPY <<E /x\nE\n", vec![]),
        ("", "COPY a /x", vec![]),
    ] {
        let text = format!("FROM debian\n{text}");
        let findings = found_in(&with(ignore), &request(&text), Scope::Target);
        let expected: Vec<(Rule, String)> = expected
            .into_iter()
            .map(|(keyword, path)| (Rule::CopyIgnoredFile, message(keyword, path)))
            .collect();
        assert_eq!(
            findings.into_iter().map(|row| (row.0, row.1)).collect::<Vec<_>>(),
            expected,
            "{ignore:?} {text}"
        );
    }
}

#[test]
fn df_241_expose_proto_casing() {
    let message = |text: &str| format!("Defined protocol '{text}' in EXPOSE instruction should be lowercase");
    broken(
        Rule::ExposeProtoCasing,
        &[
            ("FROM debian\nEXPOSE 80/TCP 81/udp", &message("80/TCP"), 2, "80/TCP"),
            ("FROM debian\nENV p=\"1/tcp 2/Udp\"\nEXPOSE $p", &message("2/Udp"), 3, "$p"),
        ],
    );
    kept(&["FROM debian\nEXPOSE 80 80/tcp 81/udp 1-3/sctp"]);
}

#[test]
fn df_242_expose_invalid_format() {
    let message = |text: &str| {
        format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'")
    };
    broken(
        Rule::ExposeInvalidFormat,
        &[
            ("FROM debian\nEXPOSE 8080:80", &message("8080:80"), 2, "8080:80"),
            (
                "FROM debian\nEXPOSE 80 127.0.0.1::80/udp",
                &message("127.0.0.1::80/udp"),
                2,
                "127.0.0.1::80/udp",
            ),
        ],
    );
    kept(&["FROM debian\nEXPOSE 80 :80"]);
}

#[test]
fn stages_that_are_not_reached_are_checked_when_no_target_is_named() {
    let text = "FROM debian AS a\nCMD a\nFROM debian AS b\nCMD b\n";
    let lines = |scope, target: Option<&str>| {
        let request = Request { target: target.map(str::to_owned), ..request(text) };
        found_in(&World::usual(), &request, scope).into_iter().map(|row| row.2).collect::<Vec<_>>()
    };
    assert_eq!(lines(Scope::Target, None), [4]);
    assert_eq!(lines(Scope::All, None), [2, 4]);
    assert_eq!(lines(Scope::All, Some("a")), [2]);
}

#[test]
fn df_017_the_build_argument_counts_instead_of_the_directive() {
    const NAME: &str = "BUILDKIT_DOCKERFILE_CHECK";
    let text = "# check=skip=JSONArgsRecommended;error=true\nFROM debian\nCMD a\nMAINTAINER b\n";
    let rules = |value: &str| {
        let examined = examine(&with_arguments(text, &[(NAME, value)]), &World::usual(), Scope::Target);
        let rules: Vec<&str> = examined.findings.iter().map(|finding| finding.rule.name()).collect();
        (rules.join(","), examined.plan.map(drop).map_err(|error| error.to_string()))
    };
    assert_eq!(rules(""), ("JSONArgsRecommended,MaintainerDeprecated".to_owned(), Ok(())));
    assert_eq!(rules("skip=all;error=true"), (String::new(), Ok(())));
    assert_eq!(
        rules("skip=MaintainerDeprecated;error=true"),
        (
            "JSONArgsRecommended".to_owned(),
            Err("lint violation found for rules: JSONArgsRecommended".to_owned())
        )
    );
    let (_, refused) = rules("ship=x");
    let refused = refused.expect_err("no such option");
    assert!(refused.starts_with("the build argument BUILDKIT_DOCKERFILE_CHECK is not valid: "), "{refused}");

    let examined = examine(&request(text), &World::usual(), Scope::Target);
    let error = examined.plan.expect_err("error=true").to_string();
    assert_eq!(error, "lint violation found for rules: MaintainerDeprecated");
}

#[test]
fn df_017_names_that_no_rule_has() {
    let examined =
        examine(&request("# check=skip=FromAsCasng\nFROM debian as a\n"), &World::usual(), Scope::Target);
    let texts: Vec<String> = examined.warnings.into_iter().map(|warning| warning.text).collect();
    assert_eq!(texts, ["there is no check FromAsCasng (did you mean FromAsCasing?)"]);
    assert_eq!(examined.findings.len(), 1);
}

#[test]
fn findings_are_there_when_planning_fails() {
    let examined = examine(&request("FROM nothing as a\nCMD x\n"), &World::usual(), Scope::All);
    assert!(examined.plan.is_err());
    assert_eq!(examined.findings.len(), 1);
}
