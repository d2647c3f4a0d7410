//! Any word, with both escape characters: expanded or refused at a place that is in it. What a word gives is bounded by what is put into it.
#![no_main]

use std::collections::BTreeMap;

use dockerfile::Escape;
use dockerfile::expand::Expander;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let variables: BTreeMap<String, String> =
        [("A", "value"), ("B", ""), ("PATH_", "/usr/bin:/bin"), ("C", "a*b?c"), ("D", "'\" $A ${B}\\")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    for escape in [Escape::Backslash, Escape::Backtick] {
        match Expander::new(escape, &variables).text(text) {
            Ok(expanded) => {
                assert!(expanded.used.iter().all(|name| !name.is_empty()), "{:?}", expanded.used);
                assert!(expanded.undefined.iter().all(|name| !variables.contains_key(name)));
            }
            Err(error) => {
                assert!(text.get(error.range.clone()).is_some(), "{:?}", error.range);
                let said = error.to_string();
                assert!(!said.chars().any(char::is_control), "{said:?}");
            }
        }
    }
});
