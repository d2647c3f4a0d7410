//! Who a process believes to be, and how that changes (credentials(7), setresuid(2) and its family).

use crate::spec::User;

/// "As it is", in calls that take an id.
const SAME: u32 = u32::MAX;

/// Real, effective and saved id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    pub real: u32,
    pub effective: u32,
    pub saved: u32,
}

impl Ids {
    fn all(id: u32) -> Self {
        Self { real: id, effective: id, saved: id }
    }

    fn has(&self, id: u32) -> bool {
        [self.real, self.effective, self.saved].contains(&id)
    }

    /// setuid(2): all three for root, the effective one for others.
    fn set(&mut self, id: u32, is_root: bool) -> Result<(), i32> {
        match id {
            SAME => return Err(libc::EINVAL),
            id if is_root => *self = Ids::all(id),
            id if id == self.real || id == self.saved => self.effective = id,
            _ => return Err(libc::EPERM),
        }
        Ok(())
    }

    /// setreuid(2).
    fn set_two(&mut self, real: u32, effective: u32, is_root: bool) -> Result<(), i32> {
        let old = *self;
        let may_real = real == SAME || is_root || real == old.real || real == old.effective;
        if !may_real || !(effective == SAME || is_root || old.has(effective)) {
            return Err(libc::EPERM);
        }
        if real != SAME {
            self.real = real;
        }
        if effective != SAME {
            self.effective = effective;
        }
        if real != SAME || (effective != SAME && effective != old.real) {
            self.saved = self.effective;
        }
        Ok(())
    }

    /// setresuid(2).
    fn set_three(&mut self, asked: [u32; 3], is_root: bool) -> Result<(), i32> {
        if !asked.iter().all(|id| *id == SAME || is_root || self.has(*id)) {
            return Err(libc::EPERM);
        }
        for (id, asked) in [&mut self.real, &mut self.effective, &mut self.saved].into_iter().zip(asked) {
            if asked != SAME {
                *id = asked;
            }
        }
        Ok(())
    }
}

/// Who a process believes to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Believed {
    pub user: Ids,
    pub group: Ids,
    pub groups: Vec<u32>,
}

/// Which of the two kinds of ids a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
}

impl Believed {
    pub(super) fn new(user: &User) -> Self {
        Self { user: Ids::all(user.uid), group: Ids::all(user.gid), groups: sorted(user.groups.clone()) }
    }

    fn is_root(&self) -> bool {
        self.user.effective == 0
    }

    pub(super) fn ids(&self, kind: Kind) -> Ids {
        match kind {
            Kind::User => self.user,
            Kind::Group => self.group,
        }
    }

    fn change(&mut self, kind: Kind) -> (&mut Ids, bool) {
        let is_root = self.is_root();
        match kind {
            Kind::User => (&mut self.user, is_root),
            Kind::Group => (&mut self.group, is_root),
        }
    }

    pub(super) fn set(&mut self, kind: Kind, id: u32) -> Result<(), i32> {
        let (ids, is_root) = self.change(kind);
        ids.set(id, is_root)
    }

    pub(super) fn set_two(&mut self, kind: Kind, real: u32, effective: u32) -> Result<(), i32> {
        let (ids, is_root) = self.change(kind);
        ids.set_two(real, effective, is_root)
    }

    pub(super) fn set_three(&mut self, kind: Kind, asked: [u32; 3]) -> Result<(), i32> {
        let (ids, is_root) = self.change(kind);
        ids.set_three(asked, is_root)
    }

    pub(super) fn set_groups(&mut self, groups: Vec<u32>) -> Result<(), i32> {
        if !self.is_root() {
            return Err(libc::EPERM);
        }
        self.groups = sorted(groups);
        Ok(())
    }

    /// Whether it may give files to this user and group: root may all, others may only leave a file what it is.
    pub(super) fn may_chown(&self, user: u32, group: u32) -> bool {
        let own_group = group == self.group.effective || self.groups.contains(&group);
        self.is_root() || (user == SAME || user == self.user.effective) && (group == SAME || own_group)
    }
}

/// As the kernel keeps them, and gives them back.
fn sorted(mut groups: Vec<u32>) -> Vec<u32> {
    groups.sort_unstable();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Believed {
        Believed::new(&User::default())
    }

    /// What apt does before it downloads: everything is given up, and cannot be had back.
    #[test]
    fn root_becomes_somebody_and_does_not_come_back() {
        let mut believed = root();
        believed.set_groups(vec![65_534]).expect("root may");
        believed.set_two(Kind::Group, SAME, 65_534).expect("root may");
        believed.set(Kind::Group, 65_534).expect("root may");
        believed.set_two(Kind::User, SAME, 42).expect("root may");
        // With the saved id it could.
        assert_eq!(believed.user, Ids { real: 0, effective: 42, saved: 42 });
        let mut believed = root();
        believed.set(Kind::User, 42).expect("root may");
        assert_eq!(believed.user, Ids::all(42));
        for refused in [
            believed.clone().set(Kind::User, 0),
            believed.clone().set_two(Kind::User, SAME, 0),
            believed.clone().set_three(Kind::User, [0, 0, 0]),
            believed.clone().set(Kind::Group, 7),
            believed.clone().set_groups(Vec::new()),
        ] {
            assert_eq!(refused, Err(libc::EPERM));
        }
        assert!(believed.may_chown(SAME, 0) && believed.may_chown(42, SAME) && !believed.may_chown(0, SAME));
    }

    #[test]
    fn a_saved_id_leads_back() {
        let mut believed = root();
        believed.set_three(Kind::User, [SAME, 7, SAME]).expect("root may");
        assert_eq!(believed.user, Ids { real: 0, effective: 7, saved: 0 });
        assert!(!believed.may_chown(0, 0));
        believed.set(Kind::User, 0).expect("it was root");
        assert_eq!(believed.user.effective, 0);
        assert_eq!(believed.set(Kind::User, SAME), Err(libc::EINVAL));
    }
}
