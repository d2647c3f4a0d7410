//! `lap help`

use base::Kind;

use crate::cli::{self, Context};
use crate::failure::{Failure, Outcome};
use crate::{environment, exit};

/// Explain a command or a topic
///
/// Topics: exit-codes, environment
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A command or a topic
    #[arg(value_name = "COMMAND|TOPIC", num_args = 0..=2)]
    topic: Vec<String>,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let words: Vec<&str> = args.topic.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["exit-codes"] => context.printer.line(exit::HELP)?,
        ["environment"] => context.printer.line(environment::HELP)?,
        names => {
            let mut command = cli::command();
            command.build();
            for name in names {
                command = command.find_subcommand(name).cloned().ok_or_else(|| {
                    Failure::new(
                        Kind::Invalid,
                        format!("there is no command or topic {}", base::text::bytes(name.as_bytes())),
                    )
                    .hint("`lap --help` lists the commands; the topics are exit-codes and environment")
                    .with_code(exit::USAGE)
                })?;
            }
            context.printer.data(command.render_long_help().to_string())?;
        }
    }
    Ok(0)
}
