//! A file that appears under its name only when it is whole.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base::{IoContext, IoError};
use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags};

const SUFFIX: &str = ".partial";

/// Where a file will be, and what it is until then.
///
/// Where the filesystem can, it has no name while it is written, so that nothing stays of it however this process
/// ends. Elsewhere it has a name beside its place, which is removed when this is dropped, or by [`clear`]: whoever
/// still writes holds a lock.
#[derive(Debug)]
pub struct Partial {
    place: PathBuf,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Nameless(File),
    Named(PathBuf),
    Done,
}

impl Partial {
    /// Begins a file, and gives what to write to.
    pub fn create(place: &Path) -> Result<(Self, File), IoError> {
        let directory = parent(place);
        let flags = i32::try_from(OFlags::TMPFILE.bits()).unwrap_or_default();
        let opened = File::options().write(true).mode(0o666).custom_flags(flags).open(directory);
        let (stage, file) = match opened.and_then(|file| Ok((file.try_clone()?, file))) {
            Ok((file, copy)) => {
                hold(&file);
                (Stage::Nameless(file), copy)
            }
            // Not every filesystem knows files without a name; if there is another reason, it is met again here.
            Err(_) => {
                let name = beside(place);
                let file = loop {
                    let file = File::create(&name).context("create", &name)?;
                    hold(&file);
                    // Who clears may have come between the two, and taken the name away.
                    if name.exists() {
                        break file;
                    }
                };
                (Stage::Named(name), file)
            }
        };
        Ok((Self { place: place.to_owned(), stage }, file))
    }

    /// Where it will be.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Everything is written: it gets its name, in place of what has the name now, once it is on the disk.
    pub fn commit(self) -> Result<(), IoError> {
        self.publish(true)
    }

    /// The same, unless there is something of that name.
    pub fn commit_new(self) -> Result<(), IoError> {
        self.publish(false)
    }

    fn publish(mut self, replace: bool) -> Result<(), IoError> {
        match &self.stage {
            Stage::Nameless(file) => file.sync_data(),
            Stage::Named(name) => File::open(name).and_then(|file| file.sync_data()),
            Stage::Done => Ok(()),
        }
        .context("sync", &self.place)?;
        let name = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Done => return Ok(()),
            Stage::Named(name) => name,
            Stage::Nameless(file) => {
                match link(&file, &self.place) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error).context("create", &self.place),
                    Ok(()) => return sync_parent(&self.place),
                }
                if !replace {
                    return Ok(());
                }
                // A name that is taken can only be replaced by another name.
                let name = beside(&self.place);
                link(&file, &name).context("create", &name)?;
                name
            }
        };
        let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let renamed = rustix::fs::renameat_with(CWD, &name, CWD, &self.place, flags);
        if renamed.is_err() {
            self.stage = Stage::Named(name);
        }
        match renamed {
            Err(rustix::io::Errno::EXIST) if !replace => Ok(()),
            Err(error) => Err(io::Error::from(error)).context("rename to", &self.place),
            Ok(()) => sync_parent(&self.place),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Stage::Named(name) = &self.stage {
            // What failed before matters more than a leftover.
            let _ = fs::remove_file(name);
        }
    }
}

/// A name lasts when its directory is on the disk.
fn sync_parent(place: &Path) -> Result<(), IoError> {
    let directory = parent(place);
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        // One that may be written and not read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result.context("sync", directory),
    }
}

fn link(file: &File, name: &Path) -> io::Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, own, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

fn beside(place: &Path) -> PathBuf {
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}{SUFFIX}", std::process::id()));
    place.with_file_name(name)
}

/// Says by a lock that somebody writes. A filesystem without locks has none that could be taken by [`clear`] either.
fn hold(file: &File) {
    let _ = file.lock();
}

/// Removes what others left beside a place that were killed while they wrote to it, and says so. What cannot be looked at stays.
pub fn clear(place: &Path, say: impl FnOnce(&str)) {
    let own = place.file_name().unwrap_or_default().as_encoded_bytes();
    let count = clear_directory(parent(place), |name| name == own);
    tell("beside", place, count, say);
}

/// The same for all files in some directories of a place.
pub(crate) fn clear_all(
    place: &Path,
    directories: impl IntoIterator<Item = PathBuf>,
    say: impl FnOnce(&str),
) {
    let count = directories.into_iter().map(|directory| clear_directory(&directory, |_| true)).sum();
    tell("in", place, count, say);
}

/// Says how many files were cleared, if any.
fn tell(which: &str, place: &Path, count: usize, say: impl FnOnce(&str)) {
    let files = match count {
        0 => return,
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    say(&format!("cleared what an interrupted lap left {which} {}: {files}", base::text::path(place)));
}

/// Removes what nobody writes any more of the files that were to get certain names. Gives how many there were.
fn clear_directory(directory: &Path, is_meant: impl Fn(&[u8]) -> bool) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let is_left = |name: &OsStr| {
        // As `beside` makes it.
        let rest = name.as_encoded_bytes().strip_suffix(SUFFIX.as_bytes()).unwrap_or_default();
        let dot = rest.iter().rposition(|byte| *byte == b'.');
        let parts = dot.map(|dot| (&rest[..dot], &rest[dot + 1..]));
        parts.is_some_and(|(own, number)| {
            !number.is_empty() && number.iter().all(u8::is_ascii_digit) && is_meant(own)
        })
    };
    let left = entries.flatten().filter(|entry| is_left(&entry.file_name())).filter(|entry| {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        is_file && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
    });
    // What cannot be removed is in nobody's way.
    left.filter(|entry| fs::remove_file(entry.path()).is_ok()).count()
}

fn parent(place: &Path) -> &Path {
    place.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_appears_when_it_is_whole_and_replaces_what_is_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("out.tar");
        let names = || fs::read_dir(directory.path()).expect("names").count();
        for content in ["first", "second"] {
            let before = names();
            let (partial, mut file) = Partial::create(&place).expect("a file");
            file.write_all(content.as_bytes()).expect("written");
            assert_eq!(names(), before, "nothing is seen of it yet");
            partial.commit().expect("a name");
            assert_eq!(fs::read_to_string(&place).expect("read"), content);
            assert_eq!(names(), 1);
        }
        let (partial, mut file) = Partial::create(&place).expect("a file");
        file.write_all(b"third").expect("written");
        drop(partial);
        assert_eq!(fs::read_to_string(&place).expect("read"), "second");
        assert_eq!(names(), 1);
    }

    #[test]
    fn what_a_dead_process_left_is_cleared_and_what_is_written_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("out.tar");
        let name = |name: &str| directory.path().join(name);
        let kept = ["out.tar.7.partial", "out.tar.x.partial", "other.tar.7.partial", "out.tar.partial"];
        for name in kept.map(name).iter().chain([&name("out.tar.8.partial")]) {
            fs::write(name, "left").expect("written");
        }
        let held = File::open(name("out.tar.7.partial")).expect("a file");
        held.lock().expect("a lock");
        let mut said = String::new();
        clear(&place, |text| said.push_str(text));
        assert_eq!(said, format!("cleared what an interrupted lap left beside {}: 1 file", place.display()));
        clear(&place, |text| panic!("{text}"));
        for name in kept.map(name) {
            assert!(name.exists(), "{}", name.display());
        }
        assert!(!name("out.tar.8.partial").exists());
    }

    #[test]
    fn what_was_left_anywhere_in_a_place_is_cleared() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = |name: &str| directory.path().join(name);
        fs::create_dir(place("blobs")).expect("a directory");
        let kept = ["blobs/.8.partial.old", "blobs/name.partial", "blobs/0123"];
        for name in kept.iter().chain(&["index.json.7.partial", "blobs/a.b.8.partial", "blobs/0.9.partial"]) {
            fs::write(place(name), "left").expect("written");
        }
        let held = File::open(place("blobs/0.9.partial")).expect("a file");
        held.lock().expect("a lock");
        let directories = || ["", "blobs", "nowhere"].map(place);
        let mut said = String::new();
        clear_all(directory.path(), directories(), |text| said.push_str(text));
        assert_eq!(
            said,
            format!("cleared what an interrupted lap left in {}: 2 files", directory.path().display())
        );
        clear_all(directory.path(), directories(), |text| panic!("{text}"));
        assert!(kept.iter().chain(&["blobs/0.9.partial"]).all(|name| place(name).exists()));
    }

    #[test]
    fn a_place_that_is_not_there_is_named() {
        let error = Partial::create(Path::new("/does/not/exist/out.tar")).expect_err("an error");
        assert!(error.to_string().starts_with("cannot create /does/not/exist/out.tar"), "{error}");
    }
}
