//! `lap completions`

use clap_complete::Shell;

use crate::cli::{self, Context};
use crate::failure::Outcome;

/// Print completions for a shell
///
/// For example: `lap completions bash >/etc/bash_completion.d/lap`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "lap", &mut script);
    context.printer.data(script)?;
    Ok(0)
}
