//! Each rule about the text: what breaks it, where, and what does not.

use super::*;
use crate::parse;

/// The findings in a text: rule, message, line of the instruction, and the text at the place.
#[track_caller]
fn found(text: &str) -> Vec<(Rule, String, u32, String)> {
    let file = parse(text.as_bytes()).expect(text);
    let options = file.directives.check.as_ref().map(|word| CheckOptions::parse(word).expect(text));
    let linter = Linter::new(options.unwrap_or_default(), &file);
    check(&file, &linter);
    let place = |span: Span| text.get(span.range()).expect("a place in the text").to_owned();
    let findings = linter.findings().into_iter();
    findings
        .map(|finding| (finding.rule, finding.message, finding.instruction.line, place(finding.span)))
        .collect()
}

/// One finding in each text, of this rule: message, line, place.
#[track_caller]
fn broken(rule: Rule, table: &[(&str, &str, u32, &str)]) {
    for (text, message, line, place) in table {
        let expected = vec![(rule, (*message).to_owned(), *line, (*place).to_owned())];
        assert_eq!(found(text), expected, "{text}");
    }
}

#[track_caller]
fn kept(table: &[&str]) {
    for text in table {
        assert_eq!(found(text), vec![], "{text}");
    }
}

#[test]
fn df_221_stage_name_casing() {
    let message = "Stage name 'BuilderBase' should be lowercase";
    broken(
        Rule::StageNameCasing,
        &[
            ("FROM scratch AS BuilderBase", message, 1, "BuilderBase"),
            ("FROM scratch\n\nFROM \\\n scratch AS BuilderBase\n", message, 3, "BuilderBase"),
        ],
    );
    kept(&["FROM scratch AS builder-base", "FROM Scratch", "FROM a:TAG AS b_1.c"]);
}

#[test]
fn df_222_from_as_casing() {
    broken(
        Rule::FromAsCasing,
        &[
            ("FROM scratch as a", "'as' and 'FROM' keywords' casing do not match", 1, "as"),
            ("FROM scratch As a", "'As' and 'FROM' keywords' casing do not match", 1, "As"),
            ("from scratch AS a", "'AS' and 'from' keywords' casing do not match", 1, "AS"),
        ],
    );
    kept(&["FROM scratch AS a", "from scratch as a"]);
    let rules: Vec<Rule> = found("From scratch as a").into_iter().map(|finding| finding.0).collect();
    assert_eq!(rules, [Rule::ConsistentInstructionCasing], "mixed letters have a rule of their own");
}

#[test]
fn df_223_no_empty_continuation() {
    let message = "Empty continuation line";
    broken(
        Rule::NoEmptyContinuation,
        &[
            ("FROM scratch\nENV a=1 \\\n\n b=2\n", message, 4, ""),
            ("FROM scratch\nENV a=1 \\\n\n b=2 \\\n  \n\n c=3\nUSER x\n", message, 7, ""),
            ("FROM scratch\nENV a=1 \\\n # c\n\n # d\n b=2\n", message, 6, ""),
        ],
    );
    kept(&["FROM scratch\nENV a=1 \\\n # comment\n b=2\n\n\nUSER x", "FROM scratch\nRUN <<E\n\nE\n"]);
}

#[test]
fn df_224_consistent_instruction_casing() {
    let message = |name: &str, case: &str| {
        format!("Command '{name}' should match the case of the command majority ({case})")
    };
    broken(
        Rule::ConsistentInstructionCasing,
        &[
            ("FROM scratch\nUSER a\nuser b", &message("user", "uppercase"), 3, "user"),
            ("FROM scratch\nUSER a\nUser b", &message("User", "uppercase"), 3, "User"),
            ("from scratch\nuser a\nUSER b", &message("USER", "lowercase"), 3, "USER"),
            ("FROM scratch\nuser b", &message("user", "uppercase"), 2, "user"),
            ("Arg a\nFROM scratch\nUser b", &message("User", "uppercase"), 3, "User"),
            ("FROM scratch\nRUN a\nonbuild RUN a", &message("onbuild", "uppercase"), 3, "onbuild"),
        ],
    );
    kept(&["from scratch\nuser a\n", "FROM scratch\nUSER a\n", "arg a\narg b\nFROM scratch\nONBUILD user a"]);
}

#[test]
fn df_225_duplicate_stage_name() {
    let message = "Duplicate stage name \"a\", stage names should be unique";
    broken(
        Rule::DuplicateStageName,
        &[("FROM scratch AS a\nFROM scratch AS b\nFROM scratch AS a", message, 3, "a")],
    );
    kept(&["FROM scratch AS a\nFROM a AS b", "FROM scratch\nFROM scratch"]);
    let rules: Vec<Rule> = found("FROM x AS a\nFROM y AS A").into_iter().map(|finding| finding.0).collect();
    assert_eq!(rules, [Rule::StageNameCasing, Rule::DuplicateStageName]);
}

#[test]
fn df_226_reserved_stage_name() {
    let message = |name| format!("Stage name should not use the same name as reserved stage {name:?}");
    broken(
        Rule::ReservedStageName,
        &[
            ("FROM x AS scratch", &message("scratch"), 1, "scratch"),
            ("FROM x AS context", &message("context"), 1, "context"),
        ],
    );
    kept(&["FROM scratch AS contexts", "FROM context"]);
}

#[test]
fn df_228_maintainer_deprecated() {
    let message = "Maintainer instruction is deprecated in favor of using label";
    broken(Rule::MaintainerDeprecated, &[("FROM a\nMAINTAINER me \\\n you", message, 2, "MAINTAINER")]);
    kept(&["FROM a\nLABEL org.opencontainers.image.authors=me"]);
}

#[test]
fn df_240_invalid_definition_description() {
    let message =
        |keyword, name| format!("Comment for {keyword} should follow the format: `# {name} <description>`");
    let on = |text: &str| format!("# check=experimental=all\n{text}");
    broken(
        Rule::InvalidDefinitionDescription,
        &[
            (&on("# version\nARG VERSION\nFROM a"), &message("ARG", "VERSION"), 3, "version"),
            (&on("# a one\n# more\nARG a\nFROM a"), &message("ARG", "a"), 4, "more"),
            (&on("FROM a\n# it\nARG a b"), &message("ARG", "<arg_key>"), 4, "it"),
            (&on("# it\nFROM a AS b"), &message("FROM", "b"), 3, "it"),
            (
                "# check=experimental=InvalidDefinitionDescription\n# it\nFROM a AS b",
                &message("FROM", "b"),
                3,
                "it",
            ),
        ],
    );
    kept(&[
        "# it\nFROM a AS b",
        &on("# b is it\nFROM a AS b\n# c\nARG c\n# d or c\nARG c d"),
        &on("# it\nFROM a\n# it\nENV a=1"),
        &on("# it\n\nFROM a AS b\n# it\n#\nARG c"),
        "# check=skip=all\n# it\nFROM a AS b",
    ]);
}

#[test]
fn df_018_comments_above_instructions() {
    let rules =
        |text: &str| found(text).into_iter().map(|finding| (finding.0, finding.2)).collect::<Vec<_>>();
    let text = "FROM a\n# check=skip=MaintainerDeprecated\nMAINTAINER a\nMAINTAINER b\n# check=skip=all\n# Me\nmaintainer c";
    assert_eq!(rules(text), [(Rule::MaintainerDeprecated, 4)]);
    assert_eq!(rules("# x\n# check=skip=StageNameCasing\nFROM a as B"), [(Rule::FromAsCasing, 3)]);
    assert_eq!(
        rules("FROM a\n# check=experimental=all\n# it\nARG b"),
        [(Rule::InvalidDefinitionDescription, 4)]
    );
    assert_eq!(
        rules("FROM a\n# check=nonsense\nMAINTAINER a"),
        [(Rule::MaintainerDeprecated, 3)],
        "a comment"
    );
    assert_eq!(rules("FROM a\n# check=skip=NoEmptyContinuation\nUSER \\\n\n a"), []);
}

#[test]
fn df_017_directives() {
    assert_eq!(found("# check=skip=all\nFROM a as B"), vec![]);
    let rules = |text: &str| found(text).into_iter().map(|finding| finding.0).collect::<Vec<_>>();
    assert_eq!(rules("# check=skip=StageNameCasing;error=true\nFROM a as B"), [Rule::FromAsCasing]);
    assert_eq!(
        rules("# check=skip=stagenamecasing\nFROM a AS B"),
        [Rule::StageNameCasing],
        "names have a case"
    );
}
