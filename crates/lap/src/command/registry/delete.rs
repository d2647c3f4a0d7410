//! `lap registry delete`

use base::Kind;
use distribution::delete::{Deleted, delete, delete_blob};
use image::Reference;

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::{network, signals};

/// Delete a tag, a manifest or a blob from a registry
///
/// A tag is deleted alone: other tags of the same image stay. By digest, the manifest is deleted, with all its tags. The registry has to permit it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap registry delete localhost:5000/app:old
  lap registry delete localhost:5000/app@sha256:…
  lap registry delete --blob localhost:5000/app@sha256:…")]
pub struct Args {
    /// The digest is a blob's
    #[arg(long)]
    blob: bool,
    #[command(flatten)]
    network: network::Args,
    /// What: NAME:TAG or NAME@DIGEST; may be repeated
    #[arg(value_name = "NAME:TAG|NAME@DIGEST", required = true)]
    names: Vec<String>,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    // All are looked at before anything is deleted.
    let names = args.names.iter().map(|name| named(args, name)).collect::<Outcome<Vec<_>>>()?;
    let client = args.network.client()?;
    let cancel = signals::cancel_on_signal()?;
    for name in &names {
        let deleted = match name.digest().filter(|_| args.blob) {
            Some(digest) => delete_blob(&client, name, &digest, &cancel)?,
            None => delete(&client, name, &cancel)?,
        };
        if deleted == Deleted::TagByReplacement {
            context.printer.note(format_args!(
                "note: the registry deletes by digest only; {} meant a manifest of its own for a moment, which was deleted",
                name.familiar()
            ));
        }
        let word = if deleted == Deleted::Tag || deleted == Deleted::TagByReplacement {
            "Untagged"
        } else {
            "Deleted"
        };
        context.printer.line(format_args!("{word}: {}", name.familiar()))?;
    }
    Ok(0)
}

/// What is deleted is named fully: no tag is added.
fn named(args: &Args, text: &str) -> Outcome<Reference> {
    let name = Reference::parse(text)?;
    if args.blob && name.digest().is_none() {
        return Err(Failure::new(
            Kind::Invalid,
            format!("--blob needs a digest: {}@sha256:…", name.familiar()),
        ));
    }
    if name.tag().is_none() && name.digest().is_none() {
        return Err(Failure::new(Kind::Invalid, format!("{} has neither tag nor digest", name.familiar()))
            .hint(format!(
                "a whole repository cannot be deleted; for the tag latest: {}:latest",
                name.familiar()
            )));
    }
    if !args.blob && name.tag().is_some() && name.digest().is_some() {
        return Err(Failure::new(Kind::Invalid, format!("{} has a tag and a digest", name.familiar())).hint(
            "leave out the digest to delete the tag, and the tag to delete the manifest with all its tags",
        ));
    }
    Ok(name)
}
