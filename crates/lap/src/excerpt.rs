//! Excerpts of Dockerfiles: the place of an error or a warning, with a marker (DF-025).

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};
use builder::Place;
use dockerfile::Span;

/// Renders an error at a place of a Dockerfile, in rustc's manner.
pub fn render(
    file: &str,
    source: &[u8],
    message: &str,
    place: &Place,
    hint: Option<&str>,
    colours: bool,
) -> String {
    let text = Text::of(source);
    let main = AnnotationKind::Primary.span(text.range(place.span));
    let main = match &place.label {
        Some(label) => main.label(base::text::line(label).into_owned()),
        None => main,
    };
    let notes = place.notes.iter().map(|note| {
        AnnotationKind::Context.span(text.range(note.span)).label(base::text::line(&note.text).into_owned())
    });
    let annotations = std::iter::once(main).chain(notes);
    text.rendered(file, Level::ERROR, message, annotations, hint.map(|hint| ("hint", hint)), colours)
}

/// Renders a warning at a place of a Dockerfile, with an address where it is explained.
pub fn warning(
    file: &str,
    source: &[u8],
    message: &str,
    span: Span,
    see: Option<&str>,
    colours: bool,
) -> String {
    let text = Text::of(source);
    let annotation = AnnotationKind::Primary.span(text.range(span));
    let see = see.map(|address| ("see", address));
    text.rendered(file, Level::WARNING, message, std::iter::once(annotation), see, colours)
}

/// A Dockerfile as it is shown.
struct Text(String);

impl Text {
    fn of(source: &[u8]) -> Self {
        // The renderer knows the control characters of ASCII only; others are of two bytes, as what stands for them is: places stay.
        let text = String::from_utf8_lossy(source);
        Self(text.replace(|character| matches!(character, '\u{80}'..='\u{9f}'), "·"))
    }

    /// All lines of a place; the renderer leaves out the middle of long ones. A line feed at the end belongs to the line.
    fn range(&self, span: Span) -> std::ops::Range<usize> {
        let (start, end) = (self.floor(span.start), self.floor(span.end));
        let text = self.0.get(start..end).unwrap_or_default();
        start..start + text.trim_end_matches(['\n', '\r']).len()
    }

    fn rendered<'a>(
        &'a self,
        file: &'a str,
        level: Level<'a>,
        message: &str,
        annotations: impl Iterator<Item = Annotation<'a>>,
        last: Option<(&'a str, &'a str)>,
        colours: bool,
    ) -> String {
        let snippet = Snippet::source(self.0.as_str()).path(base::text::line(file)).annotations(annotations);
        let mut group = Group::with_title(level.primary_title(message.to_owned())).element(snippet);
        if let Some((name, text)) = last {
            group = group.element(Level::HELP.with_name(name).message(text.to_owned()));
        }
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    /// The nearest place at or before `index` where a character begins.
    fn floor(&self, index: usize) -> usize {
        let index = index.min(self.0.len());
        (0..=index).rev().find(|index| self.0.is_char_boundary(*index)).unwrap_or(0)
    }
}
