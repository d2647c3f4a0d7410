//! `lap system df|prune|check`

use base::{Events, Kind};
use clap::Subcommand;
use store::check::Depth;
use store::usage::Line;

use super::prune;
use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::{signals, table, units};

/// The store: what is used, what can go, is everything whole
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what the store uses
    Df,
    Prune(prune::SystemArgs),
    Check(Check),
}

/// Find every damage in the store
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0 when everything is whole, 1 when something is damaged.\nNothing is changed."
)]
pub struct Check {
    /// Do not read the contents: sizes, records and references only
    #[arg(long)]
    quick: bool,
    /// Findings as JSON lines
    #[arg(long, value_parser = ["json", "plain"], default_value = "plain")]
    format: String,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    match &args.command {
        Command::Df => df(context),
        Command::Prune(args) => prune::system(context, args),
        Command::Check(args) => check(context, args),
    }
}

fn df(context: &Context) -> Outcome<u8> {
    let usage = context.store()?.usage()?;
    let header = ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"].map(str::to_owned).to_vec();
    let row = |name: &str, line: Line| {
        let share = (line.reclaimable * 100).checked_div(line.size);
        let share = share.map_or_else(String::new, |share| format!(" ({share}%)"));
        vec![
            name.to_owned(),
            line.count.to_string(),
            line.active.to_string(),
            units::size(line.size),
            format!("{}{share}", units::size(line.reclaimable)),
        ]
    };
    context.printer.data(table::columns(&[
        header,
        row("Images", usage.images),
        row("Containers", usage.containers),
        row("Build Cache", usage.cache),
        row("Temporary", usage.temporary),
    ]))?;
    Ok(0)
}

fn check(context: &Context, args: &Check) -> Outcome<u8> {
    let depth = if args.quick { Depth::Quick } else { Depth::Full };
    let findings = context.store()?.check(depth, &Events::none(), &signals::cancel_on_signal()?)?;
    let printer = context.printer;
    for finding in &findings {
        if args.format == "json" {
            let line = serde_json::json!({"what": finding.what, "problem": finding.problem, "remedy": finding.remedy});
            printer.line(crate::json::line(&line))?;
        } else {
            printer.line(format!("{}: {} ({})", finding.what, finding.problem, finding.remedy))?;
        }
    }
    match findings.len() {
        0 => {
            printer.note("everything is whole");
            Ok(0)
        }
        count => Err(Failure::new(
            Kind::Corrupt,
            format!("{count} damage{} found", if count == 1 { " was" } else { "s were" }),
        )),
    }
}
