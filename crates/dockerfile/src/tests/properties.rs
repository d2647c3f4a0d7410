//! Whatever comes in: no panic, and all places are places in the text.

use proptest::prelude::*;

use crate::instruction::CopySource;
use crate::{Dockerfile, Heredoc, Instruction, InstructionKind, Span, Word, parse, parse_trigger};

/// Text that is made of what means something in a Dockerfile: mostly lines that begin as instructions do.
fn text() -> impl Strategy<Value = String> {
    let starts = prop::sample::select(vec![
        "FROM a",
        "FROM a AS b",
        "RUN ",
        "RUN a ",
        "COPY a ",
        "COPY ",
        "ADD a b ",
        "ENV ",
        "ENV a=",
        "ARG a",
        "LABEL a=b ",
        "CMD ",
        "CMD [",
        "ENTRYPOINT ",
        "SHELL [\"a\"",
        "EXPOSE 1 ",
        "USER a",
        "VOLUME a ",
        "WORKDIR /",
        "STOPSIGNAL $",
        "HEALTHCHECK CMD a",
        "ONBUILD RUN ",
        "ONBUILD COPY a b ",
        "MAINTAINER a",
        "# ",
        "",
        "CMD",
    ]);
    let pieces = prop::sample::select(vec![
        "\r\n",
        "\\\n",
        "\\ \n\n",
        "\\\n# c\n",
        "`\n",
        "\t",
        " ",
        " ",
        " ",
        "<<E",
        " <<E ",
        "<<-E",
        "<<'E' ",
        "\nE\n",
        "\nE\n",
        "# ",
        "--mount=",
        "--from=",
        "--chmod=",
        "type=cache,",
        "target=/x",
        "--",
        "=",
        "\"",
        "'",
        "\\",
        "$",
        "{",
        "}",
        ":-",
        "[\"",
        "\", \"",
        "\"]",
        "[",
        "]",
        ",",
        "é",
        "x",
        "y",
        "1",
        "NONE",
        "SIGTERM",
        "\u{feff}",
    ]);
    let line = (starts, prop::collection::vec(pieces, 0..6))
        .prop_map(|(start, pieces)| format!("{start}{}\n", pieces.concat()));
    prop::collection::vec(line, 0..5).prop_map(|lines| lines.concat())
}

/// All places of an instruction.
fn spans(instruction: &Instruction) -> Vec<Span> {
    let mut spans = vec![instruction.span, instruction.spelling.span];
    spans.extend(instruction.comments.iter().map(|comment| comment.span));
    for flag in &instruction.flags {
        spans.extend([flag.span, flag.name.span]);
        spans.extend(flag.value.as_ref().map(|value| value.span));
    }
    let heredoc = |heredoc: &Heredoc| [heredoc.opener.span, heredoc.body.span, heredoc.terminator];
    let words = |words: &[Word]| words.iter().map(|word| word.span).collect::<Vec<_>>();
    match &instruction.kind {
        InstructionKind::Copy(copy) => {
            spans.push(copy.destination.span);
            for source in &copy.sources {
                match source {
                    CopySource::Path(word) => spans.push(word.span),
                    CopySource::Heredoc(source) => spans.extend(heredoc(source)),
                }
            }
        }
        InstructionKind::Run(run) => spans.extend(run.heredocs.iter().flat_map(heredoc)),
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
            spans.extend(pairs.pairs.iter().flat_map(|pair| [pair.span, pair.key.span, pair.value.span]));
        }
        InstructionKind::Expose(expose) => spans.extend(words(&expose.ports)),
        InstructionKind::Volume(volume) => spans.extend(words(&volume.paths)),
        InstructionKind::Shell(shell) => spans.extend(words(shell)),
        _ => {}
    }
    spans
}

fn instructions(file: &Dockerfile) -> impl Iterator<Item = &Instruction> {
    let stages =
        file.stages.iter().flat_map(|stage| std::iter::once(&stage.instruction).chain(&stage.instructions));
    file.globals.iter().chain(stages)
}

fn check(source: &str, span: Span) -> Result<(), TestCaseError> {
    prop_assert!(source.get(span.range()).is_some(), "{:?} is not within {:?}", span, source);
    let line = source[..span.start].matches('\n').count() + 1;
    prop_assert_eq!(span.line as usize, line, "the line of {:?} in {:?}", span, source);
    let line_start = source[..span.start].rfind('\n').map_or(0, |at| at + 1);
    prop_assert_eq!(
        span.column as usize,
        span.start - line_start + 1,
        "the column of {:?} in {:?}",
        span,
        source
    );
    prop_assert!(span.end_line >= span.line);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn places_are_in_the_text(rest in text()) {
        let source = format!("FROM a\n{rest}");
        match parse(source.as_bytes()) {
            Ok(file) => {
                for instruction in instructions(&file) {
                    for span in spans(instruction) {
                        check(&source, span)?;
                        let inside = instruction.span.start <= span.start && span.end <= instruction.span.end;
                        let comment = span.end <= instruction.span.start;
                        prop_assert!(inside || comment, "{:?} in {:?}", span, source);
                    }
                }
                for warning in &file.warnings {
                    check(&source, warning.span)?;
                }
            }
            Err(error) => {
                check(&source, error.span())?;
                for note in error.notes() {
                    check(&source, note.span)?;
                }
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(source in text()) {
        drop(parse(source.as_bytes()));
    }

    #[test]
    fn any_bytes_are_read_or_refused(source in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = parse(&source) {
            prop_assert!(error.span().end <= source.len());
            prop_assert!(!error.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn a_trigger_says_the_same_as_the_instruction(rest in "[a<E\n\" ]{0,20}") {
        let source = format!("FROM a\nONBUILD RUN {rest}\nE\n");
        let Ok(file) = parse(source.as_bytes()) else { return Ok(()) };
        let Some(InstructionKind::Onbuild(onbuild)) = file.stages[0].instructions.first().map(|i| &i.kind) else {
            return Ok(());
        };
        let direct = parse(format!("FROM a\nRUN {rest}\nE\n").as_bytes()).expect("as the trigger");
        let InstructionKind::Run(direct) = &direct.stages[0].instructions[0].kind else { panic!("{direct:?}") };
        match parse_trigger(&onbuild.trigger, crate::Escape::Backslash) {
            Ok(again) => {
                let InstructionKind::Run(again) = &again.kind else { panic!("{again:?}") };
                prop_assert_eq!(again.script(), direct.script());
            }
            Err(error) => prop_assert!(!file.warnings.is_empty(), "{}", error),
        }
    }
}
