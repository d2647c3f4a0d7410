//! The content key: what it depends on, and what not.

use std::fs::hard_link;

use proptest::prelude::*;

use super::*;

#[test]
fn df_174_what_the_key_depends_on() {
    let world = || World::with(&["dir/a", "dir/b", "dir/sub/c", "dir/l -> a"]);
    let original = world().key(&copy("dir /n/"));
    type Change = fn(&World);
    let changes: &[(&str, bool, Change)] = &[
        ("nothing", false, |_| {}),
        ("times", false, |world| {
            ["dir/a", "dir/sub", "dir/l", "dir"].iter().for_each(|path| world.set_time(path, 5))
        }),
        ("the mode of the top", false, |world| world.mode("dir", 0o700)),
        ("something else", false, |world| world.write("else", "x")),
        ("contents", true, |world| world.write("dir/a", "dir/A")),
        ("a mode", true, |world| world.mode("dir/a", 0o600)),
        ("the mode of a directory", true, |world| world.mode("dir/sub", 0o700)),
        ("a new file", true, |world| world.write("dir/d", "")),
        ("a removed file", true, |world| fs::remove_file(world.path("dir/b")).expect("removed")),
        ("a name", true, |world| fs::rename(world.path("dir/b"), world.path("dir/bb")).expect("renamed")),
        ("a link", true, |world| {
            fs::remove_file(world.path("dir/l")).expect("removed");
            symlink("b", world.path("dir/l")).expect("a link");
        }),
        ("a file for a hardlink", true, |world| {
            world.write("dir/b", "dir/a");
        }),
    ];
    for (what, changes_key, change) in changes {
        let world = world();
        change(&world);
        assert_eq!(world.key(&copy("dir /n/")) != original, *changes_key, "{what}");
    }
    let linked = |as_link: bool| {
        let world = World::with(&["dir/a"]);
        if as_link {
            hard_link(world.path("dir/a"), world.path("dir/b")).expect("a link");
        } else {
            world.write("dir/b", "dir/a");
        }
        world.key(&copy("dir /n/"))
    };
    assert_ne!(linked(true), linked(false), "hardlinks are kept, so they count");
}

#[test]
fn df_174_flags_and_sources() {
    let world = World::with(&["one/a", "two/a", "two/b"]);
    assert_ne!(world.key(&copy("one two /n/")), world.key(&copy("two one /n/")), "the order of sources");
    assert_eq!(
        world.key(&copy("one /n/")),
        world.key(&copy("one /m/")),
        "the destination is the definition's"
    );
    assert_ne!(world.key(&copy("one /n/")), world.key(&chown("one /n/", "5")));
    assert_ne!(world.key(&copy("one /n/")), world.key(&chmod("one /n/", "700")));
    fs::rename(world.path("one"), world.path("renamed")).expect("renamed");
    let renamed = world.key(&copy("renamed /n/"));
    world.write("one/a", "one/a");
    assert_eq!(renamed, world.key(&copy("one /n/")), "the name of a source directory");
}

#[test]
fn df_173_remembered_digests_are_used_and_changes_are_seen() {
    let world = World::with(&["dir/a", "dir/b"]);
    let step = copy("dir /n/");
    let key = world.key(&step);
    // Old enough to be remembered: no clock is that coarse.
    world.set_time("dir/a", TIME);
    let context = world.context();
    let cancel = Cancel::new();
    let of = |context: &Context| {
        let selection = Selection::find(Input::Context(context), &step, &cancel).expect("sources");
        selection.content_key(&cancel).expect("a key")
    };
    assert_eq!(of(&context), key);
    context.save().expect("saved");
    assert_eq!(of(&world.context()), key);
    world.write("dir/a", "DIR/a");
    assert_ne!(of(&world.context()), key, "written within the clock's granularity");
}

#[test]
fn df_131_an_attribute_that_is_set_later_is_seen() {
    let world = World::with(&["dir/a", "dir/b"]);
    let step = copy("dir /n/");
    // Nobody asks again for the attributes of what is remembered to have none.
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let context = world.context();
    let of = |context: &Context| {
        let cancel = Cancel::new();
        let selection = Selection::find(Input::Context(context), &step, &cancel).expect("sources");
        selection.content_key(&cancel).expect("a key")
    };
    let key = of(&context);
    context.save().expect("saved");
    assert_eq!(of(&world.context()), key);
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(world.path("dir/a"), "user.x", b"1", flags).expect("an attribute");
    assert_ne!(of(&world.context()), key);
}

#[test]
fn keys_of_views_come_from_tables() {
    let world = World::new();
    let made = |time: &str| {
        let layer = world.layer(&[
            dir("app"),
            Made("app/a", 0o644, (1, 2), What::File(time)),
            Made("app/b", 0o644, (1, 2), What::Hardlink("app/a")),
        ]);
        let view = View::new(&[layer]);
        let cancel = Cancel::new();
        let selection = Selection::find(Input::View(&view), &copy("app /n/"), &cancel).expect("sources");
        selection.content_key(&cancel).expect("a key")
    };
    assert_eq!(made("x"), made("x"));
    assert_ne!(made("x"), made("y"));
}

#[test]
fn the_key_is_pinned() {
    let world = World::with(&["dir/a", "dir/sub/b", "dir/l -> a"]);
    for (path, mode) in [("dir/a", 0o644), ("dir/sub", 0o755), ("dir/sub/b", 0o600)] {
        world.mode(path, mode);
    }
    let key = blake3::Hash::from_bytes(world.key(&copy("dir /n/")).0).to_hex();
    // When this changes, so must the magic of the stream.
    assert_eq!(key.as_str(), "ceeb8ce1fb0b0c36ce4e8948718b53ff5c85cae8addffe147f36e89a336ac614");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Neither times nor the order in which files were made (and so, are listed) matter; and both ways to the key agree, whatever the
    /// number of sources (checked by `copied`).
    #[test]
    fn times_and_order_do_not_matter(
        names in proptest::collection::btree_set("[ab]{1,2}(/[a.-]{1,3}x){0,2}f", 1..12),
        seed in any::<u64>(),
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let mut shuffled = names.clone();
        shuffled.sort_by_key(|name| blake3::hash(&[name.as_bytes(), &seed.to_le_bytes()].concat()).as_bytes().to_vec());
        let make = |names: &[String], time: i64| {
            let world = World::new();
            for name in names {
                world.write(&format!("dir/{name}"), name);
                world.set_time(&format!("dir/{name}"), time);
            }
            world
        };
        let (one, other) = (make(&names, 5), make(&shuffled, 1_234_567));
        let step = copy("dir dir/* /n/");
        prop_assert_eq!(one.key(&step), other.key(&step));
        prop_assert_eq!(one.copied(&step), other.copied(&step));
    }
}
