//! `lap copy`

pub mod place;

use std::path::Path;

use archive::layout::{self, Directory, Layout};
use archive::partial;
use base::{Cancel, Kind};
use distribution::copy::{Annotation, AnnotationPlace, Copied, Copier, Format, From, To, ToFiles, Wish};
use image::Platform;
use layer::Encoding;
use store::Store;

use self::place::{Located, Place};
use super::save::Output;
use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::progress::{self, Progress};
use crate::{command, network, signals, units};

/// Copy an image from one place to another one, byte for byte
///
/// All platforms of it, if there are several. Nothing is kept on the way: blobs go from the source straight to where they are wanted; what is there is not sent, and
/// what another repository of the same registry has is taken over from there. An interrupted copy continues where it was; one into an archive begins again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Places:
  NAME, docker://NAME          a registry
  store:NAME                   the store of this machine (one platform)
  oci:DIRECTORY[:NAME]         an OCI image layout; what else is in it stays
  oci-archive:FILE[:NAME]      an OCI image layout in a tar
  docker-archive:FILE[:NAME]   a tar that docker load takes (one platform)
Without a NAME it is the only image there; :@N is the Nth of the index, from 0 on, and @DIGEST any that is there.
A FILE of - is standard output, or standard input where that is a file.

Examples:
  lap copy debian:bookworm registry.example.com/mirror/debian:bookworm
  lap copy --platform linux/arm64 debian:bookworm store:debian-arm
  lap copy --platform linux/amd64,linux/arm64 debian:bookworm registry.example.com/mirror/debian:bookworm
  lap copy debian:bookworm oci:mirror:bookworm
  lap copy --all oci:mirror:bookworm registry.example.com/mirror/debian:bookworm
  lap copy registry.example.com/team/app:1 docker-archive:-:app:1 | docker load
  lap copy --annotation org.opencontainers.image.version=1.2 app:1 registry.example.com/team/app:1.2
  lap copy --referrers registry.example.com/team/app:1 registry.example.com/released/app:1")]
pub struct Args {
    /// All platforms: the default, where the destination can hold them
    #[arg(short, long, conflicts_with = "platform")]
    all: bool,
    /// The image for one platform alone; of several, an index of their images, which has a digest of its own
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    platform: Vec<String>,
    /// Write manifests in this format, whatever they are at the source: oci, docker (which has images alone, without notes)
    #[arg(long, value_parser = format, value_name = "FORMAT")]
    format: Option<Format>,
    /// Note something in the manifest of each image, or (index:, manifest-descriptor:) in the index; an empty VALUE removes the note
    #[arg(long, value_parser = annotation, value_name = "[PLACE:]KEY=VALUE")]
    annotation: Vec<Annotation>,
    /// Set a label of each image; an empty VALUE removes it
    #[arg(long, value_parser = label, value_name = "KEY=VALUE")]
    label: Vec<(String, String)>,
    /// Also what refers to the image: signatures, attestations, lists of parts, and cosign's tags
    #[arg(long)]
    referrers: bool,
    /// Also copy layers that are not to be distributed (docker archives have them in any case)
    #[arg(long)]
    allow_nondistributable_artifacts: bool,
    /// How layers that were built here are compressed: gzip, zstd, uncompressed
    #[arg(long, value_parser = command::build::compression, default_value = "gzip", value_name = "KIND[:LEVEL]")]
    compression: Encoding,
    /// Print only the digest
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    network: network::Args,
    #[command(flatten)]
    progress: progress::Args,
    /// From where
    #[arg(value_name = "SOURCE")]
    source: String,
    /// To where
    #[arg(value_name = "DESTINATION")]
    destination: String,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let (source, destination) = (Place::parse(&args.source)?, Place::parse(&args.destination)?);
    let wish = wish(args, &destination)?;
    let cancel = signals::cancel_on_signal()?;
    let store = context.store()?;
    let lease = store.lease("copy")?;
    let from = from(args, source, &store, &cancel)?;
    let client = args.network.client()?;
    let mut out = None;
    let to = to(context, args, &destination, &mut out)?;
    let progress = Progress::start(&args.progress.quiet_when(args.quiet), context.printer)?;
    let events = progress.events();
    let copier = Copier { client: &client, store: &store, lease: &lease, events: &events, cancel: &cancel };
    let copied = copier.copy(&from, to, &wish);
    client.tell(&events);
    progress.finish();
    let copied = copied?;
    out.map_or(Ok(()), Output::commit)?;
    report(context, args, &destination, &copied)?;
    Ok(0)
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "oci" => Ok(Format::Oci),
        "docker" | "v2s2" => Ok(Format::Docker),
        _ => Err("the formats are oci and docker".to_owned()),
    }
}

fn annotation(text: &str) -> Result<Annotation, String> {
    let (key, value) = label(text)?;
    let (place, key) = match key.split_once(':') {
        None => (AnnotationPlace::Manifest, key.as_str()),
        Some(("manifest", key)) => (AnnotationPlace::Manifest, key),
        Some(("index", key)) => (AnnotationPlace::Index, key),
        Some(("manifest-descriptor", key)) => (AnnotationPlace::Descriptor, key),
        Some((other, _)) => {
            let other = base::text::line(other);
            return Err(format!(
                "annotations stand in a manifest, index or manifest-descriptor, and not in {other}"
            ));
        }
    };
    if key.is_empty() {
        return Err("it has no key".to_owned());
    }
    Ok(Annotation { place, key: key.to_owned(), value })
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("KEY=VALUE is expected".to_owned()),
    }
}

fn wish(args: &Args, destination: &Place) -> Outcome<Wish> {
    if (args.all || args.platform.len() > 1) && destination.holds_one_platform() {
        let what = format!("{} holds an image for one platform", base::text::line(&args.destination));
        return Err(Failure::new(Kind::Invalid, what).hint("choose one with --platform"));
    }
    let rewrites = [
        ("--format", args.format.is_some()),
        ("--annotation", !args.annotation.is_empty()),
        ("--label", !args.label.is_empty()),
    ];
    if let Some((flag, _)) = rewrites.iter().find(|(_, is_given)| *is_given)
        && matches!(destination, Place::Store(_) | Place::DockerArchive(_))
    {
        let what = format!("{} has a format of its own", base::text::line(&args.destination));
        let hint = format!("{flag} is for registries, and for layouts (oci:, oci-archive:)");
        return Err(Failure::new(Kind::Invalid, what).hint(hint));
    }
    Ok(Wish {
        platforms: args.platform.iter().map(|text| Platform::parse(text)).collect::<Result<_, _>>()?,
        format: args.format,
        annotations: args.annotation.clone(),
        labels: args.label.clone(),
        referrers: args.referrers,
        foreign_layers: args.allow_nondistributable_artifacts,
    })
}

fn from(args: &Args, source: Place, store: &Store, cancel: &Cancel) -> Outcome<From> {
    let found = |layout: Layout, root| From::Layout(Box::new(layout), Box::new(root));
    Ok(match source {
        Place::Registry(name) => From::Registry(name),
        Place::Oci(Located { path, which }) => {
            let layout = Layout::directory(&path)?;
            let root = layout.find(&which)?;
            found(layout, root)
        }
        Place::OciArchive(located) => {
            let file = input(&located)?;
            let layout = Layout::archive(&located.path, file, cancel)?;
            let root = layout.find(&located.which)?;
            found(layout, root)
        }
        Place::DockerArchive(located) => {
            let file = input(&located)?;
            let (layout, root) = Layout::docker(&located.path, file, &located.which, cancel)?;
            found(layout, root)
        }
        Place::Store(name) => {
            let name = name.or_latest();
            let record = store.names().get(&name)?.ok_or_else(|| {
                let what = format!("no image has the name {}", name.familiar());
                Failure::new(Kind::NotFound, what).hint("`lap images` lists what there is")
            })?;
            let item = archive::save::Item::of_target(store, record.image, &record.target, vec![name])?;
            From::Store(Box::new(item), command::push::options(args.compression))
        }
    })
}

/// An archive that is read.
fn input(located: &Located) -> Outcome<std::fs::File> {
    let path = if located.is_stream() { Path::new("/dev/stdin") } else { &located.path };
    Ok(layout::open_file(path)?)
}

/// Where it goes. An archive that is begun is kept in `out`, to be finished when all is written.
fn to<'a>(
    context: &Context,
    args: &Args,
    destination: &Place,
    out: &'a mut Option<Output>,
) -> Outcome<To<'a>> {
    Ok(match destination {
        Place::Registry(name) => To::Registry(name.clone()),
        Place::Store(name) => To::Store(name.clone()),
        Place::Oci(located) => {
            let (name, digest) = located.destination()?;
            let directory = Directory::open(&located.path)?;
            directory.clear(|text| args.progress.note(context.printer, text));
            To::Files(ToFiles::Layout(directory, name, digest))
        }
        Place::OciArchive(located) => {
            let (name, digest) = located.destination()?;
            To::Files(ToFiles::Archive(begin(context, args, located, out)?, name, digest))
        }
        Place::DockerArchive(located) => {
            let names = located.docker_names()?;
            To::Files(ToFiles::DockerArchive(begin(context, args, located, out)?, names))
        }
    })
}

/// Begins an archive.
fn begin<'a>(
    context: &Context,
    args: &Args,
    located: &Located,
    out: &'a mut Option<Output>,
) -> Outcome<&'a mut Output> {
    if !located.is_stream() {
        partial::clear(&located.path, |text| args.progress.note(context.printer, text));
    }
    Ok(out.insert(Output::open(Some(&located.path))?))
}

fn report(context: &Context, args: &Args, destination: &Place, copied: &Copied) -> Outcome {
    let (printer, digest) = (context.printer, copied.root.digest);
    // Standard output is the archive's.
    let is_taken = destination.is_standard_output();
    if args.quiet {
        if is_taken {
            return Ok(());
        }
        return printer.line(digest);
    }
    for layer in &copied.left_out {
        printer.note(format!(
            "the layer {layer} is not to be distributed and was left out; --allow-nondistributable-artifacts sends it"
        ));
    }
    if let Some(there) = &copied.instead_of {
        printer
            .note(format!("what is copied is written anew: its digest is not that of the source, {there}"));
    }
    if copied.attestations_left > 0 {
        printer.note(format!(
            "{} of its attestations stay behind: docker's format has no place for them",
            copied.attestations_left
        ));
    }
    let destination = base::text::line(&args.destination);
    if copied.was_there {
        printer.note(format!("{destination} is up to date"));
    } else {
        let manifests = match (copied.documents, copied.referrers) {
            (1, 0) => "1 manifest".to_owned(),
            (documents, 0) => format!("{documents} manifests"),
            (documents, referrers) => format!("{documents} manifests and {referrers} that refer to them"),
        };
        // Nothing is sent into the store: its layers have said how large they are.
        let bytes = match copied.sent + copied.spared {
            0 => String::new(),
            _ => format!(": {} sent, {} were there", units::size(copied.sent), units::size(copied.spared)),
        };
        printer.note(format!("copied {manifests} to {destination}{bytes}"));
    }
    match is_taken {
        true => {
            printer.note(format!("Digest: {digest}"));
            Ok(())
        }
        false => printer.line(format!("Digest: {digest}")),
    }
}
