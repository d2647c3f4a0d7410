//! Random actions in a real overlay: what was seen before the overlay went is what every form of the layer gives.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Write(usize, Vec<u8>),
    Append(usize),
    Directory(usize),
    Remove(usize),
    Symlink(usize, usize),
    Link(usize, usize),
    Rename(usize, usize),
    Mode(usize, u32),
    Owner(usize, u32),
    Time(usize, i64),
    Attribute(usize),
    Fifo(usize),
    Socket(usize),
}

const NAMES: [&str; 16] = [
    "d", "d/a", "d/b", "d/sub", "d/sub/x", "d/sub/y", "e", "e/f", "e/new", "f", "f2", "g", "g/h", "g/h/i",
    "link", "d-x",
];

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let name = 0..NAMES.len();
    let action = prop_oneof![
        3 => (name.clone(), proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(path, bytes)| Action::Write(path, bytes)),
        1 => name.clone().prop_map(Action::Append),
        3 => name.clone().prop_map(Action::Directory),
        3 => name.clone().prop_map(Action::Remove),
        1 => (name.clone(), name.clone()).prop_map(|(path, target)| Action::Symlink(path, target)),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Action::Link(from, to)),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Action::Rename(from, to)),
        1 => (name.clone(), 0..0o10000_u32).prop_map(|(path, mode)| Action::Mode(path, mode)),
        1 => (name.clone(), 0..70_000_u32).prop_map(|(path, owner)| Action::Owner(path, owner)),
        1 => (name.clone(), -2_000_000_000..4_000_000_000_i64).prop_map(|(path, time)| Action::Time(path, time)),
        1 => name.clone().prop_map(Action::Attribute),
        1 => name.clone().prop_map(Action::Fifo),
        1 => name.prop_map(Action::Socket),
    ];
    proptest::collection::vec(action, 1..24)
}

/// Many actions cannot be done where they come; that does not matter.
fn act(root: &Path, action: &Action) {
    let place = |index: &usize| root.join(NAMES[*index]);
    let make_node = |path: PathBuf, kind| {
        let _ = rustix::fs::mknodat(rustix::fs::CWD, path, kind, Mode::from_raw_mode(0o640), 0);
    };
    match action {
        Action::Write(path, bytes) => drop(no_follow(&place(path)).then(|| fs::write(place(path), bytes))),
        Action::Append(path) => {
            if no_follow(&place(path))
                && let Ok(mut file) = fs::OpenOptions::new().append(true).open(place(path))
            {
                let _ = std::io::Write::write_all(&mut file, b"more");
            }
        }
        Action::Directory(path) => drop(fs::create_dir(place(path))),
        Action::Remove(path) => {
            let _ = fs::remove_file(place(path)).or_else(|_| fs::remove_dir_all(place(path)));
        }
        Action::Symlink(path, target) => drop(symlink(NAMES[*target], place(path))),
        Action::Link(from, to) => drop(fs::hard_link(place(from), place(to))),
        Action::Rename(from, to) => drop(fs::rename(place(from), place(to))),
        Action::Mode(path, mode) => {
            if no_follow(&place(path)) {
                let _ = fs::set_permissions(place(path), fs::Permissions::from_mode(*mode));
            }
        }
        Action::Owner(path, owner) => {
            drop(std::os::unix::fs::lchown(place(path), Some(*owner), Some(owner / 2)))
        }
        Action::Time(path, time) => {
            let times = rooted::times(*time);
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            let _ = rustix::fs::utimensat(rustix::fs::CWD, place(path), &times, flags);
        }
        Action::Attribute(path) => {
            for (name, value) in [
                ("user.note", b"text".to_vec()),
                ("security.capability", capability()),
                ("trusted.mine", b"x".to_vec()),
            ] {
                let _ = rustix::fs::lsetxattr(place(path), name, &value, XattrFlags::empty());
            }
        }
        Action::Fifo(path) => make_node(place(path), FileType::Fifo),
        Action::Socket(path) => make_node(place(path), FileType::Socket),
    }
}

/// A regular file, or nothing yet: opening a pipe would wait for ever.
fn no_follow(path: &Path) -> bool {
    fs::symlink_metadata(path).map_or(true, |stat| stat.is_file() || stat.is_dir())
}

#[test]
fn random_runs_round_trip() {
    let scratch = scratch();
    let base = base(&scratch);
    let config = ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() };
    proptest::test_runner::TestRunner::new(config)
        .run(&proptest::collection::vec(actions(), 1..3), |runs| {
            let mut stack = vec![base.clone()];
            for actions in &runs {
                let (layer, seen) =
                    run(&scratch, &stack, |root| actions.iter().for_each(|action| act(root, action)));
                stack.push(layer);
                check(&scratch, &stack, &seen, "random");
            }
            Ok(())
        })
        .expect("the same");
}
