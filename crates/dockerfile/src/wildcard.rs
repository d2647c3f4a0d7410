//! What the patterns of COPY and of ignore files have in common: tokens, and how they match bytes.
//!
//! Matching keeps the set of positions that can be reached, so that no pattern takes exponential time.

/// A pattern that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern: {0}")]
pub struct BadPattern(pub(crate) &'static str);

impl base::Classified for BadPattern {
    fn kind(&self) -> base::Kind {
        base::Kind::Invalid
    }
}

/// What `**` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DoubleStar {
    /// The same as `*`.
    Ordinary,
    /// Any number of directories.
    Directories,
}

/// A pattern, split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(Vec<u8>),
    /// `?`: one character, not a slash.
    AnyCharacter,
    /// `*`: characters without a slash.
    AnyInName,
    /// `**/`: nothing, or anything up to a slash.
    AnyDirectories,
    /// `**` at the end: anything.
    Anything,
    /// `[…]`: one character of these ranges, or none of them. A slash is a character like others here, as in Go.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Tokens {
    pub fn parse(pattern: &[u8], double_star: DoubleStar) -> Result<Self, BadPattern> {
        let mut tokens = Self(Vec::new());
        let mut rest = pattern;
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            match first {
                b'*' => {
                    let is_double = double_star == DoubleStar::Directories && rest.first() == Some(&b'*');
                    if is_double {
                        rest = rest.strip_prefix(b"*").unwrap_or(rest);
                        rest = tokens.double_star(rest);
                    } else if tokens.0.last() != Some(&Token::AnyInName) {
                        tokens.0.push(Token::AnyInName);
                    }
                }
                b'?' => tokens.0.push(Token::AnyCharacter),
                b'[' => {
                    let (class, after) = class(rest)?;
                    tokens.0.push(class);
                    rest = after;
                }
                b'\\' => {
                    let (&escaped, after) =
                        rest.split_first().ok_or(BadPattern("nothing to escape at the end"))?;
                    tokens.literal(escaped);
                    rest = after;
                }
                _ => tokens.literal(first),
            }
        }
        Ok(tokens)
    }

    /// After `**`.
    fn double_star<'p>(&mut self, rest: &'p [u8]) -> &'p [u8] {
        let after = rest.strip_prefix(b"/").unwrap_or(rest);
        if after.is_empty() {
            self.0.push(Token::Anything);
        } else if self.0.is_empty() && after.len() == rest.len() && !has_wildcards(rest) {
            // `**name` at the start means any path that ends so, as in moby: it compares ends there.
            self.0.push(Token::Anything);
        } else if self.0.last() != Some(&Token::AnyDirectories) {
            self.0.push(Token::AnyDirectories);
        }
        after
    }

    fn literal(&mut self, byte: u8) {
        match self.0.last_mut() {
            Some(Token::Literal(bytes)) => bytes.push(byte),
            _ => self.0.push(Token::Literal(vec![byte])),
        }
    }

    /// The text, when there is only one that matches.
    pub fn as_literal(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(b""),
            [Token::Literal(bytes)] => Some(bytes),
            _ => None,
        }
    }

    /// What every match begins with.
    pub fn literal_start(&self) -> &[u8] {
        match self.0.first() {
            Some(Token::Literal(bytes)) => bytes,
            _ => b"",
        }
    }

    pub fn matches(&self, text: &[u8]) -> bool {
        if let Some(literal) = self.as_literal() {
            return literal == text;
        }
        if !text.starts_with(self.literal_start()) {
            return false;
        }
        if let Some(Token::Literal(end)) = self.0.last()
            && !text.ends_with(end)
        {
            return false;
        }
        let (mut positions, mut next) = (vec![0], Vec::new());
        for token in &self.0 {
            next.clear();
            token.advance(text, &positions, &mut next);
            if next.is_empty() {
                return false;
            }
            std::mem::swap(&mut positions, &mut next);
        }
        positions.last() == Some(&text.len())
    }

    /// Whether anything longer that begins with `start` could match. Never wrongly false.
    pub fn could_match_longer(&self, start: &[u8]) -> bool {
        let (mut positions, mut next) = (vec![0], Vec::new());
        for token in &self.0 {
            if positions.last() == Some(&start.len()) {
                return true;
            }
            let reaches_beyond = match token {
                Token::AnyDirectories | Token::Anything => true,
                Token::Literal(literal) => {
                    positions.iter().any(|at| start.get(*at..).is_some_and(|rest| literal.starts_with(rest)))
                }
                _ => false,
            };
            if reaches_beyond {
                return true;
            }
            next.clear();
            token.advance(start, &positions, &mut next);
            if next.is_empty() {
                return false;
            }
            std::mem::swap(&mut positions, &mut next);
        }
        false
    }
}

impl Token {
    /// The positions after this token, given those before it; both are in order.
    fn advance(&self, text: &[u8], positions: &[usize], next: &mut Vec<usize>) {
        let rest = |at: usize| text.get(at..).unwrap_or_default();
        match self {
            Token::Literal(literal) => {
                next.extend(
                    positions
                        .iter()
                        .filter(|at| rest(**at).starts_with(literal))
                        .map(|at| at + literal.len()),
                );
            }
            Token::AnyCharacter => {
                let one = |at: &usize| {
                    first_character(rest(*at)).filter(|(c, _)| *c != '/').map(|(_, length)| at + length)
                };
                next.extend(positions.iter().filter_map(one));
            }
            Token::Class { negated, ranges } => {
                let one = |at: &usize| {
                    let (character, length) = first_character(rest(*at))?;
                    let found = ranges.iter().any(|(low, high)| (*low..=*high).contains(&character));
                    (found != *negated).then_some(at + length)
                };
                next.extend(positions.iter().filter_map(one));
            }
            Token::AnyInName => {
                for &start in positions {
                    if next.last().is_some_and(|last| *last >= start) {
                        continue;
                    }
                    let mut at = start;
                    next.push(at);
                    while let Some((_, length)) = first_character(rest(at)).filter(|(c, _)| *c != '/') {
                        at += length;
                        next.push(at);
                    }
                }
            }
            Token::AnyDirectories => {
                let Some(&least) = positions.first() else { return };
                let mut earlier = positions.iter().copied().peekable();
                for at in least..=text.len() {
                    let was_there = earlier.next_if_eq(&at).is_some();
                    if was_there || (at > least && text.get(at - 1) == Some(&b'/')) {
                        next.push(at);
                    }
                }
            }
            Token::Anything => {
                next.extend(positions.first().map(|least| *least..=text.len()).into_iter().flatten())
            }
        }
    }
}

/// The first character of a path, and how many bytes it has. A byte that is no UTF-8 counts as one.
fn first_character(text: &[u8]) -> Option<(char, usize)> {
    let first = *text.first()?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let some = text.get(..text.len().min(4)).unwrap_or_default();
    let valid = match std::str::from_utf8(some) {
        Ok(valid) => valid,
        Err(error) => {
            std::str::from_utf8(some.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
    };
    Some(
        valid
            .chars()
            .next()
            .map_or((char::REPLACEMENT_CHARACTER, 1), |character| (character, character.len_utf8())),
    )
}

/// A character class, after its `[`, and what follows it.
fn class(pattern: &[u8]) -> Result<(Token, &[u8]), BadPattern> {
    let (negated, mut rest) = match pattern.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let mut ranges = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(b"]").filter(|_| !ranges.is_empty()) {
            return Ok((Token::Class { negated, ranges }, after));
        }
        let (low, after) = class_character(rest)?;
        rest = after;
        let mut high = low;
        if let Some(after) = rest.strip_prefix(b"-") {
            (high, rest) = class_character(after)?;
        }
        ranges.push((low, high));
    }
}

fn class_character(pattern: &[u8]) -> Result<(char, &[u8]), BadPattern> {
    const UNFINISHED: BadPattern = BadPattern("a character class does not end");
    let pattern = match pattern.first() {
        None => return Err(UNFINISHED),
        Some(b'-' | b']') => {
            return Err(BadPattern("a range in a character class lacks an end, or the class is empty"));
        }
        Some(b'\\') => pattern.get(1..).unwrap_or_default(),
        Some(_) => pattern,
    };
    let (character, length) = first_character(pattern).ok_or(UNFINISHED)?;
    if character == char::REPLACEMENT_CHARACTER && length == 1 {
        return Err(BadPattern("a character class has bytes that are not UTF-8"));
    }
    match pattern.get(length..) {
        Some(rest) if !rest.is_empty() => Ok((character, rest)),
        _ => Err(UNFINISHED),
    }
}

/// Whether a pattern can match something else than itself; escapes do not count.
pub(crate) fn has_wildcards(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\'))
}
