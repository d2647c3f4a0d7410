//! Any bytes as a Dockerfile: read or refused at a place that is in them, in words that do nothing to a terminal; never a panic.
#![no_main]

use dockerfile::{Span, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &[u8]| {
    let is_inside = |span: Span| span.start <= span.end && span.end <= source.len();
    match parse(source) {
        Ok(file) => {
            let stages = file.stages.iter().flat_map(|stage| &stage.instructions);
            for instruction in file.globals.iter().chain(stages) {
                assert!(is_inside(instruction.span), "{:?}", instruction.span);
                for flag in &instruction.flags {
                    assert!(is_inside(flag.span), "{:?}", flag.span);
                }
            }
            for warning in &file.warnings {
                assert!(is_inside(warning.span), "{:?}", warning.span);
            }
        }
        Err(error) => {
            assert!(is_inside(error.span()), "{:?}", error.span());
            for note in error.notes() {
                assert!(is_inside(note.span), "{:?}", note.span);
            }
            let text = error.to_string();
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
});
