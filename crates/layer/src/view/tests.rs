use std::collections::BTreeMap;

use image::{DiffId, Digest};
use proptest::prelude::*;
use store::table::TableBuilder;

use super::*;

/// A layer in words: `path kind`, where the kind is `f` (a file), `d` (a directory), `o` (an opaque directory), `w` (a whiteout), `>target` (a symbolic link),
/// `=target` (a hardlink). The mode of each entry is that of its layer's number, so that layers can be told apart.
fn layer(store: &Store, number: u32, entries: &[(&str, &str)]) -> Layer {
    let mut table = TableBuilder::new().expect("a table");
    for (path, kind) in entries {
        let kind = match kind.split_at(1) {
            ("f", _) => EntryKind::File {
                size: 0,
                content: store::table::ContentDigest(*blake3::hash(b"").as_bytes()),
                offset: 0,
                sparse: None,
            },
            ("d", _) => EntryKind::Directory { opaque: false, implied: false },
            ("o", _) => EntryKind::Directory { opaque: true, implied: false },
            ("w", _) => EntryKind::Whiteout,
            (">", target) => EntryKind::Symlink { target: target.as_bytes() },
            ("=", target) => EntryKind::Hardlink { target: target.as_bytes() },
            other => panic!("no kind {other:?}"),
        };
        table.entry(&Entry {
            path: path.as_bytes(),
            kind,
            mode: 0o700 + number,
            uid: number,
            gid: number,
            mtime: i64::from(number),
            xattrs: Vec::new(),
        });
    }
    let identity = format!("{number} {entries:?}");
    let table = table.finish(DiffId(Digest::sha256(identity.as_bytes())), 1024).expect("a table");
    let lease = store.lease("test").expect("a lease");
    let tree = store.temp_dir("tree").expect("a directory");
    store.layers().add(&lease, table, Some(tree)).expect("a layer")
}

fn scratch() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path().join("store")).expect("a store");
    (directory, store)
}

fn view_of(store: &Store, layers: &[&[(&str, &str)]]) -> View {
    let layers: Vec<Layer> =
        (1..).zip(layers).map(|(number, entries)| layer(store, number, entries)).collect();
    View::new(&layers)
}

/// All paths, each with the number of the layer that it comes from.
fn listing(view: &View) -> Vec<String> {
    view.walk(b"")
        .map(|(path, node)| format!("{}:{}", String::from_utf8_lossy(&path), view.entry(node).uid))
        .collect()
}

#[test]
fn st_041_layers_merge() {
    let (_directory, store) = scratch();
    type Case<'a> = (&'a str, &'a [&'a [(&'a str, &'a str)]], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        ("no layers", &[], &[":0"]),
        ("one", &[&[("a", "d"), ("a/b", "f")]], &[":0", "a:1", "a/b:1"]),
        ("the top-most wins", &[&[("a", "f")], &[("a", "f")]], &[":0", "a:2"]),
        ("a whiteout", &[&[("a", "f"), ("b", "f")], &[("a", "w")]], &[":0", "b:1"]),
        ("a whiteout of a tree", &[&[("a", "d"), ("a/b", "f")], &[("a", "w")]], &[":0"]),
        (
            "a whiteout hides lower layers only",
            &[&[("a/b", "f")], &[("a", "w")], &[("a", "d"), ("a/c", "f")]],
            &[":0", "a:3", "a/c:3"],
        ),
        (
            "an opaque directory hides what is below, and nothing of its own layer",
            &[&[("d", "d"), ("d/old", "f")], &[("d", "o"), ("d/new", "f")]],
            &[":0", "d:2", "d/new:2"],
        ),
        (
            "opaque deep inside",
            &[&[("d/e", "d"), ("d/e/x", "f"), ("d/y", "f")], &[("d", "d"), ("d/e", "o")]],
            &[":0", "d:2", "d/e:2", "d/y:1"],
        ),
        ("a file replaces a directory", &[&[("d/x", "f")], &[("d", "f")]], &[":0", "d:2"]),
        (
            "a directory after that does not bring back what was there",
            &[&[("d/x", "f")], &[("d", "f")], &[("d", "d"), ("d/y", "f")]],
            &[":0", "d:3", "d/y:3"],
        ),
        (
            "a directory replaces a link",
            &[&[("d", ">e"), ("e", "d")], &[("d/x", "f")]],
            &[":0", "d:0", "d/x:2", "e:1"],
        ),
        (
            "an implied directory has the metadata from below",
            &[&[("d", "d"), ("d/e", "d")], &[("d/e/f", "f")]],
            &[":0", "d:1", "d/e:1", "d/e/f:2"],
        ),
        (
            "but not through a whiteout",
            &[&[("d", "d"), ("d/e", "d")], &[("d", "w")], &[("d/e/f", "f")]],
            &[":0", "d:0", "d/e:0", "d/e/f:3"],
        ),
        (
            "a whiteout and new entries in one layer",
            &[&[("d", "d"), ("d/x", "f")], &[("d", "w"), ("d/y", "f")]],
            &[":0", "d:0", "d/y:2"],
        ),
        (
            "a whiteout through a link removes nothing (stereoscope#694)",
            &[&[("real", "d"), ("real/x", "f"), ("link", ">real")], &[("link/x", "w")]],
            &[":0", "link:0", "real:1", "real/x:1"],
        ),
        (
            "an opaque parent hides what a directory in it would be merged with",
            &[&[("d/e", "d"), ("d/e/x", "f")], &[("d", "o"), ("d/e", "d")], &[("d/e/y", "f")]],
            &[":0", "d:2", "d/e:2", "d/e/y:3"],
        ),
        (
            "and what an implied directory in it would have its metadata from",
            &[&[("d/e", "d")], &[("d", "o"), ("d/e/y", "f")]],
            &[":0", "d:2", "d/e:0", "d/e/y:2"],
        ),
        ("an opaque root", &[&[("a", "f")], &[("", "o"), ("b", "f")]], &[":2", "b:2"]),
        (
            "names around the slash",
            &[&[("a/x", "f"), ("a-b", "f")], &[("a.b", "f"), ("a", "d")]],
            &[":0", "a:2", "a/x:1", "a-b:1", "a.b:2"],
        ),
    ];
    for (what, layers, expected) in cases {
        let view = view_of(&store, layers);
        let listing = listing(&view);
        assert_eq!(listing, *expected, "{what}");
        for line in listing {
            let path = line.rsplit_once(':').expect("a colon").0.as_bytes();
            let children = view.children(path).len();
            let below =
                view.walk(path).skip(1).filter(|(found, _)| store::table::parent_of(found) == Some(path));
            assert_eq!(children, below.count(), "{what}: {line}");
        }
    }
}

#[test]
fn implied_directories_without_anything_below_have_the_fixed_metadata() {
    let (_directory, store) = scratch();
    let view = view_of(&store, &[&[("a/b", "f")]]);
    for path in ["", "a"] {
        let entry = view.entry(view.find(path.as_bytes()).expect("a node"));
        assert_eq!((entry.mode, entry.uid, entry.gid, entry.mtime), (0o755, 0, 0, FIXED_TIME), "{path}");
        assert_eq!(entry.path, path.as_bytes());
    }
}

#[test]
fn links_are_resolved_as_in_a_chroot() {
    let (_directory, store) = scratch();
    let view = view_of(
        &store,
        &[
            &[
                ("etc", "d"),
                ("etc/passwd", "f"),
                ("usr/lib", "d"),
                ("usr/lib/x", "f"),
                ("lib", ">usr/lib"),
                ("abs", ">/usr/lib"),
                ("up", ">../../../etc"),
                ("dangling", ">usr/none/file"),
                ("loop", ">loop"),
                ("a", ">b/"),
                ("b", ">/etc"),
                ("dot", ">."),
            ],
            &[("hard", "=lib"), ("etc/new", "f")],
        ],
    );
    type Case<'a> = (&'a str, bool, Result<(&'a str, bool), &'static str>);
    let cases: &[Case<'_>] = &[
        ("", true, Ok(("", true))),
        ("/", true, Ok(("", true))),
        ("/etc/passwd", true, Ok(("etc/passwd", true))),
        ("etc//./passwd", true, Ok(("etc/passwd", true))),
        ("../../etc/../etc/passwd", true, Ok(("etc/passwd", true))),
        ("lib/x", false, Ok(("usr/lib/x", true))),
        ("lib", false, Ok(("lib", true))),
        ("lib", true, Ok(("usr/lib", true))),
        ("lib/", false, Ok(("usr/lib", true))),
        ("lib/.", false, Ok(("usr/lib", true))),
        ("abs/x", true, Ok(("usr/lib/x", true))),
        ("up/passwd", true, Ok(("etc/passwd", true))),
        ("up/new", true, Ok(("etc/new", true))),
        ("lib/../x", true, Ok(("usr/x", false))),
        ("a/passwd", true, Ok(("etc/passwd", true))),
        ("hard/x", true, Ok(("usr/lib/x", true))),
        ("dot/dot/etc", true, Ok(("etc", true))),
        ("dangling", false, Ok(("dangling", true))),
        ("dangling", true, Ok(("usr/none/file", false))),
        ("dangling/more", true, Ok(("usr/none/file/more", false))),
        ("new/deep/path", true, Ok(("new/deep/path", false))),
        ("lib/new/deep", true, Ok(("usr/lib/new/deep", false))),
        ("new/../etc", true, Ok(("etc", true))),
        ("new/", true, Ok(("new", false))),
        ("loop", true, Err("there are too many symbolic links in it")),
        ("loop/x", false, Err("there are too many symbolic links in it")),
        ("loop", false, Ok(("loop", true))),
        ("etc/passwd/x", true, Err("a part of it is not a directory")),
        ("etc/passwd/", true, Err("a part of it is not a directory")),
        ("etc/passwd/..", true, Err("a part of it is not a directory")),
    ];
    for (path, follow, expected) in cases {
        let found = view.resolve(path.as_bytes(), *follow);
        let found = match &found {
            Ok(resolved) => Ok((std::str::from_utf8(&resolved.path).expect("text"), resolved.node.is_some())),
            Err(LayerError::Resolve { reason, .. }) => Err(*reason),
            Err(other) => panic!("{path}: {other}"),
        };
        assert_eq!(found, *expected, "{path} {follow}");
        if let Ok(Resolved { path, node }) = view.resolve(path.as_bytes(), *follow) {
            assert_eq!(view.find(&path), node);
        }
    }
}

#[test]
fn hardlinks_mean_files() {
    let (_directory, store) = scratch();
    let view = view_of(
        &store,
        &[
            &[("a", "f"), ("b", "=a"), ("low", "f")],
            // Here `a` is another file; the link of this layer means it, the one of the layer below does not.
            &[
                ("a", "f"),
                ("c", "=a"),
                ("d", "=low"),
                ("e", "=none"),
                ("f", "=e"),
                ("g", "=h"),
                ("h", "=g"),
                ("low", "w"),
            ],
        ],
    );
    for (link, target) in
        [("b", Some(1)), ("c", Some(2)), ("d", Some(1)), ("e", None), ("f", None), ("g", None)]
    {
        let node = view.find(link.as_bytes()).expect("a node");
        let file = view.file(node);
        match target {
            Some(number) => assert_eq!(view.entry(file).uid, number, "{link}"),
            None => assert_eq!(file, node, "{link}"),
        }
    }
    assert_eq!(view.entry(view.file(view.find(b"d").expect("a node"))).path, b"low");
}

/// What a filesystem is after layers were unpacked one after the other, as plainly as can be said.
#[derive(Default)]
struct Model(BTreeMap<Vec<u8>, (bool, u32)>);

impl Model {
    fn remove_below(&mut self, path: &[u8]) {
        let prefix = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        self.0.retain(|existing, _| !existing.starts_with(&prefix) || existing == path);
    }

    fn is_directory(&self, path: &[u8]) -> bool {
        self.0.get(path).is_some_and(|(directory, _)| *directory)
    }

    fn apply(&mut self, layer: &Layer) {
        // First everything is removed that the layer hides, then everything is made that it has.
        for entry in layer.table().entries() {
            match entry.kind {
                EntryKind::Directory { opaque: false, .. } if self.is_directory(entry.path) => {}
                EntryKind::Directory { opaque: true, implied } => {
                    self.remove_below(entry.path);
                    if implied {
                        self.0.remove(entry.path);
                    }
                }
                _ => {
                    self.remove_below(entry.path);
                    self.0.remove(entry.path);
                }
            }
        }
        for entry in layer.table().entries() {
            match entry.kind {
                EntryKind::Whiteout => {}
                EntryKind::Directory { implied: true, .. } => {
                    self.0.entry(entry.path.to_vec()).or_insert((true, 0));
                }
                kind => {
                    let directory = matches!(kind, EntryKind::Directory { .. });
                    self.0.insert(entry.path.to_vec(), (directory, entry.uid));
                }
            }
        }
    }
}

/// Up to five layers over few names, so that they meet often.
fn stacks() -> impl Strategy<Value = Vec<BTreeMap<String, char>>> {
    let path = proptest::collection::vec(proptest::sample::select(vec!["a", "b", "a-", "c"]), 1..4)
        .prop_map(|names| names.join("/"));
    let kind = proptest::sample::select(vec!['f', 'd', 'd', 'o', 'w']);
    proptest::collection::vec(proptest::collection::btree_map(path, kind, 0..8), 0..5)
}

/// A layer has nothing below what is not a directory (a scan refuses that; a whiteout becomes an opaque directory).
fn is_consistent(layer: &BTreeMap<String, char>) -> bool {
    layer.iter().filter(|(_, kind)| **kind == 'f').all(|(file, _)| {
        !layer.keys().any(|path| path.strip_prefix(file.as_str()).is_some_and(|rest| rest.starts_with('/')))
    })
}

#[test]
fn random_stacks_are_what_unpacking_them_gives() {
    let (_directory, store) = scratch();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = stacks().prop_map(|mut layers| {
        layers.retain(is_consistent);
        layers
    });
    runner.run(&strategy, |stack| compare_with_model(&store, &stack)).expect("the same");
}

fn compare_with_model(store: &Store, stack: &[BTreeMap<String, char>]) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    model.0.insert(Vec::new(), (true, 0));
    let mut view = View::new(&[]);
    for (number, entries) in (1..).zip(stack) {
        let kinds: Vec<(String, String)> =
            entries.iter().map(|(path, kind)| (path.clone(), kind.to_string())).collect();
        let entries: Vec<(&str, &str)> =
            kinds.iter().map(|(path, kind)| (path.as_str(), kind.as_str())).collect();
        let layer = layer(store, number, &entries);
        model.apply(&layer);
        view = view.with(layer);
    }
    let describe = |node: Node| {
        let entry = view.entry(node);
        (matches!(entry.kind, EntryKind::Directory { .. }), entry.uid)
    };
    let walked: Vec<_> = view.walk(b"").map(|(path, node)| (path, describe(node))).collect();
    let mut expected: Vec<_> = model.0.clone().into_iter().collect();
    expected.sort_by(|one, other| one.0.split(|byte| *byte == b'/').cmp(other.0.split(|byte| *byte == b'/')));
    prop_assert_eq!(&walked, &expected);
    for (path, (directory, _)) in &expected {
        let found = view.find(path).map(describe);
        prop_assert_eq!(found.as_ref(), model.0.get(path));
        let children: Vec<Vec<u8>> = view.children(path).into_iter().map(|(name, _)| name.to_vec()).collect();
        prop_assert!(*directory || children.is_empty());
        let names: Vec<Vec<u8>> = expected
            .iter()
            .filter(|(other, _)| !other.is_empty() && store::table::parent_of(other) == Some(path))
            .map(|(other, _)| other.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec())
            .collect();
        prop_assert_eq!(children, names);
        let below: Vec<Vec<u8>> = view.walk(path).map(|(path, _)| path).collect();
        let expected_below: Vec<Vec<u8>> = expected
            .iter()
            .map(|(other, _)| other.clone())
            .filter(|other| other == path || store::table::is_below(other, path))
            .collect();
        prop_assert_eq!(below, expected_below);
    }
    for path in ["a", "b", "c", "a-", "a/a", "a/b", "b/a", "a/b/c", "c/c/c"] {
        let found = view.find(path.as_bytes()).map(describe);
        prop_assert_eq!(found.as_ref(), model.0.get(path.as_bytes()));
    }
    Ok(())
}
