//! Passwords in a file of htpasswd, hashed with bcrypt. The file is read again when it changes.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use base::IoContext;
use image::Digest;
use tokio::sync::Semaphore;

use crate::ServeError;
use crate::reply::Answer;
use crate::service::blocking;

/// How many passwords are checked at a time: each costs a processor for a good while, and there are others to serve.
const AT_A_TIME: usize = 2;
/// How many right answers are remembered.
const MAX_KNOWN: usize = 4096;
/// A hash of nobody's password: who names an unknown user waits as long as everybody else.
const NOBODY: &str = "$2y$10$abcdefghijklmnopqrstuuJ1WkLyzRlfkT0q3Zsr1gyCN8gFs8n5u";

/// The users, and what of them was checked already.
pub(super) struct Passwords {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    room: Semaphore,
    /// So that what is remembered says nothing outside of this process.
    salt: u128,
}

struct State {
    users: HashMap<String, String>,
    modified: Option<SystemTime>,
    /// Names, passwords and hashes that belong together, hashed.
    known: HashSet<Digest>,
}

impl Passwords {
    pub fn load(path: &Path) -> Result<Self, ServeError> {
        let state = State { users: read(path)?, modified: modified(path), known: HashSet::new() };
        let mut salt = [0; 16];
        rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| ServeError::System { action: "get random bytes", source: error.into() })?;
        Ok(Self {
            path: path.to_owned(),
            state: Arc::new(Mutex::new(state)),
            room: Semaphore::new(AT_A_TIME),
            salt: u128::from_le_bytes(salt),
        })
    }

    /// Whether this is the user's password.
    pub async fn verify(&self, name: &str, password: String) -> Answer<bool> {
        let hash = {
            let mut state = self.state();
            self.refresh(&mut state);
            state.users.get(name).cloned()
        };
        let is_user = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let mark = Digest::sha256(format!("{}\0{name}\0{password}\0{hash}", self.salt).as_bytes());
        if is_user && self.state().known.contains(&mark) {
            return Ok(true);
        }
        let Ok(_permit) = self.room.acquire().await else { return Ok(false) };
        let is_right =
            blocking(move || Ok(bcrypt::verify(password, &hash).unwrap_or(false))).await? && is_user;
        if is_right {
            let mut state = self.state();
            if state.known.len() >= MAX_KNOWN {
                state.known.clear();
            }
            state.known.insert(mark);
        }
        Ok(is_right)
    }

    /// Reads the file again when it has changed. One that cannot be read lets in whoever it let in before.
    fn refresh(&self, state: &mut State) {
        let modified = modified(&self.path);
        if modified.is_some()
            && modified != state.modified
            && let Ok(users) = read(&self.path)
        {
            *state = State { users, modified, known: HashSet::new() };
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn read(path: &Path) -> Result<HashMap<String, String>, ServeError> {
    let text = fs::read_to_string(path).context("read", path)?;
    parse(&text).map_err(|reason| ServeError::File { path: path.to_owned(), reason })
}

/// Reads `name:hash` lines. Hashes of other kinds can be found by trying, and are refused.
fn parse(text: &str) -> Result<HashMap<String, String>, String> {
    let mut users = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = number + 1;
        let (name, hash) = line.split_once(':').ok_or_else(|| format!("there is no colon in line {at}"))?;
        if !["$2y$", "$2a$", "$2b$"].iter().any(|kind| hash.starts_with(kind)) || hash.len() != 60 {
            return Err(format!(
                "the password of {} in line {at} is not hashed with bcrypt; `htpasswd -B` does so",
                base::text::bytes(name.as_bytes())
            ));
        }
        users.insert(name.to_owned(), hash.to_owned());
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rs_100_files_of_htpasswd() {
        let hash = format!("$2y$05${}", "a".repeat(53));
        let users = parse(&format!("# users\n\nann:{hash}\n ben:{hash}\n")).expect("users");
        assert_eq!(users.len(), 2);
        for (wrong, expected) in [
            ("ann", "no colon in line 1"),
            ("ann:secret", "the password of ann in line 1 is not hashed with bcrypt"),
            ("\nann:$apr1$abc$def", "in line 2"),
        ] {
            let error = parse(wrong).expect_err("an error");
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn rs_100_nobody_has_a_password_that_can_be_compared() {
        assert_eq!(bcrypt::verify("", NOBODY).ok(), Some(false));
    }
}
