//! `lap system df|prune|check`

use std::io::{BufRead, IsTerminal, Write};

use base::{Events, Kind};
use clap::Subcommand;
use store::check::Depth;
use store::collect::Policy;
use store::usage::Line;

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
    Prune(Prune),
    Check(Check),
}

/// Remove what nothing needs: images without a name, the build cache, and what was pushed and has no tag
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  lap system prune            images without a name, and the build cache\n  lap system prune -a -f      all images that no container uses, without asking\n  lap system prune --dry-run  what would go"
)]
pub struct Prune {
    /// Also images that have a name
    #[arg(short, long)]
    all: bool,
    /// Also unpacked and compressed forms of layers that stay; they are made again when they are needed
    #[arg(long)]
    derived: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
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
        Command::Prune(args) => prune(context, args),
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

fn prune(context: &Context, args: &Prune) -> Outcome<u8> {
    let policy = Policy {
        dangling_images: true,
        all_images: args.all,
        cache: true,
        derived: args.derived,
        dry_run: args.dry_run,
    };
    if !args.force && !args.dry_run {
        confirm(context, args)?;
    }
    let report = context.store()?.collect(&policy, &signals::cancel_on_signal()?)?;
    let printer = context.printer;
    for name in &report.names {
        printer.line(format!("untagged: {}", name.familiar()))?;
    }
    for image in &report.images {
        printer.line(format!("deleted: {image}"))?;
    }
    for (repository, digest) in &report.manifests {
        printer.line(format!("deleted: {repository}@{digest}"))?;
    }
    printer.note(format!(
        "{} records of the build cache, {} layers and {} blobs {}",
        report.records,
        report.layers,
        report.blobs,
        if args.dry_run { "would go" } else { "removed" }
    ));
    if report.mounts > 0 {
        let verb = if args.dry_run { "would go" } else { "removed" };
        printer.note(format!("{} directories of cache mounts {verb}", report.mounts));
    }
    let verb = if args.dry_run { "Would reclaim" } else { "Total reclaimed space:" };
    printer.line(format!("{verb} {}", units::size(report.bytes)))?;
    Ok(0)
}

fn confirm(context: &Context, args: &Prune) -> Outcome {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Kind::Invalid, "nobody is there to be asked")
            .hint("use --force, or --dry-run to see what would go"));
    }
    let what = if args.all { "all images that no container uses" } else { "all images without a name" };
    context.printer.note(format!("This removes {what}, and the build cache."));
    let mut error = std::io::stderr().lock();
    // A prompt that cannot be shown is answered with no.
    let _ = write!(error, "Are you sure you want to continue? [y/N] ").and_then(|()| error.flush());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::new(Kind::Cancelled, "nothing was removed").with_code(1)),
    }
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
