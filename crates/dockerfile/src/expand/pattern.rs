//! The patterns of `${name#pattern}` and its kin: `*`, `?` and escapes, no classes (DF-042).

/// A pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Literal(char),
    AnyOne,
    AnyMany,
}

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            tokens.push(match character {
                '*' => Token::AnyMany,
                '?' => Token::AnyOne,
                '\\' => match characters.next() {
                    // The first two have to be escaped since they end the pattern.
                    Some(escaped @ ('}' | '/' | '*' | '?' | '\\')) => Token::Literal(escaped),
                    Some(other) => return Err(format!("invalid escape '\\{other}'")),
                    None => return Err("nothing to escape at the end".to_owned()),
                },
                _ => Token::Literal(character),
            });
        }
        tokens.dedup_by(|a, b| *a == Token::AnyMany && *b == Token::AnyMany);
        Ok(Self(tokens))
    }

    pub fn trim_prefix(&self, value: &str, longest: bool) -> String {
        let characters: Vec<char> = value.chars().collect();
        let length = matched(&self.0, &characters, longest).unwrap_or(0);
        characters.iter().skip(length).collect()
    }

    pub fn trim_suffix(&self, value: &str, longest: bool) -> String {
        let tokens: Vec<Token> = self.0.iter().rev().copied().collect();
        let characters: Vec<char> = value.chars().rev().collect();
        let length = matched(&tokens, &characters, longest).unwrap_or(0);
        value.chars().take(characters.len() - length).collect()
    }

    /// Replaces the first match, or all; a match is as long as it can be. None when the result gets longer than `most` bytes.
    pub fn replace(&self, value: &str, replacement: &str, all: bool, most: usize) -> Option<String> {
        let characters: Vec<char> = value.chars().collect();
        let mut rest = characters.as_slice();
        let mut result = String::with_capacity(value.len());
        let mut after_match = false;
        loop {
            match matched(&self.0, rest, true) {
                // Nothing, directly behind a match, is not another match.
                Some(length) if length > 0 || !after_match => {
                    result.push_str(replacement);
                    if result.len() > most {
                        return None;
                    }
                    rest = rest.get(length..).unwrap_or_default();
                    if !all {
                        break;
                    }
                    after_match = length > 0;
                    if after_match {
                        continue;
                    }
                }
                // What begins with `*` would have matched here if it matched anywhere.
                None if self.0.first() == Some(&Token::AnyMany) => break,
                _ => {}
            }
            let Some((first, others)) = rest.split_first() else { break };
            result.push(*first);
            rest = others;
            after_match = false;
        }
        result.extend(rest);
        Some(result)
    }
}

/// How many of the characters match the whole pattern, from the start on.
fn matched(tokens: &[Token], characters: &[char], longest: bool) -> Option<usize> {
    // The states are the numbers of tokens that are done.
    let mut states = vec![false; tokens.len() + 1];
    let mut next = states.clone();
    enter(tokens, &mut states, 0);
    let mut found = None;
    for (length, character) in characters.iter().map(Some).chain([None]).enumerate() {
        if states.last() == Some(&true) {
            found = Some(length);
            // A last `*` takes all the rest.
            if longest && tokens.last() == Some(&Token::AnyMany) {
                return Some(characters.len());
            }
            if !longest {
                return found;
            }
        }
        let Some(character) = character else { break };
        next.fill(false);
        let mut alive = false;
        for (state, token) in tokens.iter().enumerate().filter(|(state, _)| states.get(*state) == Some(&true))
        {
            let to = match token {
                Token::Literal(wanted) if wanted == character => state + 1,
                Token::Literal(_) => continue,
                Token::AnyOne => state + 1,
                Token::AnyMany => state,
            };
            enter(tokens, &mut next, to);
            alive = true;
        }
        if !alive {
            break;
        }
        std::mem::swap(&mut states, &mut next);
    }
    found
}

/// Enters a state, and those behind `*` that need no further character.
fn enter(tokens: &[Token], states: &mut [bool], mut state: usize) {
    loop {
        if let Some(entered) = states.get_mut(state) {
            *entered = true;
        }
        if tokens.get(state) != Some(&Token::AnyMany) {
            return;
        }
        state += 1;
    }
}
