//! `lap man`

use std::path::PathBuf;

use base::IoContext;
use clap_mangen::Man;

use crate::cli::{self, Context};
use crate::failure::{Failure, Outcome};

/// Write the manual pages
///
/// One page for each command, as `lap-build.1`, into a directory: `lap man /usr/local/share/man/man1`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to; made if it is missing
    directory: PathBuf,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    std::fs::create_dir_all(&args.directory).context("create", &args.directory)?;
    let mut root = cli::command();
    root.build();
    let mut pages = vec![("lap".to_owned(), root.clone())];
    for command in root.get_subcommands() {
        pages.push((format!("lap-{}", command.get_name()), command.clone()));
        for inner in command.get_subcommands() {
            pages.push((format!("lap-{}-{}", command.get_name(), inner.get_name()), inner.clone()));
        }
    }
    for (name, command) in &pages {
        let file = args.directory.join(format!("{name}.1"));
        let mut page = Vec::new();
        let static_name: &'static str = Box::leak(name.clone().into_boxed_str());
        Man::new(command.clone().name(static_name))
            .render(&mut page)
            .context("render", &file)
            .map_err(Failure::from)?;
        std::fs::write(&file, page).context("write", &file)?;
    }
    context.printer.note(format!("wrote {} pages to {}", pages.len(), base::text::path(&args.directory)));
    Ok(0)
}
