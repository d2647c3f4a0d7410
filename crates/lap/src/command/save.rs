//! `lap save`

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

use archive::partial::{self, Partial};
use archive::save::{Item, Options};
use base::{IoContext, IoError, Kind};
use image::Reference;
use layer::Encoding;
use store::Store;

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::progress::{self, Progress};
use crate::{command, signals};

/// Save images to a tar archive
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The archive is an OCI image layout with docker's manifest.json: docker, podman, skopeo and lap load it.
The same images give the same bytes. A name that means images for several platforms is saved with all of them.

Examples:
  lap save -o app.tar app
  lap save app:1 app:2 | zstd >apps.tar.zst")]
pub struct Args {
    /// Names (without a tag: all names of the repository) or IDs
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// docker-archive (with manifest.json) or oci-archive (without)
    #[arg(long, value_parser = ["docker-archive", "oci-archive"], default_value = "docker-archive")]
    format: String,
    /// How layers that were built here are compressed: gzip, zstd, uncompressed
    #[arg(long, value_parser = command::build::compression, default_value = "gzip", value_name = "KIND[:LEVEL]")]
    compression: Encoding,
    #[command(flatten)]
    progress: progress::Args,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let store = context.store_with(&args.progress)?;
    let lease = store.lease("save")?;
    let items = items(&store, &args.images)?;
    if let Some(path) = &args.output {
        partial::clear(path, |text| args.progress.note(context.printer, text));
    }
    let cancel = signals::cancel_on_signal()?;
    let progress = Progress::start(&args.progress, context.printer)?;
    let options = Options {
        encoding: args.compression,
        threads: command::threads(),
        docker: args.format == "docker-archive",
    };
    let mut out = Output::open(args.output.as_deref())?;
    let result = archive::save::save(&store, &lease, &items, options, &mut out, &progress.events(), &cancel);
    progress.finish();
    result?;
    out.commit()?;
    Ok(0)
}

/// What the arguments mean; the same image under several names is one item.
fn items(store: &Store, texts: &[String]) -> Outcome<Vec<Item>> {
    let mut items: Vec<Item> = Vec::new();
    for text in texts {
        for meant in meant(store, text)? {
            let is_it = |item: &&mut Item| item.image == meant.image && item.root() == meant.root();
            let Some(item) = items.iter_mut().find(is_it) else {
                items.push(meant);
                continue;
            };
            for name in meant.names {
                if !item.names.contains(&name) {
                    item.names.push(name);
                }
            }
        }
    }
    Ok(items)
}

/// A repository without a tag means all its names (ST-015); an ID means no name.
fn meant(store: &Store, text: &str) -> Outcome<Vec<Item>> {
    if let Ok(reference) = Reference::parse(text)
        && reference.digest().is_none()
    {
        let of_repository = |record: &store::NameRecord| {
            record.reference.tag().is_some()
                && record.reference.host() == reference.host()
                && record.reference.path() == reference.path()
                && reference.tag().is_none_or(|tag| record.reference.tag() == Some(tag))
        };
        let records: Vec<_> = store.names().list()?.into_iter().filter(of_repository).collect();
        if !records.is_empty() {
            let items = records.into_iter().map(|record| {
                Ok(Item::of_target(store, record.image, &record.target, vec![record.reference])?)
            });
            return items.collect();
        }
    }
    let image = store.images().resolve(text)?;
    let target = command::inspect::manifest_of(store, text, &image)?;
    Ok(vec![Item::of_target(store, image.id, &target, Vec::new())?])
}

/// A file that appears under its name only when it is whole, or standard output.
pub struct Output {
    writer: BufWriter<Box<dyn Write + Send>>,
    partial: Option<Partial>,
}

impl Output {
    /// Begins; a terminal is refused, since archives are not for reading.
    pub fn open(path: Option<&std::path::Path>) -> Outcome<Self> {
        let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
            if io::stdout().is_terminal() {
                return Err(Failure::new(Kind::Invalid, "an archive cannot be written to a terminal")
                    .hint("name a file with -o, or redirect the output"));
            }
            return Ok(Self {
                writer: BufWriter::with_capacity(1 << 20, Box::new(io::stdout())),
                partial: None,
            });
        };
        // A device or a pipe is written in place; a file gets its name at the end.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            let file = File::options().write(true).open(path).context("open", path)?;
            return Ok(Self { writer: BufWriter::with_capacity(1 << 20, Box::new(file)), partial: None });
        }
        let (partial, file) = Partial::create(path)?;
        Ok(Self { writer: BufWriter::with_capacity(1 << 20, Box::new(file)), partial: Some(partial) })
    }

    /// Everything is written.
    pub fn commit(mut self) -> Outcome {
        match self.writer.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.partial.is_none() => {
                return Ok(());
            }
            other => other
                .context("write", self.partial.as_ref().map_or("standard output".as_ref(), Partial::place))?,
        }
        Ok(self.partial.take().map_or(Ok(()), Partial::commit)?)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes);
        match &self.partial {
            // The kind stays, and the path is told.
            Some(partial) => written.map_err(|source| {
                let (kind, path) = (source.kind(), partial.place().to_owned());
                io::Error::new(kind, IoError { action: "write", path, source })
            }),
            None => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
