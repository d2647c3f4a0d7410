//! `--format`: the part of Go's templates that people use with docker: `{{.Field.Inner}}`, `{{json .Field}}`, `{{.}}`.

use serde_json::Value;

use base::Kind;

use crate::failure::{Failure, Outcome};

/// Renders one value; escapes `\t` and `\n` stand for a tab and a line feed.
pub fn render(template: &str, value: &Value) -> Outcome<String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, action_and_rest)) = rest.split_once("{{") {
        text.push_str(&unescape(before));
        let (action, after) =
            action_and_rest.split_once("}}").ok_or_else(|| wrong(template, "a {{ without its }}"))?;
        text.push_str(&evaluate(template, action.trim(), value)?);
        rest = after;
    }
    text.push_str(&unescape(rest));
    Ok(text)
}

fn evaluate(template: &str, action: &str, value: &Value) -> Outcome<String> {
    let words: Vec<&str> = action.split_whitespace().collect();
    match words.as_slice() {
        [path] => Ok(plain(lookup(template, path, value)?)),
        ["json", path] => Ok(crate::json::line(lookup(template, path, value)?)),
        _ => Err(wrong(template, &format!("{{{{{action}}}}} is not understood"))),
    }
}

fn lookup<'a>(template: &str, path: &str, value: &'a Value) -> Outcome<&'a Value> {
    let path = path
        .strip_prefix('.')
        .ok_or_else(|| wrong(template, &format!("{path} does not begin with a dot")))?;
    path.split('.').filter(|name| !name.is_empty()).try_fold(value, |value, name| match value {
        Value::Object(fields) => fields.get(name).ok_or_else(|| {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            wrong(template, &format!("there is no field {name}; there are {}", known.join(", ")))
        }),
        _ => Err(wrong(template, &format!("there is nothing below, so no field {name}"))),
    })
}

/// As Go prints it: text without quotes, lists in brackets, maps as `map[k:v]`.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let pairs: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}:{}", plain(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

fn wrong(template: &str, reason: &str) -> Failure {
    Failure::new(Kind::Invalid, format!("the template {template:?} cannot be used: {reason}")).hint(
        "templates are {{.Field}}, {{.Field.Inner}} and {{json .Field}}; --format json shows every field",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_use() {
        let value = serde_json::json!({"ID": "abc", "Config": {"Env": ["A=1", "B=2"], "Labels": {"k": "v"}, "User": null}});
        for (template, expected) in [
            ("{{.ID}}", "abc"),
            ("{{ .ID }}\\t{{.Config.Env}}", "abc\t[A=1 B=2]"),
            ("{{json .Config.Env}}", "[\"A=1\",\"B=2\"]"),
            ("{{.Config.Labels}}", "map[k:v]"),
            ("{{.Config.User}}", "<no value>"),
        ] {
            assert_eq!(render(template, &value).ok().as_deref(), Some(expected), "{template}");
        }
        for template in ["{{.Nothing}}", "{{.ID", "{{range .ID}}", "{{.ID.x}}"] {
            assert!(render(template, &value).is_err(), "{template}");
        }
    }
}
