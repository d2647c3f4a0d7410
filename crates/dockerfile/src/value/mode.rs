//! File modes as `--chmod` has them: octal, or an expression as chmod(1) takes (DF-126).

use super::ValueError;

/// A change of a file's mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The twelve bits themselves.
    Bits(u32),
    /// Changes, one after the other.
    Symbolic(Vec<Change>),
}

/// One change of a symbolic mode: for whom, what to do, which permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// For whom, as bits: 4 the user, 2 the group, 1 others.
    who: u32,
    operation: Operation,
    permissions: Permissions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Add,
    Remove,
    Set,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permissions {
    /// `rwxXst`: the bits of one class, whether to execute only what is executable already or a directory,
    /// and the special bits.
    Given { bits: u32, execute_if_any: bool, set_id: bool, sticky: bool },
    /// `u`, `g` or `o`: what that class has, by its shift.
    CopyOf(u32),
}

const USER: u32 = 4;
const GROUP: u32 = 2;
const OTHERS: u32 = 1;
const STICKY: u32 = 0o1000;

impl Mode {
    /// Reads an octal mode up to 7777, or a symbolic one: `u+x,go=rX`.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let fail = |detail| ValueError::Mode { text: text.to_owned(), detail };
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let bits =
                text.bytes().all(|digit| digit.is_ascii_digit()).then(|| u32::from_str_radix(text, 8).ok());
            return match bits.flatten() {
                Some(bits) if bits <= 0o7777 => Ok(Mode::Bits(bits)),
                _ => Err(fail("it should be an octal number between 0 and 07777")),
            };
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            parse_clause(clause, &mut changes).map_err(fail)?;
        }
        Ok(Mode::Symbolic(changes))
    }

    /// The bits, when the mode does not depend on what a file has.
    pub fn bits(&self) -> Option<u32> {
        match self {
            Mode::Bits(bits) => Some(*bits),
            Mode::Symbolic(_) => None,
        }
    }

    /// What becomes of a file's (or directory's) twelve bits.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Mode::Bits(bits) => *bits,
            Mode::Symbolic(changes) => {
                changes.iter().fold(mode & 0o7777, |mode, change| change.apply(mode, is_directory))
            }
        }
    }
}

fn parse_clause(clause: &str, changes: &mut Vec<Change>) -> Result<(), &'static str> {
    let start = clause.find(['+', '-', '=']).ok_or("it should be octal or like u+rwx,go-w")?;
    let (whom, mut rest) = clause.split_at(start);
    let mut who = 0;
    for class in whom.chars() {
        who |= match class {
            'u' => USER,
            'g' => GROUP,
            'o' => OTHERS,
            'a' => USER | GROUP | OTHERS,
            _ => return Err("before + - or = only u, g, o and a can stand"),
        };
    }
    // Nobody named is everybody: a build has no umask.
    let who = if who == 0 { USER | GROUP | OTHERS } else { who };
    while let Some(sign) = rest.chars().next() {
        let operation = match sign {
            '+' => Operation::Add,
            '-' => Operation::Remove,
            _ => Operation::Set,
        };
        let body = rest.get(1..).unwrap_or_default();
        let (permissions, after) = body.split_at(body.find(['+', '-', '=']).unwrap_or(body.len()));
        changes.push(Change { who, operation, permissions: parse_permissions(permissions)? });
        rest = after;
    }
    Ok(())
}

fn parse_permissions(text: &str) -> Result<Permissions, &'static str> {
    match text {
        "u" => return Ok(Permissions::CopyOf(6)),
        "g" => return Ok(Permissions::CopyOf(3)),
        "o" => return Ok(Permissions::CopyOf(0)),
        _ => {}
    }
    let (mut bits, mut execute_if_any, mut set_id, mut sticky) = (0, false, false, false);
    for permission in text.chars() {
        match permission {
            'r' => bits |= 4,
            'w' => bits |= 2,
            'x' => bits |= 1,
            'X' => execute_if_any = true,
            's' => set_id = true,
            't' => sticky = true,
            _ => return Err("permissions are r, w, x, X, s and t, or one of u, g and o"),
        }
    }
    Ok(Permissions::Given { bits, execute_if_any, set_id, sticky })
}

impl Change {
    fn apply(self, mode: u32, is_directory: bool) -> u32 {
        let (class, special) = match self.permissions {
            Permissions::CopyOf(shift) => ((mode >> shift) & 7, 0),
            Permissions::Given { bits, execute_if_any, set_id, sticky } => {
                let executes = execute_if_any && (is_directory || mode & 0o111 != 0);
                let set_id_bits = if set_id { (self.who & (USER | GROUP)) << 9 } else { 0 };
                let sticky_bit = if sticky { STICKY } else { 0 };
                (bits | u32::from(executes), set_id_bits | sticky_bit)
            }
        };
        // Each class that is meant has its three bits at three times its place.
        let spread = |bits: u32| {
            [(USER, 6), (GROUP, 3), (OTHERS, 0)]
                .into_iter()
                .filter(|(class, _)| self.who & class != 0)
                .fold(0, |all, (_, shift)| all | (bits << shift))
        };
        let change = spread(class) | special;
        match self.operation {
            Operation::Add => mode | change,
            Operation::Remove => mode & !change,
            Operation::Set => (mode & !self.cleared(spread(7), is_directory)) | change,
        }
    }

    /// What `=` clears: the classes' bits and the special bits that go with them.
    ///
    /// A directory keeps its set-id bits unless they are named, as with chmod(1).
    fn cleared(self, classes: u32, is_directory: bool) -> u32 {
        let set_id = if is_directory { 0 } else { (self.who & (USER | GROUP)) << 9 };
        let everybody = USER | GROUP | OTHERS;
        let sticky = if self.who & OTHERS != 0 && self.who == everybody { STICKY } else { 0 };
        classes | set_id | sticky
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_126_modes() {
        for (text, mode, is_directory, expected) in [
            ("0", 0o777, false, 0),
            ("755", 0o4600, false, 0o755),
            ("07777", 0, false, 0o7777),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("u=rwx,g=rx,o=", 0o642, false, 0o750),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("g=u", 0o740, false, 0o770),
            ("o+g", 0o750, false, 0o755),
            ("u+s,g+s", 0o755, false, 0o6755),
            ("+t", 0o777, true, 0o1777),
            ("u-s", 0o4755, false, 0o755),
            ("u=rw", 0o4755, false, 0o655),
            ("go-rwx", 0o777, true, 0o700),
            ("u+r-w", 0o200, false, 0o400),
            ("ug+rw", 0o000, false, 0o660),
            ("a=", 0o755, false, 0),
        ] {
            let parsed = Mode::parse(text).expect(text);
            assert_eq!(parsed.apply(mode, is_directory), expected, "{text} on {mode:o}");
        }
    }

    #[test]
    fn df_126_no_modes() {
        for text in [
            "",
            "8",
            "10000",
            "0o755",
            "u",
            "x+r",
            "u+z",
            "u+rg",
            "u+x,",
            ",",
            "755x",
            "99999999999",
            "$MODE",
        ] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
    }
}
