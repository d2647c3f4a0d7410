//! The `check` directive: which rules apply (DF-017, DF-018).

use super::Rule;
use crate::error::{Error, Problem, Result};
use crate::span::Word;

/// What `check=…` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// The rules that do not apply.
    pub skip: Rules,
    /// The experimental rules that do apply.
    pub experimental: Rules,
    /// Whether a broken rule is an error, if it says.
    pub error: Option<bool>,
}

/// Some lint rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// All that there are.
    All,
    /// These, by name; names have to be in the right case.
    Some(Vec<String>),
}

impl Default for Rules {
    fn default() -> Self {
        Rules::Some(Vec::new())
    }
}

impl Rules {
    fn parse(list: &str) -> Self {
        let list = list.trim();
        if list == "all" {
            return Rules::All;
        }
        Rules::Some(
            list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        )
    }

    /// Whether a rule is among them.
    pub fn contains(&self, rule: Rule) -> bool {
        match self {
            Rules::All => true,
            Rules::Some(names) => names.iter().any(|name| name == rule.name()),
        }
    }
}

impl CheckOptions {
    /// Whether a rule applies to an instruction, with what stands above it.
    ///
    /// As in BuildKit, `skip` leaves experimental rules alone: they apply when they are asked for.
    pub(super) fn applies<'o>(&'o self, rule: Rule, above: impl Iterator<Item = &'o Self>) -> bool {
        let mut all = std::iter::once(self).chain(above);
        if rule.is_experimental() {
            all.any(|options| options.experimental.contains(rule))
        } else {
            !all.any(|options| options.skip.contains(rule))
        }
    }

    /// The names that no rule has.
    pub fn unknown(&self) -> Vec<&str> {
        let named = [&self.skip, &self.experimental].into_iter().filter_map(|rules| match rules {
            Rules::All => None,
            Rules::Some(names) => Some(names),
        });
        named.flatten().map(String::as_str).filter(|name| Rule::of(name).is_none()).collect()
    }

    /// Reads the directive's value: `skip=RULE,…;error=true;experimental=all`.
    pub fn parse(value: &Word) -> Result<Self> {
        let mut options = Self::default();
        let mut at = 0;
        for part in value.raw.split(';') {
            let start = at + (part.len() - part.trim_start().len());
            at += part.len() + 1;
            let fail = |detail: String| {
                let span = value.span_of(start..start + part.trim().len());
                Err(Error::new(Problem::BadCheck { detail }, span)
                    .hinted("write it like skip=RuleName,OtherRule;error=true"))
            };
            let Some((key, text)) = part.split_once('=') else {
                return fail(format!("{:?} has no value", part.trim()));
            };
            match (key.trim(), text.trim()) {
                ("skip", rules) => options.skip = Rules::parse(rules),
                ("experimental", rules) => options.experimental = Rules::parse(rules),
                ("error", "1" | "t" | "T" | "true" | "TRUE" | "True") => options.error = Some(true),
                ("error", "0" | "f" | "F" | "false" | "FALSE" | "False") => options.error = Some(false),
                ("error", other) => return fail(format!("error has to be true or false, not {other:?}")),
                (other, _) => return fail(format!("unknown option {other:?}")),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_017_check_options() {
        let rules = |names: &[&str]| Rules::Some(names.iter().map(|name| (*name).to_owned()).collect());
        for (value, skip, experimental, error) in [
            ("skip=A,B", rules(&["A", "B"]), rules(&[]), None),
            ("skip=all;error=true", Rules::All, rules(&[]), Some(true)),
            ("error = false ; experimental = all ; skip = A", rules(&["A"]), Rules::All, Some(false)),
        ] {
            let options = CheckOptions::parse(&Word::unplaced(value)).expect(value);
            assert_eq!(options, CheckOptions { skip, experimental, error }, "{value}");
        }
        for (value, message) in
            [("skip", "has no value"), ("ship=A", "unknown option \"ship\""), ("error=x", "true or false")]
        {
            let error = CheckOptions::parse(&Word::unplaced(value)).expect_err(value);
            assert!(error.to_string().contains(message), "{value}: {error}");
        }
        let casing = Rule::FromAsCasing;
        assert!(Rules::All.contains(casing) && !rules(&["fromascasing"]).contains(casing));
    }

    #[test]
    fn df_017_which_rules_apply() {
        let (usual, experimental) = (Rule::FromAsCasing, Rule::InvalidDefinitionDescription);
        for (value, rule, expected) in [
            ("skip=X", usual, true),
            ("skip=X", experimental, false),
            ("skip=all", usual, false),
            ("skip=FromAsCasing", usual, false),
            ("skip=all;experimental=all", experimental, true),
            (
                "skip=InvalidDefinitionDescription;experimental=InvalidDefinitionDescription",
                experimental,
                true,
            ),
            ("experimental=all", usual, true),
        ] {
            let options = CheckOptions::parse(&Word::unplaced(value)).expect(value);
            assert_eq!(options.applies(rule, std::iter::empty()), expected, "{value}");
        }
        let options =
            CheckOptions::parse(&Word::unplaced("skip=FromAsCasing,Fromas;experimental=x")).expect("options");
        assert_eq!(options.unknown(), ["Fromas", "x"]);
    }
}
