use base::Classified;

use super::{bad, good, one, wrong};
use crate::{Escape, Keyword, Problem, WarningKind, parse};

#[test]
fn df_001_carriage_returns_are_trimmed() {
    let file = good("# escape=`\r\nFROM a\r\nRUN x `\r\n  y\r\nRUN z\r\n");
    let texts: Vec<_> = file.stages[0].instructions.iter().map(|i| i.text.as_str()).collect();
    assert_eq!(texts, ["RUN x   y", "RUN z"]);
}

#[test]
fn df_002_byte_order_mark() {
    let file = good("\u{feff}# escape=`\nFROM a\n");
    assert_eq!(file.escape(), Escape::Backtick);
    assert_eq!(file.stages[0].instruction.span.line, 2);
    assert_eq!(good("\u{feff}FROM a").stages[0].instruction.span.start, 3);
    assert!(matches!(bad("FROM a\n\u{feff}RUN x").problem(), Problem::UnknownInstruction { .. }));
    let error = parse(b"\xff\xfeF\0R\0").expect_err("UTF-16");
    assert_eq!(error.problem(), &Problem::Utf16);
}

#[test]
fn df_003_three_ways_to_have_no_stage() {
    assert_eq!(bad("").problem(), &Problem::EmptyFile);
    assert_eq!(bad("# x\n\n  \n").problem(), &Problem::NoInstructions);
    assert_eq!(bad("ARG x=1\n").problem(), &Problem::NoFrom);
    let error = bad("ARG x=1\n\nrun y");
    assert_eq!(error.to_string(), "RUN before the first FROM");
    assert_eq!(error.span().line, 3);
}

#[test]
fn df_004_long_lines() {
    let long = "x".repeat(200_000);
    assert_eq!(one(&format!("RUN {long}")).text.len(), long.len() + 4);
    assert_eq!(one(&format!("COPY <<E /x\n{long}\nE\n")).span.line, 2);
}

#[test]
fn df_005_keywords_in_any_case() {
    let instruction = one("wOrkDir /x");
    assert_eq!(instruction.keyword, Keyword::Workdir);
    assert_eq!(instruction.spelling.raw, "wOrkDir");
}

#[test]
fn df_006_blanks_at_the_start_of_lines() {
    assert_eq!(one("  \tRUN a \\\n   b").text, "RUN a    b");
    assert_eq!(one("  # comment\n RUN a").comments[0].raw, "comment");
}

#[test]
fn df_007_comments() {
    assert_eq!(one("RUN a \\\n# comment \\\n  # another\nb # data").text, "RUN a b # data");
    assert_eq!(one("# comment \\\nRUN a").text, "RUN a");
    let mut source = b"FROM a\n# caf\xe9\nRUN x".to_vec();
    assert_eq!(
        parse(&source).expect("a comment in Latin-1").stages[0].instructions[0].comments[0].raw,
        "caf\u{fffd}"
    );
    source.extend(b" \xe9");
    let error = parse(&source).expect_err("not UTF-8");
    assert_eq!((error.problem(), error.span().range()), (&Problem::NotUtf8, 20..21));
    assert_eq!(bad("FROM a\nRUN \0").problem(), &Problem::Nul);
}

#[test]
fn df_008_df_009_df_011_continuations() {
    for (source, expected) in [
        ("RUN a\\\nb", "RUN ab"),
        ("RUN a\\ \t\nb", "RUN ab"),
        ("RUN a\\\n\\\nb", "RUN ab"),
        ("\\\nRUN a", "RUN a"),
        ("RUN a\\", "RUN a"),
        ("RUN a\\\n", "RUN a"),
        ("RUN a\\\n\n\n", "RUN a"),
        ("RUN a\\\\", "RUN a\\\\"),
        ("RUN a\\\\\\\nb", "RUN a\\\\b"),
        ("RUN a\\\\\\\\", "RUN a\\\\\\\\"),
        ("RU\\\nN a", "RUN a"),
    ] {
        assert_eq!(one(source).text, expected, "{source:?}");
    }
    assert_eq!(good("FROM a\n\\\n").stages[0].instructions.len(), 0);
}

#[test]
fn df_010_blank_lines_within_an_instruction() {
    let file = good("FROM a\nRUN b \\\n\n  \n# c\n d\nRUN e");
    assert_eq!(file.stages[0].instructions[0].text, "RUN b  d");
    assert_eq!(file.warnings.len(), 1);
    assert_eq!(file.warnings[0].span.line, 3);
    let WarningKind::EmptyContinuation { instruction } = &file.warnings[0].kind else {
        panic!("{:?}", file.warnings)
    };
    assert_eq!((instruction.line, instruction.end_line), (2, 6));
}

#[test]
fn df_012_directives_come_first() {
    for (source, escape, syntax) in [
        ("# escape=`\n# syntax=docker/dockerfile:1\nFROM a", Escape::Backtick, Some("docker/dockerfile:1")),
        ("#SYNTAX = a b \n#Escape=`\nFROM a", Escape::Backtick, Some("a b")),
        ("# comment\n# escape=`\nFROM a", Escape::Backslash, None),
        ("\n# escape=`\nFROM a", Escape::Backslash, None),
        ("# other=1\n# escape=`\nFROM a", Escape::Backslash, None),
        ("FROM a\n# escape=`", Escape::Backslash, None),
        ("#!/usr/bin/x\n# escape=`\nFROM a", Escape::Backslash, None),
        ("#!/usr/bin/x\n# escape=`\n# syntax=x\nFROM a", Escape::Backslash, Some("x")),
        ("# x\n#!/usr/bin/x\n# syntax=x\nFROM a", Escape::Backslash, None),
    ] {
        let directives = good(source).directives;
        assert_eq!(directives.escape, escape, "DF-012 DF-016 {source:?}");
        assert_eq!(directives.syntax.as_ref().map(|word| word.raw.as_str()), syntax, "{source:?}");
    }
}

#[test]
fn df_013_df_014_wrong_directives() {
    let error = bad("# escape=`\n# syntax=a\n# escape=\\\nFROM a");
    assert_eq!(error.problem(), &Problem::RepeatedDirective { name: "escape" });
    assert_eq!((error.span().line, error.notes()[0].span.line), (3, 1));
    let error = bad("# escape=x\nFROM a");
    assert_eq!(error.to_string(), "invalid escape character \"x\": it has to be ` or \\");
    assert_eq!((error.span().line, error.span().column), (1, 10));
    assert_eq!(
        bad("# check=skip=A;x=1\nFROM a").to_string(),
        "invalid check directive: unknown option \"x\"",
        "DF-017"
    );
    assert!(good("# escape=`\nFROM a").stages[0].instruction.comments.is_empty(), "DF-013: no doc comment");
}

#[test]
fn df_014_backticks_escape() {
    let file = good("# escape=`\nFROM a\nCOPY a `\n  c:\\x\\\nRUN b\\\nENV a=b` c");
    let texts: Vec<_> = file.stages[0].instructions.iter().map(|i| i.text.as_str()).collect();
    assert_eq!(texts, ["COPY a   c:\\x\\", "RUN b\\", "ENV a=b` c"]);
}

#[test]
fn df_023_unknown_instructions() {
    for (source, message, place) in [
        ("FORM x", "unknown instruction: FORM (did you mean FROM?)", "FORM"),
        ("runn x", "unknown instruction: runn (did you mean RUN?)", "runn"),
        ("&& x", "unknown instruction: &&", "&&"),
        ("  EXPOZE 1", "unknown instruction: EXPOZE (did you mean EXPOSE?)", "EXPOZE"),
    ] {
        assert_eq!(wrong(source), (message.to_owned(), place.to_owned()));
    }
    let hint = |source: &str| bad(&format!("FROM a\n{source}")).hint().unwrap_or_default();
    assert!(hint("RUN a\n&& b").contains("end the line above with \\"));
    assert_eq!(hint("// comment"), "a comment begins with #");
    assert_eq!(wrong("\u{1b}[31m").0, "unknown instruction: \\u{1b}[31m");
}

#[test]
fn df_024_doc_comments() {
    let comments =
        |source: &str| one(source).comments.into_iter().map(|comment| comment.raw).collect::<Vec<_>>();
    assert_eq!(comments("# a\n#b\nRUN x"), ["a", "b"]);
    assert_eq!(comments("# a\n#\n# b\nRUN x"), ["b"]);
    assert_eq!(comments("# a\n\nRUN x"), Vec::<String>::new());
    assert_eq!(comments("# a\n\n#   b  \nRUN x"), ["b"]);
    assert_eq!(comments("RUN y\nRUN x"), Vec::<String>::new());
}

#[test]
fn df_025_places() {
    let source = "FROM a AS b\nRUN --network=none \\\n  # c\n  x \\\n  y\nCOPY <<E /d/\nf\nE\nUSER u";
    let file = good(source);
    let places = |i: &crate::Instruction| (i.span.line, i.span.end_line, source[i.span.range()].to_owned());
    let [run, copy, user] = file.stages[0].instructions.as_slice() else { panic!("three") };
    assert_eq!(places(run), (2, 5, "RUN --network=none \\\n  # c\n  x \\\n  y".to_owned()));
    assert_eq!(places(copy), (6, 8, "COPY <<E /d/\nf\nE".to_owned()));
    assert_eq!(places(user), (9, 9, "USER u".to_owned()));
    assert_eq!(&source[run.flags[0].name.span.range()], "network");
    let name = file.stages[0].from.name.as_ref().expect("a name");
    assert_eq!((name.word.span.line, name.word.span.column), (1, 11));
}

#[test]
fn df_056_df_066_df_067_stages() {
    let file = good("ARG a\nARG b=1 c\nFROM x AS One\nRUN y\nFROM one as two\nFROM x AS one");
    let globals: Vec<_> = file.global_args().map(|arg| arg.name.raw.as_str()).collect();
    assert_eq!(globals, ["a", "b", "c"]);
    let stages: Vec<_> = file.stages.iter().map(|stage| (stage.index, stage.name())).collect();
    assert_eq!(stages, [(0, Some("one")), (1, Some("two")), (2, Some("one"))]);
    assert_eq!(file.stage_named("ONE").map(|stage| stage.index), Some(2));
    assert_eq!(file.stage_before(2, "ONE").map(|stage| stage.index), Some(0));
    assert_eq!(file.stage_before(0, "one").map(|stage| stage.index), None);
    assert_eq!(file.stages[0].from.name.as_ref().map(|name| name.word.raw.as_str()), Some("One"));
    assert_eq!(file.stages[1].from.name.as_ref().map(|name| name.keyword.raw.as_str()), Some("as"));
}
