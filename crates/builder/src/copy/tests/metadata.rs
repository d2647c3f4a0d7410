//! Modes, owners, times, links, attributes.

use std::fs::hard_link;
use std::os::unix::net::UnixListener;

use super::*;

const PASSWD: &str = "root:x:0:0::/:/bin/sh\nalice:x:1001:2001::/:/bin/sh\nnobody:x:65534:65534::/:\n";
const GROUP: &str = "root:x:0:\nstaff:x:50:alice\n";

fn base_with<'a>(world: &World, passwd: What<'a>, group: What<'a>) -> View {
    world.view(&[
        dir("etc"),
        Made("etc/group", 0o644, (0, 0), group),
        Made("etc/passwd", 0o644, (0, 0), passwd),
        dir("shared"),
        Made("shared/users", 0o644, (0, 0), What::File("bob:x:3:4\n")),
    ])
}

#[test]
fn df_124_df_125_owners() {
    let world = World::with(&["a"]);
    let base = base_with(&world, What::File(PASSWD), What::File(GROUP));
    for (owner, expected) in [
        ("1234", (1234, 1234)),
        ("1234:7", (1234, 7)),
        ("0", (0, 0)),
        ("root", (0, 0)),
        ("alice", (1001, 2001)),
        ("alice:staff", (1001, 50)),
        ("7:staff", (7, 50)),
        ("alice:7", (1001, 7)),
        ("alice:root", (1001, 0)),
    ] {
        let layer = world.copy(&world.context(), &base, &chown("a /n/", owner)).expect(owner);
        assert_eq!(meta(&layer, "n/a").1, expected, "{owner}");
        assert_eq!(meta(&layer, "n").1, expected, "{owner}");
    }
    for (owner, expected) in [
        (
            "alise",
            "--chown=alise: unable to find user alise: no matching entries in /etc/passwd of the image (did you mean alice?)",
        ),
        (
            "alice:stuff",
            "--chown=alice:stuff: unable to find group stuff: no matching entries in /etc/group of the image (did you mean staff?)",
        ),
        ("alice:", "--chown=alice:: the group is empty"),
        (":staff", "--chown=:staff: the user is empty"),
        ("4294967295", "--chown=4294967295: 4294967295 is not a user number: the largest is 2147483647"),
    ] {
        let error = world.copy(&world.context(), &base, &chown("a /n/", owner)).err().expect(owner);
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.span().map(|span| span.start), Some(50), "the place of the flag");
    }
}

#[test]
fn df_124_hostile_passwd_files() {
    let world = World::with(&["a"]);
    let linked = base_with(&world, What::Link("/../../shared/users"), What::Fifo);
    let layer = world.copy(&world.context(), &linked, &chown("a /n", "bob")).expect("resolved inside");
    assert_eq!(meta(&layer, "n").1, (3, 4));
    let reason = |base: &View, owner: &str| {
        world.copy(&world.context(), base, &chown("a /n", owner)).err().expect("an error").to_string()
    };
    assert!(reason(&linked, "1:staff").ends_with("there is no file /etc/group in the image"), "a named pipe");
    let looping = base_with(&world, What::Link("passwd"), What::Directory);
    assert!(reason(&looping, "bob").contains("too many symbolic links"));
    assert!(reason(&empty(), "bob").ends_with("there is no file /etc/passwd in the image"));
    let large = "#".repeat((16 << 20) + 1);
    let large = base_with(&world, What::File(&large), What::Directory);
    assert!(reason(&large, "bob").contains("larger than"), "{}", reason(&large, "bob"));
}

#[test]
fn df_122_df_123_df_126_modes_owners_and_times() {
    let world = World::with(&["dir/run", "dir/data", "dir/sub/", "dir/l -> run"]);
    for (path, mode) in [("dir/run", 0o4755), ("dir/data", 0o640), ("dir/sub", 0o1777)] {
        world.mode(path, mode);
    }
    for path in ["dir/run", "dir/sub", "dir/l"] {
        world.set_time(path, TIME);
    }
    world.set_time("dir/data", -5);
    let copied = |step: &CopyStep| world.copy(&world.context(), &empty(), step).expect("a layer");
    let layer = copied(&copy("dir /n"));
    assert_eq!(meta(&layer, "n/run"), (0o4755, (0, 0), TIME));
    assert_eq!(meta(&layer, "n/data"), (0o640, (0, 0), -5));
    assert_eq!(meta(&layer, "n/sub"), (0o1777, (0, 0), TIME));
    assert_eq!(meta(&layer, "n/l"), (0o777, (0, 0), TIME));
    for (mode, run, data, sub) in
        [("600", 0o600, 0o600, 0o600), ("u+rwX,go=", 0o4700, 0o600, 0o1700), ("a+X", 0o4755, 0o640, 0o1777)]
    {
        let layer = copied(&chmod("dir /n", mode));
        let modes = ["n/run", "n/data", "n/sub", "n/l"].map(|path| meta(&layer, path).0);
        assert_eq!(modes, [run, data, sub, 0o777], "{mode}");
    }
}

#[test]
fn df_130_hardlinks_within_a_copy() {
    let world = World::with(&["dir/one", "dir/three", "else/other"]);
    hard_link(world.path("dir/one"), world.path("dir/two")).expect("a link");
    hard_link(world.path("dir/one"), world.path("else/four")).expect("a link");
    assert_eq!(world.copied(&copy("dir /n")), ["n/", "n/one", "n/three", "n/two = n/one"]);
    assert_eq!(
        world.copied(&copy("else dir /n")),
        ["n/", "n/four", "n/one = n/four", "n/other", "n/three", "n/two = n/four"]
    );
    assert_eq!(world.copied(&copy("dir/two /n/")), ["n/", "n/two"]);
}

#[test]
fn df_117_a_followed_link_is_a_copy_and_no_hardlink() {
    let world = World::with(&["dir/one"]);
    hard_link(world.path("dir/one"), world.path("dir/two")).expect("a link");
    std::os::unix::fs::symlink("one", world.path("dir/again")).expect("a link");
    assert_eq!(world.copied(&copy("dir/* /n/")), ["n/", "n/again", "n/one", "n/two = n/one"]);
}

#[test]
fn df_130_a_replaced_name_leaves_the_other_names() {
    let world = World::with(&["dir/a", "over/a"]);
    hard_link(world.path("dir/a"), world.path("dir/b")).expect("a link");
    let layer = world.copy(&world.context(), &empty(), &copy("dir over /n/")).expect("a layer");
    assert_eq!(list(&layer), ["n/", "n/a", "n/b"]);
    assert_eq!(world.text(&layer, "n/a"), "over/a");
    assert_eq!(world.text(&layer, "n/b"), "dir/a");
}

#[test]
fn df_131_attributes() {
    let world = World::with(&["dir/a", "dir/sub/"]);
    let set = |path: &str, name: &str, value: &[u8]| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(world.path(path), name, value, flags)
            .expect("an attribute: this test needs root and ext4, xfs or btrfs");
    };
    let capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    set("dir/a", "user.note", b"x\0y");
    set("dir/a", "trusted.other", b"z");
    set("dir/a", "security.capability", capability);
    set("dir/sub", "user.dir", b"");
    set("dir", "user.top", b"top");
    let of = |layer: &Layer, path: &str| -> Vec<(Vec<u8>, Vec<u8>)> {
        let entry =
            layer.table().find(path.as_bytes()).and_then(|index| layer.table().entry(index)).expect(path);
        entry.xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
    };
    let layer = world.copy(&world.context(), &empty(), &chown("dir /n", "5")).expect("a layer");
    let expected = vec![
        (b"security.capability".to_vec(), capability.to_vec()),
        (b"user.note".to_vec(), b"x\0y".to_vec()),
    ];
    assert_eq!(of(&layer, "n/a"), expected);
    assert_eq!(of(&layer, "n/sub"), [(b"user.dir".to_vec(), Vec::new())]);
    assert_eq!(of(&layer, "n"), [], "DF-121 the new destination is not the source");
    let layer = world.copy(&world.context(), &empty(), &copy("dir/a /n")).expect("a layer");
    assert_eq!(of(&layer, "n"), expected, "a file that was named");
}

#[test]
fn df_132_special_files() {
    let world = World::with(&["dir/a"]);
    make_fifo(&world.path("dir/pipe"));
    let _socket = UnixListener::bind(world.path("dir/socket")).expect("a socket");
    assert_eq!(world.copied(&copy("dir /n")), ["n/", "n/a", "n/pipe"]);
    assert_eq!(world.copied(&copy("dir/pipe /n")), ["n"]);
    assert_eq!(world.copied(&copy("dir/* /n/")), ["n/", "n/a", "n/pipe"]);
    let layer = world.copy(&world.context(), &empty(), &copy("dir/pipe /n")).expect("a layer");
    let entry = layer.table().find(b"n").and_then(|index| layer.table().entry(index)).expect("an entry");
    assert_eq!((entry.kind, entry.mode), (EntryKind::Fifo, 0o640));
    let error = world.copy(&world.context(), &empty(), &copy("dir/socket /n")).err().expect("an error");
    assert_eq!(error.to_string(), "cannot copy dir/socket: it is a socket");
}
