use std::os::unix::fs::MetadataExt;

use super::*;
use crate::testing::{Make, Scratch, What, capability, file, layer, look, make, scratch};

/// Unpacks the upper-most layer of a stack.
fn unpack(scratch: &Scratch, stack: &[Layer]) -> Result<TempDir> {
    let (top, below) = stack.split_last().expect("a layer");
    let tree = scratch.store.temp_dir("tree").expect("a directory");
    let mut pack = scratch.store.blobs().open(&scratch.lease, &top.diff_id().0).expect("a pack").file;
    apply(&scratch.store, &scratch.lease, &mut pack, top.table(), below, &tree, &Cancel::new())?;
    Ok(tree)
}

/// One line for each entry: path, mode, owner, time, what it is.
fn lines(tree: &TempDir) -> Vec<String> {
    look(tree.path())
        .into_iter()
        .map(|(path, seen)| {
            let link = if seen.inode == path { String::new() } else { format!(" = {}", seen.inode) };
            let what = seen.what.split(' ').take(2).collect::<Vec<_>>().join(" ");
            let xattrs: Vec<&str> = seen.xattrs.keys().map(String::as_str).collect();
            let xattrs = if xattrs.is_empty() { String::new() } else { format!(" {xattrs:?}") };
            let (uid, gid) = seen.owner;
            format!(
                "{path} {:o} {uid}:{gid} {}.{} {what}{link}{xattrs}",
                seen.mode, seen.mtime.0, seen.mtime.1
            )
        })
        .collect()
}

#[test]
fn st_053_everything_is_made_with_its_metadata() {
    let scratch = scratch();
    let big = (0..700_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
    let entries = [
        Make { mode: 0o700, owner: (5, 6), mtime: 7, ..make("", What::Directory) },
        Make { mode: 0o2775, owner: (1, 2), mtime: -5, ..make("d", What::Directory) },
        Make { mode: 0o4755, owner: (1000, 100), ..file("d/setuid", "x") },
        Make {
            xattrs: vec![("security.capability", capability()), ("user.note", b"a\0b".to_vec())],
            owner: (3, 4),
            ..file("d/caps", "caps")
        },
        Make { mode: 0o000, ..file("d/closed", "") },
        make("d/big", What::File(big)),
        Make { owner: (9, 8), mtime: 3, ..make("d/link", What::Symlink("/etc/passwd")) },
        Make { mode: 0o622, ..make("fifo", What::Fifo) },
        Make { mode: 0o666, owner: (0, 5), ..make("null", What::Character(1, 3)) },
        make("gone", What::Whiteout),
        make("opaque", What::Opaque),
        make("another", What::Link("d/caps")),
        make("third", What::Link("another")),
        Make {
            xattrs: vec![
                ("trusted.overlay.redirect", b"/etc".to_vec()),
                ("trusted.overlay.opaque", b"y".to_vec()),
            ],
            ..make("sly", What::Directory)
        },
    ];
    let tree = unpack(&scratch, &[layer(&scratch, &entries)]).expect("a tree");
    assert_eq!(
        lines(&tree),
        [
            " 700 5:6 7.0 directory",
            "another 644 3:4 1000000000.0 file 4 [\"security.capability\", \"user.note\"]",
            "d 2775 1:2 -5.0 directory",
            "d/big 644 0:0 1000000000.0 file 2800000",
            "d/caps 644 3:4 1000000000.0 file 4 = another [\"security.capability\", \"user.note\"]",
            "d/closed 0 0:0 1000000000.0 file 0",
            "d/link 777 9:8 3.0 link to",
            "d/setuid 4755 1000:100 1000000000.0 file 1",
            "fifo 622 0:0 1000000000.0 fifo",
            &format!("gone 0 0:0 {} device true", mtime_of(&tree, "gone")),
            "null 666 0:5 1000000000.0 device true",
            "opaque 755 0:0 1000000000.0 directory [\"trusted.overlay.opaque\"]",
            "sly 755 0:0 1000000000.0 directory",
            "third 644 3:4 1000000000.0 file 4 = another [\"security.capability\", \"user.note\"]",
        ]
    );
}

/// The time of a whiteout means nothing.
fn mtime_of(tree: &TempDir, path: &str) -> String {
    let stat = std::fs::symlink_metadata(tree.path().join(path)).expect("a stat");
    format!("{}.{}", stat.mtime(), stat.mtime_nsec())
}

#[test]
fn st_056_sparse_files_have_holes() {
    let scratch = scratch();
    let piece = vec![b'x'; 4096];
    let entries = [
        make("s", What::Sparse(64 << 20, vec![(0, piece.clone()), (32 << 20, piece.clone())])),
        make("all", What::Sparse(1 << 20, Vec::new())),
        make("end", What::Sparse(8192, vec![(4096, piece)])),
    ];
    let tree = unpack(&scratch, &[layer(&scratch, &entries)]).expect("a tree");
    for (path, size, stored) in [("s", 64 << 20, 8192), ("all", 1 << 20, 0), ("end", 8192, 4096)] {
        let stat = std::fs::metadata(tree.path().join(path)).expect("a stat");
        assert_eq!(stat.len(), size, "{path}");
        assert!(stat.blocks() * 512 <= stored + 65536, "{path} has {} blocks", stat.blocks());
    }
}

#[test]
fn st_054_hardlinks_into_lower_layers_copy_the_file_with_its_metadata() {
    let scratch = scratch();
    let lower = layer(
        &scratch,
        &[
            Make {
                mode: 0o4711,
                owner: (7, 8),
                mtime: 77,
                xattrs: vec![("user.a", b"b".to_vec())],
                ..file("bin/tool", "lower")
            },
            make("bin/link", What::Symlink("tool")),
        ],
    );
    let upper = layer(
        &scratch,
        &[
            make("a", What::Link("bin/tool")),
            make("b", What::Link("bin/tool")),
            make("c", What::Link("a")),
            make("d", What::Link("bin/link")),
        ],
    );
    let tree = unpack(&scratch, &[lower, upper]).expect("a tree");
    assert_eq!(
        lines(&tree)[1..],
        [
            "a 4711 7:8 77.0 file 5 [\"user.a\"]",
            "b 4711 7:8 77.0 file 5 = a [\"user.a\"]",
            "c 4711 7:8 77.0 file 5 = a [\"user.a\"]",
            "d 777 0:0 1000000000.0 link to",
        ]
    );
}

#[test]
fn implied_directories_have_the_metadata_from_below() {
    let scratch = scratch();
    let lower = layer(
        &scratch,
        &[
            Make { mode: 0o1777, owner: (1, 2), mtime: 33, ..make("tmp", What::Directory) },
            Make {
                mode: 0o700,
                xattrs: vec![("user.x", b"y".to_vec())],
                ..make("tmp/deep", What::Directory)
            },
        ],
    );
    let upper = layer(&scratch, &[file("tmp/deep/f", ""), file("new/f", "")]);
    let tree = unpack(&scratch, &[lower, upper]).expect("a tree");
    let fixed = crate::FIXED_TIME;
    assert_eq!(
        lines(&tree),
        [
            format!(" 755 0:0 {fixed}.0 directory"),
            format!("new 755 0:0 {fixed}.0 directory"),
            "new/f 644 0:0 1000000000.0 file 0".to_owned(),
            "tmp 1777 1:2 33.0 directory".to_owned(),
            "tmp/deep 700 0:0 1000000000.0 directory [\"user.x\"]".to_owned(),
            "tmp/deep/f 644 0:0 1000000000.0 file 0".to_owned(),
        ]
    );
}

#[test]
fn what_cannot_be_applied_is_refused_with_its_place() {
    let scratch = scratch();
    let cases: Vec<(&str, Vec<Make>)> = vec![
        ("which is not a file of this layer or of one below", vec![make("x", What::Link("none"))]),
        ("which is a directory", vec![make("d", What::Directory), make("x", What::Link("d"))]),
        ("and so on without end", vec![make("x", What::Link("y")), make("y", What::Link("x"))]),
        ("overlayfs' own sign", vec![make("x", What::Character(0, 0))]),
        ("overlap", vec![make("x", What::Sparse(10, vec![(4, b"ab".to_vec()), (5, b"c".to_vec())]))]),
    ];
    for (reason, entries) in cases {
        match unpack(&scratch, &[layer(&scratch, &entries)]) {
            Err(LayerError::Entry { entry, reason: found }) => {
                assert!(entry == b"x" || entry == b"y", "{reason}");
                assert!(found.contains(reason), "{found}");
            }
            Err(other) => panic!("{reason}: {other}"),
            Ok(_) => panic!("{reason}: was applied"),
        }
    }
}

#[test]
fn contents_are_verified_and_nothing_stays() {
    let scratch = scratch();
    let whole = layer(&scratch, &[file("small", "contents"), make("big", What::File(vec![7; 300_000]))]);
    let pack = std::fs::read(scratch.store.blobs().path(&whole.diff_id().0)).expect("a pack");
    for place in [pack.len() - 200_000, pack.windows(8).position(|part| part == b"contents").expect("there")]
    {
        let mut damaged = pack.clone();
        damaged[place] ^= 1;
        let tree = scratch.store.temp_dir("tree").expect("a directory");
        let result = apply(
            &scratch.store,
            &scratch.lease,
            &mut damaged.as_slice(),
            whole.table(),
            &[],
            &tree,
            &Cancel::new(),
        );
        assert!(matches!(result, Err(LayerError::Entry { .. })), "{place}: {result:?}");
    }
    for length in [0, 100, pack.len() - 10_000] {
        let tree = scratch.store.temp_dir("tree").expect("a directory");
        let result = apply(
            &scratch.store,
            &scratch.lease,
            &mut &pack[..length],
            whole.table(),
            &[],
            &tree,
            &Cancel::new(),
        );
        assert!(matches!(result, Err(LayerError::Stream { .. })), "{length}: {result:?}");
    }
    let cancel = Cancel::new();
    cancel.cancel();
    let tree = scratch.store.temp_dir("tree").expect("a directory");
    let result =
        apply(&scratch.store, &scratch.lease, &mut pack.as_slice(), whole.table(), &[], &tree, &cancel);
    assert!(matches!(result, Err(LayerError::Cancelled(_))), "{result:?}");
}

#[test]
fn st_070_no_path_leads_through_a_link() {
    let scratch = scratch();
    let place = scratch.directory.path();
    let outside = place.join("outside");
    let root = place.join("root");
    std::fs::create_dir_all(root.join("real/deep")).expect("mkdir");
    std::fs::create_dir_all(&outside).expect("mkdir");
    for (link, target) in [
        ("absolute", "/"),
        ("up", ".."),
        ("outside", "../outside"),
        ("inside", "real"),
        ("real/deep/magic", "/proc/self/root"),
    ] {
        std::os::unix::fs::symlink(target, root.join(link)).expect("symlink");
    }
    let mut rooted = Rooted::open(&root, Ownership::Host).expect("open");
    assert!(rooted.create(b"real/deep/fine").is_ok());
    for parent in
        ["absolute", "up", "outside", "inside", "real/deep/magic", "..", "real/../..", "inside/deep"]
    {
        let path = format!("{parent}/f").into_bytes();
        assert!(rooted.create(&path).is_err(), "{parent}");
        assert!(make_directory(&mut rooted, &path).is_err(), "{parent}");
        assert!(rooted.examine(&path).is_err(), "{parent}");
    }
    // The last component is never followed either.
    std::os::unix::fs::symlink(outside.join("made"), root.join("dangling")).expect("symlink");
    assert!(rooted.create(b"dangling").is_err());
    assert!(rooted.read(b"dangling").is_err());
    assert_eq!(std::fs::read_dir(&outside).expect("a directory").count(), 0);
}

#[test]
fn deep_and_long_paths_work() {
    let scratch = scratch();
    let deep: &'static str = Box::leak(vec!["d"; 1000].join("/").into_boxed_str());
    let long: &'static str = Box::leak(vec!["n".repeat(255); 15].join("/").into_boxed_str());
    let tree =
        unpack(&scratch, &[layer(&scratch, &[file(deep, "deep"), file(long, "long")])]).expect("a tree");
    let mut rooted = Rooted::open(tree.path(), Ownership::Host).expect("open");
    for (path, text) in [(deep, "deep"), (long, "long")] {
        let contents = std::io::read_to_string(rooted.read(path.as_bytes()).expect("open")).expect("read");
        assert_eq!(contents, text);
    }
}
