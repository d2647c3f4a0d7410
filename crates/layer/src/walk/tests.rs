mod random;

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, XattrFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use store::Ownership;
use store::table::EntryKind;

use super::*;
use crate::testing::{Scratch, Seen, What, capability, file, layer, look, make, scratch};
use crate::{LayerError, forms};

/// A mounted overlay, unmounted when dropped.
struct Overlay {
    place: PathBuf,
}

impl Overlay {
    /// Mounts trees, the lowest first; below an upper directory if there is one (then `work` lies beside it).
    fn mount(place: PathBuf, trees: &[PathBuf], upper: Option<&Path>) -> Self {
        fs::create_dir_all(&place).expect("mkdir");
        let mut lower: Vec<String> =
            trees.iter().rev().map(|tree| tree.to_str().expect("text").to_owned()).collect();
        // One lower directory alone is no overlay that can be read only.
        for name in ["nothing", "nothing-else"].iter().take(2_usize.saturating_sub(lower.len())) {
            let empty = place.with_file_name(name);
            fs::create_dir_all(&empty).expect("mkdir");
            lower.push(empty.to_str().expect("text").to_owned());
        }
        let mut options = format!("lowerdir={},redirect_dir=off,metacopy=off,index=off", lower.join(":"));
        if let Some(upper) = upper {
            let work = upper.with_file_name("work");
            fs::create_dir_all(&work).expect("mkdir");
            options += &format!(",upperdir={},workdir={}", upper.display(), work.display());
        }
        let options = CString::new(options).expect("no zero bytes");
        rustix::mount::mount("overlay", &place, "overlay", MountFlags::empty(), options.as_c_str())
            .expect("an overlay is mounted (this test needs root and overlayfs)");
        Self { place }
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.place, UnmountFlags::DETACH).expect("unmounted");
    }
}

/// What a RUN does: acts in an overlay over a stack, and becomes a layer. Gives what was seen before the overlay went, too.
fn run(scratch: &Scratch, stack: &[Layer], act: impl FnOnce(&Path)) -> (Layer, Looked) {
    let upper = scratch.store.temp_dir("run").expect("a directory");
    let path = upper.subdirectory("upper").expect("a directory");
    let below = View::new(stack);
    prepare_upper(&scratch.store, &path, &below).expect("prepared");
    let trees = forms::trees(&scratch.store, &scratch.lease, stack, &Cancel::new()).expect("trees");
    let overlay = Overlay::mount(upper.path().join("merged"), &trees, Some(&path));
    act(&overlay.place);
    let seen = look(&overlay.place);
    drop(overlay);
    (commit(scratch, upper, &below, None).expect("a layer"), seen)
}

type Looked = std::collections::BTreeMap<String, Seen>;

fn commit(scratch: &Scratch, upper: TempDir, below: &View, clamp: Option<i64>) -> Result<Layer> {
    let options = PackOptions { clamp };
    commit_upper(
        &scratch.store,
        &scratch.lease,
        Upper { place: upper, name: "upper", below, owners: &Owners::Real },
        options,
        &Cancel::new(),
    )
}

/// Makes an upper directory by hand.
fn by_hand(scratch: &Scratch, act: impl FnOnce(&Path)) -> TempDir {
    let upper = scratch.store.temp_dir("run").expect("a directory");
    act(&upper.subdirectory("upper").expect("a directory"));
    upper
}

/// The entries of a layer: a letter for the kind, and the path.
fn entries(layer: &Layer) -> Vec<String> {
    let letter = |kind: &EntryKind<'_>| match kind {
        EntryKind::File { .. } => "f".to_owned(),
        EntryKind::Hardlink { target } => format!("={}", String::from_utf8_lossy(target)),
        EntryKind::Symlink { .. } => "l".to_owned(),
        EntryKind::Directory { opaque: true, .. } => "o".to_owned(),
        EntryKind::Directory { implied: true, .. } => "i".to_owned(),
        EntryKind::Directory { .. } => "d".to_owned(),
        EntryKind::CharacterDevice { .. } => "c".to_owned(),
        EntryKind::BlockDevice { .. } => "b".to_owned(),
        EntryKind::Fifo => "p".to_owned(),
        EntryKind::Whiteout => "w".to_owned(),
    };
    let table = layer.table();
    table
        .entries()
        .filter(|entry| {
            !(entry.path.is_empty() && matches!(entry.kind, EntryKind::Directory { implied: true, .. }))
        })
        .map(|entry| format!("{} {}", letter(&entry.kind), String::from_utf8_lossy(entry.path)))
        .collect()
}

fn device(path: &Path, kind: FileType, major: u32, minor: u32) {
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        kind,
        Mode::from_raw_mode(0o600),
        rustix::fs::makedev(major, minor),
    )
    .expect("mknod");
}

fn attribute(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).expect("setxattr");
}

fn base(scratch: &Scratch) -> Layer {
    layer(
        scratch,
        &[
            make("d", What::Directory),
            file("d/a", "lower"),
            file("d/b", "lower"),
            make("d/sub", What::Directory),
            file("d/sub/x", "lower"),
            make("e", What::Directory),
            file("e/f", "lower"),
            file("f", "lower"),
            make("f2", What::Link("f")),
            make("link", What::Symlink("d")),
        ],
    )
}

/// What a RUN does to the base, and what the layer has afterwards.
type Case = (&'static str, fn(&Path), &'static [&'static str]);

#[test]
fn df_169_what_a_run_changes() {
    let scratch = scratch();
    let base = base(&scratch);
    let cases: &[Case] = &[
        ("nothing", |_| {}, &[]),
        ("a new file", |root| fs::write(root.join("new"), "x").expect("write"), &["f new"]),
        ("a changed file", |root| fs::write(root.join("d/a"), "x").expect("write"), &["d d", "f d/a"]),
        ("a removed file", |root| fs::remove_file(root.join("d/a")).expect("rm"), &["d d", "w d/a"]),
        ("a removed directory", |root| fs::remove_dir_all(root.join("d")).expect("rm"), &["w d"]),
        (
            "a replaced directory",
            |root| {
                fs::remove_dir_all(root.join("d")).expect("rm");
                fs::create_dir(root.join("d")).expect("mkdir");
                fs::write(root.join("d/a"), "x").expect("write");
            },
            &["o d", "f d/a"],
        ),
        (
            "a new directory has no mark",
            |root| fs::create_dir_all(root.join("d/new/deep")).expect("mkdir"),
            &["d d", "d d/new", "d d/new/deep"],
        ),
        (
            "a directory becomes a file",
            |root| {
                fs::remove_dir_all(root.join("d")).expect("rm");
                fs::write(root.join("d"), "x").expect("write");
            },
            &["f d"],
        ),
        (
            "a file becomes a directory, a link becomes a file",
            |root| {
                fs::remove_file(root.join("f")).expect("rm");
                fs::create_dir(root.join("f")).expect("mkdir");
                fs::remove_file(root.join("link")).expect("rm");
                fs::write(root.join("link"), "x").expect("write");
            },
            &["d f", "f link"],
        ),
        (
            "made and removed again",
            |root| {
                fs::write(root.join("d/new"), "x").expect("write");
                fs::remove_file(root.join("d/new")).expect("rm");
            },
            &["d d"],
        ),
        (
            "metadata only",
            |root| fs::set_permissions(root.join("d/sub"), fs::Permissions::from_mode(0o700)).expect("chmod"),
            &["d d", "d d/sub"],
        ),
        (
            "hardlinks",
            |root| {
                fs::write(root.join("z"), "x").expect("write");
                fs::hard_link(root.join("z"), root.join("e/first")).expect("link");
                fs::hard_link(root.join("z"), root.join("zz")).expect("link");
            },
            &["d e", "f e/first", "=e/first z", "=e/first zz"],
        ),
        (
            "a renamed file",
            |root| fs::rename(root.join("d/a"), root.join("e/a")).expect("mv"),
            &["d d", "w d/a", "d e", "f e/a"],
        ),
        (
            "special files; sockets are left out",
            |root| {
                device(&root.join("pipe"), FileType::Fifo, 0, 0);
                device(&root.join("null"), FileType::CharacterDevice, 1, 3);
                device(&root.join("disk"), FileType::BlockDevice, 8, 300);
                device(&root.join("socket"), FileType::Socket, 0, 0);
                symlink("/etc/shadow", root.join("sym")).expect("symlink");
            },
            &["b disk", "c null", "p pipe", "l sym"],
        ),
        (
            "a socket in the place of a file",
            |root| {
                fs::remove_file(root.join("d/a")).expect("rm");
                device(&root.join("d/a"), FileType::Socket, 0, 0);
            },
            &["d d", "w d/a"],
        ),
        (
            "the mode of the root",
            |root| fs::set_permissions(root, fs::Permissions::from_mode(0o700)).expect("chmod"),
            &["d "],
        ),
    ];
    for (what, act, expected) in cases {
        let (layer, seen) = run(&scratch, std::slice::from_ref(&base), act);
        assert_eq!(entries(&layer), *expected, "{what}");
        check(&scratch, &[base.clone(), layer], &seen, what);
    }
}

/// A layer gives what was there when it was made: mounted from its own tree, mounted from a tree that was made from its tar, and seen through its table.
fn check(scratch: &Scratch, stack: &[Layer], before: &Looked, what: &str) {
    let mut expected = before.clone();
    // Sockets are left out.
    expected.retain(|_, seen| seen.what != "device false (0, 0)");
    for seen in expected.values_mut() {
        seen.mtime.1 = 0;
        seen.xattrs.retain(|name, _| crate::tar_writer::keeps_xattr(name.as_bytes()));
    }
    let trees = forms::trees(&scratch.store, &scratch.lease, stack, &Cancel::new()).expect("trees");
    assert_same(&mounted(scratch, &trees), &expected, what);
    let (top, below) = (stack.last().expect("a layer"), trees.len() - 1);
    let again = unpack_again(scratch, stack);
    let mut from_tar = trees[..below].to_vec();
    from_tar.push(again.path().to_owned());
    assert_same(&mounted(scratch, &from_tar), &expected, what);
    assert_eq!(without_whiteout_metadata(&trees[below]), without_whiteout_metadata(again.path()), "{what}");
    assert!(!top.table().needs_lower(), "{what}");
    let view = View::new(stack);
    let names: Vec<String> = view.walk(b"").map(|(path, _)| String::from_utf8(path).expect("text")).collect();
    let mut known: Vec<&String> = expected.keys().collect();
    known.sort_by(|one, other| store::table::compare_paths(one.as_bytes(), other.as_bytes()));
    assert_eq!(names.iter().collect::<Vec<_>>(), known, "{what}");
    for (path, node) in view.walk(b"").skip(1) {
        let entry = view.entry(view.file(node));
        let seen = &expected[&String::from_utf8(path.clone()).expect("text")];
        assert_eq!(
            (entry.uid, entry.gid, entry.mtime),
            (seen.owner.0, seen.owner.1, seen.mtime.0),
            "{what}: {path:?}"
        );
        if let EntryKind::File { size, content, .. } = entry.kind {
            let hash = blake3::Hash::from_bytes(content.0);
            assert_eq!(
                (seen.what.clone(), seen.mode),
                (format!("file {size} {hash}"), entry.mode),
                "{what}: {path:?}"
            );
        }
    }
}

fn assert_same(found: &Looked, expected: &Looked, what: &str) {
    let strip = |looked: &Looked| -> Vec<(String, Seen)> {
        let mut looked: Vec<(String, Seen)> = looked.clone().into_iter().collect();
        for (path, seen) in &mut looked {
            // An overlay gives a copied file the inode number of the lower one.
            seen.inode.clear();
            if path.is_empty() {
                // The root changes with everything that is made in it; that is no change of a layer.
                seen.mtime = (0, 0);
            }
        }
        looked
    };
    assert_eq!(strip(found), strip(expected), "{what}");
}

fn mounted(scratch: &Scratch, trees: &[PathBuf]) -> Looked {
    let place = tempfile::tempdir_in(scratch.directory.path()).expect("a directory");
    let overlay = Overlay::mount(place.path().join("merged"), trees, None);
    look(&overlay.place)
}

fn unpack_again(scratch: &Scratch, stack: &[Layer]) -> TempDir {
    let top = stack.last().expect("a layer");
    let mut tar = Vec::new();
    forms::tar(&scratch.store, &scratch.lease, top, &mut tar, &Cancel::new()).expect("a tar");
    let scanned = crate::scan::scan(&mut tar.as_slice(), &Cancel::new()).expect("it can be read");
    assert_eq!((scanned.diff_id, scanned.warnings), (top.diff_id(), Vec::new()));
    assert_eq!(scanned.table.content_id(), top.table().content_id());
    let tree = scratch.store.temp_dir("tree").expect("a directory");
    crate::apply::apply(
        &scratch.store,
        &scratch.lease,
        &mut tar.as_slice(),
        top.table(),
        &[],
        &tree,
        &Cancel::new(),
    )
    .expect("unpacked");
    tree
}

fn without_whiteout_metadata(tree: &Path) -> Looked {
    let mut looked = look(tree);
    for seen in looked.values_mut().filter(|seen| seen.what == "device true (0, 0)") {
        (seen.mode, seen.mtime) = (0, (0, 0));
        seen.inode.clear();
    }
    // Of a tree whose tar says nothing about the root, the root has what a mount over it replaces.
    looked.remove("");
    looked
}

#[test]
fn what_says_nothing_is_dropped_and_what_is_private_never_leaves() {
    let scratch = scratch();
    let base = base(&scratch);
    let upper = by_hand(&scratch, |root| {
        for directory in ["d", "d/sub", "e", "new", "marked"] {
            fs::create_dir(root.join(directory)).expect("mkdir");
        }
        for whiteout in ["nothing", "d/a", "d/none", "d/sub/x", "new/f", "f"] {
            device(&root.join(whiteout), FileType::CharacterDevice, 0, 0);
        }
        // An opaque directory hides what is below: a whiteout in it says nothing.
        attribute(&root.join("d/sub"), "trusted.overlay.opaque", b"y");
        attribute(&root.join("new"), "trusted.overlay.opaque", b"y");
        attribute(&root.join("d"), "trusted.overlay.impure", b"y");
        attribute(&root.join("d"), "trusted.overlay.origin", b"whatever");
        attribute(&root.join("d"), "user.kept", b"yes");
        attribute(&root.join("d"), "user.overlay.opaque", b"y");
        attribute(&root.join("d"), "trusted.other", b"no");
        // Whiteouts that are empty files.
        attribute(&root.join("e"), "trusted.overlay.opaque", b"x");
        for empty in ["e/f", "e/g", "marked/f"] {
            fs::write(root.join(empty), "").expect("write");
            attribute(&root.join(empty), "trusted.overlay.whiteout", b"");
        }
        symlink("x", root.join("sym")).expect("symlink");
        attribute(&root.join("sym"), "trusted.overlay.origin", b"whatever");
    });
    let layer = commit(&scratch, upper, &View::new(std::slice::from_ref(&base)), None).expect("a layer");
    assert_eq!(
        entries(&layer),
        ["d d", "w d/a", "o d/sub", "d e", "w e/f", "w f", "d marked", "f marked/f", "d new", "l sym"]
    );
    let tree = layer.tree(None).expect("asked").expect("a tree");
    let seen = look(&tree);
    let attributes: Vec<(&str, Vec<&String>)> = seen
        .iter()
        .filter(|(_, seen)| !seen.xattrs.is_empty())
        .map(|(path, seen)| (path.as_str(), seen.xattrs.keys().collect()))
        .collect();
    let (kept, opaque) = ("user.kept".to_owned(), "trusted.overlay.opaque".to_owned());
    assert_eq!(attributes, [("d", vec![&kept]), ("d/sub", vec![&opaque])]);
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(names, ["", "d", "d/a", "d/sub", "e", "e/f", "f", "marked", "marked/f", "new", "sym"]);
}

#[test]
fn times_are_whole_seconds_and_clamped_in_the_tree_as_in_the_tar() {
    let scratch = scratch();
    let upper = by_hand(&scratch, |root| {
        fs::create_dir(root.join("d")).expect("mkdir");
        fs::write(root.join("d/new"), "x").expect("write");
        symlink("x", root.join("d/link")).expect("symlink");
        fs::write(root.join("d/old"), "x").expect("write");
        let old = rustix::fs::Timespec { tv_sec: 100, tv_nsec: 999 };
        let times = rustix::fs::Timestamps { last_access: old, last_modification: old };
        rustix::fs::utimensat(rustix::fs::CWD, root.join("d/old"), &times, rustix::fs::AtFlags::empty())
            .expect("utimens");
    });
    let layer = commit(&scratch, upper, &View::new(&[]), Some(1_000_000)).expect("a layer");
    let tree = layer.tree(None).expect("asked").expect("a tree");
    for (path, seen) in look(&tree) {
        let entry =
            layer.table().entry(layer.table().find(path.as_bytes()).expect("there")).expect("an entry");
        let expected = match path.as_str() {
            "" => crate::FIXED_TIME,
            "d/old" => 100,
            _ => 1_000_000,
        };
        assert_eq!(seen.mtime.1, 0, "{path}");
        if !path.is_empty() {
            assert_eq!((seen.mtime.0, entry.mtime), (expected, expected), "{path}");
        }
    }
    assert_eq!(layer.table().newest(), Some(1_000_000));
}

#[test]
fn sparse_and_deep_and_oddly_named_things() {
    let scratch = scratch();
    let upper = by_hand(&scratch, |root| {
        let sparse = fs::File::create(root.join("sparse")).expect("create");
        sparse.set_len(256 << 20).expect("extend");
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 100 << 20).expect("write");
        for name in [b"new\nline".as_slice(), b"\xff\xfe", b"%41", b"-rf", b"a=b", b" "] {
            fs::write(root.join(std::ffi::OsStr::from_bytes(name)), name).expect("write");
        }
        fs::create_dir_all(root.join(vec!["d"; 900].join("/"))).expect("mkdir");
    });
    let layer = commit(&scratch, upper, &View::new(&[]), None).expect("a layer");
    let tree = layer.tree(None).expect("asked").expect("a tree");
    assert!(fs::metadata(tree.join("sparse")).expect("a stat").blocks() < 1000);
    assert_eq!(layer.table().len(), 1 + 1 + 6 + 900);
    let index = layer.table().find(b"\xff\xfe").expect("there");
    let mut contents = Vec::new();
    std::io::Read::read_to_end(
        &mut forms::open_content(&scratch.store, &scratch.lease, &layer, index).expect("open"),
        &mut contents,
    )
    .expect("read");
    assert_eq!(contents, b"\xff\xfe");
}

#[test]
fn what_no_layer_can_hold_is_refused() {
    let scratch = scratch();
    type Broken = (&'static str, fn(&Path));
    let cases: [Broken; 3] = [
        ("redirect_dir", |root| {
            fs::create_dir(root.join("x")).expect("mkdir");
            attribute(&root.join("x"), "trusted.overlay.redirect", b"/etc");
        }),
        ("metacopy", |root| {
            fs::write(root.join("x"), "").expect("write");
            attribute(&root.join("x"), "trusted.overlay.metacopy", b"");
        }),
        ("longer than a path may be", |root| {
            let mut rooted = Rooted::open(root, Ownership::Host).expect("open");
            let mut path = Vec::new();
            for _ in 0..20 {
                path.extend_from_slice(&[b'x'; 250]);
                let (parent, name) = rooted.parent(&path).expect("a parent");
                rustix::fs::mkdirat(parent, name, Mode::RWXU).expect("mkdir");
                path.push(b'/');
            }
        }),
    ];
    for (reason, act) in cases {
        let upper = by_hand(&scratch, act);
        let place = upper.path().to_owned();
        match commit(&scratch, upper, &View::new(&[]), None) {
            Err(LayerError::Unwritable { path, reason: found }) => {
                assert!(path.starts_with(b"x"), "{reason}");
                assert!(found.contains(reason), "{found}");
            }
            Err(other) => panic!("{reason}: {other}"),
            Ok(_) => panic!("{reason}: it was committed"),
        }
        assert!(!place.exists(), "{reason}");
    }
    let upper = by_hand(&scratch, |root| fs::write(root.join("f"), "x").expect("write"));
    let cancel = Cancel::new();
    cancel.cancel();
    let options = PackOptions::default();
    let result = commit_upper(
        &scratch.store,
        &scratch.lease,
        Upper { place: upper, name: "upper", below: &View::new(&[]), owners: &Owners::Real },
        options,
        &cancel,
    );
    assert!(matches!(result, Err(LayerError::Cancelled(_))));
}

#[test]
fn the_same_upper_gives_the_same_layer_and_the_same_digest() {
    let scratch = scratch();
    let make_upper = || {
        by_hand(&scratch, |root| {
            fs::create_dir(root.join("d")).expect("mkdir");
            for name in ["d/b", "d/a", "c"] {
                fs::write(root.join(name), name).expect("write");
            }
        })
    };
    let commit = |upper| commit(&scratch, upper, &View::new(&[]), Some(0)).expect("a layer").diff_id();
    assert_eq!(commit(make_upper()), commit(make_upper()));
}
