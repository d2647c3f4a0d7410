//! `lap registry blob`

use std::io::{self, Write};
use std::path::PathBuf;

use base::{IoContext, Kind};
use distribution::blobs;
use image::Reference;

use crate::cli::Context;
use crate::command::save::Output;
use crate::failure::{Failure, Outcome};
use crate::{network, signals};

/// Write a blob (a layer, a config, a part of an artifact) to a file or to standard output; verified
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap registry blob -o layer.tar.gz registry.example.com/team/app@sha256:…
  lap registry blob registry.example.com/team/app@sha256:… | tar -tz")]
pub struct Args {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    network: network::Args,
    /// Which: a repository, and the digest of the blob
    #[arg(value_name = "NAME@DIGEST")]
    blob: String,
}

pub fn run(_: &Context, args: &Args) -> Outcome<u8> {
    let reference = Reference::parse(&args.blob)?;
    let digest = reference.digest().ok_or_else(|| {
        let what = format!("{} does not say which blob is meant", reference.familiar());
        Failure::new(Kind::Invalid, what).hint(format!(
            "name it by its digest, {}@sha256:…; `lap registry manifest` lists those of an image",
            reference.familiar_repository()
        ))
    })?;
    let client = args.network.client()?;
    let cancel = signals::cancel_on_signal()?;
    let mut file = args.output.as_deref().map(|path| Output::open(Some(path))).transpose()?;
    let mut standard = io::stdout().lock();
    let out: &mut dyn Write = file.as_mut().map_or(&mut standard, |file| file);
    blobs::read(&client, &reference, &digest, &cancel, |bytes| {
        out.write_all(bytes).context("write", "standard output")
    })?;
    out.flush().context("write", "standard output")?;
    file.map_or(Ok(()), Output::commit)?;
    Ok(0)
}
