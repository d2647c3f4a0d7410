//! Where a group can be made, found out without making one.
//!
//! Version 1 has a hierarchy for each controller, and the new group lies in that of this process. Version 2 gives controllers only to children of
//! groups without processes, so the new group lies in the nearest group above this process that can have such children: limits
//! that hold for this process hold for the new group too, as far as that is possible.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::limits::Limits;
use super::machine::{Hierarchy, Machine, Mounted};
use crate::error::Error;

/// Where groups are made, and what is written into each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub(crate) places: Vec<Place>,
}

/// A place in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The directory that the group is made in.
    #[serde(with = "crate::wire::path")]
    pub(crate) parent: PathBuf,
    /// The directory of the group that this process is in.
    #[serde(with = "crate::wire::path")]
    pub(crate) own: PathBuf,
    /// The controllers that the parent's children do not have yet (version 2).
    pub(crate) enabled: Vec<String>,
    /// What is written, in this order.
    pub(crate) settings: Vec<Setting>,
    /// The file that counts what was killed for want of memory.
    pub(crate) kills: Option<String>,
}

/// A file of a group, and what is written into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) file: String,
    /// `None`: what the parent's file says.
    pub(crate) value: Option<String>,
    /// A kernel without this file does without.
    pub(crate) may_be_missing: bool,
}

impl Setting {
    pub(crate) fn new(file: &str, value: String) -> Self {
        Self { file: file.to_owned(), value: Some(value), may_be_missing: false }
    }

    pub(crate) fn inherited(file: &str) -> Self {
        Self { file: file.to_owned(), value: None, may_be_missing: false }
    }
}

/// What is in the way of a limit.
struct Obstacle {
    reason: String,
    hint: &'static str,
}

/// How to get a group that an ordinary user may change.
const DELEGATION: &str = "run it as root, or in a group that systemd leaves to you: systemd-run --user --scope -p Delegate=yes lap …";

/// How to get groups in a container.
const CONTAINER: &str =
    "in a container, limit the container itself, or let it have cgroups (docker: --privileged)";

/// What a kernel may have switched off.
const KERNEL: &str = "the kernel may have it switched off (cgroup_enable=memory on its command line), or systemd may not have handed it down";

impl Plan {
    /// Where groups with these limits can be made on this machine, by this process; `None` when nothing is asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`]: what was asked for, what forbids it, and what would allow it.
    pub fn find(limits: &Limits) -> Result<Option<Self>, Error> {
        if limits.is_empty() { Ok(None) } else { Self::on(&Machine::this(), limits).map(Some) }
    }

    /// The directories of a group with this name.
    pub fn directories(&self, name: &str) -> Vec<PathBuf> {
        self.places.iter().map(|place| place.parent.join(name)).collect()
    }

    fn on(machine: &Machine, limits: &Limits) -> Result<Self, Error> {
        let mut wanted: Vec<(&Mounted, Vec<(&str, &str)>)> = Vec::new();
        for (controller, flag) in limits.controllers() {
            let mounted = machine.first(controller).or_else(|| machine.second()).ok_or_else(|| {
                let reason = format!("no cgroups with the controller {controller} are mounted");
                Obstacle { reason, hint: CONTAINER }.of(flag)
            })?;
            match wanted.iter_mut().find(|(other, _)| *other == mounted) {
                Some((_, needed)) => needed.push((controller, flag)),
                None => wanted.push((mounted, vec![(controller, flag)])),
            }
        }
        if let (true, Some(parent)) = (wanted.is_empty(), &limits.parent) {
            let has_it = |mounted: &&Mounted| inside(&mounted.top, parent).is_dir();
            wanted.extend(machine.0.iter().filter(has_it).map(|mounted| (mounted, Vec::new())));
            if wanted.is_empty() {
                return Err(no_parent(parent).of("--cgroup-parent"));
            }
        }
        let place = |(mounted, needed): &(&Mounted, Vec<(&str, &str)>)| {
            let names: Vec<&str> = needed.iter().map(|(controller, _)| *controller).collect();
            let flags: Vec<&str> = needed.iter().map(|(_, flag)| *flag).collect();
            let flags = if flags.is_empty() { "--cgroup-parent".to_owned() } else { flags.join(", ") };
            place(mounted, &names, limits).map_err(|obstacle| obstacle.of(&flags))
        };
        Ok(Self { places: wanted.iter().map(place).collect::<Result<_, _>>()? })
    }
}

impl Obstacle {
    fn of(self, flags: &str) -> Error {
        Error::Limit { limit: flags.to_owned(), reason: self.reason, hint: self.hint.to_owned() }
    }
}

fn no_parent(parent: &str) -> Obstacle {
    Obstacle {
        reason: format!("there is no cgroup {}", base::text::bytes(parent.as_bytes())),
        hint: "make it first (mkdir in /sys/fs/cgroup), or name one that exists",
    }
}

/// A path from the top of a hierarchy.
fn inside(top: &Path, path: &str) -> PathBuf {
    top.join(path.trim_start_matches('/'))
}

fn place(mounted: &Mounted, needed: &[&str], limits: &Limits) -> Result<Place, Obstacle> {
    let unified = mounted.hierarchy == Hierarchy::Unified;
    let candidates: Vec<PathBuf> = match &limits.parent {
        Some(parent) => {
            let directory = inside(&mounted.top, parent);
            if !directory.is_dir() {
                return Err(no_parent(parent));
            }
            vec![directory]
        }
        None if unified => {
            let above = mounted.own.ancestors().take_while(|directory| directory.starts_with(&mounted.top));
            above.map(Path::to_owned).collect()
        }
        None => vec![mounted.own.clone()],
    };
    let mut obstacles = Vec::new();
    for parent in candidates {
        let enabled = match unified {
            true => children_get(&parent, needed),
            false => may_make(&parent).map(|()| Vec::new()),
        };
        match enabled {
            Ok(enabled) => {
                let settings = |controller: &&str| match unified {
                    true => limits.second(controller),
                    false => limits.first(controller),
                };
                let kills = if unified { "memory.events" } else { "memory.oom_control" };
                return Ok(Place {
                    parent,
                    own: mounted.own.clone(),
                    enabled,
                    settings: needed.iter().flat_map(settings).collect(),
                    kills: needed.contains(&super::limits::MEMORY).then(|| kills.to_owned()),
                });
            }
            Err(obstacle) => obstacles.push(obstacle),
        }
    }
    // The one that is the farthest up has the most to give, and says what is missing.
    Err(obstacles.pop().unwrap_or_else(|| no_parent("/")))
}

/// Whether children of a group of version 2 can have all these controllers; which of them it would have to hand down first.
fn children_get(parent: &Path, needed: &[&str]) -> Result<Vec<String>, Obstacle> {
    may_make(parent)?;
    let list = |file: &str| std::fs::read_to_string(parent.join(file)).unwrap_or_default();
    let (available, handed_down) = (list("cgroup.controllers"), list("cgroup.subtree_control"));
    let has = |list: &str, controller: &str| list.split_whitespace().any(|name| name == controller);
    if let Some(controller) = needed.iter().find(|controller| !has(&available, controller)) {
        let reason = format!("the cgroup {} has no controller {controller}", base::text::path(parent));
        return Err(Obstacle { reason, hint: KERNEL });
    }
    let missing: Vec<String> = needed
        .iter()
        .filter(|controller| !has(&handed_down, controller))
        .map(|&controller| controller.to_owned())
        .collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    may_write(&parent.join("cgroup.subtree_control"))?;
    // What lies at the very top has no type, and may have processes beside children with controllers.
    let is_top = !parent.join("cgroup.type").exists();
    if !is_top && !list("cgroup.procs").is_empty() {
        let place = base::text::path(parent);
        let reason = format!(
            "the cgroup {place} has processes, so the kernel does not let it hand {} down",
            missing.join(", ")
        );
        return Err(Obstacle { reason, hint: CONTAINER });
    }
    Ok(missing)
}

/// Whether a group can be made in another, and processes moved into it.
fn may_make(parent: &Path) -> Result<(), Obstacle> {
    may_write(parent)?;
    may_write(&parent.join("cgroup.procs"))
}

fn may_write(path: &Path) -> Result<(), Obstacle> {
    let Err(error) = accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS) else { return Ok(()) };
    let hint = if error == Errno::ROFS { CONTAINER } else { DELEGATION };
    let reason = format!("cannot write to {}: {}", base::text::path(path), std::io::Error::from(error));
    Err(Obstacle { reason, hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine in a directory: `(path below /sys/fs/cgroup, contents)`; directories come with the files in them.
    struct Fake(tempfile::TempDir);

    impl Fake {
        fn new(files: &[(&str, &str)]) -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            for (name, contents) in files {
                let path = directory.path().join("sys/fs/cgroup").join(name);
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
                std::fs::write(path, contents).expect("a file");
            }
            Self(directory)
        }

        fn find(&self, groups: &str, mounts: &str, limits: &Limits) -> Result<Plan, Error> {
            Plan::on(&Machine::parse(groups, mounts, self.0.path()), limits)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join("sys/fs/cgroup").join(name)
        }
    }

    const SECOND: &str = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

    fn memory() -> Limits {
        Limits { memory: Some(64 << 20), ..Limits::default() }
    }

    /// As systemd has it: a session whose slice hands controllers down.
    fn systemd() -> Fake {
        Fake::new(&[
            ("cgroup.procs", "2\n"),
            ("cgroup.controllers", "cpuset cpu memory pids\n"),
            ("cgroup.subtree_control", "cpu memory pids\n"),
            ("user.slice/cgroup.procs", ""),
            ("user.slice/cgroup.type", "domain\n"),
            ("user.slice/cgroup.controllers", "cpu memory pids\n"),
            ("user.slice/cgroup.subtree_control", "memory pids\n"),
            ("user.slice/session.scope/cgroup.procs", "77\n"),
            ("user.slice/session.scope/cgroup.type", "domain\n"),
            ("user.slice/session.scope/cgroup.controllers", "memory pids\n"),
            ("user.slice/session.scope/cgroup.subtree_control", ""),
        ])
    }

    #[test]
    fn df_107_version_2_nearest_group_whose_children_can_have_it() {
        let fake = systemd();
        let find = |limits: &Limits| fake.find("0::/user.slice/session.scope\n", SECOND, limits);
        let plan = find(&memory()).expect("a place");
        let [place] = plan.places.as_slice() else { panic!("{plan:?}") };
        assert_eq!(
            (place.parent.clone(), place.own.clone()),
            (fake.path("user.slice"), fake.path("user.slice/session.scope"))
        );
        assert_eq!((place.enabled.as_slice(), place.kills.as_deref()), (&[][..], Some("memory.events")));
        assert_eq!(plan.directories("x"), [fake.path("user.slice/x")]);
        // The slice has it, and would have to hand it down.
        let plan = find(&Limits { cpu_shares: Some(2), ..memory() }).expect("a place");
        assert_eq!(
            (plan.places[0].parent.clone(), plan.places[0].enabled.clone()),
            (fake.path("user.slice"), vec!["cpu".to_owned()])
        );
        // Only the top has it.
        let plan = find(&Limits { cpuset_cpus: Some("0".to_owned()), ..memory() }).expect("a place");
        assert_eq!(
            (plan.places[0].parent.clone(), plan.places[0].enabled.clone()),
            (fake.path(""), vec!["cpuset".to_owned()])
        );
    }

    #[test]
    fn df_107_version_2_in_a_container_says_what_is_in_the_way() {
        let mut files = vec![
            ("cgroup.procs", "1\n"),
            ("cgroup.type", "domain\n"),
            ("cgroup.controllers", "cpu pids\n"),
            ("cgroup.subtree_control", ""),
        ];
        let said = |files: &[(&str, &str)]| {
            let error = Fake::new(files).find("0::/\n", SECOND, &memory()).expect_err("none");
            (error.to_string(), base::Classified::hint(&error).unwrap_or_default())
        };
        let (text, hint) = said(&files);
        assert!(
            text.starts_with("cannot set --memory: the cgroup ")
                && text.ends_with(" has no controller memory"),
            "{text}"
        );
        assert!(hint.contains("cgroup_enable=memory"), "{hint}");
        files[2].1 = "memory\n";
        let (text, hint) = said(&files);
        assert!(text.contains("has processes, so the kernel does not let it hand memory down"), "{text}");
        assert!(hint.contains("--privileged"), "{hint}");
        files[0].1 = "";
        assert!(Fake::new(&files).find("0::/\n", SECOND, &memory()).is_ok());
    }

    #[test]
    fn df_107_hybrid_each_controller_where_it_is() {
        let fake = Fake::new(&[
            ("memory/job/cgroup.procs", "7\n"),
            ("cpu,cpuset/cgroup.procs", "7\n"),
            ("unified/cgroup.procs", "7\n"),
            ("unified/cgroup.controllers", "pids\n"),
            ("unified/cgroup.subtree_control", ""),
        ]);
        let mounts = "\
30 20 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 20 0:27 / /sys/fs/cgroup/cpu,cpuset rw - cgroup cgroup rw,cpu,cpuset
33 20 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
        let groups = "5:memory:/job\n4:cpu,cpuset:/\n0::/\n";
        let limits =
            Limits { cpu_quota: Some(5000), cpuset_mems: Some("0".to_owned()), pids: Some(9), ..memory() };
        let plan = fake.find(groups, mounts, &limits).expect("places");
        assert_eq!(
            plan.directories("x"),
            [fake.path("memory/job/x"), fake.path("cpu,cpuset/x"), fake.path("unified/x")]
        );
        assert_eq!(plan.places[0].kills.as_deref(), Some("memory.oom_control"));
        assert_eq!(plan.places[1].settings.len(), 3);
        assert_eq!(plan.places[2].enabled, ["pids"]);
        let error = fake.find("0::/\n", "", &limits).expect_err("nothing is mounted");
        assert_eq!(
            error.to_string(),
            "cannot set --memory: no cgroups with the controller memory are mounted"
        );
    }

    #[test]
    fn df_107_a_parent_has_to_exist() {
        let fake = systemd();
        let with = |limits: Limits, parent: &str| {
            let limits = Limits { parent: Some(parent.to_owned()), ..limits };
            fake.find("0::/user.slice/session.scope\n", SECOND, &limits)
        };
        for name in ["user.slice", "/user.slice"] {
            let plan = with(memory(), name).expect("a place");
            assert_eq!(plan.directories("x"), [fake.path("user.slice/x")]);
            let plan = with(Limits::default(), name).expect("a place");
            assert!(plan.places[0].settings.is_empty() && plan.places[0].enabled.is_empty());
        }
        for (limits, flag) in [(memory(), "--memory"), (Limits::default(), "--cgroup-parent")] {
            let error = with(limits, "/nowhere").expect_err("none");
            assert_eq!(error.to_string(), format!("cannot set {flag}: there is no cgroup /nowhere"));
        }
    }
}
