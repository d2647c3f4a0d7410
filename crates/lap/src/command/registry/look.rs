//! `lap registry manifest`, `config`, `digest` and `referrers`

use base::Kind;
use distribution::{blobs, manifests, referrers as list};
use image::{Descriptor, Index, MediaType, Platform, Reference};

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::{network, signals, table, units};

/// Print the manifest that a name means, byte for byte
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap registry manifest debian:12                          the index of all platforms
  lap registry manifest --platform linux/arm64 debian:12   one manifest of it")]
pub struct ManifestArgs {
    #[command(flatten)]
    target: Target,
}

/// Print the config of an image, byte for byte
///
/// Of several platforms, that for this machine, if no other is named.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap registry config debian:12
  lap registry config --platform linux/arm64 debian:12 | jq .config.Env")]
pub struct ConfigArgs {
    #[command(flatten)]
    target: Target,
}

/// Print the digest that a name means
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap registry digest debian:12
  lap registry digest --format json registry.example.com/team/app")]
pub struct DigestArgs {
    #[command(flatten)]
    target: Target,
    /// How to say it: text, or json (the descriptor)
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// List what is about an image: signatures, attestations, lists of parts
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap registry referrers registry.example.com/team/app:1
  lap registry referrers --artifact-type application/spdx+json --format json localhost:5000/app@sha256:…")]
pub struct ReferrersArgs {
    /// Only those of one type
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<String>,
    /// How to say it: text, or json (an index)
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
    #[command(flatten)]
    target: Target,
}

/// What is looked at.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct Target {
    /// The manifest for a platform, where there are several
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    #[command(flatten)]
    network: network::Args,
    /// The image: NAME, NAME:TAG or NAME@DIGEST
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    image: String,
}

impl Target {
    fn platform(&self) -> Outcome<Option<Platform>> {
        Ok(self.platform.as_deref().map(Platform::parse).transpose()?)
    }
}

pub fn manifest(context: &Context, args: &ManifestArgs) -> Outcome<u8> {
    let Target { network, image, .. } = &args.target;
    let (reference, client) = (Reference::parse(image)?, network.client()?);
    let platform = args.target.platform()?;
    let cancel = signals::cancel_on_signal()?;
    let fetched = manifests::fetch(&client, &reference, platform.as_ref(), &cancel)?;
    context.printer.data(fetched.bytes())?;
    Ok(0)
}

pub fn config(context: &Context, args: &ConfigArgs) -> Outcome<u8> {
    let Target { network, image, .. } = &args.target;
    let (reference, client) = (Reference::parse(image)?, network.client()?);
    let platform = args.target.platform()?.unwrap_or_else(Platform::host);
    let cancel = signals::cancel_on_signal()?;
    let config = blobs::config(&client, &reference, &platform, &cancel)?;
    context.printer.data(config.bytes())?;
    Ok(0)
}

pub fn digest(context: &Context, args: &DigestArgs) -> Outcome<u8> {
    let Target { network, image, .. } = &args.target;
    let (reference, client) = (Reference::parse(image)?, network.client()?);
    let platform = args.target.platform()?;
    let cancel = signals::cancel_on_signal()?;
    let descriptor = manifests::describe(&client, &reference, platform.as_ref(), &cancel)?;
    match args.format.as_str() {
        "json" => context.printer.data(crate::json::pretty(&descriptor))?,
        _ => context.printer.line(descriptor.digest)?,
    }
    Ok(0)
}

pub fn referrers(context: &Context, args: &ReferrersArgs) -> Outcome<u8> {
    let Target { network, image, .. } = &args.target;
    let (mut reference, client) = (Reference::parse(image)?, network.client()?);
    let platform = args.target.platform()?;
    let cancel = signals::cancel_on_signal()?;
    if platform.is_some() {
        let chosen = manifests::describe(&client, &reference, platform.as_ref(), &cancel)?;
        reference = reference.with_digest(chosen.digest);
    }
    let wanted = args.artifact_type.as_ref().map(MediaType::new);
    let found = list::referrers(&client, &reference, wanted.as_ref(), &cancel)?;
    if args.format == "json" {
        let index = serde_json::to_value(Index::oci(found.manifests))
            .map_err(|error| Failure::new(Kind::Internal, error.to_string()))?;
        context.printer.data(crate::json::pretty(&index))?;
    } else {
        context.printer.data(table::columns(&rows(&found.manifests)))?;
    }
    Ok(0)
}

fn rows(manifests: &[Descriptor]) -> Vec<Vec<String>> {
    let row = |one: &Descriptor| {
        let kind = one.artifact_type.as_ref().map_or("<none>", MediaType::as_str);
        vec![base::text::line(kind).into_owned(), one.digest.to_string(), units::size(one.size)]
    };
    let header = ["ARTIFACT TYPE", "DIGEST", "SIZE"].map(str::to_owned).to_vec();
    std::iter::once(header).chain(manifests.iter().map(row)).collect()
}
