//! Heredocs: files and scripts within a Dockerfile (DF-028 … DF-039).

use std::borrow::Cow;

use crate::error::{Error, Problem, Result};
use crate::reader::Reader;
use crate::span::{Slice, Span, Word};

/// A heredoc: `<<NAME` in an instruction, and the lines after the instruction up to `NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes: the name of the file in COPY and ADD.
    pub name: String,
    /// The opener, from its number or `<<` to the end of the delimiter.
    pub opener: Word,
    /// The lines as they are written, each with its line end.
    pub body: Word,
    /// The line that ends it, without its line end.
    pub terminator: Span,
    /// Whether variables are expanded in COPY and ADD: no part of the delimiter is quoted.
    pub expand: bool,
    /// `<<-`: leading tabs are not part of the contents.
    pub strip_tabs: bool,
    /// The file descriptor before `<<`, which only a shell can make sense of.
    pub descriptor: Option<u32>,
}

impl Heredoc {
    /// The contents: the body, without leading tabs after `<<-`.
    pub fn content(&self) -> Cow<'_, str> {
        if !self.strip_tabs || !self.body.raw.contains('\t') {
            return Cow::Borrowed(&self.body.raw);
        }
        Cow::Owned(self.body.raw.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect())
    }

    /// The place of a part of [`content`](Self::content), given in its bytes.
    pub fn span_of(&self, part: std::ops::Range<usize>) -> Span {
        let (start, line, column) = self.place(part.start);
        let (end, end_line, _) = self.place(part.end);
        Span { start, end, line, column, end_line }
    }

    fn place(&self, at: usize) -> (usize, u32, u32) {
        let (mut content, mut source, mut number) = (0, self.body.span.start, self.body.span.line);
        for line in self.body.raw.split_inclusive('\n') {
            let tabs = if self.strip_tabs { line.len() - line.trim_start_matches('\t').len() } else { 0 };
            let length = line.len() - tabs;
            if at < content + length {
                let offset = tabs + (at - content);
                return (
                    source + offset,
                    number,
                    u32::try_from(offset).unwrap_or(u32::MAX).saturating_add(1),
                );
            }
            content += length;
            source += line.len();
            number = number.saturating_add(1);
        }
        (source, number, 1)
    }
}

/// A heredoc whose lines have not been read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opener {
    name: String,
    word: Word,
    expand: bool,
    strip_tabs: bool,
    descriptor: Option<u32>,
}

/// Whose rules end a delimiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Within {
    /// RUN: a shell reads the line, so its operators end words.
    Shell,
    /// COPY and ADD: only blanks end words.
    Words,
}

/// Finds the openers in an instruction's arguments.
///
/// A word opens a heredoc when it is `[number]<<[-]WORD`; blanks may stand before WORD when it begins like a name
/// or with a quote. A line with an unfinished quote has none, and within `((` … `))`, `<<` shifts.
pub(crate) fn openers(arguments: Slice<'_>, within: Within) -> Vec<Opener> {
    let text = arguments.as_str();
    let Some(words) = shell_words(text) else { return Vec::new() };
    let mut openers = Vec::new();
    let (mut counted, mut opened, mut closed) = (0, 0, 0);
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let Some(head) = Head::of(text.get(word.clone()).unwrap_or_default()) else { continue };
        if within == Within::Shell {
            let before = text.get(counted..word.start).unwrap_or_default();
            opened += before.matches("((").count();
            closed += before.matches("))").count();
            counted = word.start;
            if opened > closed {
                continue;
            }
        }
        let mut delimiter = word.start + head.length..word.end;
        if delimiter.is_empty() {
            let Some(next) = words.peek() else { continue };
            let first = text.get(next.clone()).unwrap_or_default().chars().next();
            if !first.is_some_and(|first| first.is_alphabetic() || matches!(first, '_' | '\'' | '"')) {
                continue;
            }
            delimiter = next.clone();
            words.next();
        }
        openers.extend(opener(arguments, word.start, delimiter, &head, within));
    }
    openers
}

fn opener(
    arguments: Slice<'_>,
    start: usize,
    delimiter: std::ops::Range<usize>,
    head: &Head,
    within: Within,
) -> Option<Opener> {
    let text = arguments.as_str().get(delimiter.clone())?;
    let (name, length) = unquote(text, within);
    let written = text.get(..length)?;
    if name.is_empty() || written.contains('<') {
        return None;
    }
    Some(Opener {
        expand: name == written,
        name,
        word: arguments.part(start..delimiter.start + length).word(),
        strip_tabs: head.strip_tabs,
        descriptor: head.descriptor,
    })
}

/// What stands before a delimiter.
struct Head {
    descriptor: Option<u32>,
    strip_tabs: bool,
    length: usize,
}

impl Head {
    fn of(word: &str) -> Option<Self> {
        let digits = word.len() - word.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        let rest = word.get(digits..)?.strip_prefix("<<")?;
        if rest.starts_with('<') {
            return None;
        }
        let strip_tabs = rest.starts_with('-');
        let descriptor = if digits == 0 { None } else { Some(word.get(..digits)?.parse().ok()?) };
        Some(Self { descriptor, strip_tabs, length: digits + 2 + usize::from(strip_tabs) })
    }
}

/// The delimiter without quotes and escapes, and how many bytes of `text` it takes.
fn unquote(text: &str, within: Within) -> (String, usize) {
    let mut name = String::new();
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (None, ';' | '|' | '&' | '<' | '>' | '(' | ')') if within == Within::Shell => return (name, at),
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '\\') => name.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => name.push(character),
        }
    }
    (name, text.len())
}

/// The words of a line, quotes and escapes left in them; `None` when a quote does not end.
fn shell_words(text: &str) -> Option<Vec<std::ops::Range<usize>>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            words.extend(start.take().map(|start| start..at));
            continue;
        }
        start.get_or_insert(at);
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None | Some('"'), '\\') => drop(characters.next()),
            _ => {}
        }
    }
    words.extend(start.map(|start| start..text.len()));
    quote.is_none().then_some(words)
}

impl Reader<'_> {
    /// Reads the lines of one heredoc.
    pub(crate) fn heredoc(&mut self, opener: Opener) -> Result<Heredoc> {
        let mut body = String::new();
        let mut span = None;
        let mut nearly = None;
        while let Some(line) = self.line() {
            let text = line.text()?;
            let candidate = if opener.strip_tabs { text.trim_start_matches('\t') } else { text };
            if candidate == opener.name {
                let before = Span { end: line.start, end_line: line.number, ..line.span() };
                let body = Word { raw: body, span: span.unwrap_or(before) };
                return Ok(Heredoc {
                    name: opener.name,
                    opener: opener.word,
                    body,
                    terminator: line.span(),
                    expand: opener.expand,
                    strip_tabs: opener.strip_tabs,
                    descriptor: opener.descriptor,
                });
            }
            if text.trim() == opener.name {
                nearly.get_or_insert(line.span());
            }
            // With its terminator as written: carriage returns are content.
            body.push_str(self.between(line.start, line.next));
            let whole = Span { end: line.next, ..line.span() };
            span = Some(span.map_or(whole, |span: Span| span.to(whole)));
        }
        let end = self.end();
        let error = Error::new(Problem::UnterminatedHeredoc { name: opener.name }, opener.word.span);
        let error = error.labelled("opened here").noted(end, "the file ends here");
        Err(match nearly {
            Some(line) => error.noted(line, "this line has blanks around the delimiter").hinted(
                "the delimiter has to stand alone, without blanks around it; tabs before it are possible after <<-",
            ),
            None => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::LogicalText;

    fn found(text: &str, within: Within) -> Vec<(String, bool, bool, Option<u32>)> {
        let mut logical = LogicalText::default();
        logical.push(text, 0, 1, 1);
        let openers = openers(logical.whole(), within);
        openers
            .into_iter()
            .map(|opener| (opener.name, opener.expand, opener.strip_tabs, opener.descriptor))
            .collect()
    }

    #[test]
    fn df_028_openers_of_one_heredoc() {
        for (text, name, expand, strip_tabs, descriptor) in [
            ("<<EOF", "EOF", true, false, None),
            ("<<-EOF", "EOF", true, true, None),
            ("<< EOF", "EOF", true, false, None),
            ("<<- EOF", "EOF", true, true, None),
            ("<<'EOF'", "EOF", false, false, None),
            ("<<\"EOF\"", "EOF", false, false, None),
            ("<<E\"O\"F", "EOF", false, false, None),
            ("<< 'EOF'", "EOF", false, false, None),
            ("3<<EOF", "EOF", true, false, Some(3)),
            ("cat <<EOF > /x", "EOF", true, false, None),
            ("cat <<EOF>/x", "EOF", true, false, None),
            ("cat <<EOF|sh", "EOF", true, false, None),
            ("x=$(( 1 + 2 )) cat <<EOF", "EOF", true, false, None),
        ] {
            let expected = vec![(name.to_owned(), expand, strip_tabs, descriptor)];
            assert_eq!(found(text, Within::Shell), expected, "{text}");
        }
    }

    #[test]
    fn df_028_no_openers() {
        for text in [
            "EOF",
            "<<",
            "<<-",
            "<<<EOF",
            "a<<EOF",
            "echo $((1<<2))",
            "echo $(( 1 << 2 ))",
            "echo $(( 1 << n ))",
            "echo 'x <<EOF",
            "echo \"<<EOF\"",
            "<<''",
            "99999999999<<EOF",
            "",
        ] {
            assert_eq!(found(text, Within::Shell), vec![], "{text}");
        }
    }

    #[test]
    fn df_029_several_openers() {
        let names = |text| found(text, Within::Words).into_iter().map(|opener| opener.0).collect::<Vec<_>>();
        assert_eq!(names("<<a <<b;c /x/"), ["a", "b;c"]);
        assert_eq!(names("--x <<'a b' x"), ["a b"]);
    }
}
