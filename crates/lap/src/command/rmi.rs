//! `lap rmi`

use base::{Cancel, Kind};
use image::Reference;
use store::collect::Policy;
use store::{NameRecord, Store, StoreError};

use crate::cli::Context;
use crate::failure::{Failure, Outcome};

/// Remove names of images, and images that have none left
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  lap rmi app:1.0        this name; the image too, when it was its last one\n  lap rmi -f 4f5e6d7c    the image with all its names"
)]
pub struct Args {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// With an ID: also when it has several names; and no complaint about images that are not there
    #[arg(short, long)]
    force: bool,
    /// Keep what only this image needed, as build cache
    #[arg(long)]
    no_prune: bool,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let store = context.store()?;
    let removed = args.images.iter().map(|text| remove(context, &store, args, text));
    let mut failures: Vec<Failure> = removed.filter_map(Result::err).collect();
    if !args.no_prune {
        store.collect(&Policy::default(), &Cancel::new())?;
    }
    match failures.pop() {
        None => Ok(0),
        Some(last) => {
            failures.iter().for_each(|failure| context.printer.failure(failure));
            Err(last)
        }
    }
}

fn remove(context: &Context, store: &Store, args: &Args, text: &str) -> Outcome {
    let image = match store.images().resolve(text) {
        Err(StoreError::NoImage(_)) if args.force => return Ok(()),
        other => other?,
    };
    let names: Vec<NameRecord> =
        store.names().list()?.into_iter().filter(|record| record.image == image.id).collect();
    let named = Reference::parse(text).ok().map(Reference::or_latest);
    let chosen: Vec<&NameRecord> =
        match named.and_then(|named| names.iter().find(|record| record.reference == named)) {
            Some(record) => vec![record],
            None if names.len() > 1 && !args.force => {
                let list: Vec<String> = names.iter().map(|record| record.reference.familiar()).collect();
                return Err(Failure::new(
                    Kind::Conflict,
                    format!("the image {} has several names: {}", image.id.0.short(), list.join(", ")),
                )
                .hint("remove them one by one, or all with -f"));
            }
            None => names.iter().collect(),
        };
    let mut images = vec![image.id];
    for record in &chosen {
        // The others of an index had this name, too.
        let variants = store.images().variants(&record.target)?;
        let others = variants.into_iter().flat_map(|variants| variants.images).map(|variant| variant.image);
        images.extend(others.filter(|other| *other != image.id));
        store.names().remove(&record.reference)?;
        context.printer.line(format!("Untagged: {}", record.reference.familiar()))?;
    }
    for id in images {
        match store.images().remove(&id) {
            Ok(true) => context.printer.line(format!("Deleted: {id}"))?,
            // It has another name, or somebody gave it one in the meantime: then that one keeps it.
            Ok(false) | Err(StoreError::HasName { .. }) if !chosen.is_empty() => {}
            other => drop(other?),
        }
    }
    Ok(())
}
