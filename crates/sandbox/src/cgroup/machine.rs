//! Which hierarchies of groups there are, and where in them a process is.

use std::path::{Path, PathBuf};

/// One tree of cgroups, as a line of `/proc/self/cgroup` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hierarchy {
    /// Version 2.
    Unified,
    /// Version 1, with controllers.
    Controllers(String),
    /// Version 1, with a name only.
    Named(String),
}

impl Hierarchy {
    /// Those of this process.
    pub(crate) fn all() -> Vec<Self> {
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        text.lines().filter_map(parse).map(|(hierarchy, _)| hierarchy).collect()
    }

    /// Whether it has a controller of version 1.
    fn has(&self, controller: &str) -> bool {
        matches!(self, Hierarchy::Controllers(names) if names.split(',').any(|name| name == controller))
    }
}

/// A hierarchy, and the group of it that a line of `/proc/self/cgroup` says.
fn parse(line: &str) -> Option<(Hierarchy, &str)> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let hierarchy = match (number, controllers.strip_prefix("name=")) {
        ("0", _) => Hierarchy::Unified,
        (_, Some(name)) => Hierarchy::Named(name.to_owned()),
        (_, None) => Hierarchy::Controllers(controllers.to_owned()),
    };
    Some((hierarchy, path))
}

/// A hierarchy that is mounted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    pub hierarchy: Hierarchy,
    /// Where it is mounted.
    pub top: PathBuf,
    /// The directory of the group that this process is in, at the top or below it.
    pub own: PathBuf,
}

/// The hierarchies that are mounted here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Machine(pub Vec<Mounted>);

impl Machine {
    /// This machine, as this process sees it.
    pub fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"), Path::new("/"))
    }

    /// From the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`; where things are mounted is said as seen from `root`.
    pub fn parse(groups: &str, mounts: &str, root: &Path) -> Self {
        let mounts: Vec<Mount<'_>> = mounts.lines().filter_map(Mount::parse).collect();
        let mounted = groups.lines().filter_map(parse).filter_map(|(hierarchy, path)| {
            // What is mounted with another group as its root, outside of which this process is, does not help.
            let (mount, below) = mounts
                .iter()
                .rev()
                .filter(|mount| mount.is_of(&hierarchy))
                .find_map(|mount| Some((mount, Path::new(path).strip_prefix(mount.root).ok()?)))?;
            let top = root.join(mount.place.trim_start_matches('/'));
            let own = top.join(below);
            Some(Mounted { hierarchy, top, own })
        });
        Self(mounted.collect())
    }

    /// The hierarchy of version 1 that has a controller.
    pub fn first(&self, controller: &str) -> Option<&Mounted> {
        self.0.iter().find(|mounted| mounted.hierarchy.has(controller))
    }

    /// The hierarchy of version 2.
    pub fn second(&self) -> Option<&Mounted> {
        self.0.iter().find(|mounted| mounted.hierarchy == Hierarchy::Unified)
    }
}

/// A line of `/proc/self/mountinfo` about cgroups.
struct Mount<'a> {
    /// Which group its top is.
    root: &'a str,
    place: &'a str,
    second: bool,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        let mut fields = after.split(' ');
        let (kind, options) = (fields.next()?, fields.nth(1)?);
        let second = match kind {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        Some(Self { root, place, second, options })
    }

    fn is_of(&self, hierarchy: &Hierarchy) -> bool {
        let has = |wanted: &str| self.options.split(',').any(|option| option == wanted);
        match hierarchy {
            Hierarchy::Unified => self.second,
            Hierarchy::Named(name) => !self.second && has(&format!("name={name}")),
            Hierarchy::Controllers(names) => !self.second && names.split(',').all(has),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_of_all_versions() {
        let cases = [
            ("0::/user.slice", Some((Hierarchy::Unified, "/user.slice"))),
            ("4:cpu,cpuacct:/", Some((Hierarchy::Controllers("cpu,cpuacct".to_owned()), "/"))),
            ("1:name=systemd:/init.scope", Some((Hierarchy::Named("systemd".to_owned()), "/init.scope"))),
            ("x", None),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected);
        }
    }

    #[test]
    fn groups_are_found_where_they_are_mounted() {
        let groups =
            "5:memory:/docker/abc/inner\n4:cpu,cpuacct:/\n3:pids:/elsewhere\n1:name=systemd:/x\n0::/\n";
        let mounts = "\
30 20 0:26 /docker/abc /sys/fs/cgroup/memory ro,nosuid shared:9 - cgroup cgroup rw,memory
31 20 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 20 0:28 /docker/abc /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
33 20 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
34 20 0:30 / /tmp rw - tmpfs memory rw
";
        let machine = Machine::parse(groups, mounts, Path::new("/fake"));
        let first = |name| machine.first(name).map(|it| (it.top.clone(), it.own.clone()));
        let path = |name: &str| PathBuf::from(format!("/fake/sys/fs/cgroup/{name}"));
        assert_eq!(first("memory"), Some((path("memory"), path("memory/inner"))));
        assert_eq!(first("cpuacct"), Some((path("cpu,cpuacct"), path("cpu,cpuacct"))));
        // This process is outside of what is mounted, and nothing has this one.
        assert_eq!((first("pids"), first("cpuset")), (None, None));
        assert_eq!(machine.second().map(|it| it.own.clone()), Some(path("unified")));
        assert_eq!(machine.0.len(), 3);
    }
}
