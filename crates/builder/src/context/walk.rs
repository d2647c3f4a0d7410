//! Walking a directory of a context: every name and its `stat`, on several threads, reading no contents.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::num::NonZero;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Condvar, Mutex, PoisonError};

use base::{Cancel, IoContext, IoError};
use dockerfile::ignore::Verdict;
use rustix::fs::{AtFlags, OFlags, RawDir};
use rustix::io::Errno;

use super::{Below, Context, Fate, Kind, Status, Xattrs};
use crate::copy::CopyError;

/// More threads do not make a walk faster: the directories' locks in the kernel are what it waits for.
const MAX_THREADS: usize = 8;
/// Names are read from the kernel in pieces of this size.
const NAMES_BUFFER: usize = 32 << 10;

/// Something that a walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Its path below the directory where the walk began.
    pub path: Box<[u8]>,
    pub status: Status,
    /// What a symbolic link says; empty for all else.
    pub target: Box<[u8]>,
    /// Extended attributes that a layer keeps.
    pub xattrs: Xattrs,
}

/// What is directly in one directory, sorted.
#[derive(Default)]
struct Listing(Vec<Child>);

struct Child {
    found: Walked,
    /// For a directory.
    inside: Option<Box<Inside>>,
}

/// What is known of a directory besides.
struct Inside {
    /// Its own listing.
    listing: usize,
    verdicts: Verdicts,
    /// Whether it counts only if something in it does.
    is_tentative: bool,
}

/// What the ignore file, and `--exclude`, say.
type Verdicts = [Verdict; 2];

/// A directory to be listed: its place in the listings, and its path below the start.
struct Task {
    listing: usize,
    path: Box<[u8]>,
    verdicts: Verdicts,
}

#[derive(Default)]
struct State {
    tasks: Vec<Task>,
    listings: Vec<Listing>,
    /// How many tasks are waiting or being done.
    unfinished: usize,
    failed: Option<CopyError>,
}

struct Walk<'a> {
    context: &'a Context,
    start: &'a [u8],
    /// The ignore file, and `--exclude`.
    filters: [Below<'a>; 2],
    cancel: &'a Cancel,
    state: Mutex<State>,
    changed: Condvar,
}

impl Context {
    /// Gives `each` everything below a directory (a path without links) that neither the ignore file nor `exclude` leaves out, in the order of a table.
    ///
    /// An excluded directory is gone into only where a `!` pattern could match below, and is there only if something in it is (DF-187).
    pub(crate) fn walk(
        &self,
        start: &[u8],
        exclude: Below<'_>,
        cancel: &Cancel,
        each: impl FnMut(Walked),
    ) -> Result<(), CopyError> {
        let filters = [Below { filter: self.filter(), prefix: start }, exclude];
        let first = Task { listing: 0, path: Box::default(), verdicts: filters.map(|filter| filter.start()) };
        let state =
            State { tasks: vec![first], listings: vec![Listing::default()], unfinished: 1, failed: None };
        let walk =
            Walk { context: self, start, filters, cancel, state: Mutex::new(state), changed: Condvar::new() };
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| walk.work());
            }
            walk.work();
        });
        let state = walk.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.failed {
            Some(error) => Err(error),
            None => {
                flatten(state.listings, each);
                Ok(())
            }
        }
    }
}

impl Walk<'_> {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            let result = self.list(&task);
            let mut state = self.lock();
            match result {
                Ok(mut listing) => {
                    for Child { found, inside } in &mut listing.0 {
                        let Some(inside) = inside else { continue };
                        let place = state.listings.len();
                        inside.listing = place;
                        state.listings.push(Listing::default());
                        let (path, verdicts) = (found.path.clone(), inside.verdicts);
                        state.tasks.push(Task { listing: place, path, verdicts });
                        state.unfinished += 1;
                    }
                    if let Some(place) = state.listings.get_mut(task.listing) {
                        *place = listing;
                    }
                }
                Err(error) => {
                    state.failed.get_or_insert(error);
                }
            }
            state.unfinished -= 1;
            self.changed.notify_all();
        }
    }

    /// The next directory; `None` when all are done, or something failed.
    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() || state.unfinished == 0 {
                return None;
            }
            if let Some(task) = state.tasks.pop() {
                return Some(task);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn list(&self, task: &Task) -> Result<Listing, CopyError> {
        self.cancel.check()?;
        let in_context = join(self.start, &task.path);
        let name_it = || self.context.full_path(&in_context);
        let opened = self.context.open(&in_context, OFlags::RDONLY | OFlags::DIRECTORY);
        let directory = opened.context("open", name_it())?;
        let mut reader =
            Reader { walk: self, directory: &directory, task, in_context: &in_context, no_xattrs: false };
        let mut children = Vec::new();
        let mut failure = None;
        let result = for_each_name(&directory, |name| {
            match reader.child(name) {
                Ok(child) => children.extend(child),
                Err(error) => {
                    failure = Some(error);
                    return Err(Errno::CANCELED);
                }
            }
            Ok(())
        });
        if let Some(error) = failure {
            return Err(error.into());
        }
        result.context("list", name_it())?;
        children.sort_unstable_by(|one, other| one.found.path.cmp(&other.found.path));
        Ok(Listing(children))
    }
}

/// What reads one directory.
struct Reader<'a> {
    walk: &'a Walk<'a>,
    directory: &'a OwnedFd,
    task: &'a Task,
    in_context: &'a [u8],
    /// Whether the filesystem has said that it has none.
    no_xattrs: bool,
}

impl Reader<'_> {
    fn child(&mut self, name: &CStr) -> Result<Option<Child>, IoError> {
        let path = join(&self.task.path, name.to_bytes());
        let mut verdicts = self.task.verdicts;
        let mut fate = Fate::Included;
        for (filter, verdict) in self.walk.filters.iter().zip(&mut verdicts) {
            let (own, becomes) = filter.judge(*verdict, &path);
            *verdict = own;
            fate = fate.max(becomes);
        }
        if fate == Fate::Excluded {
            return Ok(None);
        }
        let excluded = fate == Fate::ExcludedItself;
        let in_context = join(self.in_context, name.to_bytes());
        let full_path = || self.walk.context.full_path(&in_context);
        let Some(status) = status_at(self.directory, name).context("look at", full_path())? else {
            // Removed since the directory was read.
            return Ok(None);
        };
        let is_directory = status.kind == Kind::Directory;
        if excluded && !is_directory {
            return Ok(None);
        }
        let target = match status.kind {
            Kind::Symlink => {
                let target = rustix::fs::readlinkat(self.directory, name, Vec::new());
                target.context("read the link", full_path())?.into_bytes().into_boxed_slice()
            }
            _ => Box::default(),
        };
        let mut xattrs = Xattrs::default();
        let may_have_xattrs = match status.kind {
            Kind::File => !self.walk.context.is_plain(&status.stamp),
            kind => kind == Kind::Directory,
        };
        if !self.no_xattrs && may_have_xattrs {
            match super::xattrs::of_child(self.directory.as_raw_fd(), name) {
                Ok(found) => xattrs = found,
                Err(Errno::NOTSUP) => self.no_xattrs = true,
                Err(error) => return Err(error).context("read the attributes of", full_path()),
            }
        }
        let found = Walked { path: path.into_boxed_slice(), status, target, xattrs };
        // The place of the listing is given when the task is.
        let inside = is_directory.then(|| Box::new(Inside { listing: 0, verdicts, is_tentative: excluded }));
        Ok(Some(Child { found, inside }))
    }
}

/// Gives every directory, and then what is in it; a tentative one only when something in it is given.
fn flatten(mut listings: Vec<Listing>, mut each: impl FnMut(Walked)) {
    let mut take =
        |place: usize| listings.get_mut(place).map(std::mem::take).unwrap_or_default().0.into_iter();
    // For each directory that is being gone through: the rest of its listing, and itself while it is not given.
    let mut open: Vec<(std::vec::IntoIter<Child>, Option<Walked>)> = vec![(take(0), None)];
    while let Some((rest, _)) = open.last_mut() {
        let Some(Child { found, inside }) = rest.next() else {
            open.pop();
            continue;
        };
        match inside {
            Some(inside) if inside.is_tentative => open.push((take(inside.listing), Some(found))),
            other => {
                open.iter_mut().filter_map(|(_, waiting)| waiting.take()).for_each(&mut each);
                each(found);
                open.extend(other.map(|inside| (take(inside.listing), None)));
            }
        }
    }
}

/// Calls `each` with every name in a directory but `.` and `..`.
pub(super) fn for_each_name(
    directory: &OwnedFd,
    mut each: impl FnMut(&CStr) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut buffer = vec![MaybeUninit::uninit(); NAMES_BUFFER];
    let mut names = RawDir::new(directory, &mut buffer);
    while let Some(entry) = names.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            each(name)?;
        }
    }
    Ok(())
}

/// What a name in a directory is, links not followed; `None` when it is not there.
pub(super) fn status_at(directory: &OwnedFd, name: &CStr) -> Result<Option<Status>, Errno> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Status::new(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A path below a directory, which may be the root.
pub(crate) fn join(directory: &[u8], path: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return path.to_vec();
    }
    if path.is_empty() {
        return directory.to_vec();
    }
    [directory, path].join(&b'/')
}
