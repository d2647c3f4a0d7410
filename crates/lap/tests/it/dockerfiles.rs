//! Every Dockerfile of `testdata/dockerfiles` gives what the file `<name>.expected` beside it says: the image's config, and all that is in
//! its root filesystem and not in the base. `LAP_TEST_RECORD=1` writes these files anew. `scripts/compare-buildah` compares the same
//! Dockerfiles with what other builders make of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::environment::{Environment, path_text, testdata};
use crate::listing::{describe, text};

/// Path → what is there.
type Listing = BTreeMap<String, String>;

fn cases() -> PathBuf {
    testdata().join("dockerfiles")
}

#[test]
fn every_dockerfile_gives_what_was_recorded() {
    let lap = Environment::with_base();
    lap.write("only-base/Dockerfile", "FROM base:1\n");
    let base = listing(&build(&lap, "only-base", &[]).expect("the base is built"));
    let record = std::env::var_os("LAP_TEST_RECORD").is_some();
    let mut names: Vec<String> = std::fs::read_dir(cases())
        .expect("testdata/dockerfiles")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.file_type().expect("a type").is_dir())
        .map(|entry| entry.file_name().into_string().expect("a name in UTF-8"))
        .collect();
    names.sort();
    assert!(names.len() > 60, "{names:?}");
    let mut different = String::new();
    names.retain(|name| !crate::ordinary::is_left_out(name));
    for name in names {
        let found = result(&lap, &name, &base);
        let expected = cases().join(format!("{name}.expected"));
        if record {
            std::fs::write(&expected, found).expect("the expectation is written");
            continue;
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        if found != expected {
            write!(different, "\n== {name}\n{}", changed(&expected, &found)).expect("text");
        }
    }
    assert!(different.is_empty(), "{different}\nLAP_TEST_RECORD=1 records what there is now");
    lap.check();
}

/// Lines that are only on one side.
fn changed(expected: &str, found: &str) -> String {
    let only = |mark: char, these: &str, those: &str| -> String {
        these
            .lines()
            .filter(|line| !those.lines().any(|other| other == *line))
            .map(|line| format!("{mark} {line}\n"))
            .collect()
    };
    only('-', expected, found) + &only('+', found, expected)
}

/// What the build of a case gives, as text.
fn result(lap: &Environment, name: &str, base: &Listing) -> String {
    copy(&cases().join(name), &lap.path(name));
    let arguments = std::fs::read_to_string(cases().join(format!("{name}.args"))).unwrap_or_default();
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let tar = match build(lap, name, &arguments) {
        Ok(tar) => tar,
        Err(failure) => return failure,
    };
    let image = lap.inspect("app", ".");
    let mut text = String::new();
    for field in ["Author", "OnBuild"] {
        if let Some(value) =
            image.get(field).filter(|value| value.as_str().is_some_and(|text| !text.is_empty()))
        {
            writeln!(text, "{field} {value}").expect("text");
        }
    }
    for (key, value) in lap.inspect("app", ".Config").as_object().expect("a config") {
        writeln!(text, "{key} {value}").expect("text");
    }
    let layers = image["RootFS"]["Layers"].as_array().map_or(0, Vec::len);
    writeln!(text, "{layers} layers").expect("text");
    let history = lap.lap(["history", "--no-trunc", "--format", "{{.CreatedBy}}", "app"]);
    text += &history.success().stdout;
    text.push('\n');
    for (path, line) in listing(&tar) {
        if base.get(&path) != Some(&line) {
            writeln!(text, "{line} {path}").expect("text");
        }
    }
    text
}

/// Builds `app` from a directory; the root filesystem as a tar, or how it failed.
fn build(lap: &Environment, context: &str, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let tar = lap.path("rootfs.tar");
    let output = format!("type=tar,dest={}", path_text(&tar));
    let common = ["build", "--progress", "quiet", "-t", "app", "-o", "type=image", "-o", &output];
    let ran = lap.lap([&common, arguments, &[context]].concat());
    if ran.code != 0 {
        return Err(format!("exit code {}\n{}", ran.code, ran.stderr));
    }
    Ok(std::fs::read(tar).expect("the tar is there"))
}

/// Copies a context, with the modes that a checkout has for the usual umask.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a directory");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode is set");
    };
    mode(to, 0o755);
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let metadata = entry.metadata().expect("metadata");
        if metadata.is_dir() {
            copy(&source, &target);
        } else if metadata.is_symlink() {
            let link = std::fs::read_link(&source).expect("a link");
            std::os::unix::fs::symlink(link, &target).expect("a link is made");
        } else {
            std::fs::copy(&source, &target).expect("a file is copied");
            mode(&target, if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 });
        }
    }
}

/// Everything in a tar.
fn listing(tar: &[u8]) -> Listing {
    let mut found = Listing::new();
    let mut links: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = text(&entry.path_bytes()).trim_end_matches('/').to_owned();
        let target = entry.link_name_bytes().map(|link| text(&link));
        if entry.header().entry_type() == tar::EntryType::Link {
            links.entry(target.expect("a target")).or_default().push(path);
            continue;
        }
        let line = describe(&mut entry, target.as_deref());
        found.insert(path, line);
    }
    for (first, others) in links {
        let line = found[&first].clone();
        let mut names = others;
        names.push(first);
        names.sort();
        for name in &names {
            found.insert(name.clone(), format!("{line} of {}", names.join(" ")));
        }
    }
    found
}
