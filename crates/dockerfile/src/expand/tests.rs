use std::collections::BTreeMap;

use super::*;
use crate::span::Span;

fn variables() -> BTreeMap<String, String> {
    [
        ("foo", "bar"),
        ("EMPTY", ""),
        ("PATH_", "/usr/local/bin/tool.tar.gz"),
        ("spaces", "a  b c"),
        ("été", "summer"),
        ("star", "a*c"),
        ("digits", "abc123abc"),
        ("glob", "*"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn expand_with(escape: Escape, text: &str) -> Result<String, Failure> {
    let variables = variables();
    Expander::new(escape, &variables).text(text).map(|expanded| expanded.text).map_err(|error| error.failure)
}

fn expand(text: &str) -> Result<String, Failure> {
    expand_with(Escape::Backslash, text)
}

#[track_caller]
fn all(table: &[(&str, &str)]) {
    for (text, expected) in table {
        assert_eq!(expand(text).as_deref(), Ok(*expected), "{text}");
    }
}

#[test]
fn df_040_names() {
    all(&[
        ("$foo", "bar"),
        ("${foo}", "bar"),
        ("x${foo}x", "xbarx"),
        ("$foo$foo", "barbar"),
        ("$foo.x", "bar.x"),
        ("$été", "summer"),
        ("$1", ""),
        ("$12x", "x"),
        ("${1}", ""),
        ("a$@b$*c$#d$?e$-f$$g$!h$0i", "abcdefghi"),
        ("$", "$"),
        ("$ x", "$ x"),
        ("a$.b", "a$.b"),
        ("$)", "$)"),
    ]);
}

#[test]
fn df_041_defaults_and_alternatives() {
    all(&[
        ("${no:-w}", "w"),
        ("${EMPTY:-w}", "w"),
        ("${foo:-w}", "bar"),
        ("${no-w}", "w"),
        ("${EMPTY-w}", ""),
        ("${foo:+w}", "w"),
        ("${EMPTY:+w}", ""),
        ("${EMPTY+w}", "w"),
        ("${no+w}", ""),
        ("${no:-${nope:-$foo}}", "bar"),
        ("${no:-a b 'c}'}", "a b c}"),
        ("${no:-\\}}", "}"),
        ("${no:-}", ""),
        ("${foo:?w}", "bar"),
        ("${EMPTY?w}", ""),
        ("${foo:-${no:?never}}", "bar"),
    ]);
    for (text, message) in [
        ("${no:?because}", "because"),
        ("${no?}", "is not allowed to be unset"),
        ("${EMPTY:?}", "is not allowed to be empty"),
        ("${no?$foo}", "bar"),
    ] {
        let name = if text.contains("EMPTY") { "EMPTY" } else { "no" };
        let expected = Failure::Required { name: name.to_owned(), message: message.to_owned() };
        assert_eq!(expand(text), Err(expected), "{text}");
    }
}

#[test]
fn df_042_patterns() {
    all(&[
        ("${PATH_#/*/}", "local/bin/tool.tar.gz"),
        ("${PATH_##*/}", "tool.tar.gz"),
        ("${PATH_%.*}", "/usr/local/bin/tool.tar"),
        ("${PATH_%%.*}", "/usr/local/bin/tool"),
        ("${PATH_#nope}", "/usr/local/bin/tool.tar.gz"),
        ("${foo#b}", "ar"),
        ("${foo%?}", "ba"),
        ("${foo##*}", ""),
        ("${foo#*}", "bar"),
        ("${digits/abc/X}", "X123abc"),
        ("${digits//abc/X}", "X123X"),
        ("${digits/[a]/X}", "abc123abc"),
        ("${digits//?/X}", "XXXXXXXXX"),
        ("${digits/1*3/-}", "abc-abc"),
        ("${digits/a*c/-}", "-"),
        ("${digits//abc/}", "123"),
        ("${digits//*/X}", "X"),
        ("${PATH_/\\/usr/U}", "U/local/bin/tool.tar.gz"),
        ("${PATH_//\\//-}", "-usr-local-bin-tool.tar.gz"),
        ("${star#a\\*}", "c"),
        ("${star#a\\?}", "a*c"),
        ("${foo#$glob}", "bar"),
        ("${foo##$glob}", ""),
        ("${no#x}", ""),
        ("${no/x/y}", ""),
    ]);
    for text in ["${foo#\\a}", "${foo/\\q/x}"] {
        assert!(matches!(expand(text), Err(Failure::BadPattern { .. })), "{text}");
    }
}

#[test]
fn df_043_rejected() {
    for (text, expected) in [
        ("${foo:=w}", Failure::UnsupportedModifier(":=".to_owned())),
        ("${foo=w}", Failure::UnsupportedModifier("=".to_owned())),
        ("${foo:#p}", Failure::UnsupportedModifier(":#".to_owned())),
        ("${foo^}", Failure::UnsupportedModifier("^".to_owned())),
        ("${}", Failure::BadSubstitution),
        ("${:x}", Failure::BadSubstitution),
        ("${{x}", Failure::BadSubstitution),
        ("${", Failure::MissingBrace),
        ("${foo", Failure::MissingBrace),
        ("${foo:", Failure::MissingBrace),
        ("${foo:-x", Failure::MissingBrace),
        ("${foo#x", Failure::MissingBrace),
        ("${foo/x}", Failure::MissingSlash),
        ("${foo/x/y", Failure::MissingBrace),
        ("'x", Failure::UnmatchedQuote("single-quote")),
        ("\"x", Failure::UnmatchedQuote("double-quote")),
        ("\"x\\\"", Failure::UnmatchedQuote("double-quote")),
    ] {
        assert_eq!(expand(text), Err(expected), "{text}");
    }
    let deep = format!("{}x{}", "${no:-".repeat(10_000), "}".repeat(10_000));
    assert_eq!(expand(&deep), Err(Failure::TooDeep));
}

/// Found by fuzzing: an empty pattern matches everywhere, so that each level makes it six times as long.
#[test]
fn df_042_what_grows_without_end_is_refused() {
    let lookup = |name: &str| match name {
        "five" => Some("value".to_owned()),
        "large" => Some("x".repeat(1 << 20)),
        "larger" => Some("x".repeat((1 << 20) + 1)),
        _ => None,
    };
    let expand = |text: &str| Expander::new(Escape::Backslash, &lookup).text(text);
    let nested = |depth: usize| format!("{}x{}", "${five///".repeat(depth), "}".repeat(depth));
    assert_eq!(expand(&nested(2)).expect("it is short").text.len(), 6 * (6 + 5) + 5);
    assert_eq!(expand(&nested(22)).expect_err("it is long").failure, Failure::TooLong);
    assert_eq!(expand("$large").expect("as long as may be").text.len(), 1 << 20);
    for text in ["$larger", "${larger}", "${large/x/yy}", "a${no:-$larger}b"] {
        assert_eq!(expand(text).expect_err(text).failure, Failure::TooLong);
    }
}

#[test]
fn df_043_errors_have_places() {
    let variables = variables();
    let span = Span { start: 100, end: 111, line: 7, column: 5, end_line: 7 };
    let word = Word { raw: "ab${foo:=c}".to_owned(), span };
    let error = Expander::new(Escape::Backslash, &variables).word(&word).expect_err("an error");
    assert_eq!((error.span().start, error.span().line, error.span().column), (102, 7, 7));
    assert!(error.to_string().contains("unsupported modifier (:=)"));
}

#[test]
fn df_044_quotes() {
    all(&[
        ("'$foo'", "$foo"),
        ("'a\\b'", "a\\b"),
        ("\"$foo\"", "bar"),
        ("\"a\\\"b\"", "a\"b"),
        ("\"a\\$foo\"", "a$foo"),
        ("\"a\\\\b\"", "a\\b"),
        ("\"a\\b\"", "a\\b"),
        ("\"it's\"", "it's"),
        ("a\\ b", "a b"),
        ("a\\b", "ab"),
        ("a\\", "a"),
        ("a'b'\"c\"d", "abcd"),
        ("''", ""),
        ("\"${no:-\"x\"}\"", "x"),
    ]);
    let backtick = |text| expand_with(Escape::Backtick, text);
    assert_eq!(backtick("c:\\x`$foo"), Ok("c:\\x$foo".to_owned()));
    assert_eq!(backtick("\"`\"\""), Ok("\"".to_owned()));
}

#[test]
fn df_045_escaped_dollar() {
    all(&[("\\$foo", "$foo"), ("\\\\$foo", "\\bar"), ("\\\\\\$foo", "\\$foo"), ("\\${foo}", "${foo}")]);
}

#[test]
fn df_046_undefined_variables_are_noted() {
    let variables = variables();
    let expander = Expander::new(Escape::Backslash, &variables);
    let expanded = expander.text("$foo-$no-${no}-${nope:-$other}-${foo:-$never}-${nada+x}").expect("expands");
    assert_eq!(expanded.text, "bar----bar-");
    assert_eq!(expanded.undefined, ["no", "other"]);
    assert_eq!(expanded.used, ["foo", "no", "nope", "other", "nada"]);
}

#[test]
fn df_051_words_after_expansion() {
    let variables = variables();
    let expander = Expander::new(Escape::Backslash, &variables);
    for (text, expected) in [
        ("$spaces", vec!["a", "b", "c"]),
        ("x$spaces", vec!["xa", "b", "c"]),
        ("\"$spaces\"", vec!["a  b c"]),
        ("x'a b'y z", vec!["xa by", "z"]),
        ("$no", vec![]),
        ("a\\ b", vec!["a b"]),
        ("$EMPTY ''", vec![]),
    ] {
        let words = expander.words(&Word::unplaced(text)).expect(text);
        assert_eq!(words.words, expected, "{text}");
    }
}

#[test]
fn df_054_the_lookup_decides_about_case() {
    let lookup = |name: &str| name.eq_ignore_ascii_case("path").then(|| "C:\\".to_owned());
    let expander = Expander::new(Escape::Backtick, &lookup);
    assert_eq!(expander.text("${Path}x").expect("expands").text, "C:\\x");
}

/// Found by fuzzing: what stands in a word is not printed as it is.
#[test]
fn messages_do_nothing_to_a_terminal() {
    let variables = variables();
    let expander = Expander::new(Escape::Backslash, &variables);
    for text in
        ["${A\u{1b}b}", "${foo:\u{1}}", "${nothing?\u{1b}[2J}", "${nothing:?a\nb}", "${foo/\\\u{1b}/x}"]
    {
        let error = expander.text(text).expect_err(text).to_string();
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
}

mod never_panics {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn on_any_text(text in "[a${}:?/#%*'\"\\\\ é+-]{0,40}") {
            let variables = variables();
            for escape in [Escape::Backslash, Escape::Backtick] {
                let expander = Expander::new(escape, &variables);
                if let Err(error) = expander.text(&text) {
                    prop_assert!(error.range.start <= error.range.end && error.range.end <= text.len());
                }
                let words = expander.words(&Word::unplaced(text.clone()));
                prop_assert_eq!(words.is_ok(), expander.text(&text).is_ok());
            }
        }

        #[test]
        fn quoting_protects(text in "[a$' é\"\\\\]{0,20}") {
            let variables = variables();
            let quoted = format!("'{}'", text.replace('\'', "'\\''"));
            let expanded = Expander::new(Escape::Backslash, &variables).text(&quoted);
            prop_assert_eq!(expanded.expect("quoted text expands").text, text);
        }
    }
}
