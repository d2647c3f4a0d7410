//! Subordinate ids: those that the administrator has set aside for a user (subuid(5)).

use std::fs;
use std::path::Path;

use base::{IdMap, IdRange};

use super::map::Programs;

/// The files with the ids, and the file with the names.
const USERS: &str = "/etc/subuid";
const GROUPS: &str = "/etc/subgid";
const NAMES: &str = "/etc/passwd";

/// Why a user has no subordinate ids to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortage {
    /// The program that writes them is not installed.
    Program(&'static str),
    /// The file does not name the user.
    Unnamed {
        /// Which file.
        file: &'static str,
        /// The user's name, or number.
        user: String,
    },
    /// The store was made with one id.
    Store,
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Shortage::Program(name) => write!(f, "{name} is not installed"),
            Shortage::Unnamed { file, user } => {
                write!(f, "{file} has no ids for {}", base::text::bytes(user.as_bytes()))
            }
            Shortage::Store => f.write_str("the store was made without subordinate ids"),
        }
    }
}

impl Shortage {
    /// What gives the user such ids.
    pub fn remedy(&self) -> String {
        match self {
            Shortage::Program(_) => "install it: apt-get install uidmap (Fedora: shadow-utils)".to_owned(),
            Shortage::Unnamed { user, .. } => {
                format!("as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}")
            }
            Shortage::Store => {
                "take another store with --root, or remove this one: lap system prune -a, then its directory"
                    .to_owned()
            }
        }
    }
}

/// The subordinate ids of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subordinate {
    users: Vec<(u32, u32)>,
    groups: Vec<(u32, u32)>,
}

impl Subordinate {
    /// Those of the user with this number.
    pub fn of(user: u32) -> Result<Self, Shortage> {
        if let Some(shortage) = Programs::shortage() {
            return Err(shortage);
        }
        let name = fs::read_to_string(NAMES).ok().and_then(|text| name_of(&text, user));
        let read = |file: &'static str| {
            let text = fs::read_to_string(Path::new(file)).unwrap_or_default();
            let ranges = ranges_of(&text, name.as_deref(), user);
            let named = || name.clone().unwrap_or_else(|| user.to_string());
            if ranges.is_empty() { Err(Shortage::Unnamed { file, user: named() }) } else { Ok(ranges) }
        };
        Ok(Self { users: read(USERS)?, groups: read(GROUPS)? })
    }

    /// How many users and groups there are, besides the user.
    pub fn counts(&self) -> (u64, u64) {
        let count = |ranges: &[(u32, u32)]| ranges.iter().map(|(_, count)| u64::from(*count)).sum();
        (count(&self.users), count(&self.groups))
    }

    /// The ids of a namespace in which this user is root, and the subordinate ids come one after the other from 1.
    pub fn map(&self, user: u32, group: u32) -> IdMap {
        IdMap { users: consecutive(user, &self.users), groups: consecutive(group, &self.groups) }
    }
}

fn consecutive(own: u32, ranges: &[(u32, u32)]) -> Vec<IdRange> {
    let mut map = vec![IdRange { inside: 0, outside: own, count: 1 }];
    let mut inside: u32 = 1;
    for (outside, count) in ranges {
        // The last id that there is means "no change".
        let count = (*count).min((u32::MAX - 1).saturating_sub(inside));
        if count > 0 {
            map.push(IdRange { inside, outside: *outside, count });
            inside += count;
        }
    }
    map
}

/// The name of a user in `/etc/passwd`.
fn name_of(passwd: &str, user: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    })
}

/// First ids and counts of a user, who may stand there by name or by number.
fn ranges_of(text: &str, name: Option<&str>, user: u32) -> Vec<(u32, u32)> {
    let number = user.to_string();
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        (Some(owner) == name || owner == number).then_some(())?;
        let (first, count) = (fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?);
        // Root and the last id are nobody's to give.
        (first > 0 && count > 0 && first.checked_add(count).is_some()).then_some((first, count))
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_user_by_name_and_by_number() {
        let text =
            "root:100000:65536\nann:165536:65536\n# no\nann:x:1\n1000:300000:10\nann:0:5\nann:4294967295:2\n";
        assert_eq!(ranges_of(text, Some("ann"), 1000), [(165_536, 65_536), (300_000, 10)]);
        assert_eq!(ranges_of(text, None, 1000), [(300_000, 10)]);
        assert_eq!(ranges_of(text, Some("bob"), 1001), []);
    }

    #[test]
    fn names_of_users() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbroken\n";
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(name_of(passwd, 1001), None);
    }

    #[test]
    fn the_user_is_root_and_the_others_follow() {
        let subordinate = Subordinate { users: vec![(100_000, 65_536), (300_000, 10)], groups: vec![(7, 3)] };
        let map = subordinate.map(1000, 100);
        assert_eq!(
            map.to_string(),
            "users 0=1000, 1…65536=100000…165535, 65537…65546=300000…300009 and groups 0=100, 1…3=7…9"
        );
        assert_eq!(subordinate.counts(), (65_546, 3));
        let huge = Subordinate { users: vec![(1, u32::MAX - 2), (5, 5)], groups: vec![(1, 1)] };
        assert!(huge.map(0, 0).knows(u32::MAX - 2, 0));
        assert!(!huge.map(0, 0).knows(u32::MAX, 0));
    }
}
