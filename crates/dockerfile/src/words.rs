//! Splitting an instruction's arguments into words (DF-019, DF-052).

use crate::directive::Escape;
use crate::span::{Slice, Word};

/// The blanks that separate words.
pub(crate) fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\u{b}' | '\u{c}' | '\r')
}

/// Splits at blanks, whatever the quotes say.
pub(crate) fn plain(arguments: Slice<'_>) -> Vec<Word> {
    let text = arguments.as_str();
    let mut words = Vec::new();
    let mut start = None;
    for (at, character) in text.char_indices() {
        if is_blank(character) {
            words.extend(start.take().map(|start| arguments.part(start..at).word()));
        } else {
            start.get_or_insert(at);
        }
    }
    words.extend(start.map(|start| arguments.part(start..text.len()).word()));
    words
}

/// Splits off the first word: the word, and what follows it without the blanks between.
pub(crate) fn first(arguments: Slice<'_>) -> (Slice<'_>, Slice<'_>) {
    let arguments = arguments.trim();
    let text = arguments.as_str();
    let end = text.find(is_blank).unwrap_or(text.len());
    (arguments.part(0..end), arguments.from(end).trim())
}

/// Splits at blanks that are neither quoted nor escaped. Quotes and escapes stay in the words.
pub(crate) fn quoted<'a>(arguments: Slice<'a>, escape: Escape) -> Vec<Slice<'a>> {
    let text = arguments.as_str();
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            words.extend(start.take().map(|start| arguments.part(start..at)));
            continue;
        }
        start.get_or_insert(at);
        match quote {
            None if matches!(character, '\'' | '"') => quote = Some(character),
            Some(open) if open == character => quote = None,
            None | Some('"') if character == escape.character() => drop(characters.next()),
            _ => {}
        }
    }
    words.extend(start.map(|start| arguments.part(start..text.len())));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::LogicalText;

    #[test]
    fn df_019_df_052_words() {
        let mut logical = LogicalText::default();
        let text = "a=\"x y\" b=x\\ y c='\\' d=\"\\\" e\" f ";
        logical.push(text, 0, 1, 1);
        let words = quoted(logical.whole(), Escape::Backslash);
        let words: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
        assert_eq!(words, ["a=\"x y\"", "b=x\\ y", "c='\\'", "d=\"\\\" e\"", "f"]);
        let plain: Vec<String> = plain(logical.whole()).into_iter().map(|word| word.raw).collect();
        assert_eq!(plain, ["a=\"x", "y\"", "b=x\\", "y", "c='\\'", "d=\"\\\"", "e\"", "f"]);
        let (word, rest) = first(logical.whole());
        assert_eq!((word.as_str(), rest.as_str()), ("a=\"x", "y\" b=x\\ y c='\\' d=\"\\\" e\" f"));
    }
}
