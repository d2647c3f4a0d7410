//! The flags of an instruction: `--name=value` between the keyword and the arguments (DF-019, DF-020).

use crate::directive::Escape;
use crate::error::{Error, Problem, Result};
use crate::span::{Slice, Span, Word};
use crate::suggest;

/// A flag as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The name, without `--`.
    pub name: Word,
    /// What follows `=`, without quotes.
    pub value: Option<Word>,
    /// The whole flag.
    pub span: Span,
}

/// What sort of value a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing, `true` or `false`.
    Boolean,
    /// One value.
    Text,
    /// A value, and the flag may be repeated.
    List,
}

/// The flags that an instruction has.
pub(crate) type Known = &'static [(&'static str, Takes)];

/// Splits the flags off an instruction's arguments.
pub(crate) fn split(arguments: Slice<'_>, escape: Escape) -> (Vec<Flag>, Slice<'_>) {
    let mut flags = Vec::new();
    let mut rest = arguments.trim();
    while rest.as_str().starts_with("--") {
        let (flag, length) = one(rest, escape);
        rest = rest.from(length).trim();
        match flag {
            Some(flag) => flags.push(flag),
            None => break,
        }
    }
    (flags, rest)
}

/// Reads one flag, and how long it is; none for a bare `--`, which ends them.
fn one(rest: Slice<'_>, escape: Escape) -> (Option<Flag>, usize) {
    let text = rest.as_str();
    let mut plain = String::new();
    // Where the name ends: in the text without quotes, and in the text as written.
    let mut equals = None;
    let mut quote = None;
    let mut length = text.len();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match quote {
            None if character.is_whitespace() => {
                length = at;
                break;
            }
            None if matches!(character, '\'' | '"') => quote = Some(character),
            Some(open) if open == character => quote = None,
            _ if character == escape.character() => {
                plain.extend(characters.next().map(|(_, escaped)| escaped))
            }
            _ => {
                if character == '=' && equals.is_none() {
                    equals = Some((plain.len(), at));
                }
                plain.push(character);
            }
        }
    }
    if plain == "--" {
        return (None, length);
    }
    let whole = rest.part(0..length);
    let (name_end, name_end_written) = equals.unwrap_or((plain.len(), length));
    let name = Word {
        raw: plain.get(2..name_end).unwrap_or_default().to_owned(),
        span: rest.part(2.min(name_end_written)..name_end_written).span(),
    };
    let value = equals.map(|(end, written)| Word {
        raw: plain.get(end + 1..).unwrap_or_default().to_owned(),
        span: value_span(rest.part(written + 1..length)),
    });
    (Some(Flag { name, value, span: whole.span() }), length)
}

/// The place of a value: without the quotes when they surround it.
fn value_span(written: Slice<'_>) -> Span {
    let text = written.as_str();
    for quote in ['"', '\''] {
        let inner = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.contains(quote)) {
            return written.part(1..1 + inner.len()).span();
        }
    }
    written.span()
}

/// An instruction's flags, after it was checked that it has them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags<'f>(&'f [Flag]);

impl<'f> Flags<'f> {
    /// Refuses unknown and repeated flags, and values of a wrong sort.
    pub fn check(keyword: &'static str, known: Known, flags: &'f [Flag]) -> Result<Self> {
        for (index, flag) in flags.iter().enumerate() {
            let name = flag.name.as_str();
            let Some((_, takes)) = known.iter().find(|(known, _)| *known == name) else {
                return Err(unknown(keyword, known, flag));
            };
            let first = flags.iter().take(index).find(|other| other.name.raw == name);
            if let Some(first) = first.filter(|_| *takes != Takes::List) {
                let error = Error::new(Problem::DuplicateFlag { flag: name.to_owned() }, flag.span);
                return Err(error.noted(first.span, "first given here"));
            }
            check_value(*takes, flag)?;
        }
        Ok(Self(flags))
    }

    /// The value of a flag that can be given once.
    pub fn text(self, name: &str) -> Option<&'f Word> {
        self.list(name).next()
    }

    /// All values of a flag.
    pub fn list(self, name: &str) -> impl Iterator<Item = &'f Word> {
        self.0.iter().filter(move |flag| flag.name.raw == name).filter_map(|flag| flag.value.as_ref())
    }

    /// A flag that is on, off, or not given.
    pub fn boolean(self, name: &str) -> Option<bool> {
        let flag = self.0.iter().find(|flag| flag.name.raw == name)?;
        Some(flag.value.as_ref().is_none_or(|value| !value.raw.eq_ignore_ascii_case("false")))
    }
}

fn unknown(keyword: &'static str, known: Known, flag: &Flag) -> Error {
    let name = flag.name.as_str();
    // Without the value, so that the suggestion can stand there instead.
    let span = Span { end: flag.name.span.end, end_line: flag.name.span.end_line, ..flag.span };
    let error = Error::new(Problem::UnknownFlag { keyword, flag: name.to_owned() }, span);
    let nearest = suggest::nearest(name, known.iter().map(|(known, _)| *known));
    let names: Vec<String> = known.iter().map(|(known, _)| format!("--{known}")).collect();
    let error = error.suggesting(nearest.map(|nearest| format!("--{nearest}")));
    if names.is_empty() {
        error.hinted(format!("{keyword} has no flags"))
    } else {
        error.hinted(format!("{keyword} has {}", names.join(", ")))
    }
}

fn check_value(takes: Takes, flag: &Flag) -> Result<()> {
    let name = &flag.name.raw;
    match (takes, &flag.value) {
        (Takes::Boolean, Some(value))
            if !["true", "false"].iter().any(|known| value.raw.eq_ignore_ascii_case(known)) =>
        {
            let expected = "expecting true or false".to_owned();
            let problem = Problem::BadFlagValue { flag: name.clone(), value: value.raw.clone(), expected };
            Err(Error::new(problem, value.span))
        }
        (Takes::Text | Takes::List, None) => {
            let error = Error::new(Problem::FlagWithoutValue { flag: name.clone() }, flag.span);
            Err(error.hinted(format!("write --{name}=VALUE, without a blank")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::LogicalText;

    fn parse(text: &str) -> (Vec<(String, Option<String>)>, String) {
        let mut logical = LogicalText::default();
        logical.push(text, 0, 1, 1);
        let (flags, rest) = split(logical.whole(), Escape::Backslash);
        let flags =
            flags.into_iter().map(|flag| (flag.name.raw, flag.value.map(|value| value.raw))).collect();
        (flags, rest.as_str().to_owned())
    }

    #[test]
    fn df_019_df_020_flags_end_at_the_first_other_word() {
        let flag = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        for (text, flags, rest) in [
            ("a --b", vec![], "a --b"),
            ("--a b", vec![flag("a", None)], "b"),
            ("--a=1 --b= c", vec![flag("a", Some("1")), flag("b", Some(""))], "c"),
            ("--a -- --b", vec![flag("a", None)], "--b"),
            ("--a=\"x y\" z", vec![flag("a", Some("x y"))], "z"),
            ("--a='x\\'y' z", vec![flag("a", Some("x'y"))], "z"),
            ("--a=x\\ y z", vec![flag("a", Some("x y"))], "z"),
            ("--a=b=c", vec![flag("a", Some("b=c"))], ""),
            ("--\"a=b\" c", vec![flag("a", Some("b"))], "c"),
            ("--a=\\", vec![flag("a", Some(""))], ""),
            ("--=", vec![flag("", Some(""))], ""),
        ] {
            assert_eq!(parse(text), (flags, rest.to_owned()), "{text}");
        }
    }

    #[test]
    fn df_020_flags_have_places() {
        let mut logical = LogicalText::default();
        logical.push("--a=b --c=\"d e\" x", 10, 2, 5);
        let (flags, _) = split(logical.whole(), Escape::Backslash);
        assert_eq!(flags[0].span.range(), 10..15);
        assert_eq!(flags[0].name.span.range(), 12..13);
        assert_eq!(flags[1].value.as_ref().expect("a value").span.range(), 21..24);
        assert_eq!((flags[1].span.line, flags[1].span.column), (2, 11));
    }
}
