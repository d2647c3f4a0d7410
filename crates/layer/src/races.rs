//! Directories that somebody else swaps for links while they are written and read: nothing outside is touched, and nothing of it comes in (ST-070).

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base::Cancel;
use rustix::fs::{Mode, OFlags, RenameFlags};
use store::Layer;
use store::table::{ContentDigest, EntryKind};

use crate::apply::apply;
use crate::output::write_directory;
use crate::packer::PackOptions;
use crate::testing::{Make, Scratch, Seen, What, file, layer, look, make, scratch};
use crate::walk::{Owners, Upper, commit_upper};
use crate::{Result, View};

/// How often each is tried.
fn rounds() -> usize {
    if std::env::var_os("LAP_TEST_ALL").is_some() { 2000 } else { 100 }
}

/// A place that must stay as it is; it has everything that is written and read, under the same names.
struct Outside {
    place: PathBuf,
    before: BTreeMap<String, Seen>,
}

impl Outside {
    fn new(scratch: &Scratch) -> Self {
        let place = scratch.directory.path().join("outside");
        fs::create_dir_all(place.join("sub")).expect("directories");
        for name in NAMES.iter().chain(&["target"]) {
            fs::write(place.join(name), "secret").expect("a file");
        }
        let before = look(&place);
        Self { place, before }
    }

    #[track_caller]
    fn check(&self) {
        assert_eq!(look(&self.place), self.before);
    }
}

/// The files that are written and read.
const NAMES: [&str; 8] = ["a", "b", "c", "sub/d", "sub/e", "pipe", "x", "y"];

fn entries() -> Vec<Make> {
    vec![
        Make { mode: 0o777, ..make("d", What::Directory) },
        Make { mode: 0o777, ..file("d/a", "inside") },
        Make { mode: 0o777, ..file("d/b", "") },
        Make { mode: 0o777, ..make("d/pipe", What::Fifo) },
        make("d/link", What::Symlink("a")),
        Make { mode: 0o777, ..make("d/sub", What::Directory) },
        Make { mode: 0o777, ..file("d/sub/d", "inside") },
        make("d/x", What::Link("d/a")),
        make("d/y", What::Link("d/sub/d")),
    ]
}

/// Does `work` again and again, while another thread exchanges two names of a directory as fast as it can.
fn while_swapped<T>(place: &Path, names: (&str, &str), work: impl FnOnce() -> T) -> (T, usize) {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // It may be renamed itself meanwhile.
    let directory: OwnedFd = rustix::fs::open(place, flags, Mode::empty()).expect("a directory");
    let (done, swaps) = (AtomicBool::new(false), AtomicUsize::new(0));
    let result = std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (one, other) = names;
                let swapped =
                    rustix::fs::renameat_with(&directory, one, &directory, other, RenameFlags::EXCHANGE);
                swaps.fetch_add(usize::from(swapped.is_ok()), Ordering::Relaxed);
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    });
    (result, swaps.into_inner())
}

/// The swaps have to have come in between: some attempts fail, and say why.
#[derive(Default)]
struct Tally {
    swaps: usize,
    failed: usize,
}

impl Tally {
    fn add<T>(&mut self, (result, swaps): (Result<T>, usize)) -> Option<T> {
        self.swaps += swaps;
        self.failed += usize::from(result.is_err());
        result.ok()
    }

    #[track_caller]
    fn check(&self) {
        assert!(self.swaps > rounds(), "it was swapped {} times only", self.swaps);
        assert!(self.failed > 0, "it was swapped {} times, and never at the wrong moment", self.swaps);
    }
}

#[test]
fn a_tree_that_is_unpacked() {
    let scratch = scratch();
    let outside = Outside::new(&scratch);
    let top = layer(&scratch, &entries());
    let mut tally = Tally::default();
    for _ in 0..rounds() {
        let tree = scratch.store.temp_dir("tree").expect("a directory");
        symlink(&outside.place, tree.path().join("other")).expect("a link");
        let mut pack = scratch.store.blobs().open(&scratch.lease, &top.diff_id().0).expect("a pack").file;
        tally.add(while_swapped(tree.path(), ("d", "other"), || {
            apply(&scratch.store, &scratch.lease, &mut pack, top.table(), &[], &tree, &Cancel::new())
        }));
        outside.check();
    }
    tally.check();
}

#[test]
fn a_directory_that_is_written() {
    let scratch = scratch();
    let outside = Outside::new(&scratch);
    let view = View::new(&[layer(&scratch, &entries())]);
    let place = scratch.directory.path().join("out");
    fs::create_dir_all(place.join("d/sub")).expect("directories");
    symlink(&outside.place, place.join("other")).expect("a link");
    let mut tally = Tally::default();
    for _ in 0..rounds() {
        tally.add(while_swapped(&place, ("d", "other"), || {
            write_directory(&scratch.store, &scratch.lease, &view, &place, None, &Cancel::new())
        }));
        outside.check();
    }
    tally.check();
}

/// What was just made is swapped, and not the directory it is in: a mode is not given to what a link leads to.
#[test]
fn a_pipe_that_is_written() {
    let scratch = scratch();
    let outside = Outside::new(&scratch);
    let view = View::new(&[layer(&scratch, &[Make { mode: 0o777, ..make("pipe", What::Fifo) }])]);
    let place = scratch.directory.path().join("out");
    fs::create_dir(&place).expect("a directory");
    let mut swaps = 0;
    for _ in 0..rounds() {
        symlink(outside.place.join("a"), place.join("other")).expect("a link");
        swaps += while_swapped(&place, ("pipe", "other"), || {
            // Whether it was written where the link was before, or the other way round: one of them is in the way next time.
            write_directory(&scratch.store, &scratch.lease, &view, &place, None, &Cancel::new())
        })
        .1;
        outside.check();
        fs::remove_file(place.join("other")).expect("removed");
    }
    assert!(swaps > rounds(), "it was swapped {swaps} times only");
}

/// What a command has left, while something of it still runs (which cannot be) and plays tricks.
#[test]
fn an_upper_directory_that_is_committed() {
    let scratch = scratch();
    let outside = Outside::new(&scratch);
    let secret = ContentDigest(*blake3::hash(b"secret").as_bytes());
    let mut tally = Tally::default();
    for _ in 0..rounds() {
        let place = scratch.store.temp_dir("run").expect("a directory");
        let upper = place.subdirectory("upper").expect("a directory");
        fs::create_dir_all(upper.join("d/sub")).expect("directories");
        for name in NAMES {
            fs::write(upper.join("d").join(name), "inside").expect("a file");
        }
        symlink(&outside.place, upper.join("other")).expect("a link");
        let committed: Option<Layer> = tally.add(while_swapped(&upper, ("d", "other"), || {
            commit_upper(
                &scratch.store,
                &scratch.lease,
                Upper { place, name: "upper", below: &View::new(&[]), owners: &Owners::Real },
                PackOptions { clamp: Some(1) },
                &Cancel::new(),
            )
        }));
        outside.check();
        for entry in committed.iter().flat_map(|layer| layer.table().entries()) {
            let is_secret = matches!(entry.kind, EntryKind::File { content, .. } if content == secret);
            assert!(!is_secret, "{} is in the layer", base::text::bytes(entry.path));
        }
    }
    tally.check();
}
