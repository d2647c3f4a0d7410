//! `lap pull`

use distribution::pull::Pulled;
use image::{Platform, Reference};

use crate::cli::Context;
use crate::failure::Outcome;
use crate::progress::{self, Progress};
use crate::{network, signals};

/// Download an image from a registry
///
/// What the store has is not transferred again. An interrupted pull continues where it was, also after the machine was switched off.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap pull debian:bookworm
  lap pull --platform linux/arm64 registry.example.com/team/app@sha256:…
  lap pull localhost:5000/app          plain HTTP on this machine needs no flag")]
pub struct Args {
    /// The platform, where there are several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Print only the image's ID
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    network: network::Args,
    #[command(flatten)]
    progress: progress::Args,
    /// The image: NAME, NAME:TAG or NAME@DIGEST
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    image: String,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let reference = Reference::parse(&args.image)?.or_latest();
    let platform = args.platform.as_deref().map(Platform::parse).transpose()?.unwrap_or_else(Platform::host);
    let store = context.store()?;
    let lease = store.lease("pull")?;
    let client = args.network.client()?;
    let cancel = signals::cancel_on_signal()?;
    let progress = Progress::start(&args.progress.quiet_when(args.quiet), context.printer)?;
    let pulled =
        distribution::pull::pull(&client, &store, &lease, &reference, &platform, &progress.events(), &cancel);
    client.tell(&progress.events());
    progress.finish();
    let pulled = pulled?;
    if args.quiet {
        context.printer.line(pulled.image)?;
    } else {
        report(context, &pulled)?;
    }
    Ok(0)
}

/// Docker's words.
fn report(context: &Context, pulled: &Pulled) -> Outcome {
    let name = pulled.reference.familiar();
    let status = if pulled.was_there() { "Image is up to date for" } else { "Downloaded newer image for" };
    context.printer.line(format!("Digest: {}", pulled.target.digest))?;
    context.printer.line(format!("Status: {status} {name}"))?;
    context.printer.line(&pulled.reference)
}
