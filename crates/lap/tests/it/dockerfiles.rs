//! Every Dockerfile of `testdata/dockerfiles` gives what the file `NAME.expected` beside it says: the image's config and history, and all that
//! is in its root filesystem and not in the base; or how it is refused. `LAP_TEST_RECORD=1` writes these files anew.
//!
//! `NAME.buildah` says what buildah makes of the same (`scripts/record-buildah` writes it). Where that is something else, a comment
//! `# differs: DF-… …` in the Dockerfile says why, and `docs/compatibility.md` who is right.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

use crate::environment::{Environment, path_text, testdata};
use crate::listing::{describe, text};

/// Path → what is there.
type Listing = BTreeMap<String, String>;

/// What a build gives.
struct Built {
    /// The config, as it is written.
    config: Value,
    /// The root filesystem.
    files: Listing,
}

/// Builds that run at a time: most of one is waiting for processes to begin and end.
const AT_A_TIME: usize = 4;

fn cases() -> PathBuf {
    testdata().join("dockerfiles")
}

/// The names of the Dockerfiles.
fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(cases())
        .expect("testdata/dockerfiles")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.file_type().expect("a type").is_dir())
        .map(|entry| entry.file_name().into_string().expect("a name in UTF-8"))
        .collect();
    names.sort();
    assert!(names.len() > 260, "{names:?}");
    names
}

/// What is recorded of a Dockerfile; nothing when there is no record.
fn recorded(name: &str, by: &str) -> String {
    std::fs::read_to_string(cases().join(format!("{name}.{by}"))).unwrap_or_default()
}

#[test]
fn every_dockerfile_gives_what_was_recorded() {
    let lap = Environment::with_base();
    lap.write("only-base/Dockerfile", "FROM base:1\n");
    let base = build(&lap, "only-base", &[]).expect("the base is built");
    let record = std::env::var_os("LAP_TEST_RECORD").is_some();
    let left = Mutex::new(names());
    let different = Mutex::new(BTreeMap::new());
    let work = || {
        let next = || left.lock().expect("nobody panics here").pop();
        while let Some(name) = next() {
            if crate::ordinary::is_left_out(&name) {
                continue;
            }
            let found = result(&lap, &name, &base);
            let expected = recorded(&name, "expected");
            if record {
                std::fs::write(cases().join(format!("{name}.expected")), found).expect("it is recorded");
            } else if found != expected {
                let lines = changed(&expected, &found);
                different.lock().expect("nobody panics here").insert(name, lines);
            }
        }
    };
    std::thread::scope(|scope| (0..AT_A_TIME).for_each(|_| drop(scope.spawn(work))));
    let mut report = String::new();
    for (name, lines) in different.into_inner().expect("nobody panics here") {
        write!(report, "\n== {name}\n{lines}").expect("text");
    }
    assert!(report.is_empty(), "{report}\nLAP_TEST_RECORD=1 records what there is now");
    lap.check();
}

#[test]
fn what_buildah_makes_is_the_same_or_differs_for_a_reason() {
    let documented = include_str!("../../../../docs/compatibility.md");
    let mut wrong = String::new();
    for name in names() {
        let dockerfile = std::fs::read(cases().join(&name).join("Dockerfile")).expect("a Dockerfile");
        let dockerfile = text(&dockerfile).replace("\\n", "\n").replace("\\r", "");
        let mut say = |what: &str| write!(wrong, "\n== {name}: {what}").expect("text");
        if !dockerfile.lines().any(|line| line.trim_start_matches("\\u{feff}").starts_with("# DF-")) {
            say("no comment says what it shows: # DF-…");
        }
        let reasons: Vec<&str> =
            dockerfile.lines().filter_map(|line| line.strip_prefix("# differs: ")).collect();
        let (ours, theirs) = (comparable(&recorded(&name, "expected")), recorded(&name, "buildah"));
        if theirs.is_empty() {
            say("scripts/record-buildah has not recorded it");
        } else if ours == theirs && !reasons.is_empty() {
            say("the same, but the Dockerfile says that it differs");
        } else if ours != theirs && reasons.is_empty() {
            say(&format!("lap and buildah differ, and no comment says why\n{}", changed(&theirs, &ours)));
        }
        for reason in reasons {
            let number = reason.split([' ', ':']).next().unwrap_or_default();
            if !number.starts_with("DF-") || !documented.contains(number) {
                say(&format!("docs/compatibility.md does not say who is right: {reason}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What of a record the builders have in common: every one has its own texts in the history and of refusals, and docker alone sets `ArgsEscaped`.
fn comparable(record: &str) -> String {
    let mut lines = String::new();
    for line in record.lines() {
        let line = match line.split_once(' ') {
            Some(("exit", _)) => return "refused\n".to_owned(),
            Some(("ArgsEscaped", _)) => continue,
            Some(("layer" | "empty", _)) => &line[..5],
            _ => line,
        };
        writeln!(lines, "{line}").expect("text");
    }
    lines
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
    let lines = only('-', expected, found) + &only('+', found, expected);
    if lines.is_empty() { "the same lines, in another order or number\n".to_owned() } else { lines }
}

/// What the build of a case gives, as text.
fn result(lap: &Environment, name: &str, base: &Built) -> String {
    copy(&cases().join(name), &lap.path(name));
    let arguments = std::fs::read_to_string(cases().join(format!("{name}.args"))).unwrap_or_default();
    // `{}` is where the context is.
    let arguments = arguments.replace("{}", path_text(&lap.path(name)));
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let built = match build(lap, name, &arguments) {
        Ok(built) => built,
        Err(failure) => return failure,
    };
    let mut text = String::new();
    if let Some(author) = built.config.get("author") {
        writeln!(text, "author {author}").expect("text");
    }
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        _ => false,
    };
    for (key, value) in built.config["config"].as_object().expect("a config") {
        // docker's root is `/` when nothing is said, and buildah says nothing.
        if !is_empty(value) && (key, value) != (&"WorkingDir".to_owned(), &Value::from("/")) {
            writeln!(text, "{key} {value}").expect("text");
        }
    }
    let history = |of: &Built| of.config["history"].as_array().cloned().unwrap_or_default();
    let (steps, of_base) = (history(&built), history(base));
    let on_base = steps.strip_prefix(&of_base[..]);
    for step in on_base.unwrap_or(&steps) {
        let kind = if step["empty_layer"] == true { "empty" } else { "layer" };
        let by = step["created_by"].as_str().unwrap_or_default();
        writeln!(text, "{kind} {}", crate::listing::text(by.as_bytes())).expect("text");
    }
    let removed = base.files.keys().filter(|path| on_base.is_some() && !built.files.contains_key(*path));
    let mut files: Listing = removed.map(|path| (path.clone(), "removed".to_owned())).collect();
    files.extend(built.files.into_iter().filter(|(path, line)| base.files.get(path) != Some(line)));
    for (path, line) in files {
        writeln!(text, "{path}: {line}").expect("text");
    }
    text
}

/// Builds a directory; or how that failed.
fn build(lap: &Environment, context: &str, arguments: &[&str]) -> Result<Built, String> {
    let (image, files) = (lap.path(&format!("{context}.image")), lap.path(&format!("{context}.files")));
    let image_output = format!("type=docker,dest={}", path_text(&image));
    let files_output = format!("type=tar,dest={}", path_text(&files));
    let common = ["build", "--progress", "quiet", "-o", &image_output, "-o", &files_output];
    let ran = lap.lap([&common, arguments, &[context]].concat());
    if ran.code != 0 {
        // What is said before, of ids for example, is the machine's.
        let error = ran.stderr.find("error: ").map_or(&ran.stderr[..], |at| &ran.stderr[at..]);
        return Err(format!("exit code {}\n{error}", ran.code));
    }
    let read = |path: &Path| {
        let content = std::fs::read(path).expect("the output is there");
        // Every one has the base in it: together they would be a gigabyte.
        std::fs::remove_file(path).expect("the output is removed");
        content
    };
    Ok(Built { config: config(&read(&image)), files: listing(&read(&files)) })
}

/// The config in an archive of docker's form.
fn config(archive: &[u8]) -> Value {
    let mut documents = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("the content is read");
        documents.insert(text(&entry.path_bytes()), content);
    }
    let json = |name: &str| serde_json::from_slice::<Value>(&documents[name]).expect("JSON");
    json(json("manifest.json")[0]["Config"].as_str().expect("the name of the config"))
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
