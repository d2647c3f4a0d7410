//! `lap tag`

use image::Reference;

use crate::cli::Context;
use crate::failure::Outcome;

/// Give an image a further name
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  lap tag app app:1.0\n  lap tag 4f5e6d7c8b9a localhost:5000/team/app:latest"
)]
pub struct Args {
    /// The image: a name, an ID, or the beginning of one
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    /// The new name
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let target = Reference::parse(&args.target)?.or_latest();
    let store = context.store()?;
    let lease = store.lease("tag")?;
    let image = store.images().resolve(&args.source)?;
    let manifest = super::inspect::manifest_of(&store, &args.source, &image)?;
    store.names().set(&lease, &target, image.id, &manifest)?;
    Ok(0)
}
