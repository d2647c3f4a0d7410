//! Places in a Dockerfile.

use std::ops::Range;

/// A stretch of the source text: bytes, and lines for people.
///
/// A token that is written over several lines (with continuations) spans from the first of its
/// bytes to the last, so the span may hold escape characters, line ends and comments that are not
/// part of the token's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The line of the first byte, counted from 1.
    pub line: u32,
    /// The column of the first byte, counted in bytes from 1.
    pub column: u32,
    /// The line of the last byte.
    pub end_line: u32,
}

impl Span {
    /// The bytes, as a range.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// How many bytes.
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether this is a point between two bytes.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The span from the start of this one to the end of `last`.
    #[must_use]
    pub fn to(self, last: Span) -> Span {
        if last.end < self.end { self } else { Span { end: last.end, end_line: last.end_line, ..self } }
    }
}

/// A token: its text after continuation lines were joined, before any expansion, and its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Word {
    /// The text. Flags and JSON strings have lost their quotes, all other words keep them.
    pub raw: String,
    /// Where it stands.
    pub span: Span,
}

impl Word {
    /// A word that stands nowhere: for values that do not come from a Dockerfile.
    pub fn unplaced(raw: impl Into<String>) -> Self {
        Self { raw: raw.into(), span: Span::default() }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Whether there is a `$`, so that the value is known only after expansion.
    pub fn has_variable(&self) -> bool {
        self.raw.contains('$')
    }

    /// The place of a part of the text, given in bytes of `raw`.
    ///
    /// It is the place of the whole word where text and source differ (continuations, quotes, escapes).
    pub fn span_of(&self, part: Range<usize>) -> Span {
        let differs = self.span.len() != self.raw.len() || self.span.line != self.span.end_line;
        if differs || part.end > self.raw.len() || part.start > part.end {
            return self.span;
        }
        let column = self.span.column.saturating_add(u32::try_from(part.start).unwrap_or(u32::MAX));
        Span { start: self.span.start + part.start, end: self.span.start + part.end, column, ..self.span }
    }
}

impl std::fmt::Display for Word {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.raw)
    }
}

/// One instruction's text with its continuation lines joined, and where each piece came from.
#[derive(Debug, Default)]
pub(crate) struct LogicalText {
    text: String,
    pieces: Vec<Piece>,
}

/// A run of bytes that lies in one line of the source.
#[derive(Debug, Clone, Copy)]
struct Piece {
    at: usize,
    source: usize,
    line: u32,
    column: u32,
}

impl LogicalText {
    /// Appends what stands at `source` in the given line.
    pub fn push(&mut self, text: &str, source: usize, line: u32, column: u32) {
        if !text.is_empty() || self.pieces.is_empty() {
            self.pieces.push(Piece { at: self.text.len(), source, line, column });
            self.text.push_str(text);
        }
    }

    pub fn whole(&self) -> Slice<'_> {
        Slice { of: self, start: 0, end: self.text.len() }
    }

    fn place(&self, at: usize) -> (usize, u32, u32) {
        let index = self.pieces.partition_point(|piece| piece.at <= at).saturating_sub(1);
        self.pieces.get(index).map_or((0, 1, 1), |piece| {
            let offset = at - piece.at.min(at);
            let column = piece.column.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX));
            (piece.source + offset, piece.line, column)
        })
    }

    fn span(&self, range: Range<usize>) -> Span {
        if range.is_empty() {
            // An empty token at a seam belongs to the end of the earlier piece.
            let (before, line, column) = self.place(range.start.saturating_sub(1));
            let step = usize::from(range.start > 0);
            let (start, column) = (before + step, column + u32::from(range.start > 0));
            return Span { start, end: start, line, column, end_line: line };
        }
        let (start, line, column) = self.place(range.start);
        let (last, end_line, _) = self.place(range.end - 1);
        Span { start, end: last + 1, line, column, end_line }
    }
}

/// A part of a [`LogicalText`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice<'a> {
    of: &'a LogicalText,
    start: usize,
    end: usize,
}

impl<'a> Slice<'a> {
    pub fn as_str(self) -> &'a str {
        self.of.text.get(self.start..self.end).unwrap_or_default()
    }

    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub fn span(self) -> Span {
        self.of.span(self.start..self.end)
    }

    /// A part, in bytes of this slice. Both ends have to be character boundaries.
    pub fn part(self, range: Range<usize>) -> Self {
        Slice { of: self.of, start: self.start + range.start, end: self.start + range.end }
    }

    pub fn from(self, start: usize) -> Self {
        Slice { start: self.start + start, ..self }
    }

    /// Without blanks at both ends.
    pub fn trim(self) -> Self {
        let text = self.as_str();
        let start = text.len() - text.trim_start().len();
        self.part(start..start + text.trim().len())
    }

    pub fn word(self) -> Word {
        Word { raw: self.as_str().to_owned(), span: self.span() }
    }
}
