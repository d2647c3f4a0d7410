//! Variables: what ENV, ARG and the base image say, in order.

/// Names and values; a name occurs once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Variables(Vec<(String, String)>);

impl Variables {
    /// The environment of an image's config.
    pub fn of_environment(environment: &[String]) -> Self {
        let mut variables = Self::default();
        variables.set_environment(environment);
        variables
    }

    /// Sets what the environment of an image's config says.
    pub fn set_environment(&mut self, environment: &[String]) {
        for pair in environment {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.set(name, value);
        }
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sets a value: a name that is there keeps its place (DF-146).
    pub fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    /// All of them.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_146_names_keep_their_places() {
        let mut variables =
            Variables::of_environment(&["A=1".to_owned(), "B=x=y".to_owned(), "C".to_owned()]);
        variables.set("A", "2");
        variables.set("D", "");
        let pairs: Vec<String> =
            variables.pairs().iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(pairs, ["A=2", "B=x=y", "C=", "D="]);
        assert_eq!((variables.get("B"), variables.get("E")), (Some("x=y"), None));
    }
}
