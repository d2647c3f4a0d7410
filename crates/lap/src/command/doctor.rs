//! `lap doctor`

use base::{Finding, Kind, State};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::failure::Outcome;
use crate::network;

mod diagnosis;
mod facts;
mod registry;

use diagnosis::diagnose;
use facts::Facts;

/// Say what this machine allows, or what works with a registry, and what would make it better
///
/// Everything is tried, nothing assumed. On this machine namespaces are entered, and an overlay is mounted where the store lies; the exit code is 0 when
/// commands can be run (`RUN` in a build, `lap run`), and 1 when they cannot.
///
/// With the name of a registry, each step of reaching it is tried: mirrors, proxy, addresses, connections, TLS, the API, the login; with an image also what it
/// is, limits, parts of blobs, referrers (at Docker Hub that counts as a pull). The exit code is 0 when everything works that was tried, and 1 when something
/// does not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap doctor
  lap doctor --root /mnt/store     is a store there any good?
  lap doctor --format json | jq '.findings[] | select(.state != \"ok\")'
  lap doctor registry.example.com                 why can it not be reached?
  lap doctor docker.io                            how many pulls are left?
  lap doctor --push localhost:5000/team/app:1     may this user push there?")]
pub struct Args {
    /// How to say it: text or json
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
    /// Try to push, too: uploads are begun and cancelled, and nothing is changed
    #[arg(long, requires = "host")]
    push: bool,
    #[command(flatten)]
    network: network::Args,
    /// A registry to look at, and an image of it
    #[arg(value_name = "HOST[:PORT][/REPOSITORY[:TAG]]")]
    host: Option<String>,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let json = args.format == "json";
    if let Some(host) = &args.host {
        return registry::run(context, host, args.push, json, &args.network);
    }
    let facts = Facts::find(context);
    let findings = diagnose(&facts);
    let works = facts.work();
    context.printer.data(match json {
        true => crate::json::pretty(&report(&facts, &findings)),
        false => text(&facts, &findings),
    })?;
    Ok(if works { 0 } else { Kind::Unsupported.exit_code() })
}

/// Names of fields stay as they are; new ones may come.
fn report(facts: &Facts, findings: &[Finding]) -> Value {
    json!({
        "works": facts.work(),
        "isolation": facts.isolation.as_ref().ok().map(|isolation| isolation.name()),
        "snapshots": facts.snapshots.as_ref().ok().map(|snapshots| snapshots.name()),
        "findings": findings.iter().map(finding_report).collect::<Vec<_>>(),
    })
}

fn finding_report(finding: &Finding) -> Value {
    json!({
        "name": finding.name,
        "state": finding.state.name(),
        "text": finding.text,
        "remedy": finding.remedy,
    })
}

fn text(facts: &Facts, findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or_default();
    let mut text = finding_lines(findings, width);
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

/// A line for each, and one for what to do; names are padded to a width.
fn finding_lines(findings: &[Finding], width: usize) -> String {
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
    text
}

#[cfg(test)]
mod tests;
