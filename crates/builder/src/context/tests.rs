//! Contexts: links stay inside, walks are whole and in order, nothing is followed out.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use base::Cancel;
use dockerfile::ignore::IgnoreFile;
use rustix::fs::{Mode, OFlags, RenameFlags};
use store::Store;
use tempfile::TempDir;

use super::*;

fn context(entries: &[&str]) -> (TempDir, Context) {
    let directory = TempDir::new().expect("a temporary directory");
    let root = directory.path().join("root");
    for entry in entries {
        let (path, target) = match entry.split_once(" -> ") {
            Some((path, target)) => (path, Some(target)),
            None => (*entry, None),
        };
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        match target {
            Some(target) => symlink(target, path).expect("a link"),
            None => fs::write(path, entry).expect("a file"),
        }
    }
    fs::write(directory.path().join("outside"), "secret").expect("a file");
    let store = Store::open(directory.path().join("store")).expect("a store");
    let context = Context::new(&store, &root, None).expect("a context");
    (directory, context)
}

#[test]
fn df_116_df_117_paths_are_followed_inside_of_the_root() {
    let (_directory, context) = context(&[
        "a/b/c",
        "rel -> a/b",
        "abs -> /a/b",
        "up -> ../../outside",
        "chain -> rel/../../abs",
        "self -> self",
        "gone -> a/x/y",
        "a/top -> /..",
        "a/b/back -> ../../rel/c",
    ]);
    let there = |path: &str| match context.resolve(path.as_bytes()).expect(path) {
        Named::There { path, .. } => String::from_utf8(path).expect("text"),
        other => format!("{other:?}"),
    };
    for (path, expected) in [
        ("", ""),
        ("a/b/c", "a/b/c"),
        ("/a//b/./c", "a/b/c"),
        ("../../a", "a"),
        ("a/b/../b/c", "a/b/c"),
        ("rel/c", "a/b/c"),
        ("abs/c", "a/b/c"),
        ("chain/c", "a/b/c"),
        ("a/top", ""),
        ("a/b/back", "a/b/c"),
    ] {
        assert_eq!(there(path), expected, "{path}");
    }
    let missing = |path: &str| context.resolve(path.as_bytes()).expect(path);
    let nothing = |directory: &str, name: &str, through_link| Named::Missing {
        directory: directory.into(),
        name: name.into(),
        through_link,
    };
    assert_eq!(missing("a/z/q"), nothing("a", "z", false));
    assert_eq!(missing("up"), nothing("", "outside", true), "DF-116 clamped to the root");
    assert_eq!(missing("gone"), nothing("a", "x", true));
    assert_eq!(missing("self"), Named::TooManyLinks);
    assert_eq!(missing("a/b/c/d"), Named::NotADirectory { path: b"a/b/c".to_vec() });
}

#[test]
fn what_is_opened_has_no_links_in_its_path() {
    let (directory, context) = context(&["a/b", "l -> a", "out -> .."]);
    let root = directory.path().join("root");
    let stamp = |path: &str| Status::new(&rustix::fs::stat(root.join(path)).expect(path)).stamp;
    let mut opener = Opener::new(&context);
    assert!(opener.open(b"a/b", &stamp("a/b")).is_ok());
    for (path, stamp) in
        [("l/b", stamp("a/b")), ("out/outside", stamp("../outside")), ("../outside", stamp("../outside"))]
    {
        let failed = opener.open(path.as_bytes(), &stamp);
        assert!(failed.is_err(), "{path}");
    }
}

#[test]
fn a_walk_finds_everything_in_order() {
    let entries: Vec<String> =
        (0..600).map(|number| format!("d{}/e{}/f-{number}", number % 7, number % 31)).collect();
    let entries: Vec<&str> = entries.iter().map(String::as_str).chain(["d1.x", "d1-y", "d1/e"]).collect();
    let (_directory, context) = context(&entries);
    let nothing = Filter::default();
    let below = Below { filter: &nothing, prefix: b"" };
    let walk = |start: &[u8]| {
        let mut found = Vec::new();
        context.walk(start, below, &Cancel::new(), |walked| found.push(walked)).expect("a walk");
        found
    };
    let found = walk(b"");
    let files = found.iter().filter(|found| found.status.kind == Kind::File).count();
    assert_eq!(files, entries.len());
    let keys: Vec<Vec<Vec<u8>>> = found.iter().map(|found| components(&found.path).collect()).collect();
    assert!(keys.is_sorted_by(|one, other| one < other), "component by component, each once");
    let inside = walk(b"d1");
    assert!(inside.iter().any(|found| *found.path == *b"e"), "paths are below the start");
    let cancel = Cancel::new();
    cancel.cancel();
    assert!(matches!(context.walk(b"", below, &cancel, |_| {}), Err(CopyError::Cancelled(_))));
}

#[test]
fn df_187_an_excluded_directory_is_read_only_when_something_in_it_could_be_there() {
    let (directory, _) = context(&["node/a", "src/b"]);
    let store = Store::open(directory.path().join("store")).expect("a store");
    for (lines, path, expected) in [
        ("node", "node", Fate::Excluded),
        ("node\n!src/c", "node", Fate::Excluded),
        ("node\n!node/b", "node", Fate::ExcludedItself),
        ("*\n!*/a", "src", Fate::ExcludedItself),
        ("!node\nnode", "node", Fate::Excluded),
        ("node", "src", Fate::Included),
    ] {
        let ignore = IgnoreFile::parse(lines.as_bytes()).expect("an ignore file");
        let ignore = Some((".dockerignore".to_owned(), ignore));
        let context = Context::new(&store, &directory.path().join("root"), ignore).expect("a context");
        let filter = context.filter();
        assert_eq!(
            filter.fate(filter.verdict(path.as_bytes()), path.as_bytes()),
            expected,
            "{lines:?} {path}"
        );
    }
}

/// A directory that somebody exchanges for a link as fast as can be: what the link leads to is neither listed nor read.
#[test]
fn a_directory_that_is_swapped_for_a_link() {
    let entries: Vec<String> = (0..50).map(|number| format!("d/sub/f{number}")).collect();
    let entries: Vec<&str> = entries.iter().map(String::as_str).chain(["other -> ../outside.d"]).collect();
    let (directory, context) = context(&entries);
    let outside = directory.path().join("outside.d/sub");
    fs::create_dir_all(&outside).expect("directories");
    for entry in entries.iter().filter_map(|entry| entry.strip_prefix("d/sub/")) {
        fs::write(outside.join(entry), "secret").expect("a file");
    }
    fs::write(outside.join("more"), "secret").expect("a file");
    let root =
        rustix::fs::open(directory.path().join("root"), OFlags::PATH, Mode::empty()).expect("the root");
    let done = AtomicBool::new(false);
    let (mut read, mut refused) = (0, 0);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let swapped = rustix::fs::renameat_with(&root, "d", &root, "other", RenameFlags::EXCHANGE);
                swapped.expect("both are there");
            }
        });
        let nothing = Filter::default();
        let below = Below { filter: &nothing, prefix: b"" };
        for _ in 0..100 {
            let mut found = Vec::new();
            refused +=
                usize::from(context.walk(b"", below, &Cancel::new(), |walked| found.push(walked)).is_err());
            let mut opener = Opener::new(&context);
            let mut contents = Vec::new();
            for walked in found.iter().filter(|walked| walked.status.kind == Kind::File) {
                assert!(!walked.path.ends_with(b"more"), "it was listed");
                contents.clear();
                match opener.open(&walked.path, &walked.status.stamp) {
                    Ok(mut file) => {
                        file.read_whole(&mut contents).expect("it does not change");
                        assert_ne!(contents, b"secret");
                        read += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(read > 0 && refused > 0, "{read} were read, {refused} were refused");
}
