//! "Did you mean …?": the nearest of some known names.

/// Longer words are not looked at: nobody mistypes those, and the comparison is quadratic.
const LONGEST: usize = 64;

/// The candidate that `word` is most likely a mistyping of, if one is near enough.
///
/// Case does not count. Swapping two neighbours is one mistake, as are a wrong, a missing and an additional letter.
/// A third of the letters may be wrong, at most three.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).take(LONGEST + 1).collect();
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).take(LONGEST + 1).collect();
        let limit = (word.len().max(letters.len()) / 3).clamp(1, 3);
        if letters.len() > LONGEST || letters.len().abs_diff(word.len()) > limit {
            continue;
        }
        let distance = distance(&word, &letters);
        let replaces_all = distance >= word.len().max(letters.len());
        if distance <= limit && !replaces_all && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Damerau's distance, with adjacent transpositions.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, &a) in from.iter().enumerate() {
        let mut current = Vec::with_capacity(to.len() + 1);
        current.push(row + 1);
        let mut left = None;
        for (column, &b) in to.iter().enumerate() {
            let change = last[column] + usize::from(a != b);
            let mut least = change.min(last[column + 1] + 1).min(current[column] + 1);
            if previous == Some(b) && left == Some(a) {
                // `before` is the row two above, which exists because there is a previous letter.
                least = least.min(before[column - 1] + 1);
            }
            current.push(least);
            left = Some(b);
        }
        before = std::mem::replace(&mut last, current);
        previous = Some(a);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_name() {
        let keywords = ["FROM", "RUN", "COPY", "ENV", "ENTRYPOINT", "EXPOSE", "CMD"];
        for (word, expected) in [
            ("FORM", Some("FROM")),
            ("form", Some("FROM")),
            ("RUNN", Some("RUN")),
            ("COPPY", Some("COPY")),
            ("ENTRPYOINT", Some("ENTRYPOINT")),
            ("ENTYPONT", Some("ENTRYPOINT")),
            ("BUILD", None),
            ("X", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keywords), expected, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(100), ["x"]), None);
    }

    #[test]
    fn counts_mistakes() {
        for (from, to, expected) in
            [("ab", "ba", 1), ("abc", "abc", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3)]
        {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(distance(&letters(from), &letters(to)), expected, "{from} {to}");
        }
    }
}
