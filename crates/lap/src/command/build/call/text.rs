//! Answers for people, laid out as docker lays them out.

use builder::{Checked, DockerfileText, Outline, OutlineNeed, Target};
use dockerfile::lint::Finding;

use super::Answer;
use crate::table;

/// The line above and below an excerpt.
const RULER: &str = "--------------------\n";

/// An answer as text.
pub fn of(answer: &Answer, source: &DockerfileText) -> String {
    match answer {
        Answer::Checked(checked) => check(checked, source),
        Answer::Outline(outline) => of_outline(outline),
        Answer::Targets(targets) => of_targets(targets),
    }
}

fn check(checked: &Checked, source: &DockerfileText) -> String {
    let mut text = match checked.findings.len() {
        // The error says it all.
        0 if checked.error.is_some() => return String::new(),
        0 => return "Check complete, no warnings found.\n".to_owned(),
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    };
    for finding in &checked.findings {
        let Finding { rule, message, .. } = finding;
        text.push_str(&format!("\nWARNING: {rule} - {}\n{message}\n", rule.url()));
        text.push_str(&excerpt(finding, source));
    }
    text
}

/// The lines of an instruction, marked, with some around them: four when it is one line, two otherwise.
fn excerpt(finding: &Finding, source: &DockerfileText) -> String {
    let contents = String::from_utf8_lossy(&source.bytes);
    let lines: Vec<&str> = contents.split('\n').collect();
    let line = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).clamp(1, lines.len());
    let (first, last) = (line(finding.instruction.line), line(finding.instruction.end_line));
    let (mut start, mut end) = (first, last);
    let room = if first == last { 4 } else { 2 };
    let mut taken = 0;
    while taken < room {
        if start > 1 {
            start -= 1;
            taken += 1;
        }
        if end < lines.len() {
            end += 1;
            taken += 1;
        }
        taken += 1;
    }
    let mut text = format!("{}:{first}\n{RULER}", base::text::line(&source.name));
    for number in start..=end {
        let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
        let line = lines.get(number - 1).map(|line| line.trim_end_matches('\r')).unwrap_or_default();
        text.push_str(&format!("{number:>4} | {mark} {}\n", base::text::line(&line.replace('\t', "    "))));
    }
    text + RULER
}

fn of_outline(outline: &Outline) -> String {
    let name = outline.name.as_deref().unwrap_or("(default)");
    let mut text = format!("TARGET:      {}\n", base::text::line(name));
    if let Some(description) = &outline.description {
        text.push_str(&format!("DESCRIPTION: {}\n", base::text::line(description)));
    }
    let arguments = outline.arguments.iter().map(|argument| {
        let said = |text: &Option<String>| base::text::line(text.as_deref().unwrap_or_default()).into_owned();
        vec![argument.name.clone(), said(&argument.value), said(&argument.description)]
    });
    section(&mut text, &["BUILD ARG", "VALUE", "DESCRIPTION"], arguments);
    let required = |need: &OutlineNeed| {
        vec![base::text::line(&need.id).into_owned(), if need.is_required { "true" } else { "" }.to_owned()]
    };
    section(&mut text, &["SECRET", "REQUIRED"], outline.secrets.iter().map(required));
    section(&mut text, &["SSH", "REQUIRED"], outline.ssh.iter().map(required));
    let caches = outline.caches.iter().map(|cache| vec![base::text::line(&cache.id).into_owned()]);
    section(&mut text, &["CACHE"], caches);
    text
}

fn section(text: &mut String, heading: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let heading = heading.iter().map(|word| (*word).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    if rows.len() > 1 {
        text.push('\n');
        text.push_str(&table::columns(&rows));
    }
}

fn of_targets(targets: &[Target]) -> String {
    let heading = vec!["TARGET".to_owned(), "DESCRIPTION".to_owned()];
    let row = |target: &Target| {
        let name = target.name.clone().unwrap_or_default();
        let name = if target.is_default { format!("{name} (default)").trim_start().to_owned() } else { name };
        vec![name, base::text::line(target.description.as_deref().unwrap_or_default()).into_owned()]
    };
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(targets.iter().map(row)).collect();
    table::columns(&rows)
}
