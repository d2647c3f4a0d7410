//! `lap system prune`, `lap image prune`, `lap builder prune`: what goes when nothing needs it.

use std::io::{BufRead, IsTerminal, Write};

use base::Kind;
use store::collect::{Policy, Report};

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::{signals, units};

/// Remove what nothing needs: images without a name, the build cache, and what was pushed and has no tag
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  lap system prune            images without a name, and the build cache\n  lap system prune -a -f      all images that no container uses, without asking\n  lap system prune --dry-run  what would go"
)]
pub struct SystemArgs {
    /// Also images that have a name
    #[arg(short, long)]
    all: bool,
    /// Also unpacked and compressed forms of layers that stay; they are made again when they are needed
    #[arg(long)]
    derived: bool,
    #[command(flatten)]
    asked: Asked,
}

/// Remove images without a name; the build cache stays
#[derive(Debug, clap::Args)]
pub struct ImageArgs {
    /// Also images that have a name
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    asked: Asked,
}

/// Remove the build cache; images stay
#[derive(Debug, clap::Args)]
pub struct BuilderArgs {
    /// Taken for docker's sake: the cache goes as a whole
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    asked: Asked,
}

/// Whether to ask, and whether to do it.
#[derive(Debug, clap::Args)]
struct Asked {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

pub fn system(context: &Context, args: &SystemArgs) -> Outcome<u8> {
    let policy = Policy {
        dangling_images: true,
        all_images: args.all,
        cache: true,
        derived: args.derived,
        dry_run: args.asked.dry_run,
    };
    prune(context, &policy, &args.asked)
}

pub fn image(context: &Context, args: &ImageArgs) -> Outcome<u8> {
    let policy = Policy {
        dangling_images: true,
        all_images: args.all,
        dry_run: args.asked.dry_run,
        ..Policy::default()
    };
    prune(context, &policy, &args.asked)
}

pub fn builder(context: &Context, args: &BuilderArgs) -> Outcome<u8> {
    prune(context, &Policy { cache: true, dry_run: args.asked.dry_run, ..Policy::default() }, &args.asked)
}

fn prune(context: &Context, policy: &Policy, asked: &Asked) -> Outcome<u8> {
    if !asked.force && !asked.dry_run {
        confirm(context, policy)?;
    }
    let report = context.store()?.collect(policy, &signals::cancel_on_signal()?)?;
    say(context, &report, asked.dry_run)?;
    Ok(0)
}

fn say(context: &Context, report: &Report, dry_run: bool) -> Outcome {
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
    let verb = if dry_run { "would go" } else { "removed" };
    printer.note(format!(
        "{} records of the build cache, {} layers and {} blobs {verb}",
        report.records, report.layers, report.blobs,
    ));
    if report.mounts > 0 {
        printer.note(format!("{} directories of cache mounts {verb}", report.mounts));
    }
    let verb = if dry_run { "Would reclaim" } else { "Total reclaimed space:" };
    printer.line(format!("{verb} {}", units::size(report.bytes)))
}

fn confirm(context: &Context, policy: &Policy) -> Outcome {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Kind::Invalid, "nobody is there to be asked")
            .hint("use --force, or --dry-run to see what would go"));
    }
    let images = match policy {
        Policy { all_images: true, .. } => Some("all images that no container uses"),
        Policy { dangling_images: true, .. } => Some("all images without a name"),
        _ => None,
    };
    let what: Vec<&str> = images.into_iter().chain(policy.cache.then_some("the build cache")).collect();
    context.printer.note(format!("This removes {}.", what.join(", and ")));
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
