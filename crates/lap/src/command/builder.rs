//! `lap builder …`: docker's long forms of what has to do with building.

use clap::Subcommand;

use crate::cli::Context;
use crate::failure::Outcome;

/// Docker's long forms: builder build, prune; also as buildx
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(alias = "b")]
    Build(Box<super::build::Args>),
    Prune(super::prune::BuilderArgs),
}

pub fn run(context: &Context, args: Args) -> Outcome<u8> {
    match args.command {
        Command::Build(args) => super::build::run(context, *args),
        Command::Prune(args) => super::prune::builder(context, &args),
    }
}
