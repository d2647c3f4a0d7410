//! Who `--chown` means: numbers, or names that the base knows (DF-124).

use dockerfile::{Span, suggest};
use layer::{LayerError, View};
use store::table::EntryKind;
use store::{Lease, Store};

use super::CopyError;

/// /etc/passwd and /etc/group are read up to this size: a directory of 100,000 users has 6 MB.
const MAX_SIZE: u64 = 16 << 20;

/// A numeric owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// The base, as far as it knows names.
pub(super) struct Names<'a> {
    pub store: &'a Store,
    pub lease: &'a Lease,
    pub base: &'a View,
}

/// One line of passwd or group: the name, its number, and (for a user) the primary group.
#[derive(Debug, PartialEq, Eq)]
struct Line<'f> {
    name: &'f str,
    id: u32,
    gid: Option<u32>,
}

impl Names<'_> {
    /// The owner that `user[:group]` means.
    ///
    /// A number alone is also the group's number; a name alone brings the user's primary group. `root` is 0 without being looked up.
    pub fn owner(&self, text: &str, span: Span) -> Result<Owner, CopyError> {
        let failure =
            |(reason, suggestion)| CopyError::Owner { text: text.to_owned(), reason, suggestion, span };
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let (uid, primary) = self.user(user).map_err(failure)?;
        let gid = match group {
            Some(group) => self.group(group).map_err(failure)?,
            None => primary,
        };
        Ok(Owner { uid, gid })
    }

    fn user(&self, user: &str) -> Result<(u32, u32), Reason> {
        if let Some(uid) = number(user, "user")? {
            return Ok((uid, uid));
        }
        if user == "root" {
            return Ok((0, 0));
        }
        let file = self.read("etc/passwd", "user", user)?;
        let lines = lines(&file, true);
        match lines.iter().find(|line| line.name == user) {
            Some(line) => Ok((line.id, line.gid.unwrap_or(0))),
            None => Err(unknown("user", user, "passwd", &lines)),
        }
    }

    fn group(&self, group: &str) -> Result<u32, Reason> {
        if let Some(gid) = number(group, "group")? {
            return Ok(gid);
        }
        if group == "root" {
            return Ok(0);
        }
        let file = self.read("etc/group", "group", group)?;
        let lines = lines(&file, false);
        match lines.iter().find(|line| line.name == group) {
            Some(line) => Ok(line.id),
            None => Err(unknown("group", group, "group", &lines)),
        }
    }

    /// Reads a file of the base that may be anything: a link (followed inside), a pipe, a gigabyte of zeros.
    fn read(&self, path: &str, what: &str, name: &str) -> Result<String, Reason> {
        let no_file = |why: String| {
            (format!("the {what} {} can not be looked up: {why}", base::text::bytes(name.as_bytes())), None)
        };
        let resolved = self.base.resolve(path.as_bytes(), true).map_err(|error| no_file(describe(&error)))?;
        let Some(node) = resolved.node else {
            return Err(no_file(format!("there is no /{path} in the image")));
        };
        if !matches!(self.base.entry(self.base.file(node)).kind, EntryKind::File { .. }) {
            return Err(no_file(format!("/{path} is not a file in the image")));
        }
        let bytes = self.base.read(self.store, self.lease, path.as_bytes(), MAX_SIZE);
        let bytes = bytes.map_err(|error| no_file(describe(&error)))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Why an owner is not known, and what was probably meant.
type Reason = (String, Option<String>);

/// An error with its causes, on one line.
fn describe(error: &LayerError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A name of digits is a number. The highest one means "nobody" to the kernel, and is not one.
fn number(text: &str, what: &str) -> Result<Option<u32>, Reason> {
    if text.is_empty() {
        return Err((format!("the {what} is empty"), None));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse() {
        Ok(u32::MAX) | Err(_) => Err((format!("{text} is too large to be the number of a {what}"), None)),
        Ok(id) => Ok(Some(id)),
    }
}

fn unknown(what: &str, name: &str, file: &str, lines: &[Line<'_>]) -> Reason {
    let nearest = suggest::nearest(name, lines.iter().map(|line| line.name));
    let reason = format!("the image has no {what} {} in its /etc/{file}", base::text::bytes(name.as_bytes()));
    (reason, nearest.map(str::to_owned))
}

/// The lines of passwd (`name:password:uid:gid:…`) or group (`name:password:gid:…`) that make sense.
fn lines(file: &str, is_passwd: bool) -> Vec<Line<'_>> {
    file.lines().filter_map(|line| parse_line(line.trim_end(), is_passwd)).collect()
}

fn parse_line(line: &str, is_passwd: bool) -> Option<Line<'_>> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
    let id = fields.nth(1)?.parse().ok()?;
    let gid = if is_passwd { Some(fields.next()?.parse().ok()?) } else { None };
    Some(Line { name, id, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_make_no_sense_are_passed_over() {
        let file = "root:x:0:0:root:/root:/bin/sh\n# c\n\n:x:1:1\nshort:x\nodd:x:a:1\nlast:x:7:8";
        let users: Vec<_> =
            lines(file, true).into_iter().map(|line| (line.name, line.id, line.gid)).collect();
        assert_eq!(users, [("root", 0, Some(0)), ("last", 7, Some(8))]);
        let groups: Vec<_> =
            lines("a:x:5:b,c\nb:*:6:", false).into_iter().map(|line| (line.name, line.id)).collect();
        assert_eq!(groups, [("a", 5), ("b", 6)]);
    }

    #[test]
    fn df_124_numbers() {
        assert_eq!(number("12", "user"), Ok(Some(12)));
        assert_eq!(number("a12", "user"), Ok(None));
        for wrong in ["", "4294967295", "99999999999"] {
            assert!(number(wrong, "user").is_err(), "{wrong:?}");
        }
    }
}
