//! Excerpts of Dockerfiles: the place of an error, with a marker (DF-025).

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use builder::Place;

/// Renders an error at a place of a Dockerfile, in rustc's manner.
pub fn render(
    file: &str,
    source: &[u8],
    message: &str,
    place: &Place,
    hint: Option<&str>,
    colours: bool,
) -> String {
    // The renderer knows the control characters of ASCII only; others are of two bytes, as what stands for them is: places stay.
    let source =
        String::from_utf8_lossy(source).replace(|character| matches!(character, '\u{80}'..='\u{9f}'), "·");
    let range = |span: dockerfile::Span| {
        let mut end = span.end.min(source.len());
        // A step over many lines is marked where it begins.
        if let Some(line) = source.get(span.start..end).and_then(|text| text.find('\n')) {
            end = span.start + line;
        }
        floor(&source, span.start)..floor(&source, end)
    };
    let main = AnnotationKind::Primary.span(range(place.span));
    let main = match &place.label {
        Some(label) => main.label(base::text::line(label).into_owned()),
        None => main,
    };
    let notes = place.notes.iter().map(|note| {
        AnnotationKind::Context.span(range(note.span)).label(base::text::line(&note.text).into_owned())
    });
    let snippet =
        Snippet::source(source.as_str()).path(base::text::line(file)).annotation(main).annotations(notes);
    let mut group = Group::with_title(Level::ERROR.primary_title(message.to_owned())).element(snippet);
    if let Some(hint) = hint {
        group = group.element(Level::HELP.with_name("hint").message(hint.to_owned()));
    }
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

/// The nearest place at or before `index` where a character begins.
fn floor(source: &str, index: usize) -> usize {
    let index = index.min(source.len());
    (0..=index).rev().find(|index| source.is_char_boundary(*index)).unwrap_or(0)
}
