//! `lap push`

use archive::save::{Item, Options};
use base::Kind;
use distribution::push::Pushed;
use image::Reference;
use layer::Encoding;
use store::Store;

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::progress::{self, Progress};
use crate::{command, network, signals, units};

/// Upload an image to a registry
///
/// What the registry has is not sent again. An interrupted push continues where it was, also in another process. A name that means images for several platforms is pushed with all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap push registry.example.com/team/app:1.2
  lap push --all-tags registry.example.com/team/app
  lap tag app localhost:5000/app && lap push localhost:5000/app")]
pub struct Args {
    /// Push all names of the repository
    #[arg(short, long)]
    all_tags: bool,
    /// How layers that were built here are compressed: gzip, zstd, uncompressed
    #[arg(long, value_parser = command::build::compression, default_value = "gzip", value_name = "KIND[:LEVEL]")]
    compression: Encoding,
    /// Print only the digests
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    network: network::Args,
    #[command(flatten)]
    progress: progress::Args,
    /// The image; its name says where to
    #[arg(value_name = "NAME[:TAG]")]
    image: String,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let reference = Reference::parse(&args.image)?;
    let store = context.store()?;
    let lease = store.lease("push")?;
    let items = items(&store, reference, args.all_tags)?;
    let client = args.network.client()?;
    let cancel = signals::cancel_on_signal()?;
    let progress = Progress::start(&args.progress.quiet_when(args.quiet), context.printer)?;
    let options = options(args.compression);
    let mut pushed = Vec::new();
    let mut result = Ok(());
    for item in &items {
        let one =
            distribution::push::push(&client, &store, &lease, item, options, &progress.events(), &cancel);
        match one {
            Ok(one) => pushed.push((item, one)),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    client.tell(&progress.events());
    progress.finish();
    for (item, one) in &pushed {
        report(context, item, one, args.quiet)?;
    }
    result?;
    Ok(0)
}

/// How layers travel.
pub fn options(encoding: Encoding) -> Options {
    Options { encoding, threads: command::threads(), docker: false }
}

/// The images to push: names of one repository, each with its image.
fn items(store: &Store, reference: Reference, all: bool) -> Outcome<Vec<Item>> {
    if all {
        if reference.tag().is_some() {
            return Err(Failure::new(Kind::Invalid, "--all-tags is for a repository, and there is a tag"));
        }
        let of = |name: &Reference| (name.host(), name.path()) == (reference.host(), reference.path());
        let records = store.names().list()?.into_iter();
        let items = records
            .filter(|record| of(&record.reference) && record.reference.tag().is_some())
            .map(|record| Ok(Item::of_target(store, record.image, &record.target, vec![record.reference])?))
            .collect::<Outcome<Vec<Item>>>()?;
        if items.is_empty() {
            return Err(no_name(&reference));
        }
        return Ok(items);
    }
    let name = reference.or_latest();
    match store.names().get(&name)? {
        Some(record) if name.digest().is_none() => {
            Ok(vec![Item::of_target(store, record.image, &record.target, vec![name])?])
        }
        _ => Err(no_name(&name)),
    }
}

fn no_name(name: &Reference) -> Failure {
    Failure::new(Kind::NotFound, format!("no image has the name {}", name.familiar()))
        .hint(format!("give it the name first: lap tag IMAGE {}", name.familiar()))
}

/// Docker's words, and what it cost.
pub fn report(context: &Context, item: &Item, pushed: &Pushed, quiet: bool) -> Outcome {
    for name in &item.names {
        let digest = pushed.manifest.digest;
        if quiet {
            context.printer.line(format!("{}@{digest}", name.familiar_repository()))?;
            continue;
        }
        let tag = name.tag().unwrap_or_default();
        context.printer.note(format!(
            "pushed {}: {} sent, {} were there",
            name.familiar(),
            units::size(pushed.sent),
            units::size(pushed.spared)
        ));
        context.printer.line(format!("{tag}: digest: {digest} size: {}", pushed.manifest.size))?;
    }
    Ok(())
}
