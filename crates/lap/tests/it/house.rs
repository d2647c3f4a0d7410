//! The house: crates depend on crates below them only, and the binary says what is in it.

use std::path::Path;

/// Top to bottom, as in docs/architecture.md. `builder` stands above `engine`, and nothing reaches up.
const HOUSE: [&str; 12] = [
    "lap",
    "builder",
    "engine",
    "registry",
    "distribution",
    "archive",
    "sandbox",
    "layer",
    "store",
    "dockerfile",
    "image",
    "base",
];

#[test]
fn a_crate_uses_only_crates_below_it() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seen = 0;
    for entry in std::fs::read_dir(&crates).expect("the crates") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let place = HOUSE
            .iter()
            .position(|known| *known == name)
            .unwrap_or_else(|| panic!("{name} is not in the house"));
        let manifest = std::fs::read_to_string(crates.join(&name).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for line in dependencies.lines() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if let Some(below) = HOUSE.iter().position(|known| *known == dependency) {
                assert!(place < below, "{name} uses {dependency}, which stands above it");
            }
        }
        seen += 1;
    }
    assert_eq!(seen, HOUSE.len());
}

#[test]
fn every_dependency_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let explained = std::fs::read_to_string(root.join("docs/dependencies.md")).expect("docs/dependencies.md");
    let section = manifest
        .split("[workspace.dependencies]")
        .nth(1)
        .expect("dependencies")
        .split("\n[")
        .next()
        .expect("a section");
    for line in section.lines().filter(|line| !line.starts_with('#') && !line.contains("path =")) {
        let Some((name, _)) = line.split_once(" =") else { continue };
        assert!(explained.contains(&format!("`{name}`")), "{name} is not in docs/dependencies.md");
    }
}

#[test]
fn every_limit_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let explained = std::fs::read_to_string(root.join("docs/security.md")).expect("docs/security.md");
    let mut seen = 0;
    for entry in std::fs::read_dir(root.join("crates")).expect("the crates") {
        let source = entry.expect("an entry").path().join("src/limits.rs");
        let Ok(text) = std::fs::read_to_string(source) else { continue };
        for line in text.lines() {
            let Some(name) = line.strip_prefix("pub const ").and_then(|rest| rest.split(':').next()) else {
                continue;
            };
            assert!(explained.contains(&format!("`{name}`")), "{name} is not in docs/security.md");
            seen += 1;
        }
    }
    assert!(seen > 10);
}

/// The numbers of the behaviours of a registry server.
const SERVER: &[std::ops::RangeInclusive<u32>] = &[
    1..=7,
    10..=14,
    20..=30,
    40..=47,
    50..=54,
    100..=104,
    110..=110,
    120..=121,
    130..=132,
    140..=140,
    150..=153,
    160..=160,
    170..=170,
    180..=180,
    190..=190,
    200..=207,
];

#[test]
fn every_behaviour_of_the_registry_server_has_a_test_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/compatibility.md")).expect("the document");
    let mut sources = String::new();
    for name in ["registry", "store", "lap"] {
        read_all(&root.join("crates").join(name), &mut sources);
    }
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| RS-"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    for number in SERVER.iter().cloned().flatten() {
        let row = rows.iter().find(|row| row.first().is_some_and(|first| covers(first, number)));
        let row = row.unwrap_or_else(|| panic!("RS-{number:03} is not in docs/compatibility.md"));
        let status = *row.get(2).expect("a status");
        if status.starts_with("yes") {
            let is_tested = sources.contains(&format!("fn rs_{number:03}_"))
                || sources.contains(&format!("    rs_{number:03}_"));
            assert!(
                is_tested,
                "no test has the number of RS-{number:03}, which docs/compatibility.md has as {status:?}"
            );
        } else {
            let reason = status.split_once(": ").map_or("", |(_, reason)| reason);
            assert!(!reason.is_empty(), "docs/compatibility.md has no reason for RS-{number:03}: {status:?}");
        }
    }
}

/// Whether the first cell of a row has a number: `RS-002 … RS-005`, `RS-006, RS-006b`.
fn covers(cell: &str, number: u32) -> bool {
    let numbers = |text: &str| text.trim().trim_start_matches("RS-").parse::<u32>().ok();
    cell.split(", ").any(|part| match part.split_once(" … ") {
        Some((first, last)) => {
            numbers(first).is_some_and(|first| first <= number)
                && numbers(last).is_some_and(|last| number <= last)
        }
        None => numbers(part) == Some(number),
    })
}

/// Reads the sources of a crate and of its tests.
fn read_all(directory: &Path, text: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_all(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}
