//! From bytes to logical lines: continuations, comments, directives, the bodies of heredocs.

use crate::directive::{self, Directives};
use crate::error::{Error, Problem, Result};
use crate::span::{LogicalText, Span, Word};
use crate::warning::{Warning, WarningKind};

/// A comment line: its text without `#` and surrounding blanks.
pub type Comment = Word;

/// One logical line: an instruction with its continuations.
#[derive(Debug)]
pub(crate) struct LogicalLine {
    pub text: LogicalText,
    /// The block of comments directly above.
    pub comments: Vec<Comment>,
}

/// One line of the source, without its terminator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'s> {
    pub bytes: &'s [u8],
    pub start: usize,
    pub number: u32,
    /// One past the terminator.
    pub next: usize,
}

impl<'s> Line<'s> {
    pub fn span(&self) -> Span {
        self.part(0, self.bytes.len())
    }

    fn part(&self, from: usize, to: usize) -> Span {
        let column = u32::try_from(from).unwrap_or(u32::MAX).saturating_add(1);
        Span {
            start: self.start + from,
            end: self.start + to,
            line: self.number,
            column,
            end_line: self.number,
        }
    }

    pub fn text(&self) -> Result<&'s str> {
        let text = std::str::from_utf8(self.bytes).map_err(|error| {
            let at = error.valid_up_to();
            let length = error.error_len().unwrap_or(self.bytes.len() - at);
            Error::new(Problem::NotUtf8, self.part(at, at + length))
                .hinted("save the Dockerfile as UTF-8; other bytes can be copied from a file of the context")
        })?;
        match text.find('\0') {
            Some(at) => {
                Err(Error::new(Problem::Nul, self.part(at, at + 1))
                    .hinted("save the Dockerfile as UTF-8 text"))
            }
            None => Ok(text),
        }
    }

    fn first_non_blank(&self) -> Option<usize> {
        self.bytes.iter().position(|byte| !is_blank(*byte))
    }

    fn is_comment(&self) -> bool {
        self.first_non_blank().is_some_and(|at| self.bytes.get(at) == Some(&b'#'))
    }

    /// The text after `#`. Comments may be in any encoding.
    fn comment(&self) -> Comment {
        let from = self.first_non_blank().map_or(self.bytes.len(), |at| at + 1);
        let rest = self.bytes.get(from..).unwrap_or_default();
        let text = rest.trim_ascii();
        let start = from + (rest.len() - rest.trim_ascii_start().len());
        let span = if text.is_empty() { self.part(from, from) } else { self.part(start, start + text.len()) };
        Word { raw: String::from_utf8_lossy(text).into_owned(), span }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

/// Reads logical lines.
#[derive(Debug)]
pub(crate) struct Reader<'s> {
    source: &'s [u8],
    position: usize,
    number: u32,
    comments: Vec<Comment>,
    pub directives: Directives,
    directives_ended: bool,
    /// The first line is `#!…`: then `escape` is not heard, and the other directives are (DF-015, DF-016).
    has_shebang: bool,
    pub warnings: Vec<Warning>,
}

impl<'s> Reader<'s> {
    /// A reader of a whole file.
    pub fn new(source: &'s [u8]) -> Result<Self> {
        if source.starts_with(&[0xff, 0xfe]) || source.starts_with(&[0xfe, 0xff]) {
            let span = Span { start: 0, end: 2, line: 1, column: 1, end_line: 1 };
            return Err(Error::new(Problem::Utf16, span).hinted("save the Dockerfile as UTF-8"));
        }
        let position = if source.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Ok(Self {
            source,
            position,
            number: 0,
            comments: Vec::new(),
            directives: Directives::default(),
            directives_ended: false,
            has_shebang: false,
            warnings: Vec::new(),
        })
    }

    /// A reader of text that has no directives.
    pub fn of_trigger(text: &'s str, escape: directive::Escape) -> Self {
        Self {
            source: text.as_bytes(),
            position: 0,
            number: 0,
            comments: Vec::new(),
            directives: Directives::with_escape(escape),
            directives_ended: true,
            has_shebang: false,
            warnings: Vec::new(),
        }
    }

    /// The place behind the last byte.
    pub fn end(&self) -> Span {
        let last_line = self.source.split(|byte| *byte == b'\n').next_back().unwrap_or_default();
        let newlines = self.source.iter().filter(|byte| **byte == b'\n').count();
        let line = u32::try_from(newlines).unwrap_or(u32::MAX).saturating_add(1);
        let column = u32::try_from(last_line.len()).unwrap_or(u32::MAX).saturating_add(1);
        Span { start: self.source.len(), end: self.source.len(), line, column, end_line: line }
    }

    /// The next line of the source, whatever it is.
    pub fn line(&mut self) -> Option<Line<'s>> {
        let rest = self.source.get(self.position..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let next = (self.position + length + 1).min(self.source.len());
        let bytes = rest.get(..length).unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        self.number = self.number.saturating_add(1);
        let line = Line { bytes, start: self.position, number: self.number, next };
        self.position = next;
        Some(line)
    }

    /// A stretch of the source that is known to be text.
    pub fn between(&self, start: usize, end: usize) -> &'s str {
        self.source.get(start..end).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The next instruction's logical line.
    pub fn logical_line(&mut self) -> Result<Option<LogicalLine>> {
        while let Some(line) = self.line() {
            let Some(first) = line.first_non_blank() else {
                self.directives_ended = true;
                self.comments.clear();
                continue;
            };
            if line.is_comment() {
                self.comment_line(line, first)?;
                continue;
            }
            self.directives_ended = true;
            let text = self.join(line, first)?;
            if !text.whole().trim().is_empty() {
                let comments = std::mem::take(&mut self.comments);
                return Ok(Some(LogicalLine { text, comments }));
            }
        }
        Ok(None)
    }

    fn comment_line(&mut self, line: Line<'s>, first: usize) -> Result<()> {
        if line.number == 1 && line.bytes.starts_with(b"#!") {
            self.has_shebang = true;
            return Ok(());
        }
        if !self.directives_ended && self.directive_line(line, first)? {
            return Ok(());
        }
        self.directives_ended = true;
        let comment = line.comment();
        if comment.raw.is_empty() {
            self.comments.clear()
        } else {
            self.comments.push(comment)
        }
        Ok(())
    }

    fn directive_line(&mut self, line: Line<'s>, first: usize) -> Result<bool> {
        let Some(Ok(text)) = line.bytes.get(first..).map(std::str::from_utf8) else { return Ok(false) };
        let Some((key, value)) = directive::split(text) else { return Ok(false) };
        let key = text.get(key).unwrap_or_default();
        if self.has_shebang && key.eq_ignore_ascii_case("escape") {
            return Ok(true);
        }
        let span = line.part(first + value.start, first + value.end);
        let word = Word { raw: text.get(value).unwrap_or_default().to_owned(), span };
        self.directives.take(key, word)
    }

    /// Joins a line with its continuations.
    fn join(&mut self, first_line: Line<'s>, first: usize) -> Result<LogicalText> {
        let mut joined = LogicalText::default();
        let mut empty_line = None;
        let (mut line, mut from) = (first_line, first);
        loop {
            let text = line.text()?.get(from..).unwrap_or_default();
            let (text, continues) = self.continuation(text);
            let place = line.part(from, from);
            joined.push(text, place.start, place.line, place.column);
            if !continues {
                break;
            }
            let Some(next) = self.continuing_line(&mut empty_line) else { break };
            (line, from) = (next, 0);
        }
        if let Some(span) = empty_line {
            let instruction = joined.whole().span();
            self.warnings.push(Warning { kind: WarningKind::EmptyContinuation { instruction }, span });
        }
        Ok(joined)
    }

    /// The next line that is neither a comment nor blank.
    fn continuing_line(&mut self, empty_line: &mut Option<Span>) -> Option<Line<'s>> {
        loop {
            let line = self.line()?;
            if line.first_non_blank().is_none() {
                empty_line.get_or_insert(line.span());
            } else if !line.is_comment() {
                return Some(line);
            }
        }
    }

    /// A line without its continuation mark, and whether it had one.
    ///
    /// An even number of escape characters are escaped escape characters.
    fn continuation<'t>(&self, text: &'t str) -> (&'t str, bool) {
        let escape = self.directives.escape.character();
        let trimmed = text.trim_end_matches([' ', '\t']);
        let marks = trimmed.len() - trimmed.trim_end_matches(escape).len();
        match trimmed.strip_suffix(escape) {
            Some(before) if marks % 2 == 1 => (before, true),
            _ => (text, false),
        }
    }
}
