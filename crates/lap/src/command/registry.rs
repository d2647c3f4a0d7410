//! `lap registry …`: looking at a registry, and deleting from it, without pulling anything.

use clap::Subcommand;

use crate::cli::Context;
use crate::failure::Outcome;

mod blob;
mod delete;
mod list;
mod look;

/// Look at what a registry has: tags, catalog, manifest, config, blob, digest, referrers; delete from it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(visible_alias = "ls", alias = "list-tags")]
    Tags(list::TagsArgs),
    Catalog(list::CatalogArgs),
    Manifest(look::ManifestArgs),
    Config(look::ConfigArgs),
    Blob(blob::Args),
    Digest(look::DigestArgs),
    #[command(alias = "discover")]
    Referrers(look::ReferrersArgs),
    #[command(alias = "rm")]
    Delete(delete::Args),
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    match &args.command {
        Command::Tags(args) => list::tags(context, args),
        Command::Catalog(args) => list::catalog(context, args),
        Command::Manifest(args) => look::manifest(context, args),
        Command::Config(args) => look::config(context, args),
        Command::Blob(args) => blob::run(context, args),
        Command::Digest(args) => look::digest(context, args),
        Command::Referrers(args) => look::referrers(context, args),
        Command::Delete(args) => delete::run(context, args),
    }
}
