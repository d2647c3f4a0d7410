//! Archives that want to write where they should not (ST-070 … ST-076, the table of CVEs in `store-and-archive.md`): taken in as a layer from outside is, and unpacked.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use base::Cancel;
use tar::{Builder, EntryType, Header};

use crate::forms;
use crate::ingest::{Expected, ingest};
use crate::testing::{Scratch, look, scratch};

/// One member: type, name, link, contents, mode.
type Member<'a> = (u8, &'a str, &'a str, &'a [u8], u32);

fn archive(members: &[Member<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, link, contents, mode) in members {
        let mut header = Header::new_ustar();
        // The setters of paths refuse what an attacker writes.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(EntryType::new(*kind));
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder.append(&header, *contents).expect("appended");
    }
    builder.into_inner().expect("a tar")
}

/// What is outside, and must stay as it is.
fn outside(scratch: &Scratch) -> impl PartialEq + std::fmt::Debug + use<> {
    let place = Path::new("/tmp").join(format!("lapstrake-outside-{}", std::process::id()));
    let stat = |path: &Path| {
        fs::symlink_metadata(path)
            .map(|stat| (stat.mode(), stat.len(), stat.mtime(), stat.ino(), stat.nlink()))
            .ok()
    };
    let directory = scratch.directory.path();
    (
        stat(&directory.join("precious")),
        stat(directory),
        stat(Path::new("/etc/passwd")),
        stat(&place),
        stat(Path::new("/tmp/evil")),
    )
}

/// Takes an archive in and unpacks it; the tree, or why it was refused.
fn unpack(scratch: &Scratch, bytes: &[u8]) -> Result<std::path::PathBuf, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let mut stream = bytes;
    let taken = ingest(&scratch.store, &scratch.lease, &mut stream, Expected::default(), &Cancel::new())
        .map_err(|error| text(&error))?;
    let stack = [taken.layer];
    let mut trees =
        forms::trees(&scratch.store, &scratch.lease, &stack, &Cancel::new()).map_err(|error| text(&error))?;
    trees.pop().ok_or_else(|| "no tree".to_owned())
}

#[test]
fn nothing_is_made_outside() {
    let scratch = scratch();
    fs::write(scratch.directory.path().join("precious"), "precious").expect("write");
    fs::set_permissions(scratch.directory.path().join("precious"), fs::Permissions::from_mode(0o600))
        .expect("chmod");
    let target = scratch.directory.path().to_str().expect("text").to_owned();
    let precious = format!("{target}/precious");
    let file = |name: &'static str| (b'0', name, "", b"evil".as_slice(), 0o777);
    let link = |name: &'static str, to| (b'2', name, to, b"".as_slice(), 0o777);
    let hard = |name: &'static str, to| (b'1', name, to, b"".as_slice(), 0o777);
    let directory = |name: &'static str| (b'5', name, "", b"".as_slice(), 0o777);
    let target = target.as_str();
    // What is said of it, the members, and what the tree has (`None`: the archive is refused).
    type Case<'a> = (&'a str, Vec<Member<'a>>, Option<&'a [&'a str]>);
    let cases: Vec<Case<'_>> = vec![
        ("dots", vec![file("../evil")], None),
        ("dots inside", vec![file("a/../../evil")], None),
        ("the root as a link (CVE-2021-29136)", vec![link(".", "/etc"), file("evil")], None),
        ("the root as a link, with a slash", vec![link("./", "/etc"), file("evil")], None),
        ("the root as a file: the slash makes it a directory", vec![file("/")], Some(&[""])),
        ("a leading slash", vec![file("/tmp/evil")], Some(&["", "tmp", "tmp/evil"])),
        (
            "through an absolute link: inside, as in a chroot",
            vec![link("l", "/tmp"), file("l/evil")],
            Some(&["", "l", "tmp", "tmp/evil"]),
        ),
        ("through a relative link", vec![link("l", "../../.."), file("l/evil")], Some(&["", "evil", "l"])),
        (
            "through a chain of links (CVE-2020-27833)",
            vec![link("a", ".."), link("b", "a/.."), link("c", "b/.."), file("c/evil")],
            Some(&["", "a", "b", "c", "evil"]),
        ),
        (
            "a directory's mode through a link (CVE-2026-33056)",
            vec![link("d", target), directory("d/")],
            Some(&["", "d"]),
        ),
        ("a file where a link was", vec![link("l", &precious), file("l")], Some(&["", "l"])),
        ("a hardlink to something outside", vec![hard("h", "../../../../etc/passwd")], None),
        ("an absolute hardlink", vec![hard("h", "/etc/passwd")], None),
        (
            "a hardlink to a link, and a file over it",
            vec![link("l", &precious), hard("h", "l"), file("h")],
            Some(&["", "h", "l"]),
        ),
        ("a hardlink through a link", vec![link("l", "/etc"), hard("h", "l/passwd")], None),
        ("a removal outside", vec![file("d/.wh..wh.opq/x")], None),
        ("a removal of what dots name", vec![file(".wh...")], None),
        ("a removal of nothing", vec![file("d/.wh.")], None),
        ("overlayfs' own sign as a device", vec![(b'3', "x", "", b"", 0o666)], None),
    ];
    let before = outside(&scratch);
    for (what, members, expected) in &cases {
        let result = unpack(&scratch, &archive(members));
        assert_eq!(outside(&scratch), before, "{what}");
        match (result, expected) {
            (Ok(tree), Some(expected)) => {
                let seen = look(&tree);
                assert_eq!(seen.keys().collect::<Vec<_>>(), *expected, "{what}");
            }
            (Ok(tree), None) => panic!("{what}: gave {:?}", look(&tree).keys().collect::<Vec<_>>()),
            (Err(error), Some(_)) => panic!("{what}: {error}"),
            (Err(error), None) => assert!(!error.is_empty()),
        }
    }
}
