//! `lap version`

use crate::cli::{self, Context};
use crate::failure::Outcome;

/// Show the version
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(context: &Context, _: &Args) -> Outcome<u8> {
    context.printer.data(cli::command().render_version())?;
    Ok(0)
}
