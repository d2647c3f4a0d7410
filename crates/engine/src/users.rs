//! Users and groups as an image names them: `/etc/passwd` and `/etc/group` of its filesystem, read over its tables.
//!
//! The files are an image's, so nothing in them is trusted: links resolve inside the image, sizes are limited, lines that
//! cannot be understood are passed over as every libc does.

use base::{Classified, Kind};
use layer::{LayerError, View};
use store::{Lease, Store};

/// More than any real user database; reading stops being reasonable here.
const MAX_FILE_SIZE: u64 = 16 << 20;

/// The largest user or group number: 2³²−1 means "unchanged" to the kernel, and docker stops at 2³¹−1 (CVE-2024-40635).
const MAX_ID: u32 = i32::MAX as u32;

/// A user as a process runs with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// The home directory, when the user has a line in `/etc/passwd`.
    pub home: Option<String>,
}

/// What can go wrong with a user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// There is no such name.
    #[error("unable to find {what} {}: {reason}{}", base::text::bytes(.name.as_bytes()), did_you_mean(.suggestion))]
    Unknown {
        /// "user" or "group".
        what: &'static str,
        /// Which.
        name: String,
        /// Why not.
        reason: String,
        /// The nearest name that there is.
        suggestion: Option<String>,
    },
    /// A name is missing.
    #[error("the {what} is empty")]
    Empty {
        /// "user" or "group".
        what: &'static str,
    },
    /// The number is not one.
    #[error("{} is not a {what} number: the largest is {MAX_ID}", base::text::bytes(.number.as_bytes()))]
    Range {
        /// "user" or "group".
        what: &'static str,
        /// What was given.
        number: String,
    },
}

impl Classified for UserError {
    fn kind(&self) -> Kind {
        match self {
            UserError::Unknown { .. } => Kind::NotFound,
            UserError::Empty { .. } | UserError::Range { .. } => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            UserError::Unknown { what: "user", .. } => {
                Some("create it in the image (RUN adduser …), or give a number".to_owned())
            }
            UserError::Unknown { .. } => {
                Some("create it in the image (RUN addgroup …), or give a number".to_owned())
            }
            UserError::Empty { .. } | UserError::Range { .. } => None,
        }
    }
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion
        .as_ref()
        .map_or_else(String::new, |name| format!(" (did you mean {}?)", base::text::bytes(name.as_bytes())))
}

/// The users and groups of an image.
#[derive(Debug, Clone, Default)]
pub struct Users {
    passwd: Lines<PasswdLine>,
    group: Lines<GroupLine>,
}

/// What a file says, or why it says nothing.
#[derive(Debug, Clone, Default)]
struct Lines<T> {
    lines: Vec<T>,
    unusable: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct PasswdLine {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

#[derive(Debug, Clone, Default)]
struct GroupLine {
    name: String,
    gid: u32,
    members: Vec<String>,
}

impl Users {
    /// Reads the files of an image. A file that is missing, or cannot be read, has no lines; it is an error only for whoever looks for a name in it.
    pub fn read(store: &Store, lease: &Lease, view: &View) -> Self {
        Self {
            passwd: Lines::read(store, lease, view, "/etc/passwd", passwd_line),
            group: Lines::read(store, lease, view, "/etc/group", group_line),
        }
    }

    /// Understands the two files.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        Self { passwd: Lines::parse(passwd, passwd_line), group: Lines::parse(group, group_line) }
    }

    /// As whom a process runs whose user is `text` (DF-089, CT-13): empty is root with root's groups; a name has its groups; a number that has a line
    /// in passwd too, one without has group 0; `user:group` has only that group.
    pub fn account(&self, text: &str) -> Result<Account, UserError> {
        let (user, group) = split(text);
        let user = if user.is_empty() { "0" } else { user };
        let line = self.passwd_of(user);
        let uid = match (line, number("user", user)?) {
            (Some(line), _) => line.uid,
            (None, Some(uid)) => uid,
            (None, None) => return Err(self.unknown_user(user)),
        };
        let home = line.map(|line| line.home.clone());
        let (gid, groups) = match (group, line) {
            (Some(group), _) => (self.gid(group)?, Vec::new()),
            (None, Some(line)) => (line.gid, self.groups_of(&line.name)),
            (None, None) => (0, Vec::new()),
        };
        // The image's files may say anything, too.
        in_range("user", uid)?;
        groups.iter().chain([&gid]).try_for_each(|group| in_range("group", *group))?;
        Ok(Account { uid, gid, groups, home })
    }

    /// The owner that `--chown=text` means (DF-124): a number alone is also the group; a name alone has its primary group.
    pub fn owner(&self, text: &str) -> Result<(u32, u32), UserError> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        for (what, name) in [("user", Some(user)), ("group", group)] {
            if name.is_some_and(str::is_empty) {
                return Err(UserError::Empty { what });
            }
        }
        let (uid, own_gid) = match number("user", user)? {
            Some(uid) => (uid, uid),
            None => match self.passwd.lines.iter().find(|line| line.name == user) {
                Some(line) => (line.uid, line.gid),
                None if user == "root" => (0, 0),
                None => return Err(self.unknown_user(user)),
            },
        };
        let gid = group.map_or(Ok(own_gid), |group| self.gid(group))?;
        in_range("user", uid)?;
        in_range("group", gid)?;
        Ok((uid, gid))
    }

    fn passwd_of(&self, user: &str) -> Option<&PasswdLine> {
        let by_name = self.passwd.lines.iter().find(|line| line.name == user);
        by_name.or_else(|| {
            let uid: u32 = user.parse().ok()?;
            self.passwd.lines.iter().find(|line| line.uid == uid)
        })
    }

    fn gid(&self, group: &str) -> Result<u32, UserError> {
        if let Some(line) = self.group.lines.iter().find(|line| line.name == group) {
            return Ok(line.gid);
        }
        match number("group", group)? {
            Some(gid) => Ok(gid),
            None if group == "root" => Ok(0),
            None => {
                let names = self.group.lines.iter().map(|line| line.name.as_str());
                Err(unknown("group", group, "/etc/group", self.group.unusable.as_deref(), names))
            }
        }
    }

    fn unknown_user(&self, user: &str) -> UserError {
        let names = self.passwd.lines.iter().map(|line| line.name.as_str());
        unknown("user", user, "/etc/passwd", self.passwd.unusable.as_deref(), names)
    }

    fn groups_of(&self, name: &str) -> Vec<u32> {
        let mut groups: Vec<u32> = self
            .group
            .lines
            .iter()
            .filter(|line| line.members.iter().any(|member| member == name))
            .map(|line| line.gid)
            .collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((user, "")) => (user, None),
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    }
}

/// `Ok(None)` when the text is a name.
fn number(what: &'static str, text: &str) -> Result<Option<u32>, UserError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(number) if number <= MAX_ID => Ok(Some(number)),
        _ => Err(UserError::Range { what, number: text.chars().take(40).collect() }),
    }
}

/// Refuses numbers that mean something else to the kernel, wherever they come from.
fn in_range(what: &'static str, number: u32) -> Result<(), UserError> {
    if number <= MAX_ID { Ok(()) } else { Err(UserError::Range { what, number: number.to_string() }) }
}

fn unknown<'a>(
    what: &'static str,
    name: &str,
    file: &str,
    unusable: Option<&str>,
    names: impl Iterator<Item = &'a str>,
) -> UserError {
    UserError::Unknown {
        what,
        name: name.chars().take(200).collect(),
        reason: unusable.map_or_else(|| format!("no matching entries in {file} of the image"), str::to_owned),
        suggestion: dockerfile::suggest::nearest(name, names).map(str::to_owned),
    }
}

impl<T> Lines<T> {
    fn parse(file: &[u8], line: impl Fn(&str) -> Option<T>) -> Self {
        let texts =
            file.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).trim().to_owned());
        Self { lines: texts.filter_map(|text| line(&text)).collect(), unusable: None }
    }

    fn read(store: &Store, lease: &Lease, view: &View, path: &str, line: impl Fn(&str) -> Option<T>) -> Self {
        let unusable = |reason| Self { lines: Vec::new(), unusable: Some(reason) };
        match view.read(store, lease, path.trim_start_matches('/').as_bytes(), MAX_FILE_SIZE) {
            Ok(Some(file)) => Self::parse(&file, line),
            Ok(None) => unusable(format!("there is no file {path} in the image")),
            Err(error) => unusable(one_line(&error)),
        }
    }
}

/// An error with its causes.
fn one_line(error: &LayerError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn passwd_line(line: &str) -> Option<PasswdLine> {
    let mut fields = line.split(':');
    let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let home = fields.nth(1).unwrap_or_default();
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    Some(PasswdLine {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: home.to_owned(),
    })
}

fn group_line(line: &str) -> Option<GroupLine> {
    let mut fields = line.split(':');
    let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
    let members =
        fields.next().unwrap_or_default().split(',').map(|member| member.trim().to_owned()).collect();
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    Some(GroupLine { name: name.to_owned(), gid: gid.parse().ok()?, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n# a comment\nbroken\napp:x:1000:1001:,,,:/home/app:/bin/sh\n7:x:70:71::/seven:\n";
    const GROUP: &[u8] = b"root:x:0:\nwheel:x:10:root,app\napp:x:1001:\naudio:x:29:app\nstaff:x:50:\n";

    fn users() -> Users {
        Users::parse(PASSWD, GROUP)
    }

    #[test]
    fn df_089_ct_13_accounts() {
        type Expected = Result<(u32, u32, &'static [u32], Option<&'static str>), &'static str>;
        let table: &[(&str, Expected)] = &[
            ("", Ok((0, 0, &[10], Some("/root")))),
            ("root", Ok((0, 0, &[10], Some("/root")))),
            ("app", Ok((1000, 1001, &[10, 29], Some("/home/app")))),
            ("1000", Ok((1000, 1001, &[10, 29], Some("/home/app")))),
            ("1234", Ok((1234, 0, &[], None))),
            ("app:staff", Ok((1000, 50, &[], Some("/home/app")))),
            ("1234:5678", Ok((1234, 5678, &[], None))),
            ("app:", Ok((1000, 1001, &[10, 29], Some("/home/app")))),
            ("nobody", Err("unable to find user nobody: no matching entries in /etc/passwd of the image")),
            (
                "app:nothing",
                Err("unable to find group nothing: no matching entries in /etc/group of the image"),
            ),
            ("4294967296", Err("4294967296 is not a user number: the largest is 2147483647")),
            ("2147483648", Err("2147483648 is not a user number: the largest is 2147483647")),
        ];
        for (text, expected) in table {
            let found = users().account(text);
            match (found, expected) {
                (Ok(account), Ok((uid, gid, groups, home))) => {
                    let expected = Account {
                        uid: *uid,
                        gid: *gid,
                        groups: groups.to_vec(),
                        home: home.map(str::to_owned),
                    };
                    assert_eq!(account, expected, "{text}");
                }
                (Err(error), Err(expected)) => assert_eq!(error.to_string(), *expected, "{text}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    /// A process that takes on user 4294967295 stays who it is: root.
    #[test]
    fn cve_2024_40635_numbers_of_the_image_are_limited_too() {
        let passwd =
            b"all:x:4294967295:0::/:\nhalf:x:2147483648:0::/:\ngroup:x:5:4294967295::/:\nmore:x:6:6::/:\n\
            wide:x:4294967296:0::/:\nless:x:-1:0::/:\nlast:x:2147483647:0::/:\n";
        let users = Users::parse(passwd, b"big:x:4294967295:\nbig2:x:2147483648:more\n");
        for (text, expected) in [
            ("all", "4294967295 is not a user number"),
            ("half", "2147483648 is not a user number"),
            ("4294967295", "4294967295 is not a user number"),
            ("group", "4294967295 is not a group number"),
            ("last:big", "4294967295 is not a group number"),
            ("wide", "unable to find user wide"),
            ("less", "unable to find user less"),
            ("-1", "unable to find user -1"),
            ("+0", "unable to find user +0"),
            ("1:-1", "unable to find group -1"),
            ("18446744073709551616", "is not a user number"),
        ] {
            let error = users.account(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
            let error = users.owner(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = users.account("more").expect_err("a supplementary group").to_string();
        assert!(error.contains("2147483648 is not a group number"), "{error}");
        assert_eq!(users.account("last").map(|account| account.uid).ok(), Some(2_147_483_647));
    }

    #[test]
    fn df_124_df_125_owners() {
        for (text, expected) in [
            ("root", (0, 0)),
            ("app", (1000, 1001)),
            ("1234", (1234, 1234)),
            ("1234:app", (1234, 1001)),
            ("app:50", (1000, 50)),
        ] {
            assert_eq!(users().owner(text).ok(), Some(expected), "{text}");
        }
        assert!(users().owner("ghost").is_err());
        assert_eq!(Users::default().owner("root:root").ok(), Some((0, 0)));
    }
}
