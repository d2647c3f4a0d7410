//! One pass over a word.

use std::ops::Range;

use super::pattern::Pattern;
use super::{ExpandError, Failure, Lookup};

type Result<T> = std::result::Result<T, ExpandError>;

/// How many substitutions may stand within one another; each takes a few frames of the stack.
const DEEPEST: usize = 64;

/// How many bytes a substitution may give. Replacements in replacements, and variables that are made of variables, grow with each by a factor; the
/// kernel takes no variable that is longer than 128 KiB.
const LONGEST: usize = 1 << 20;

/// What becomes of quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    /// They quote.
    Removed,
    /// They are ordinary characters.
    Kept,
}

pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    escape: char,
    lookup: &'t dyn Lookup,
    quoting: Quoting,
    depth: usize,
    /// Above zero within a word that is not going to be used, as in `${set:-word}`: variables in it are not looked at.
    unused: usize,
    pub used: Vec<String>,
    pub undefined: Vec<String>,
}

/// Where characters go: into one text, or into words.
trait Output {
    /// From outside of quotes.
    fn open(&mut self, text: &str);
    /// From within quotes, or escaped.
    fn quoted(&mut self, text: &str);
}

impl Output for String {
    fn open(&mut self, text: &str) {
        self.push_str(text);
    }
    fn quoted(&mut self, text: &str) {
        self.push_str(text);
    }
}

#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
}

impl Words {
    fn end_word(&mut self) {
        if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }
}

impl Output for Words {
    fn open(&mut self, text: &str) {
        for character in text.chars() {
            if character.is_whitespace() { self.end_word() } else { self.current.push(character) }
        }
    }
    fn quoted(&mut self, text: &str) {
        self.current.push_str(text);
    }
}

impl<'t> Lexer<'t> {
    pub fn new(text: &'t str, escape: char, lookup: &'t dyn Lookup, quoting: Quoting) -> Self {
        Self {
            text,
            at: 0,
            escape,
            lookup,
            quoting,
            depth: 0,
            unused: 0,
            used: Vec::new(),
            undefined: Vec::new(),
        }
    }

    /// The whole, as one text.
    pub fn text(&mut self) -> Result<String> {
        let mut output = String::with_capacity(self.text.len());
        self.until(None, false, &mut output)?;
        Ok(output)
    }

    /// The whole, as words.
    pub fn words(&mut self) -> Result<Vec<String>> {
        let mut output = Words::default();
        self.until(None, false, &mut output)?;
        output.end_word();
        Ok(output.done)
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn take(&mut self, character: char) -> bool {
        let found = self.peek() == Some(character);
        self.at += if found { character.len_utf8() } else { 0 };
        found
    }

    fn fail<T>(&self, failure: Failure, start: usize) -> Result<T> {
        Err(ExpandError { failure, range: self.range(start) })
    }

    fn range(&self, start: usize) -> Range<usize> {
        start..self.at.max(start)
    }

    /// Up to the stop character, which is consumed; whether it came.
    ///
    /// `keep_escapes` leaves escapes in the output, for patterns.
    fn until(&mut self, stop: Option<char>, keep_escapes: bool, output: &mut dyn Output) -> Result<bool> {
        while let Some(character) = self.peek() {
            if stop == Some(character) {
                self.next();
                return Ok(true);
            }
            match character {
                '\'' if self.quoting == Quoting::Removed => output.quoted(self.single_quoted()?),
                '"' if self.quoting == Quoting::Removed => output.quoted(&self.double_quoted(keep_escapes)?),
                '$' => output.open(&self.dollar()?),
                _ => self.plain(character, keep_escapes, output),
            }
        }
        Ok(stop.is_none())
    }

    fn plain(&mut self, character: char, keep_escapes: bool, output: &mut dyn Output) {
        let start = self.at;
        self.next();
        if character != self.escape {
            output.open(self.text.get(start..self.at).unwrap_or_default());
            return;
        }
        // An escape character at the very end vanishes, unless somebody else reads the escapes.
        let from = if keep_escapes { start } else { self.at };
        self.next();
        output.quoted(self.text.get(from..self.at).unwrap_or_default());
    }

    fn single_quoted(&mut self) -> Result<&'t str> {
        let start = self.at;
        self.next();
        let from = self.at;
        let rest = self.text.get(from..).unwrap_or_default();
        match rest.find('\'') {
            Some(length) => {
                self.at += length + 1;
                Ok(rest.get(..length).unwrap_or_default())
            }
            None => {
                self.at = self.text.len();
                self.fail(Failure::UnmatchedQuote("single-quote"), start)
            }
        }
    }

    fn double_quoted(&mut self, keep_escapes: bool) -> Result<String> {
        let start = self.at;
        self.next();
        let mut quoted = String::new();
        loop {
            match self.peek() {
                None => return self.fail(Failure::UnmatchedQuote("double-quote"), start),
                Some('"') => {
                    self.next();
                    return Ok(quoted);
                }
                Some('$') => quoted.push_str(&self.dollar()?),
                Some(character) => {
                    self.next();
                    let escapes = character == self.escape;
                    let protected = self
                        .peek()
                        .filter(|next| escapes && (matches!(next, '"' | '$') || *next == self.escape));
                    if protected.is_none() || keep_escapes {
                        quoted.push(character);
                    }
                    if let Some(protected) = protected {
                        self.next();
                        quoted.push(protected);
                    }
                }
            }
        }
    }

    /// `$name`, `${…}`, or a dollar sign.
    fn dollar(&mut self) -> Result<String> {
        let start = self.at;
        self.next();
        let value = if self.take('{') {
            self.nested(start, |lexer| lexer.braces(start))?
        } else {
            match self.name() {
                "" => "$".to_owned(),
                name => self.value_or_empty(name),
            }
        };
        if value.len() > LONGEST { self.fail(Failure::TooLong, start) } else { Ok(value) }
    }

    fn nested<T>(&mut self, start: usize, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEEPEST {
            return self.fail(Failure::TooDeep, start);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// A variable's name, digits, or one of the shell's special parameters.
    fn name(&mut self) -> &'t str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = match rest.chars().next() {
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            Some(digit) if digit.is_numeric() => rest.find(|c: char| !c.is_numeric()).unwrap_or(rest.len()),
            _ => rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()),
        };
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// After `${`, up to and with `}`.
    fn braces(&mut self, start: usize) -> Result<String> {
        match self.peek() {
            None => return self.fail(Failure::MissingBrace, start),
            Some('{' | '}' | ':') => {
                self.next();
                return self.fail(Failure::BadSubstitution, start);
            }
            Some(_) => {}
        }
        let name = self.name();
        if name.is_empty() {
            self.next();
            return self.fail(Failure::BadSubstitution, start);
        }
        let modifier = self.at;
        match self.next() {
            None => self.fail(Failure::MissingBrace, start),
            Some('}') => Ok(self.value_or_empty(name)),
            Some('/') => self.replace(name, start),
            Some(sign @ ('#' | '%')) => self.trim(name, sign, start),
            Some(sign @ ('-' | '+' | '?')) => self.choose(name, sign, false, start),
            Some(':') => match self.next() {
                None => self.fail(Failure::MissingBrace, start),
                Some(sign @ ('-' | '+' | '?')) => self.choose(name, sign, true, start),
                Some(_) => self.fail(self.unsupported(modifier), start),
            },
            Some(_) => self.fail(self.unsupported(modifier), start),
        }
    }

    fn unsupported(&self, modifier: usize) -> Failure {
        Failure::UnsupportedModifier(self.text.get(modifier..self.at).unwrap_or_default().to_owned())
    }

    /// `${name-word}`, `${name+word}`, `${name?word}`, and with a colon.
    fn choose(&mut self, name: &'t str, sign: char, empty_is_unset: bool, start: usize) -> Result<String> {
        let value = self.value(name);
        let is_set = value.as_ref().is_some_and(|value| !(empty_is_unset && value.is_empty()));
        let takes_word = (sign == '+') == is_set;
        let word = self.word_of(takes_word, start)?;
        if takes_word && sign == '?' && self.unused == 0 {
            let usual =
                if value.is_none() { "is not allowed to be unset" } else { "is not allowed to be empty" };
            let message = if word.is_empty() { usual.to_owned() } else { word };
            return self.fail(Failure::Required { name: name.to_owned(), message }, start);
        }
        Ok(match (takes_word, sign) {
            (true, _) => word,
            (false, '+') => String::new(),
            (false, _) => value.unwrap_or_default(),
        })
    }

    /// The word of a modifier. One that is not needed is read, but nothing in it is looked up.
    fn word_of(&mut self, needed: bool, start: usize) -> Result<String> {
        self.unused += usize::from(!needed);
        let word = self.part('}', false, Failure::MissingBrace, start);
        self.unused -= usize::from(!needed);
        word
    }

    /// `${name#pattern}`, `${name%pattern}`, doubled for the longest match.
    fn trim(&mut self, name: &'t str, sign: char, start: usize) -> Result<String> {
        let longest = self.take(sign);
        let text = self.part('}', true, Failure::MissingBrace, start)?;
        let pattern = self.pattern(&text, start)?;
        let value = self.value_or_empty(name);
        Ok(if sign == '#' {
            pattern.trim_prefix(&value, longest)
        } else {
            pattern.trim_suffix(&value, longest)
        })
    }

    /// `${name/pattern/replacement}`, with two slashes for all matches.
    fn replace(&mut self, name: &'t str, start: usize) -> Result<String> {
        let all = self.take('/');
        let text = self.part('/', true, Failure::MissingSlash, start)?;
        let replacement = self.part('}', true, Failure::MissingBrace, start)?;
        let pattern = self.pattern(&text, start)?;
        let value = self.value_or_empty(name);
        match pattern.replace(&value, &replacement, all, LONGEST) {
            Some(replaced) => Ok(replaced),
            None => self.fail(Failure::TooLong, start),
        }
    }

    fn part(&mut self, stop: char, keep_escapes: bool, missing: Failure, start: usize) -> Result<String> {
        let mut part = String::new();
        if self.until(Some(stop), keep_escapes, &mut part)? { Ok(part) } else { self.fail(missing, start) }
    }

    fn pattern(&self, text: &str, start: usize) -> Result<Pattern> {
        Pattern::parse(text).map_err(|detail| ExpandError {
            failure: Failure::BadPattern { pattern: text.to_owned(), detail },
            range: self.range(start),
        })
    }

    fn value_or_empty(&mut self, name: &str) -> String {
        let value = self.value(name);
        if value.is_none() && self.unused == 0 {
            note(&mut self.undefined, name);
        }
        value.unwrap_or_default()
    }

    fn value(&mut self, name: &str) -> Option<String> {
        if self.unused > 0 {
            return None;
        }
        note(&mut self.used, name);
        self.lookup.value(name).map(std::borrow::Cow::into_owned)
    }
}

fn note(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}
