//! The house: crates depend on crates below them only, and the binary says what is in it.

use std::path::Path;

/// Top to bottom, as in docs/architecture.md. `builder` stands above `engine`, and nothing reaches up.
const HOUSE: [&str; 13] = [
    "lap",
    "builder",
    "engine",
    "registry",
    "distribution",
    "archive",
    "sandbox",
    "layer",
    "store",
    "git",
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
