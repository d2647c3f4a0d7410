use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use store::Layer;

use super::*;
use crate::testing::{Make, Scratch, What, capability, file, layer, look, make, scratch};

fn stack(scratch: &Scratch, layers: &[&[Make]]) -> View {
    View::new(&layers.iter().map(|entries| layer(scratch, entries)).collect::<Vec<Layer>>())
}

fn tar_of(scratch: &Scratch, view: &View, clamp: Option<i64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_tar(&scratch.store, &scratch.lease, &[(None, view.clone())], &mut bytes, clamp, &Cancel::new())
        .expect("a tar");
    bytes
}

/// What another reader of tars finds: type, path, link or contents, mode, owner, time.
fn members(bytes: &[u8]) -> Vec<String> {
    let mut archive = ::tar::Archive::new(bytes);
    archive
        .entries()
        .expect("a tar")
        .map(|member| {
            let mut member = member.expect("a member");
            let header = member.header().clone();
            let mut contents = String::new();
            std::io::Read::read_to_string(&mut member, &mut contents).expect("contents");
            let path = String::from_utf8(member.path_bytes().into_owned()).expect("text");
            let link =
                member.link_name_bytes().map(|link| String::from_utf8(link.into_owned()).expect("text"));
            let (uid, gid) = (header.uid().expect("uid"), header.gid().expect("gid"));
            format!(
                "{} {path} {}{contents} {:o} {uid}:{gid} {}",
                header.entry_type().as_byte() as char,
                link.map(|link| format!("-> {link}")).unwrap_or_default(),
                header.mode().expect("mode"),
                header.mtime().expect("mtime"),
            )
        })
        .collect()
}

#[test]
fn st_041_a_hardlink_whose_target_is_hidden_or_replaced_becomes_a_copy() {
    let scratch = scratch();
    let lower: &[Make] = &[
        Make { mode: 0o4755, owner: (7, 8), ..file("a/target", "original") },
        make("b/link", What::Link("a/target")),
        make("c", What::Link("a/target")),
        file("z", "z"),
    ];
    let dir = "5 a/  755 0:0 315619200";
    let dir_b = "5 b/  755 0:0 315619200";
    type Case<'a> = (&'a str, &'a [Make], &'a [&'a str]);
    let cases: &[Case<'_>] = &[
        (
            "nothing happens",
            &[],
            &[
                dir,
                "0 a/target original 4755 7:8 1000000000",
                dir_b,
                "1 b/link -> a/target 4755 7:8 1000000000",
                "1 c -> a/target 4755 7:8 1000000000",
            ],
        ),
        (
            "hidden",
            &[make("a", What::Whiteout)],
            &[dir_b, "0 b/link original 4755 7:8 1000000000", "1 c -> b/link 4755 7:8 1000000000"],
        ),
        (
            "replaced",
            &[file("a/target", "other")],
            &[
                dir,
                "0 a/target other 644 0:0 1000000000",
                dir_b,
                "0 b/link original 4755 7:8 1000000000",
                "1 c -> b/link 4755 7:8 1000000000",
            ],
        ),
        (
            "opaque",
            &[make("a", What::Opaque), make("b", What::Whiteout)],
            &["5 a/  755 0:0 1000000000", "0 c original 4755 7:8 1000000000"],
        ),
        (
            "linked from above, and then hidden there",
            &[
                make("d", What::Link("c")),
                make("c", What::Whiteout),
                make("b", What::Whiteout),
                make("a", What::Whiteout),
            ],
            &["0 d original 4755 7:8 1000000000"],
        ),
    ];
    for (what, upper, expected) in cases {
        let view = stack(&scratch, &[lower, upper]);
        let mut expected: Vec<&str> = expected.to_vec();
        expected.push("0 z z 644 0:0 1000000000");
        assert_eq!(members(&tar_of(&scratch, &view, None)), expected, "{what}");
    }
}

#[test]
fn df_194_everything_goes_into_the_tar_and_times_are_clamped() {
    let scratch = scratch();
    let view = stack(
        &scratch,
        &[&[
            Make { mode: 0o1777, ..make("tmp", What::Directory) },
            make("tmp/sparse", What::Sparse(5, vec![(1, b"ab".to_vec())])),
            make("null", What::Character(1, 3)),
            make("pipe", What::Fifo),
            make("sym", What::Symlink("/abs")),
            Make { xattrs: vec![("security.capability", capability())], mtime: 5, ..file("caps", "") },
        ]],
    );
    let bytes = tar_of(&scratch, &view, Some(1000));
    assert_eq!(
        members(&bytes),
        [
            "0 caps  644 0:0 5",
            "3 null  644 0:0 1000",
            "6 pipe  644 0:0 1000",
            "2 sym -> /abs 644 0:0 1000",
            "5 tmp/  1777 0:0 1000",
            "0 tmp/sparse \0ab\0\0 644 0:0 1000",
        ]
    );
    assert!(bytes.windows(33).any(|part| part == b"SCHILY.xattr.security.capability="));
    assert!(bytes == tar_of(&scratch, &view, Some(1000)));
}

#[test]
fn what_has_no_contents_any_more_is_an_error() {
    let scratch = scratch();
    let view = stack(&scratch, &[&[make("x", What::Link("none"))]]);
    let result = write_tar(
        &scratch.store,
        &scratch.lease,
        &[(None, view.clone())],
        &mut Vec::new(),
        None,
        &Cancel::new(),
    );
    assert!(matches!(result, Err(LayerError::Entry { entry, .. }) if entry == b"x"));
    let cancel = Cancel::new();
    cancel.cancel();
    let result =
        write_tar(&scratch.store, &scratch.lease, &[(None, view.clone())], &mut Vec::new(), None, &cancel);
    assert!(matches!(result, Err(LayerError::Cancelled(_))));
}

fn export(scratch: &Scratch, view: &View, destination: &Path, clamp: Option<i64>) -> Result<Vec<String>> {
    write_directory(&scratch.store, &scratch.lease, view, destination, clamp, &Cancel::new())
}

#[test]
fn df_193_a_directory_gets_modes_and_times_and_no_owners() {
    let scratch = scratch();
    let view = stack(
        &scratch,
        &[&[
            Make { mode: 0o555, mtime: 7, owner: (5, 5), ..make("closed", What::Directory) },
            Make { mode: 0o4711, owner: (5, 5), ..file("closed/tool", "tool") },
            make("closed/again", What::Link("closed/tool")),
            make("closed/sym", What::Symlink("/etc/passwd")),
            make("null", What::Character(1, 3)),
            make("other", What::Link("null")),
            make("pipe", What::Fifo),
            file("replaced", "new"),
        ]],
    );
    let destination = scratch.directory.path().join("out/deep");
    fs::create_dir_all(&destination).expect("mkdir");
    fs::write(destination.join("stays"), "stays").expect("write");
    fs::write(scratch.directory.path().join("precious"), "precious").expect("write");
    // Other names of what is replaced are not written through.
    fs::hard_link(scratch.directory.path().join("precious"), destination.join("replaced")).expect("link");
    for _ in 0..2 {
        let warnings = export(&scratch, &view, &destination, Some(100)).expect("written");
        assert_eq!(warnings, ["2 devices were left out"]);
        let seen = look(&destination);
        let line = |path: &str| {
            let seen = &seen[path];
            format!(
                "{:o} {:?} {} {}",
                seen.mode,
                seen.owner,
                seen.mtime.0,
                seen.what.split(' ').next().unwrap_or_default()
            )
        };
        assert_eq!(line("closed"), "555 (0, 0) 7 directory");
        assert_eq!(line("closed/tool"), "4711 (0, 0) 100 file");
        assert_eq!(line("closed/sym"), "777 (0, 0) 100 link");
        assert_eq!(line("pipe"), "644 (0, 0) 100 fifo");
        assert_eq!(seen["closed/tool"].inode, seen["closed/again"].inode);
        assert_eq!(fs::read_to_string(destination.join("replaced")).expect("read"), "new");
        assert_eq!(fs::read_to_string(destination.join("stays")).expect("read"), "stays");
        assert!(!seen.contains_key("null") && !seen.contains_key("other"));
    }
    assert_eq!(fs::read_to_string(scratch.directory.path().join("precious")).expect("read"), "precious");
}

#[test]
fn df_193_a_directory_gets_extended_attributes() {
    let scratch = scratch();
    let mine = || vec![("user.mine", b"yes".to_vec())];
    let view = stack(
        &scratch,
        &[&[
            Make { mode: 0o555, xattrs: mine(), ..make("d", What::Directory) },
            Make { mode: 0o444, xattrs: mine(), ..file("d/f", "f") },
            make("d/again", What::Link("d/f")),
            Make { mode: 0o755, xattrs: vec![("security.capability", capability())], ..file("tool", "t") },
            // What speaks to overlayfs is no part of anything.
            Make { xattrs: vec![("trusted.overlay.opaque", b"y".to_vec())], ..file("private", "") },
        ]],
    );
    let destination = scratch.directory.path().join("out");
    // Once more over what is there: attributes are set before the mode that would forbid it.
    for _ in 0..2 {
        assert_eq!(export(&scratch, &view, &destination, None).expect("written"), [""; 0]);
        let seen = look(&destination);
        for path in ["d", "d/f", "d/again"] {
            assert_eq!(seen[path].xattrs["user.mine"], b"yes", "{path}");
        }
        assert_eq!(seen["tool"].xattrs["security.capability"], capability());
        assert_eq!((seen["d"].mode, seen["d/f"].mode), (0o555, 0o444));
        assert!(seen["private"].xattrs.is_empty());
    }
}

#[test]
fn df_193_attributes_that_can_not_be_written_are_said_once() {
    let scratch = scratch();
    // Linux gives links no attributes of the user, on no filesystem.
    let mine = || vec![("user.a", b"1".to_vec()), ("user.b", b"2".to_vec())];
    let view = stack(
        &scratch,
        &[&[
            Make { xattrs: mine(), ..make("link", What::Symlink("x")) },
            Make { xattrs: mine(), ..make("other", What::Symlink("x")) },
            file("z", "z"),
        ]],
    );
    let destination = scratch.directory.path().join("out");
    let warnings = export(&scratch, &view, &destination, None).expect("written");
    let [said] = warnings.as_slice() else { panic!("{warnings:?}") };
    let start = "4 extended attributes could not be written, the first: user.a of link: ";
    assert!(said.starts_with(start), "{said}");
    assert_eq!(fs::read_link(destination.join("other")).expect("a link"), Path::new("x"));
    assert_eq!(fs::read_to_string(destination.join("z")).expect("read"), "z");
}

#[test]
fn df_193_nothing_is_written_outside_through_links_of_the_destination() {
    let scratch = scratch();
    let view = stack(
        &scratch,
        &[&[
            make("d", What::Directory),
            file("d/f", "x"),
            Make { mode: 0o700, ..make("d/e", What::Directory) },
        ]],
    );
    let place = scratch.directory.path();
    let outside = place.join("outside");
    fs::create_dir(&outside).expect("mkdir");
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o755)).expect("chmod");
    let before = fs::metadata(&outside).expect("a stat").mtime_nsec();
    type Prepare = fn(&Path, &Path);
    let cases: [(&str, Prepare); 4] = [
        ("d", |destination, outside| symlink(outside, destination.join("d")).expect("symlink")),
        ("d", |destination, _| fs::write(destination.join("d"), "a file").expect("write")),
        ("d/e", |destination, outside| {
            fs::create_dir(destination.join("d")).expect("mkdir");
            symlink(outside, destination.join("d/e")).expect("symlink");
        }),
        ("d/f", |destination, _| fs::create_dir_all(destination.join("d/f/full")).expect("mkdir")),
    ];
    for (number, (path, prepare)) in cases.into_iter().enumerate() {
        let destination = place.join(format!("out{number}"));
        fs::create_dir(&destination).expect("mkdir");
        prepare(&destination, &outside);
        match export(&scratch, &view, &destination, None) {
            Err(LayerError::Destination { path: found, .. }) => {
                assert_eq!(found, fs::canonicalize(&destination).expect("there").join(path));
            }
            Err(other) => panic!("{path}: {other}"),
            Ok(_) => panic!("{path}: it was written"),
        }
    }
    assert_eq!(fs::read_dir(&outside).expect("a directory").count(), 0);
    let after = fs::metadata(&outside).expect("a stat");
    assert_eq!((after.mtime_nsec(), after.mode() & 0o777), (before, 0o755));
    // A link in the place of a file is replaced, not followed.
    let destination = place.join("out-link");
    fs::create_dir_all(destination.join("d")).expect("mkdir");
    symlink(outside.join("f"), destination.join("d/f")).expect("symlink");
    export(&scratch, &view, &destination, None).expect("written");
    assert!(fs::symlink_metadata(destination.join("d/f")).expect("a stat").is_file());
    assert_eq!(fs::read_dir(&outside).expect("a directory").count(), 0);
}
