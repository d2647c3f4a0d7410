//! `.git` beside the files (`--keep-git-dir`): one commit, without its history, with a detached HEAD and the name that was asked for.
//!
//! The same commit makes the same bytes with the same git: objects are packed anew, on one thread, and the index knows of no file when it was written. What
//! submodules bring is as their servers sent it.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use base::IoContext;

use crate::clone::Commit;
use crate::error::GitError;
use crate::plain;
use crate::program::{Call, Git};
use crate::refs::Resolved;

const ACTION: &str = "make the .git directory";

/// Makes it in `into` out of a clone.
pub(crate) fn make(
    git: &Git<'_>,
    clone: &Path,
    into: &Path,
    resolved: &Resolved,
    commit: &Commit,
) -> Result<PathBuf, GitError> {
    let Resolved { commit: digest, object, reference } = resolved;
    let repository = into.join(".git");
    let sha256 = (digest.len() == 64).then_some("--object-format=sha256");
    let call = || Call { repository: Some(&repository), ..Call::new(ACTION) };
    // Without GIT_DIR, which would be written down.
    let options = ["init", "--quiet", "--template="].into_iter().chain(sha256).chain(["."]);
    git.text(Call { inside: Some(into), ..Call::new(ACTION) }, options)?;
    pack(git, clone, &repository, object)?;
    if commit.has_parents {
        let path = repository.join("shallow");
        fs::write(&path, format!("{digest}\n")).context("write", &path)?;
    }
    git.text(call(), ["config", "remote.origin.url", &git.remote().url])?;
    if let Some(reference) = reference.as_deref().filter(|reference| reference.starts_with("refs/")) {
        git.text(call(), ["update-ref", reference, object])?;
    }
    git.text(call(), ["update-ref", "--no-deref", "HEAD", digest])?;
    Ok(repository)
}

/// Everything that belongs to the commit, in one pack.
fn pack(git: &Git<'_>, clone: &Path, repository: &Path, object: &str) -> Result<(), GitError> {
    let list = repository.join("objects.list");
    let output = File::create(&list).context("create", &list)?;
    let from = || Call { repository: Some(clone), ..Call::new(ACTION) };
    git.text(Call { output: Some(output), ..from() }, ["rev-list", "--objects", "--no-walk", object])?;
    let input = File::open(&list).context("open", &list)?;
    let pack = repository.join("objects/pack/pack");
    let options = ["pack-objects", "--quiet", "--threads=1", "--no-reuse-delta", "--no-reuse-object"];
    let arguments = options.into_iter().map(std::ffi::OsStr::new).chain([pack.as_os_str()]);
    git.text(Call { input: Some(input.as_fd()), ..from() }, arguments)?;
    plain::remove(&list)
}

/// Takes out what is not the same each time.
pub(crate) fn finish(git: &Git<'_>, repository: &Path, into: &Path, commit: &str) -> Result<(), GitError> {
    for name in ["index", "FETCH_HEAD", "ORIG_HEAD"] {
        plain::remove(&repository.join(name))?;
    }
    let call = Call { repository: Some(repository), files: Some(into), ..Call::new(ACTION) };
    git.text(call, ["read-tree", commit])?;
    Ok(())
}
