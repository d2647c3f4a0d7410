//! Which sources are found, and what is taken of them.

use super::*;

#[test]
fn df_112_to_df_117_sources_and_destinations() {
    let world = World::with(&[
        "a",
        "b",
        "dir/x",
        "dir/sub/y",
        "dir/sub/link -> ../x",
        "other/x",
        "other/z",
        "arr[0].txt",
        "a.txt",
        "b.txt",
        "s*r",
        "link -> dir",
        "file-link -> a",
        "chain -> link/sub",
        "out -> /a",
        "up -> ../../../a",
    ]);
    let table: &[(&str, &str, &[&str])] = &[
        ("DF-112 a new name", "a /n", &["n"]),
        ("DF-112 into a directory", "a /n/", &["n/", "n/a"]),
        ("DF-112 a wildcard with one match may name the file", "?.txt /n/", &["n/", "n/a.txt", "n/b.txt"]),
        ("DF-112 one match", "a.* /n", &["n"]),
        (
            "DF-113 contents, not the directory",
            "dir /n",
            &["n/", "n/sub/", "n/sub/link -> ../x", "n/sub/y", "n/x"],
        ),
        (
            "DF-113 the same with a slash",
            "dir/ /n",
            &["n/", "n/sub/", "n/sub/link -> ../x", "n/sub/y", "n/x"],
        ),
        (
            "DF-113 the same with a dot",
            "dir/. /n/",
            &["n/", "n/sub/", "n/sub/link -> ../x", "n/sub/y", "n/x"],
        ),
        (
            "DF-113 matched directories are flattened",
            "*r /n/",
            &["n/", "n/s*r", "n/sub/", "n/sub/link -> ../x", "n/sub/y", "n/x", "n/z"],
        ),
        ("DF-114 a wildcard without a match beside others", "a nothing* /n/", &["n/", "n/a"]),
        ("DF-115 stars end at a slash", "*/x /n/", &["n/", "n/x"]),
        ("DF-115 a bracket", "arr[[]0].txt /n/", &["arr[0].txt"]),
        ("DF-115 an escaped star", "s\\*r /n/", &["n/", "n/s*r"]),
        ("DF-115 two stars are one", "**/y /n/", &[]),
        ("DF-116 clamped to the root", "../../a /n/", &["n/", "n/a"]),
        ("DF-116 a slash at the start", "/dir/x /n/", &["n/", "n/x"]),
        ("DF-117 a named link to a file", "file-link /n/", &["n/", "n/file-link"]),
        (
            "DF-117 a named link to a directory",
            "link /n/",
            &["n/", "n/sub/", "n/sub/link -> ../x", "n/sub/y", "n/x"],
        ),
        ("DF-117 links on the way", "chain/y /n/", &["n/", "n/y"]),
        ("DF-117 a link that leads to the root", "out /n/", &["n/", "n/out"]),
        ("DF-117 a link that leads out", "up /n/", &["n/", "n/up"]),
        ("DF-117 links as matches", "*-link /n/", &["n/", "n/file-link"]),
    ];
    for (rule, words, expected) in table {
        if expected.is_empty() {
            let failed = world.copy(&world.context(), &empty(), &copy(words));
            assert!(matches!(failed, Err(CopyError::NothingMatched { .. })), "{rule}");
            continue;
        }
        let found = world.copied(&copy(words));
        let expected: Vec<_> =
            expected.iter().map(|path| if *path == "arr[0].txt" { "n/arr[0].txt" } else { path }).collect();
        let expected = if *rule == "DF-115 a bracket" { [vec!["n/"], expected].concat() } else { expected };
        assert_eq!(found, expected, "{rule}: {words}");
    }
}

#[test]
fn df_117_a_followed_link_has_the_targets_contents() {
    let world = World::with(&["a", "deep/file", "l -> deep/file", "up -> ../../../../a"]);
    let layer = world.copy(&world.context(), &empty(), &copy("l up /n/")).expect("a layer");
    assert_eq!(world.text(&layer, "n/l"), "deep/file");
    assert_eq!(world.text(&layer, "n/up"), "a");
}

#[test]
fn df_184_to_df_189_the_ignore_file() {
    let entries =
        ["a.txt", "b.md", "dir/x", "dir/keep/y", "dir/keep/z", "node/m/n", "sub/node", "Dockerfile"];
    let everything = &[
        "n/",
        "n/Dockerfile",
        "n/a.txt",
        "n/b.md",
        "n/dir/",
        "n/dir/keep/",
        "n/dir/keep/y",
        "n/dir/keep/z",
        "n/dir/x",
        "n/node/",
        "n/node/m/",
        "n/node/m/n",
        "n/sub/",
        "n/sub/node",
    ];
    let table: &[(&str, &str, &[&str])] = &[
        ("", ". /n/", everything),
        ("DF-189\n.\n/", ". /n/", &[]),
        ("*", ". /n/", &["n/"]),
        ("dir\nnode", ". /n/", &["n/", "n/Dockerfile", "n/a.txt", "n/b.md", "n/sub/", "n/sub/node"]),
        ("**/node", "node* sub /n/", &["n/"]),
        ("*\n!dir/keep/y", ". /n/", &["n/", "n/dir/", "n/dir/keep/", "n/dir/keep/y"]),
        ("*\n!dir/keep/y", "dir /n/", &["n/", "n/keep/", "n/keep/y"]),
        ("dir\n!dir/keep/*\ndir/keep/z", "dir /n/", &["n/", "n/keep/", "n/keep/y"]),
        ("dir\n!*/keep", "*.md dir/keep /n/", &["n/", "n/b.md", "n/y", "n/z"]),
        (
            "dir\n!dir/nothing",
            ". /n/",
            &[
                "n/",
                "n/Dockerfile",
                "n/a.txt",
                "n/b.md",
                "n/node/",
                "n/node/m/",
                "n/node/m/n",
                "n/sub/",
                "n/sub/node",
            ],
        ),
        ("Dockerfile\n*.md", "D* *.md a.txt /n/", &["n/", "n/a.txt"]),
    ];
    for (lines, words, expected) in table {
        let world = World::with(&entries);
        let context = world.ignoring(lines);
        let found = world.copy(&context, &empty(), &copy(words)).map(|layer| list(&layer));
        let expected = if lines.starts_with("DF-189") { everything } else { *expected };
        assert_eq!(found.unwrap_or_else(|error| panic!("{lines:?}: {error}")), expected, "{lines:?} {words}");
    }
}

#[test]
fn df_129_exclude() {
    let entries = ["a.txt", "b.md", "dir/x.txt", "dir/sub/y.txt", "dir/sub/z.md", "dir/README.md", "node/m"];
    let table: &[(CopyStep, &[&str])] = &[
        (excluding("dir /n/", &["*.txt"]), &["n/", "n/README.md", "n/sub/", "n/sub/y.txt", "n/sub/z.md"]),
        (excluding("dir /n/", &["**/*.txt"]), &["n/", "n/README.md", "n/sub/", "n/sub/z.md"]),
        (excluding("dir /n/", &["sub"]), &["n/", "n/README.md", "n/x.txt"]),
        (excluding("dir /n/", &["*", "!sub/z.md"]), &["n/", "n/sub/", "n/sub/z.md"]),
        (
            excluding("* /n/", &["*.md", "node"]),
            &["n/", "n/a.txt", "n/sub/", "n/sub/y.txt", "n/sub/z.md", "n/x.txt"],
        ),
        (excluding("a.txt b.md /n/", &["*.md"]), &["n/", "n/a.txt"]),
        (
            excluding("dir /n/", &["dir"]),
            &["n/", "n/README.md", "n/sub/", "n/sub/y.txt", "n/sub/z.md", "n/x.txt"],
        ),
    ];
    let world = World::with(&entries);
    for (step, expected) in table {
        assert_eq!(world.copied(step), *expected, "{:?} {:?}", step.sources, step.exclude);
    }
}

#[test]
fn df_128_parents() {
    let entries = ["a", "x/y/z.txt", "x/y/w.md", "x/v.txt", "q/y/z.txt", "l -> x"];
    let table: &[(CopyStep, &[&str])] = &[
        (parents("x/y/z.txt /n/"), &["n/", "n/x/", "n/x/y/", "n/x/y/z.txt"]),
        (parents("x/y/z.txt /n"), &["n/", "n/x/", "n/x/y/", "n/x/y/z.txt"]),
        (parents("a x/y /n/"), &["n/", "n/a", "n/x/", "n/x/y/", "n/x/y/w.md", "n/x/y/z.txt"]),
        (parents("x/./y/z.txt /n/"), &["n/", "n/y/", "n/y/z.txt"]),
        (parents("./x/./y /n/"), &["n/", "n/y/", "n/y/w.md", "n/y/z.txt"]),
        (
            parents("**/*.txt /n/"),
            &["n/", "n/q/", "n/q/y/", "n/q/y/z.txt", "n/x/", "n/x/v.txt", "n/x/y/", "n/x/y/z.txt"],
        ),
        (parents("*/y/z.txt /n/"), &["n/", "n/q/", "n/q/y/", "n/q/y/z.txt", "n/x/", "n/x/y/", "n/x/y/z.txt"]),
        (parents("l/y/z.txt /n/"), &["n/", "n/l/", "n/l/y/", "n/l/y/z.txt"]),
        (
            CopyStep { exclude: vec!["x/y/*.md".to_owned()], ..parents("x /n/") },
            &["n/", "n/x/", "n/x/v.txt", "n/x/y/", "n/x/y/z.txt"],
        ),
    ];
    let world = World::with(&entries);
    for (step, expected) in table {
        assert_eq!(world.copied(step), *expected, "{:?}", step.sources);
    }
    world.mode("x/y", 0o700);
    world.set_time("x/y", TIME);
    let layer = world.copy(&world.context(), &empty(), &parents("x/y/z.txt /n/")).expect("a layer");
    assert_eq!(meta(&layer, "n/x/y"), (0o700, (0, 0), TIME), "DF-128 parents have their sources' metadata");
}

#[test]
fn df_033_heredocs() {
    let world = World::new();
    let heredoc =
        |name: &str, text: &str| CopySource::Heredoc { name: name.to_owned(), content: text.into() };
    let step = CopyStep { sources: vec![heredoc("one", "1\n"), heredoc("two", "2\n")], ..copy("/n/") };
    let nothing = empty();
    let layer = world.copy_from(Input::View(&nothing), &nothing, &step).expect("a layer");
    assert_eq!(list(&layer), ["n/", "n/one", "n/two"]);
    assert_eq!(meta(&layer, "n/one"), (0o644, (0, 0), layer::FIXED_TIME));
    assert_eq!(world.text(&layer, "n/two"), "2\n");

    let named = CopyStep {
        sources: vec![heredoc("EOF", "x")],
        destination: "/etc/conf".to_owned(),
        ..chmod("/", "755")
    };
    let layer = world.copy_from(Input::View(&nothing), &nothing, &named).expect("a layer");
    assert_eq!(list(&layer), ["etc/", "etc/conf"]);
    assert_eq!(meta(&layer, "etc/conf").0, 0o755);

    let escaping = CopyStep { sources: vec![heredoc("..", "x")], ..copy("/n/") };
    let failed = world.copy_from(Input::View(&nothing), &nothing, &escaping);
    assert!(matches!(failed, Err(CopyError::Destination { .. })));
}

#[test]
fn df_144_views_are_looked_up_from_their_root() {
    let world = World::new();
    let image = world.view(&[
        Made("app", 0o750, (7, 8), What::Directory),
        Made("app/bin", 0o4755, (7, 8), What::File("bin")),
        Made("app/l", 0o777, (7, 8), What::Link("bin")),
        Made("app/pipe", 0o600, (7, 8), What::Fifo),
        Made("app/same", 0o4755, (7, 8), What::Hardlink("app/bin")),
        Made("current", 0o777, (0, 0), What::Link("/app")),
    ]);
    for words in ["app /n/", "/app /n/", "current/ /n/", "c* /n/", "../app/. /n/"] {
        let layer = world.copy_from(Input::View(&image), &empty(), &copy(words)).expect(words);
        assert_eq!(list(&layer), ["n/", "n/bin", "n/l -> bin", "n/pipe", "n/same = n/bin"], "{words}");
        assert_eq!(meta(&layer, "n/bin"), (0o4755, (7, 8), TIME), "DF-122 owners of images are kept");
        assert_eq!(world.text(&layer, "n/same"), "bin");
    }
    let step = excluding("app /n/", &["*", "!bin"]);
    let layer = world.copy_from(Input::View(&image), &empty(), &step).expect("a layer");
    assert_eq!(list(&layer), ["n/", "n/bin"]);
    let failed = world.copy_from(Input::View(&image), &empty(), &copy("ap /n/"));
    let Err(error @ CopyError::Missing { .. }) = failed else { panic!("found") };
    assert_eq!(error.to_string(), "there is no ap in the image that is copied from (did you mean app?)");
}

#[test]
fn df_143_an_empty_copy_is_an_empty_layer() {
    let world = World::with(&["dir/"]);
    let base = world.view(&[dir("there")]);
    let layer = world.copy(&world.context(), &base, &copy("dir /there/")).expect("a layer");
    assert!(list(&layer).is_empty(), "{:?}", list(&layer));
}

#[test]
fn more_than_is_read_ahead() {
    let world = World::new();
    let size = |number: usize| if number % 40 == 7 { 700_000 } else { 200_000 + number };
    for number in 0..120 {
        world.write(&format!("dir/{number:03}"), &format!("{number:03}").repeat(size(number) / 3));
    }
    world.write("dir/empty", "");
    let layer = world.copy(&world.context(), &empty(), &copy("dir /n/")).expect("a layer");
    assert_eq!(list(&layer).len(), 122);
    for number in [0, 7, 47, 119] {
        let text = world.text(&layer, &format!("n/{number:03}"));
        assert_eq!(text, format!("{number:03}").repeat(size(number) / 3), "{number}");
    }
}
