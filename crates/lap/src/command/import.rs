//! `lap import`

use std::path::PathBuf;

use archive::import::Request;
use base::Kind;
use image::{Platform, Reference};

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::progress::{self, Progress};
use crate::signals;

/// Make an image from a tar of a root filesystem
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The same tar gives the same image, wherever and whenever it is imported.

Examples:
  mmdebstrap --variant=minbase bookworm - | lap import - debian:bookworm
  lap import -c 'CMD [\"/bin/sh\"]' -m 'from busybox' rootfs.tar base:1")]
pub struct Args {
    /// A file, or - for standard input; plain or compressed
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// The name of the image
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
    /// Apply a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR, HEALTHCHECK
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A remark for the image's history
    #[arg(short, long)]
    message: Option<String>,
    /// The platform of the image, when it is not this machine's
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    #[command(flatten)]
    progress: progress::Args,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let file = args.file.to_string_lossy();
    if file.starts_with("http://") || file.starts_with("https://") {
        return Err(Failure::new(Kind::Unsupported, "importing from a URL is not supported")
            .hint("download it, and pipe it in: curl -fsSL URL | lap import - NAME"));
    }
    let name = args.name.as_deref().map(Reference::parse).transpose()?.map(Reference::or_latest);
    let platform = args.platform.as_deref().map(Platform::parse).transpose()?.unwrap_or_else(Platform::host);
    let request = Request {
        name,
        config: builder::changes::apply(&args.change)?,
        // Docker names the file here; then the same tar would give another image wherever it lies.
        message: args.message.clone().unwrap_or_else(|| "Imported from -".to_owned()),
        platform,
    };
    let input = super::load::open(Some(&args.file))?;
    let store = context.store_with(&args.progress)?;
    let lease = store.lease("import")?;
    let cancel = signals::cancel_on_signal()?;
    let progress = Progress::start(&args.progress, context.printer)?;
    let imported = archive::import::import(&store, &lease, input, &request, &progress.events(), &cancel);
    progress.finish();
    let imported = imported?;
    imported.warnings.iter().for_each(|warning| context.printer.warning(warning));
    context.printer.line(imported.image)?;
    Ok(0)
}
