//! `lap copy`

mod place;

use distribution::copy::{Copied, Copier, From, To, Wish};
use image::Platform;
use layer::Encoding;
use store::Store;

use self::place::Place;
use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::progress::{self, Progress};
use crate::{command, network, signals, units};
use base::Kind;

/// Copy an image from one place to another one, byte for byte
///
/// All platforms of it, if there are several. Nothing is kept on the way: blobs go from the source straight to where they are wanted; what is there is not sent, and
/// what another repository of the same registry has is taken over from there. An interrupted copy continues where it was.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Places:
  NAME, docker://NAME          a registry
  store:NAME                   the store of this machine (one platform)

Examples:
  lap copy debian:bookworm registry.example.com/mirror/debian:bookworm
  lap copy --platform linux/arm64 debian:bookworm store:debian-arm
  lap copy --referrers registry.example.com/team/app:1 registry.example.com/released/app:1")]
pub struct Args {
    /// All platforms: the default, where the destination can hold them
    #[arg(short, long, conflicts_with = "platform")]
    all: bool,
    /// The image for one platform alone
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Also what refers to the image: signatures, attestations, lists of parts, and cosign's tags
    #[arg(long)]
    referrers: bool,
    /// Also send layers that are not to be distributed
    #[arg(long)]
    allow_nondistributable_artifacts: bool,
    /// How layers that were built here are compressed: gzip, zstd, uncompressed
    #[arg(long, value_parser = command::build::compression, default_value = "gzip", value_name = "KIND[:LEVEL]")]
    compression: Encoding,
    /// Print only the digest
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    network: network::Args,
    #[command(flatten)]
    progress: progress::Args,
    /// From where
    #[arg(value_name = "SOURCE")]
    source: String,
    /// To where
    #[arg(value_name = "DESTINATION")]
    destination: String,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let (source, destination) = (Place::parse(&args.source)?, Place::parse(&args.destination)?);
    let wish = wish(args, &destination)?;
    let store = context.store()?;
    let lease = store.lease("copy")?;
    let from = from(args, source, &store)?;
    let to = match destination {
        Place::Registry(name) => To::Registry(name),
        Place::Store(name) => To::Store(name),
    };
    let client = args.network.client()?;
    let cancel = signals::cancel_on_signal()?;
    let progress = Progress::start(&args.progress.quiet_when(args.quiet), context.printer)?;
    let events = progress.events();
    let copier = Copier { client: &client, store: &store, lease: &lease, events: &events, cancel: &cancel };
    let copied = copier.copy(&from, to, &wish);
    client.tell(&events);
    progress.finish();
    report(context, args, &copied?)?;
    Ok(0)
}

fn wish(args: &Args, destination: &Place) -> Outcome<Wish> {
    if args.all && destination.holds_one_platform() {
        let what = format!("{} holds an image for one platform", base::text::line(&args.destination));
        return Err(Failure::new(Kind::Invalid, what).hint("choose one with --platform"));
    }
    Ok(Wish {
        platform: args.platform.as_deref().map(Platform::parse).transpose()?,
        referrers: args.referrers,
        foreign_layers: args.allow_nondistributable_artifacts,
    })
}

fn from(args: &Args, source: Place, store: &Store) -> Outcome<From> {
    Ok(match source {
        Place::Registry(name) => From::Registry(name),
        Place::Store(name) => {
            let name = name.or_latest();
            let record = store.names().get(&name)?.ok_or_else(|| {
                let what = format!("no image has the name {}", name.familiar());
                Failure::new(Kind::NotFound, what).hint("`lap images` lists what there is")
            })?;
            let item =
                archive::save::Item { image: record.image, manifest: record.target, names: vec![name] };
            From::Store(Box::new(item), command::push::options(args.compression))
        }
    })
}

fn report(context: &Context, args: &Args, copied: &Copied) -> Outcome {
    let (printer, digest) = (context.printer, copied.root.digest);
    if args.quiet {
        return printer.line(digest);
    }
    for layer in &copied.left_out {
        printer.note(format!(
            "the layer {layer} is not to be distributed and was left out; --allow-nondistributable-artifacts sends it"
        ));
    }
    let destination = base::text::line(&args.destination);
    if copied.was_there {
        printer.note(format!("{destination} is up to date"));
    } else {
        let manifests = match (copied.documents, copied.referrers) {
            (1, 0) => "1 manifest".to_owned(),
            (documents, 0) => format!("{documents} manifests"),
            (documents, referrers) => format!("{documents} manifests and {referrers} that refer to them"),
        };
        // Nothing is sent into the store: its layers have said how large they are.
        let bytes = match copied.sent + copied.spared {
            0 => String::new(),
            _ => format!(": {} sent, {} were there", units::size(copied.sent), units::size(copied.spared)),
        };
        printer.note(format!("copied {manifests} to {destination}{bytes}"));
    }
    printer.line(format!("Digest: {digest}"))
}
