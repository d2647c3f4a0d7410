//! `lap load`

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use base::{IoContext, Kind};
use image::Platform;

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::progress::{self, Progress};
use crate::signals;

/// Load images from a tar archive
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Archives of docker save, podman save, skopeo, crane, buildah and lap save, OCI image layouts in a tar;
plain or compressed with gzip, zstd, xz or bzip2. An image for several platforms is loaded with all of them,
if the archive has all.

Examples:
  lap load -i app.tar
  lap load --platform linux/arm64 -i app.tar
  ssh build-machine lap save app | lap load")]
pub struct Args {
    /// Read from a file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Of an image for several platforms, take the one for this platform alone
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Print IDs only
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    progress: progress::Args,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let platform = args.platform.as_deref().map(Platform::parse).transpose()?;
    let input = open(args.input.as_deref())?;
    let progress = args.progress.quiet_when(args.quiet);
    let store = context.store_with(&progress)?;
    let lease = store.lease("load")?;
    let cancel = signals::cancel_on_signal()?;
    let progress = Progress::start(&progress, context.printer)?;
    let (platform, events) = (platform.as_ref(), progress.events());
    let loaded = archive::load::load(&store, &lease, input, platform, &events, &cancel);
    progress.finish();
    let printer = context.printer;
    for image in loaded? {
        for (name, before) in &image.moved {
            printer.note(format!(
                "{} meant {} before, which stays without that name",
                name.familiar(),
                before.0.short()
            ));
        }
        if args.quiet {
            printer.line(image.image)?;
        } else if image.names.is_empty() {
            printer.line(format!("Loaded image ID: {}", image.image))?;
        }
        for name in image.names.iter().filter(|_| !args.quiet) {
            printer.line(format!("Loaded image: {}", name.familiar()))?;
        }
    }
    Ok(0)
}

/// Opens a file, or standard input when none is named, or `-`.
pub fn open(path: Option<&Path>) -> Outcome<Box<dyn Read + Send>> {
    match path.filter(|path| path.as_os_str() != "-") {
        Some(path) => Ok(Box::new(File::open(path).context("open", path)?)),
        None if io::stdin().is_terminal() => {
            Err(Failure::new(Kind::Invalid, "an archive cannot be read from a terminal")
                .hint("name a file, or redirect the input"))
        }
        None => Ok(Box::new(io::stdin())),
    }
}
