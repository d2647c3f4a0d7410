//! Answers for machines, in docker's words; what is empty is left out, as docker leaves it out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use builder::{BuildError, Checked, DockerfileText, Outline, OutlineArgument, OutlineNeed, Target};
use dockerfile::Span;
use dockerfile::lint::Finding;
use serde_json::{Map, Value, json};

use super::Answer;

/// An answer as JSON.
pub fn of(answer: &Answer, source: &DockerfileText) -> String {
    let value = match answer {
        Answer::Checked(checked) => check(checked, source),
        Answer::Outline(outline) => of_outline(outline, source),
        Answer::Targets(targets) => {
            let targets: Vec<Value> = targets.iter().map(target).collect();
            json!({"targets": targets, "sources": [STANDARD.encode(&source.bytes)]})
        }
    };
    crate::json::pretty(&value)
}

fn check(checked: &Checked, source: &DockerfileText) -> Value {
    let warnings: Vec<Value> = checked.findings.iter().map(finding).collect();
    let mut value = json!({
        "warnings": if warnings.is_empty() { Value::Null } else { warnings.into() },
        "sources": [{
            "filename": source.name,
            "language": "Dockerfile",
            "data": STANDARD.encode(&source.bytes),
        }],
    });
    if let (Some(error), Some(value)) = (&checked.error, value.as_object_mut()) {
        value.insert("buildError".to_owned(), build_error(error));
    }
    value
}

fn finding(finding: &Finding) -> Value {
    json!({
        "ruleName": finding.rule.name(),
        "description": finding.rule.description(),
        "url": finding.rule.url(),
        "detail": finding.message,
        "location": location(finding.instruction),
    })
}

fn build_error(error: &BuildError) -> Value {
    let place = error.place().map(|place| location(place.span));
    json!({"message": message(error), "location": place.unwrap_or_else(|| json!({}))})
}

/// An error with its causes, in one line.
fn message(error: &BuildError) -> String {
    let mut chain = vec![error.to_string()];
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if chain.last() != Some(&text) {
            chain.push(text);
        }
        next = cause.source();
    }
    chain.join(": ")
}

/// Every line of a place is a range of its own.
fn location(span: Span) -> Value {
    let range = |line: u32| json!({"start": {"line": line}, "end": {"line": line}});
    json!({"ranges": (span.line..=span.end_line.max(span.line)).map(range).collect::<Vec<_>>()})
}

fn of_outline(outline: &Outline, source: &DockerfileText) -> Value {
    let mut value = Map::new();
    text(&mut value, "name", outline.name.as_deref());
    text(&mut value, "description", outline.description.as_deref());
    list(&mut value, "args", &outline.arguments, argument);
    list(&mut value, "secrets", &outline.secrets, |need| need_as("name", need));
    list(&mut value, "ssh", &outline.ssh, |need| need_as("name", need));
    list(&mut value, "cache", &outline.caches, |need| need_as("id", need));
    value.insert("sources".to_owned(), json!([STANDARD.encode(&source.bytes)]));
    value.into()
}

fn argument(argument: &OutlineArgument) -> Value {
    let mut value = Map::new();
    text(&mut value, "name", Some(&argument.name));
    text(&mut value, "description", argument.description.as_deref());
    text(&mut value, "value", argument.value.as_deref());
    value.insert("location".to_owned(), location(argument.span));
    value.into()
}

fn need_as(name: &str, need: &OutlineNeed) -> Value {
    let mut value = Map::new();
    text(&mut value, name, Some(&need.id));
    flag(&mut value, "required", need.is_required);
    value.insert("location".to_owned(), location(need.span));
    value.into()
}

fn target(target: &Target) -> Value {
    let mut value = Map::new();
    text(&mut value, "name", target.name.as_deref());
    flag(&mut value, "default", target.is_default);
    text(&mut value, "description", target.description.as_deref());
    text(&mut value, "base", Some(&target.base));
    text(&mut value, "platform", target.platform.as_deref());
    value.insert("location".to_owned(), location(target.span));
    value.into()
}

fn text(value: &mut Map<String, Value>, name: &str, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        value.insert(name.to_owned(), text.into());
    }
}

fn flag(value: &mut Map<String, Value>, name: &str, is_set: bool) {
    if is_set {
        value.insert(name.to_owned(), true.into());
    }
}

fn list<T>(value: &mut Map<String, Value>, name: &str, items: &[T], item: impl Fn(&T) -> Value) {
    if !items.is_empty() {
        value.insert(name.to_owned(), items.iter().map(item).collect::<Vec<_>>().into());
    }
}
