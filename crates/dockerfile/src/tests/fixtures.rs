//! Whole files from `testdata`, with what comes of them beside them.
//!
//! `good/X.Dockerfile` has `good/X.txt`, one line per instruction; `bad/X.Dockerfile` has `bad/X.txt`, the error.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use base::Classified;

use crate::{Dockerfile, Error, Instruction, parse};

fn fixtures(kind: &str) -> Vec<(PathBuf, Vec<u8>, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(kind);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&directory).expect("the directory of fixtures") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "Dockerfile") {
            let source = std::fs::read(&path).expect("a Dockerfile");
            let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
            found.push((path, source, expected));
        }
    }
    assert!(found.len() >= 3, "fixtures are missing in {}", directory.display());
    found
}

fn line(out: &mut String, instruction: &Instruction) {
    let (span, text) = (instruction.span, &instruction.text);
    writeln!(out, "{}-{} {} | {text}", span.line, span.end_line, instruction.keyword).expect("a string");
    for comment in &instruction.comments {
        writeln!(out, "    # {comment}").expect("a string");
    }
}

fn describe(file: &Dockerfile) -> String {
    let mut out = String::new();
    file.globals.iter().for_each(|instruction| line(&mut out, instruction));
    for stage in &file.stages {
        writeln!(out, "stage {} {}", stage.index, stage.name().unwrap_or("-")).expect("a string");
        line(&mut out, &stage.instruction);
        stage.instructions.iter().for_each(|instruction| line(&mut out, instruction));
    }
    for warning in &file.warnings {
        writeln!(out, "warning {}: {}", warning.span.line, warning.kind).expect("a string");
    }
    out
}

fn report(error: &Error, source: &[u8]) -> String {
    let span = error.span();
    let place = source.get(span.range()).unwrap_or_default();
    let mut out = format!("{}:{}: {error}\nat {}\n", span.line, span.column, base::text::bytes(place));
    if let Some(hint) = error.hint() {
        writeln!(out, "hint: {hint}").expect("a string");
    }
    out
}

#[test]
fn good_files() {
    for (path, source, expected) in fixtures("good") {
        let file = parse(&source).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let found = describe(&file);
        assert_eq!(found, expected, "{}\n{found}", path.display());
    }
}

#[test]
fn bad_files() {
    for (path, source, expected) in fixtures("bad") {
        let Err(error) = parse(&source) else { panic!("{} is accepted", path.display()) };
        let found = report(&error, &source);
        assert_eq!(found, expected, "{}\n{found}", path.display());
    }
}
