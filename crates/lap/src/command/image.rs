//! `lap image …`: docker's long forms.

use clap::Subcommand;

use crate::cli::Context;
use crate::failure::Outcome;

/// Docker's long forms: image ls, rm, tag, inspect, history, save, load, import, build, pull, push, prune
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(alias = "list")]
    Ls(super::images::Args),
    #[command(alias = "remove")]
    Rm(super::rmi::Args),
    Build(Box<super::build::Args>),
    Tag(super::tag::Args),
    Inspect(super::inspect::Args),
    History(super::history::Args),
    Save(super::save::Args),
    Load(super::load::Args),
    Import(super::import::Args),
    Pull(super::pull::Args),
    Push(super::push::Args),
    Prune(super::prune::ImageArgs),
}

pub fn run(context: &Context, args: Args) -> Outcome<u8> {
    match args.command {
        Command::Ls(args) => super::images::run(context, &args),
        Command::Rm(args) => super::rmi::run(context, &args),
        Command::Build(args) => super::build::run(context, *args),
        Command::Tag(args) => super::tag::run(context, &args),
        Command::Inspect(args) => super::inspect::run(context, &args),
        Command::History(args) => super::history::run(context, &args),
        Command::Save(args) => super::save::run(context, &args),
        Command::Load(args) => super::load::run(context, &args),
        Command::Import(args) => super::import::run(context, &args),
        Command::Pull(args) => super::pull::run(context, &args),
        Command::Push(args) => super::push::run(context, &args),
        Command::Prune(args) => super::prune::image(context, &args),
    }
}
