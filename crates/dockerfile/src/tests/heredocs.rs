use super::{bad, good, kind, one, wrong};
use crate::expand::Expander;
use crate::instruction::{CopySource, Run, Script};
use crate::{Escape, InstructionKind, Keyword, parse_trigger};

#[track_caller]
fn run(source: &str) -> Run {
    match kind(source) {
        InstructionKind::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn files(source: &str) -> Vec<(String, String)> {
    let sources = match kind(source) {
        InstructionKind::Copy(copy) => copy.sources,
        InstructionKind::Add(add) => add.sources,
        other => panic!("{other:?}"),
    };
    let file = |source: &CopySource| match source {
        CopySource::Heredoc(heredoc) => (heredoc.name.clone(), heredoc.content().into_owned()),
        CopySource::Path(word) => (word.raw.clone(), "-".to_owned()),
    };
    sources.iter().map(file).collect()
}

#[test]
fn df_028_only_some_instructions_have_heredocs() {
    assert!(bad("FROM a\nCMD <<EOF\nx\nEOF").to_string().starts_with("unknown instruction: x"));
    assert!(bad("FROM a\nRUN [\"<<EOF\"]\nx\nEOF").to_string().starts_with("unknown instruction: x"));
    assert_eq!(files("ADD <<EOF /\nx\nEOF"), [("EOF".to_owned(), "x\n".to_owned())]);
}

#[test]
fn df_029_several_in_order_and_unterminated_ones() {
    let expected =
        [("a", "1\n"), ("src", "-"), ("b", "2\na\n")].map(|(name, body)| (name.to_owned(), body.to_owned()));
    assert_eq!(files("COPY <<a src <<b /d/\n1\na\n2\na\nb"), expected);
    let source = "FROM a\nRUN cat <<EOF\nx\n EOF\n";
    let error = bad(source);
    assert_eq!(error.to_string(), "unterminated heredoc: no line \"EOF\" until the end of the file");
    assert_eq!(&source[error.span().range()], "<<EOF");
    assert_eq!(error.notes()[0].span.start, source.len());
    assert_eq!(error.notes()[1].span.line, 4, "the line that was nearly the end");
    assert_eq!(files("COPY <<E /x\nE"), [("E".to_owned(), String::new())]);
    assert_eq!(files("COPY <<E /x\nRUN x\n# y\n\\\nE"), [("E".to_owned(), "RUN x\n# y\n\\\n".to_owned())]);
}

#[test]
fn df_001_df_029_line_ends_in_bodies_stay() {
    assert_eq!(files("COPY <<E /x\r\na\r\nE\r\n"), [("E".to_owned(), "a\r\n".to_owned())]);
}

#[test]
fn df_030_tabs_are_stripped() {
    assert_eq!(files("COPY <<-E /x\n\t\ta\n\t b\n \tc\n\tE"), [("E".to_owned(), "a\n b\n \tc\n".to_owned())]);
    assert_eq!(run("RUN <<-E\n\ta\nE").script(), Script::Shell("a\n".into()));
}

#[test]
fn df_031_quotes_disable_expansion() {
    for (source, name, expand) in [
        ("COPY <<EOF /x\nEOF", "EOF", true),
        ("COPY <<'EOF' /x\nEOF", "EOF", false),
        ("COPY <<\"EOF\" /x\nEOF", "EOF", false),
        ("COPY <<E\"O\"F /x\nEOF", "EOF", false),
        ("COPY <<'a b' /x\na b", "a b", false),
    ] {
        let InstructionKind::Copy(copy) = kind(source) else { panic!("{source}") };
        let [CopySource::Heredoc(heredoc)] = copy.sources.as_slice() else { panic!("{source}: {copy:?}") };
        assert_eq!((heredoc.name.as_str(), heredoc.expand), (name, expand), "{source}");
        assert_eq!(copy.destination.raw, "/x");
    }
}

#[test]
fn df_032_bodies_expand() {
    let lookup = |name: &str| (name == "v").then(|| "it's \"v\"".to_owned());
    let expander = Expander::new(Escape::Backtick, &lookup);
    let expand = |source: &str| {
        let InstructionKind::Copy(copy) = kind(source) else { panic!("{source}") };
        let [CopySource::Heredoc(heredoc)] = copy.sources.as_slice() else { panic!("{source}") };
        expander.heredoc(heredoc)
    };
    let expanded = expand("COPY <<E /x\n'$v' \"${v}\" \\$v \\\\ $no ` ${no:-'x'}\nE").expect("expands");
    assert_eq!(expanded.text, "'it's \"v\"' \"it's \"v\"\" $v \\  ` 'x'\n");
    assert_eq!(expanded.undefined, ["no"]);
    assert_eq!(expand("COPY <<'E' /x\n$v\nE").expect("stays").text, "$v\n");
    assert_eq!(expand("COPY <<-E /x\n\t$v\nE").expect("expands").text, "it's \"v\"\n");
    for (source, line, column) in
        [("COPY <<E /x\na\nb ${x:=y}\nE", 4, 3), ("COPY <<-E /x\na\n\t\tb ${x:=y}\nE", 4, 5)]
    {
        let error = expand(source).expect_err("an error");
        assert_eq!((error.span().line, error.span().column), (line, column), "{source}");
    }
}

#[test]
fn df_033_destinations() {
    assert_eq!(
        wrong("COPY a <<E\nE"),
        ("COPY has a heredoc as its destination".to_owned(), "<<E".to_owned())
    );
    assert_eq!(files("COPY << E /x\na\nE"), [("E".to_owned(), "a\n".to_owned())]);
    assert!(wrong("COPY <<E\nE").0.contains("destination"));
}

#[test]
fn df_034_df_035_df_036_scripts() {
    for (source, expected) in [
        ("RUN <<E\na\nb\nE", Script::Shell("a\nb\n".into())),
        ("RUN --network=none <<E\na\nE", Script::Shell("a\n".into())),
        ("RUN <<'E'\n$a\nE", Script::Shell("$a\n".into())),
        ("RUN << E\na\nE", Script::Shell("a\n".into())),
        ("RUN <<-E\n\t#!/bin/x\n\ty\nE", Script::Executable { name: "E", content: "#!/bin/x\ny\n".into() }),
        ("RUN <<E\n#!/bin/x\nE", Script::Executable { name: "E", content: "#!/bin/x\n".into() }),
        ("RUN python3 <<E\n#!x\nE", Script::Shell("python3 <<E\n#!x\nE".into())),
        ("RUN 3<<E\na\nE", Script::Shell("3<<E\na\nE".into())),
        ("RUN <<-A cat <<'B'\n\ta\n\tA\nb\nB", Script::Shell("<<-A cat <<'B'\n\ta\nA\nb\nB".into())),
        ("RUN cat <<E > /x && \\\n  y\na\nE", Script::Shell("cat <<E > /x &&   y\na\nE".into())),
        ("RUN a $b \\c", Script::Shell("a $b \\c".into())),
        ("RUN", Script::Shell("".into())),
    ] {
        assert_eq!(run(source).script(), expected, "{source}");
    }
    let exec = run("RUN [\"a\", \"$b\"]");
    let Script::Exec(words) = exec.script() else { panic!("{exec:?}") };
    assert_eq!(words.iter().map(|word| word.raw.as_str()).collect::<Vec<_>>(), ["a", "$b"]);
}

#[test]
fn df_038_triggers_keep_their_heredocs() {
    let file = good("FROM a\nONBUILD COPY <<A <<-B /x/\na\nA\n\tb\n\tB\nONBUILD RUN c\nUSER u");
    let InstructionKind::Onbuild(onbuild) = &file.stages[0].instructions[0].kind else { panic!("{file:?}") };
    assert_eq!(onbuild.trigger, "COPY <<A <<-B /x/\na\nA\n\tb\nB");
    assert_eq!(onbuild.keyword, Keyword::Copy);
    assert_eq!(file.stages[0].instructions.len(), 3);
    assert_eq!(file.stages[0].instructions[0].span.end_line, 6);
    let again = parse_trigger(&onbuild.trigger, Escape::Backslash).expect("parses");
    let InstructionKind::Copy(copy) = again.kind else { panic!("{again:?}") };
    let [CopySource::Heredoc(a), CopySource::Heredoc(b)] = copy.sources.as_slice() else {
        panic!("{copy:?}")
    };
    assert_eq!((a.content().as_ref(), b.content().as_ref()), ("a\n", "b\n"));
}

#[test]
fn heredocs_have_places() {
    let source = "FROM scratch\nCOPY <<-E /x\n\ta\n\tE\nUSER u";
    let file = good(source);
    let InstructionKind::Copy(copy) = &file.stages[0].instructions[0].kind else { panic!("{file:?}") };
    let [CopySource::Heredoc(heredoc)] = copy.sources.as_slice() else { panic!("{copy:?}") };
    assert_eq!(&source[heredoc.opener.span.range()], "<<-E");
    assert_eq!(&source[heredoc.body.span.range()], "\ta\n");
    assert_eq!(&source[heredoc.terminator.range()], "\tE");
    assert_eq!(one("USER u").span.line, 2);
}
