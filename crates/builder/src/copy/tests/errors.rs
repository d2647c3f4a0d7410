//! What goes wrong, and what is said about it.

use base::{Classified, Kind};

use super::*;

fn failure(world: &World, context: &Context, step: &CopyStep) -> CopyError {
    match world.copy(context, &empty(), step) {
        Ok(layer) => panic!("copied: {:?}", list(&layer)),
        Err(error) => error,
    }
}

#[test]
fn df_114_missing_sources_say_what_is_near() {
    let world = World::with(&["package.json", "src/main.rs", "dangling -> nowhere", "a -> b", "b -> a"]);
    let context = world.context();
    for (words, expected, hint) in [
        (
            "package.jsn /n/",
            "there is no package.jsn in the build context (did you mean package.json?)",
            None,
        ),
        ("src/mian.rs /n/", "there is no src/mian.rs in the build context (did you mean src/main.rs?)", None),
        ("scr/main.rs /n/", "there is no scr/main.rs in the build context (did you mean src?)", None),
        ("else /n/", "there is no else in the build context", None),
        (
            "dangling /n/",
            "there is no dangling in the build context",
            Some("a symbolic link on the way leads nowhere"),
        ),
        ("a /n/", "there is no a in the build context", Some("its symbolic links lead in circles")),
        (
            "package.json/x /n/",
            "there is no package.json/x in the build context",
            Some("package.json is a file, not a directory"),
        ),
        (
            "../shared/x /n/",
            "there is no ../shared/x in the build context",
            Some(
                "`..` ends at the top of the build context: build with the directory above as the context and name this Dockerfile with -f",
            ),
        ),
        ("src/../else /n/", "there is no src/../else in the build context", None),
        (
            "no*thing /n/",
            "nothing in the build context matches no*thing",
            Some("`*` and `?` do not cross a `/`, and `**` works with --parents only"),
        ),
        (
            "[a /n/",
            "the pattern [a is malformed: syntax error in pattern: a character class does not end",
            None,
        ),
    ] {
        let error = failure(&world, &context, &copy(words));
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.hint().as_deref(), hint, "{words}");
        assert_eq!(error.span().map(|span| span.start), Some(1), "{words}: the place of the source");
    }
}

#[test]
fn df_145_p36_excluded_sources_name_the_line() {
    let world = World::with(&["secret.env", "dir/a", "l -> dir/a", "docs/x.md"]);
    let context = world.ignoring("# comment\n*.env\n\ndir\n**/*.md\n");
    let by = |pattern: &str, line: u32| {
        format!("is in the build context, but excluded by {pattern} in line {line} of .dockerignore")
    };
    for (words, expected) in [
        ("secret.env /n/", format!("secret.env {}", by("*.env", 2))),
        ("dir /n/", format!("dir {}", by("dir", 4))),
        ("dir/a /n/", format!("dir/a {}", by("dir", 4))),
        ("l /n/", format!("l {}", by("dir", 4))),
        ("docs/x.md /n/", format!("docs/x.md {}", by("**/*.md", 5))),
    ] {
        let error = failure(&world, &context, &copy(words));
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.hint().expect("a hint").contains(".dockerignore"));
    }
    let error = failure(&world, &context, &copy("*.env /n/"));
    assert_eq!(error.to_string(), "nothing in the build context matches *.env");
    let reopened = world.ignoring("dir\n!dir/b");
    let error = failure(&world, &reopened, &copy("dir /n/"));
    assert!(matches!(error, CopyError::Excluded { line: 1, .. }), "{error}");
    let error = failure(&world, &world.context(), &excluding("secret.env /n/", &["*.env"]));
    assert!(matches!(error, CopyError::NothingMatched { excluded: 1, .. }), "{error}");
}

#[test]
fn df_135_the_header_of_an_archive_is_enough() {
    let mut header = [0_u8; 512];
    header[..4].copy_from_slice(b"file");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let archive = [header.as_slice(), &[0; 1024]].concat();
    let world = World::with(&["text.tar", "dir/"]);
    fs::write(world.path("plain"), &archive).expect("a file");
    fs::hard_link(world.path("plain"), world.path("dir/same")).expect("a link");
    fs::write(world.path("zeros"), [0; 1024]).expect("a file");
    let add = |words: &str| CopyStep { add: true, unpack: true, ..copy(words) };
    assert_eq!(world.copied(&add("plain /n/")), ["n/", "n/file"]);
    assert_eq!(world.copied(&copy("plain /n/")), ["n/", "n/plain"], "COPY copies it");
    assert_eq!(world.copied(&add("text.tar zeros /n/")), ["n/", "n/text.tar", "n/zeros"]);
    for words in ["plain dir /n/", "dir plain /n/"] {
        assert_eq!(world.copied(&add(words)), ["n/", "n/file", "n/same"], "another name of it stays a file");
    }
    header[124..136].copy_from_slice(b"00000001000\0");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    fs::write(world.path("cut"), header).expect("a file");
    let error = failure(&world, &world.context(), &add("cut /n/"));
    assert_eq!(error.to_string(), "cannot unpack cut");
    assert_eq!(error.span().map(|span| span.start), Some(1));
    assert_eq!(error.hint().as_deref(), Some("COPY, and ADD --unpack=false, copy an archive as it is"));
}

#[test]
fn a_file_that_changes_is_named() {
    let world = World::with(&["dir/a", "dir/large"]);
    let context = world.context();
    let cancel = Cancel::new();
    let step = copy("dir /n/");
    for change in ["grown and more", "other"] {
        let selection = Selection::find(Input::Context(&context), &step, &cancel).expect("sources");
        world.write("dir/a", change);
        let options = PackOptions::default();
        let failed = execute(&world.store, &world.lease, &step, &selection, &empty(), options, &cancel);
        let Err(error @ CopyError::Changed { .. }) = failed else { panic!("copied") };
        assert_eq!(error.to_string(), "dir/a changed while it was being copied");
        assert!(matches!(selection.content_key(&cancel), Err(CopyError::Changed { .. })));
    }
    let selection = Selection::find(Input::Context(&context), &step, &cancel).expect("sources");
    fs::remove_file(world.path("dir/a")).expect("removed");
    make_fifo(&world.path("dir/a"));
    assert!(
        matches!(selection.content_key(&cancel), Err(CopyError::Changed { .. })),
        "a pipe is not waited for"
    );
}

#[test]
fn a_link_that_takes_the_place_of_a_directory_is_not_followed() {
    let world = World::with(&["dir/sub/a"]);
    let context = world.context();
    let cancel = Cancel::new();
    let selection = Selection::find(Input::Context(&context), &copy("dir /n/"), &cancel).expect("sources");
    let outside = TempDir::new().expect("a temporary directory");
    fs::rename(world.path("dir/sub"), outside.path().join("sub")).expect("moved");
    symlink(outside.path().join("sub"), world.path("dir/sub")).expect("a link");
    assert!(matches!(selection.content_key(&cancel), Err(CopyError::Changed { .. })));
}

#[test]
fn cancelling_ends_a_copy() {
    let world = World::with(&["dir/a"]);
    let context = world.context();
    let cancel = Cancel::new();
    let selection = Selection::find(Input::Context(&context), &copy("dir /n/"), &cancel).expect("sources");
    cancel.cancel();
    let options = PackOptions::default();
    let failed =
        execute(&world.store, &world.lease, &copy("dir /n/"), &selection, &empty(), options, &cancel);
    assert!(matches!(failed, Err(CopyError::Cancelled(_))));
    assert!(matches!(selection.content_key(&cancel), Err(CopyError::Cancelled(_))));
}
