//! An ignore file (up to the first NUL) and paths (behind it): verdicts are the same however they are asked for, and a
//! directory that a walk passes over holds nothing that is in the context.
#![no_main]

use dockerfile::glob::Pattern;
use dockerfile::ignore::IgnoreFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|byte| *byte == 0);
    let source = parts.next().unwrap_or_default();
    let file = match IgnoreFile::parse(source) {
        Ok(file) => file,
        Err(error) => {
            let said = error.to_string();
            assert!(!said.chars().any(char::is_control), "{said:?}");
            assert!(error.span.end <= source.len());
            return;
        }
    };
    for path in parts.filter(|path| is_path(path)) {
        let verdict = file.verdict(path);
        assert_eq!(verdict.decided_by.is_some(), file.pattern(verdict).is_some());
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let parent = &path[..at];
            assert!(verdict.is_excluded || file.could_include_below(parent), "{parent:?} hides {path:?}");
        }
        for pattern in source.split(|byte| *byte == b'\n') {
            if let Ok(glob) = Pattern::parse_recursive(pattern) {
                let parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
                assert!(!glob.matches(path) || parents.into_iter().all(|parent| glob.could_match_below(parent)));
            }
        }
    }
});

/// Paths as a walk gives them: no empty component, no dots.
fn is_path(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}
