//! `lap doctor`

use base::Kind;
use serde_json::json;

use crate::cli::Context;
use crate::failure::{Failure, Outcome};

mod diagnosis;
mod facts;

use diagnosis::{Finding, State, diagnose};
use facts::Facts;

/// Say what this machine allows, and what would make it better
///
/// Everything is tried, nothing assumed: namespaces are entered, an overlay is mounted where the store lies. The exit code is 0 when commands can be
/// run (`RUN` in a build, `lap run`), and 1 when they cannot.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap doctor
  lap doctor --root /mnt/store     is a store there any good?
  lap doctor --format json | jq '.findings[] | select(.state != \"ok\")'")]
pub struct Args {
    /// How to say it: text or json
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
    /// A registry to look at: not there yet
    #[arg(value_name = "HOST")]
    host: Option<String>,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    if let Some(host) = &args.host {
        let host = base::text::bytes(host.as_bytes());
        return Err(Failure::new(
            Kind::Unsupported,
            format!("looking at the registry {host} is not supported"),
        )
        .hint("without an argument, lap doctor looks at this machine"));
    }
    let facts = Facts::find(context);
    let findings = diagnose(&facts);
    let works = facts.work();
    match args.format.as_str() {
        "json" => context.printer.data(crate::json::pretty(&report(&facts, &findings)))?,
        _ => context.printer.data(text(&facts, &findings))?,
    }
    Ok(if works { 0 } else { Kind::Unsupported.exit_code() })
}

/// Names of fields stay as they are; new ones may come.
fn report(facts: &Facts, findings: &[Finding]) -> serde_json::Value {
    let findings = findings.iter().map(|finding| {
        json!({
            "name": finding.name,
            "state": finding.state.name(),
            "text": finding.text,
            "remedy": finding.remedy,
        })
    });
    json!({
        "works": facts.work(),
        "isolation": facts.isolation.as_ref().ok().map(|isolation| isolation.name()),
        "snapshots": facts.snapshots.as_ref().ok().map(|snapshots| snapshots.name()),
        "findings": findings.collect::<Vec<_>>(),
    })
}

fn text(facts: &Facts, findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.state {
            State::Ok => "ok",
            State::Better => "! ",
            State::Missing => "no",
        };
        text.push_str(&format!("{mark}  {:width$}  {}\n", finding.name, finding.text));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("    {:width$}  -> {remedy}\n", ""));
        }
    }
    text.push('\n');
    text.push_str(&match (&facts.isolation, &facts.snapshots) {
        (Ok(isolation), Ok(snapshots)) => {
            format!(
                "Commands run here: isolation by {}, snapshots by {}.\n",
                isolation.name(),
                snapshots.name()
            )
        }
        _ => "Commands cannot be run here; everything that runs none works.\n".to_owned(),
    });
    text
}

#[cfg(test)]
mod tests;
