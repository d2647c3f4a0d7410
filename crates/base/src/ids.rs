//! Which users and groups inside of a user namespace are which outside (user_namespaces(7)).

/// One range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl IdRange {
    /// Whether this id inside is one of them.
    pub fn contains(&self, id: u32) -> bool {
        id >= self.inside && id - self.inside < self.count
    }
}

/// The ids of a user namespace, as `/proc/PID/uid_map` and `gid_map` show them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMap {
    /// Users.
    pub users: Vec<IdRange>,
    /// Groups.
    pub groups: Vec<IdRange>,
}

impl IdMap {
    /// A namespace with one user and one group, which are root inside.
    pub fn single(user: u32, group: u32) -> Self {
        let range = |outside| vec![IdRange { inside: 0, outside, count: 1 }];
        Self { users: range(user), groups: range(group) }
    }

    /// Reads the texts of the two files.
    pub fn parse(users: &str, groups: &str) -> Option<Self> {
        Some(Self { users: ranges(users)?, groups: ranges(groups)? })
    }

    /// Whether every id is itself: no user namespace but the machine's own.
    pub fn is_identity(&self) -> bool {
        let is_all = |ranges: &[IdRange]| matches!(ranges, [range] if (range.inside, range.outside, range.count) == (0, 0, u32::MAX));
        is_all(&self.users) && is_all(&self.groups)
    }

    /// Whether root is the only user or the only group that there is.
    pub fn is_single(&self) -> bool {
        let count = |ranges: &[IdRange]| ranges.iter().map(|range| u64::from(range.count)).sum::<u64>();
        count(&self.users) <= 1 || count(&self.groups) <= 1
    }

    /// How many users there are inside.
    pub fn user_count(&self) -> u64 {
        self.users.iter().map(|range| u64::from(range.count)).sum()
    }

    /// Whether a file can belong to this user and group.
    pub fn knows(&self, user: u32, group: u32) -> bool {
        let knows = |ranges: &[IdRange], id| ranges.iter().any(|range| range.contains(id));
        knows(&self.users, user) && knows(&self.groups, group)
    }
}

impl std::fmt::Display for IdMap {
    /// `0=1000, 1…65536=100000…165535` for the users; the groups as well where they differ.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |ranges: &[IdRange]| ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let users = text(&self.users);
        match text(&self.groups) {
            groups if groups == users => f.write_str(&users),
            groups => write!(f, "users {users} and groups {groups}"),
        }
    }
}

impl std::fmt::Display for IdRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { inside, outside, count } = *self;
        let last = |first: u32| u64::from(first) + u64::from(count.max(1)) - 1;
        match count {
            1 => write!(f, "{inside}={outside}"),
            _ => write!(f, "{inside}…{}={outside}…{}", last(inside), last(outside)),
        }
    }
}

fn ranges(text: &str) -> Option<Vec<IdRange>> {
    text.lines().filter(|line| !line.trim().is_empty()).map(range).collect()
}

fn range(line: &str) -> Option<IdRange> {
    let mut numbers = line.split_whitespace().map(|number| number.parse::<u32>().ok());
    let range = IdRange { inside: numbers.next()??, outside: numbers.next()??, count: numbers.next()?? };
    numbers.next().is_none().then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_as_the_kernel_writes_them() {
        let all = "         0          0 4294967295\n";
        let identity = IdMap::parse(all, all).expect("a map");
        assert!(identity.is_identity() && !identity.is_single() && identity.knows(70_000, 0));
        let text = "0 1000 1\n1 100000 65536\n";
        let mapped = IdMap::parse(text, text).expect("a map");
        assert!(!mapped.is_identity() && !mapped.is_single());
        assert!(mapped.knows(65_536, 1) && !mapped.knows(65_537, 1) && !mapped.knows(0, 65_537));
        assert_eq!(mapped.user_count(), 65_537);
        assert_eq!(mapped.to_string(), "0=1000, 1…65536=100000…165535");
        let single = IdMap::single(1000, 100);
        assert_eq!(single.to_string(), "users 0=1000 and groups 0=100");
        assert!(single.is_single() && single.knows(0, 0) && !single.knows(1, 0));
    }

    #[test]
    fn nonsense_is_no_map() {
        for text in ["0 1000", "0 1000 1 1", "a b c", "0 -1 1", "0 4294967296 1"] {
            assert_eq!(IdMap::parse(text, "0 0 1"), None, "{text}");
        }
    }
}
