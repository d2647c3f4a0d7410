//! Where things go.

use super::*;

/// A base with directories and links of all sorts.
fn base(world: &World) -> View {
    world.view(&[
        Made("app", 0o2750, (5, 6), What::Directory),
        Made("app/deep", 0o700, (5, 6), What::Directory),
        file("app/file"),
        dir("bin"),
        link("lib", "usr/lib"),
        link("loop", "loop"),
        link("new", "/made/here"),
        dir("usr"),
        dir("usr/lib"),
        file("usr/lib/so"),
        link("usr/to-file", "lib/so"),
    ])
}

#[test]
fn df_111_df_112_df_118_where_things_go() {
    let world = World::with(&["a", "b", "dir/x", "dir/deep/y", "lib/z"]);
    let base = base(&world);
    let table: &[(&str, &str, &[&str])] = &[
        ("DF-111 relative", "a n", &["work/", "work/n"]),
        ("DF-111 a dot", "a .", &["work/", "work/a"]),
        ("DF-111 up", "a ../n/", &["n/", "n/a"]),
        ("DF-111 the root", "a /", &["a"]),
        ("DF-112 an existing directory", "a /app", &["app/", "app/a"]),
        ("DF-112 an existing file", "a /app/file", &["app/", "app/file"]),
        ("DF-112 files and directories together", "dir a /n", &["n/", "n/a", "n/deep/", "n/deep/y", "n/x"]),
        ("DF-112 two directories", "dir lib /n", &["n/", "n/deep/", "n/deep/y", "n/x", "n/z"]),
        ("DF-118 a link in the parents", "a /lib/n", &["usr/", "usr/lib/", "usr/lib/n"]),
        ("DF-118 a link to a directory", "a /lib", &["usr/", "usr/lib/", "usr/lib/a"]),
        ("DF-118 a dangling link", "a /new/", &["made/", "made/here/", "made/here/a"]),
        (
            "DF-118 a directory onto a dangling link",
            "dir /new",
            &["made/", "made/here/", "made/here/deep/", "made/here/deep/y", "made/here/x"],
        ),
        ("DF-119 a link to a file is replaced", "a /usr/to-file", &["usr/", "usr/to-file"]),
        ("DF-119 a dangling link is replaced", "a /new", &["new"]),
        ("DF-121 merged", "dir /app", &["app/", "app/deep/", "app/deep/y", "app/x"]),
        ("only what is new", "lib /usr/lib/", &["usr/", "usr/lib/", "usr/lib/z"]),
    ];
    for (rule, words, expected) in table {
        let layer = world.copy(&world.context(), &base, &copy(words));
        let layer = layer.unwrap_or_else(|error| panic!("{rule}: {error}"));
        assert_eq!(list(&layer), *expected, "{rule}: {words}");
    }
    let empty_words = CopyStep { destination: String::new(), ..copy("a /") };
    assert_eq!(world.copied(&empty_words), ["work/", "work/a"], "DF-111 an empty destination");
}

#[test]
fn df_120_df_121_df_123_metadata_of_directories() {
    let world = World::with(&["a", "dir/deep/y"]);
    for path in ["dir", "dir/deep"] {
        world.mode(path, 0o711);
        world.set_time(path, 77);
    }
    let base = base(&world);
    let made = (0o755, (0, 0), layer::FIXED_TIME);
    let copied = |step: &CopyStep| world.copy(&world.context(), &base, step).expect("a layer");

    let layer = copied(&copy("dir /one/two"));
    assert_eq!(meta(&layer, "one"), made, "DF-120");
    assert_eq!(meta(&layer, "one/two"), made, "DF-121 a new destination is not the source");
    assert_eq!(meta(&layer, "one/two/deep"), (0o711, (0, 0), 77));

    let layer = copied(&copy("dir /app"));
    assert_eq!(meta(&layer, "app"), (0o2750, (5, 6), TIME), "DF-121 DF-123 an existing destination stays");
    assert_eq!(meta(&layer, "app/deep"), (0o711, (0, 0), 77), "DF-121 nested directories are the source's");

    let layer = copied(&copy("a /app/deep/"));
    assert_eq!(meta(&layer, "app/deep"), (0o700, (5, 6), TIME), "parents as they are in the base");

    let layer = copied(&chown("dir /one/two", "9:10"));
    assert_eq!(meta(&layer, "one"), (0o755, (9, 10), layer::FIXED_TIME), "DF-120 owners of parents");
    assert_eq!(meta(&layer, "one/two/deep/y").1, (9, 10));
    let layer = copied(&chown("a /app/", "9:10"));
    assert_eq!(meta(&layer, "app").1, (5, 6), "--chown leaves what was there");

    let layer = copied(&chmod("dir /one/two", "700"));
    assert_eq!(meta(&layer, "one").0, 0o755, "DF-120 created parents can be entered");
    assert_eq!(meta(&layer, "one/two").0, 0o700, "DF-121 --chmod");
}

#[test]
fn df_119_conflicts() {
    let world = World::with(&["a", "app", "deep", "dir/lib/z", "dir/file/w", "two/a/b", "three/a"]);
    let base = base(&world);
    let table: &[(&str, &str)] = &[
        ("deep /app/", "cannot copy a file to /app/deep: it is a directory in the image"),
        ("app /", "cannot copy a file to /app: it is a directory in the image"),
        ("dir /app/file", "cannot copy a directory to /app/file: it is a file in the image"),
        ("a /app/file/", "cannot copy a directory to /app/file: it is a file in the image"),
        ("dir /app/", "cannot copy a directory to /app/file: it is a file in the image"),
        ("dir /", "cannot copy a directory to /lib: it is a symbolic link in the image"),
        (
            "three two /n/",
            "cannot copy a directory to /n/a: it is a file from an earlier source of this instruction",
        ),
        (
            "two three /n/",
            "cannot copy a file to /n/a: it is a directory from an earlier source of this instruction",
        ),
        (
            "a two /n",
            "cannot copy a directory to /n: it is a file from an earlier source of this instruction",
        ),
        ("a deep /n", "several files are copied to /n, which is not a directory"),
        ("a /app/file/n", "the destination /app/file/n can not be used: a part of it is not a directory"),
        ("a /loop/", "the destination /loop/ can not be used: there are too many symbolic links in it"),
    ];
    for (words, expected) in table {
        match world.copy(&world.context(), &base, &copy(words)) {
            Ok(layer) => panic!("{words}: {:?}", list(&layer)),
            Err(error) => {
                assert_eq!(error.to_string(), *expected, "{words}");
                assert!(error.span().is_some(), "{words}");
            }
        }
    }
}

#[test]
fn df_112_later_sources_win() {
    let world = World::with(&["one/x", "one/y", "two/x"]);
    let layer = world.copy(&world.context(), &empty(), &copy("one two /n/")).expect("a layer");
    assert_eq!(list(&layer), ["n/", "n/x", "n/y"]);
    assert_eq!(world.text(&layer, "n/x"), "two/x");
    assert_eq!(world.text(&layer, "n/y"), "one/y");
}
