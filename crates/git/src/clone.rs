//! A clone that is kept, and what is checked out of it.
//!
//! ```text
//! PLACE/whole/   a bare repository: the commits that were asked for, without their history where the server allows that
//! PLACE/busy/    the same, while somebody works with it
//! ```
//!
//! Whoever works with a clone has its place for himself, by a lock that git inherits. A clone that is still busy then was left by a process that was killed,
//! and is removed; so is one that turns out to be damaged. Nothing in it can not be fetched again.

use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use base::IoContext;

use crate::error::GitError;
use crate::program::{Call, Git};
use crate::refs::Resolved;
use crate::source::Source;
use crate::{kept, plain};

/// What is to be checked out.
pub struct Order<'o> {
    /// Of which repository.
    pub source: &'o Source,
    /// Which commit.
    pub resolved: &'o Resolved,
    /// Whether `.git` is wanted; that of a subdirectory never is.
    pub keep_git_dir: bool,
    /// Where the clone is, or comes to be: a directory.
    pub place: &'o Path,
    /// The lock of `place`.
    pub lock: BorrowedFd<'o>,
    /// Where the files come: nothing is there yet.
    pub into: &'o Path,
}

/// Fetches a commit, unless the clone has it, and checks it out.
///
/// Files have the modes 0644 and 0755, directories 0755, and all have the time of the commit; without `.git`, the same commit makes the same directory.
pub fn checkout(git: &Git<'_>, order: &Order<'_>) -> Result<(), GitError> {
    let clone = Clone { git, order, repository: order.place.join("busy") };
    clone.begin()?;
    let is_new = clone.kept(clone.fetch())?;
    let repository = match clone.files() {
        Err(GitError::Failed { .. }) if !is_new => {
            plain::remove(&clone.repository)?;
            plain::remove(order.into)?;
            clone.begin()?;
            clone.fetch()?;
            clone.files()?
        }
        result => result?,
    };
    if order.source.submodules && order.into.join(".gitmodules").is_file() {
        clone.kept(clone.submodules(&repository))?;
    }
    let commit = clone.commit()?;
    if order.keeps() {
        kept::finish(git, &repository, order.into, &order.resolved.commit)?;
    }
    plain::settle(order.into, commit.time, order.keeps(), git.cancel())?;
    clone.end()
}

impl Order<'_> {
    fn keeps(&self) -> bool {
        self.keep_git_dir && self.source.subdirectory.is_none()
    }
}

/// What a commit says of itself.
pub(crate) struct Commit {
    pub time: i64,
    pub has_parents: bool,
}

struct Clone<'c> {
    git: &'c Git<'c>,
    order: &'c Order<'c>,
    repository: PathBuf,
}

impl Clone<'_> {
    fn call(&self, action: &'static str) -> Call<'_> {
        Call { repository: Some(&self.repository), input: Some(self.order.lock), ..Call::new(action) }
    }

    /// Takes the clone, or makes an empty one.
    fn begin(&self) -> Result<(), GitError> {
        plain::remove(&self.repository)?;
        let whole = self.order.place.join("whole");
        match fs::rename(&whole, &self.repository) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("rename", &whole)?,
        }
        fs::create_dir(&self.repository).context("create the directory", &self.repository)?;
        let sha256 = (self.order.resolved.commit.len() == 64).then_some("--object-format=sha256");
        let options = ["init", "--quiet", "--bare", "--template="];
        self.git.text(self.call("make a repository"), options.into_iter().chain(sha256))?;
        // What submodules' addresses may be relative to.
        let url = &self.git.remote().url;
        self.git.text(self.call("make a repository"), ["config", "remote.origin.url", url])?;
        Ok(())
    }

    /// A server that refuses leaves the clone as it was.
    fn kept<T>(&self, result: Result<T, GitError>) -> Result<T, GitError> {
        if result.is_err() && self.git.cancel().check().is_ok() {
            self.end()?;
        }
        result
    }

    /// Gives it back.
    fn end(&self) -> Result<(), GitError> {
        let whole = self.order.place.join("whole");
        Ok(fs::rename(&self.repository, &whole).context("rename to", &whole)?)
    }

    fn has_commit(&self) -> Result<bool, GitError> {
        let commit = format!("{}^{{commit}}", self.order.resolved.commit);
        Ok(self.git.run(self.call("look for the commit"), ["cat-file", "-e", &commit])?.success)
    }

    /// Fetches the commit if it is not there, and says whether that was so. What a server does not allow is tried in another way: first the commit alone,
    /// then what its name means, at last everything.
    fn fetch(&self) -> Result<bool, GitError> {
        if self.has_commit()? {
            return Ok(false);
        }
        let Resolved { object, reference, .. } = self.order.resolved;
        // One name for each that is asked for, so that little is fetched the next time.
        let name = reference.as_deref().unwrap_or("commit").replace('/', "%2f");
        let only = |what: &str| vec![format!("+{what}:refs/fetched/{name}")];
        let all =
            ["+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*"].map(str::to_owned).to_vec();
        let attempts =
            [Some((Some("1"), only(object))), reference.as_deref().map(|name| (Some("1"), only(name)))];
        // The largest depth means all of it.
        let whole = [Some((Some("2147483647"), all.clone())), Some((None, all))];
        let mut refused = None;
        for (depth, names) in attempts.into_iter().chain(whole).flatten() {
            let is_all = names.len() > 1;
            let depth = depth.map(|depth| format!("--depth={depth}"));
            let options = ["fetch", "--progress", "--no-tags", "--force"].map(str::to_owned);
            let rest = ["--".to_owned(), self.git.remote().url.clone()];
            let arguments = options.into_iter().chain(depth).chain(rest).chain(names);
            let ended =
                self.git.run(Call { is_remote: true, ..self.call("fetch the repository") }, arguments)?;
            if ended.success && self.has_commit()? {
                return Ok(true);
            }
            if ended.success && is_all {
                return Err(GitError::NoCommit(self.order.resolved.commit.clone()));
            }
            if !ended.success {
                let error = GitError::failed("fetch the repository", &ended.said);
                if !may_be_otherwise(&ended.said) {
                    return Err(error);
                }
                refused = Some(error);
            }
        }
        Err(refused.unwrap_or_else(|| GitError::NoCommit(self.order.resolved.commit.clone())))
    }

    /// Checks out, and gives the repository that the files belong to.
    fn files(&self) -> Result<PathBuf, GitError> {
        let Order { into, resolved, .. } = *self.order;
        fs::create_dir(into).context("create the directory", into)?;
        let repository = if self.order.keeps() {
            let commit = self.commit()?;
            kept::make(self.git, &self.repository, into, resolved, &commit)?
        } else {
            // The index of another checkout would say that there is nothing to do.
            plain::remove(&self.repository.join("index"))?;
            self.repository.clone()
        };
        let call =
            Call { repository: Some(&repository), files: Some(into), ..self.call("check out the commit") };
        self.git.text(call, ["read-tree", "--reset", "-u", &resolved.commit])?;
        Ok(repository)
    }

    fn submodules(&self, repository: &Path) -> Result<(), GitError> {
        let action = "fetch the submodules";
        let into = self.order.into;
        let local = || Call { repository: Some(repository), files: Some(into), ..self.call(action) };
        let call = || Call { is_remote: true, ..local() };
        // Their addresses may have changed since the clone was made.
        self.git.text(local(), ["submodule", "--quiet", "sync", "--recursive"])?;
        let update = ["submodule", "update", "--init", "--recursive", "--force", "--progress"];
        let ended = self.git.run(call(), update.into_iter().chain(["--depth=1"]))?;
        if ended.success {
            return Ok(());
        }
        if !may_be_otherwise(&ended.said) {
            return Err(GitError::failed(action, &ended.said));
        }
        self.git.text(call(), update)?;
        Ok(())
    }

    fn commit(&self) -> Result<Commit, GitError> {
        let text = self
            .git
            .text(self.call("read the commit"), ["cat-file", "commit", &self.order.resolved.commit])?;
        parse_commit(&text).ok_or(GitError::Answer(text))
    }
}

/// Whether a server has refused the way in which it was asked, and not the repository.
fn may_be_otherwise(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["unadvertised object", "not our ref", "shallow", "depth", "couldn't find remote ref"]
        .iter()
        .any(|words| said.contains(words))
}

fn parse_commit(text: &str) -> Option<Commit> {
    let headers = || text.lines().take_while(|line| !line.is_empty());
    let committer = headers().find_map(|line| line.strip_prefix("committer "))?;
    let (_, time) = committer.rsplit_once("> ")?;
    let time = time.split(' ').next()?.parse().ok()?;
    Some(Commit { time, has_parents: headers().any(|line| line.starts_with("parent ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_083_the_time_of_a_commit_is_the_committers() {
        let text = "tree 1\nparent 2\nauthor A <a@b> 5 +0000\ncommitter B > C <b> 1700000000 +0200\n\ncommitter x> 9\n";
        let commit = parse_commit(text).expect("a commit");
        assert_eq!((commit.time, commit.has_parents), (1_700_000_000, true));
        assert!(parse_commit("tree 1\n\ncommitter B <b> 1 +0000\n").is_none());
    }
}
