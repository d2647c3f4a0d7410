//! Opening a store, and making one.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base::{IdMap, IoContext, IoError};

use crate::ids::{self, Ownership};
use crate::temp::Leftovers;
use crate::{Result, StoreError, cgroups, files, temp};

const TITLE: &str = "lapstrake store ";
const VERSION: u32 = 1;

/// What a store has at its top, besides `version` and `lock`.
pub(crate) const DIRECTORIES: [&str; 20] = [
    "blobs",
    "blobs/sha256",
    "layers",
    "chains",
    "images",
    "names",
    "repositories",
    "cache",
    "contexts",
    "mounts",
    "steps",
    "stages",
    "logs",
    "leases",
    "partial",
    "uploads",
    "downloads",
    "cgroups",
    "tmp",
    "trash",
];

/// How the version file is called until it is complete.
pub(crate) const UNFINISHED: &str = ".version-";

/// A store that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Its canonical path.
    pub root: PathBuf,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Whose the files in its trees are.
    pub ownership: Ownership,
    /// The ids that this process has.
    pub ids: IdMap,
    /// What dead processes left, and was removed.
    pub cleared: Leftovers,
}

/// Opens or makes the store.
pub(crate) fn open(root: &Path) -> Result<Opened> {
    make_root(root)?;
    let root = fs::canonicalize(root).context("find", root)?;
    if !known_version(&root)? {
        make_version(&root)?;
    }
    if is_read_only(&root)? {
        let (ownership, ids) = ids::settle(&root, None)?;
        return Ok(Opened { root, read_only: true, ownership, ids, cleared: Leftovers::default() });
    }
    for name in DIRECTORIES {
        files::make_directory(&root.join(name))?;
    }
    let mut cleared = Leftovers::default();
    for name in ["tmp", "trash", "leases", "steps"] {
        // Whoever wants to know what is left there asks for the usage; a command need not fail because of it.
        let _ = temp::sweep(&root.join(name), &mut cleared);
    }
    let _ = cgroups::sweep(&root.join("cgroups"), &mut cleared);
    let (ownership, ids) = ids::settle(&root, Some(&root.join("tmp")))?;
    Ok(Opened { root, read_only: false, ownership, ids, cleared })
}

fn make_root(root: &Path) -> Result<(), IoError> {
    if files::exists(root)? {
        return Ok(());
    }
    // Others may look into the parents, not into the store.
    if let Some(parent) = root.parent() {
        fs::create_dir_all(parent).context("create the directory", parent)?;
    }
    files::make_directory(root)
}

/// Whether the version file is there, and is one that is known; `false` when it is not there, and a store may be made here.
fn known_version(root: &Path) -> Result<bool> {
    let path = root.join("version");
    let not_a_store =
        |reason: &str| StoreError::NotAStore { root: root.to_owned(), reason: reason.to_owned() };
    if !fs::metadata(root).context("stat", root)?.is_dir() {
        return Err(not_a_store("it is not a directory"));
    }
    if let Some(bytes) = files::read_limited(&path, 4096)? {
        let found = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.strip_prefix(TITLE)?.trim_end().parse::<u32>().ok())
            .ok_or_else(|| not_a_store("its file \"version\" says something else"))?;
        if found > VERSION {
            return Err(StoreError::TooNew { root: root.to_owned(), found, known: VERSION });
        }
        return Ok(true);
    }
    let strange = files::names_in(root)?.into_iter().find(|name| {
        name != "lost+found" && !name.to_string_lossy().starts_with(UNFINISHED) && name != "version"
    });
    match strange {
        None => Ok(false),
        // Another process made the store between the two looks.
        Some(_) if files::exists(&path)? => known_version(root),
        Some(name) => Err(not_a_store(&format!(
            "it is not empty (there is {} in it), and has no file \"version\"",
            base::text::bytes(name.as_encoded_bytes())
        ))),
    }
}

fn make_version(root: &Path) -> Result<(), IoError> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(root, mode).context("change the mode of", root)?;
    let unfinished = root.join(format!("{UNFINISHED}{}", files::unique()));
    let path = root.join("version");
    let made = files::replace(&unfinished, &path, format!("{TITLE}{VERSION}\n").as_bytes());
    // Another process that made the store at the same time may have taken ours for a dead one's.
    if made.is_err() && !files::exists(&path)? {
        return made;
    }
    for name in files::names_in(root)? {
        // Left by a process that died while it made the store; one that lives finds that the store is made.
        if name.to_string_lossy().starts_with(UNFINISHED) {
            let _ = fs::remove_file(root.join(name));
        }
    }
    root.parent().map_or(Ok(()), files::sync_directory)
}

/// Opens the lock file, which makes it; so it turns out whether the place can be written.
fn is_read_only(root: &Path) -> Result<bool, IoError> {
    let path = root.join("lock");
    match fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(true),
        Err(source) => Err(IoError { action: "open", path, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use base::{Classified, Kind};

    use super::*;

    #[test]
    fn makes_a_store_and_opens_it_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("a/b/store");
        for _ in 0..2 {
            let Opened { root: opened, read_only, .. } = open(&root).expect("a store");
            assert_eq!(opened, fs::canonicalize(&root).expect("a path"));
            assert!(!read_only);
        }
        assert_eq!(fs::metadata(&root).expect("stat").permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(root.join("version")).expect("read"), "lapstrake store 1\n");
    }

    #[test]
    fn many_make_one_store_at_a_time() {
        for _ in 0..8 {
            let directory = tempfile::tempdir().expect("a directory");
            let root = directory.path().join("store");
            std::thread::scope(|scope| {
                let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&root))).collect();
                for thread in opened {
                    thread.join().expect("no panic").expect("a store");
                }
            });
        }
    }

    #[test]
    fn refuses_what_is_something_else_or_newer() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        fs::write(root.join("thesis.tex"), "").expect("write");
        let error = open(root).expect_err("not a store");
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("thesis.tex"), "{error}");
        assert!(!root.join("version").exists());
        fs::remove_file(root.join("thesis.tex")).expect("remove");
        fs::create_dir(root.join("lost+found")).expect("mkdir");
        fs::write(root.join(".version-left-by-a-dead-process"), "lapst").expect("write");
        open(root).expect("a store");
        assert!(!root.join(".version-left-by-a-dead-process").exists());
        for (text, kind) in [
            ("lapstrake store 2\n", Kind::TooNew),
            ("1.4", Kind::Invalid),
            ("lapstrake store x", Kind::Invalid),
            ("", Kind::Invalid),
        ] {
            fs::write(root.join("version"), text).expect("write");
            assert_eq!(open(root).expect_err("an error").kind(), kind, "{text:?}");
        }
        let file = directory.path().join("file");
        fs::write(&file, "").expect("write");
        assert_eq!(open(&file).expect_err("an error").kind(), Kind::Invalid);
    }
}
