//! `lap inspect`

use base::Kind;
use image::{Config, Descriptor, Reference};
use serde_json::{Value, json};
use store::{ImageRecord, Store};

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::{json as pretty, template};

/// Show all that is known of images, as JSON
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  lap inspect app\n  lap inspect --format '{{json .Config.Env}}' app")]
pub struct Args {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// A template such as '{{.Config.User}}', or `json`
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let store = context.store()?;
    let mut found = Vec::new();
    let mut failure = None;
    for text in &args.images {
        match store
            .images()
            .resolve(text)
            .map_err(Failure::from)
            .and_then(|image| describe(&store, text, &image))
        {
            Ok(value) => found.push(value),
            Err(error) => {
                failure.replace(error).iter().for_each(|earlier| context.printer.failure(earlier));
            }
        }
    }
    match args.format.as_deref() {
        None => context.printer.data(pretty::pretty(&found))?,
        Some("json") => context.printer.line(Value::from(found))?,
        Some(format) => {
            for value in &found {
                context.printer.line(template::render(format, value)?)?;
            }
        }
    }
    failure.map_or(Ok(0), Err)
}

/// The manifest that a user means by a text: the one that the name stands for, else the first one.
pub fn manifest_of(store: &Store, text: &str, image: &ImageRecord) -> Outcome<Descriptor> {
    let named = match Reference::parse(text) {
        Ok(reference) => store.names().get(&reference.or_latest())?.filter(|record| record.image == image.id),
        Err(_) => None,
    };
    named.map(|record| record.target).or_else(|| image.manifests.first().cloned()).ok_or_else(|| {
        Failure::new(Kind::Corrupt, format!("the image {} has no manifest", image.id))
            .hint("`lap system check` names every damage")
    })
}

/// Docker's shape (`docker image inspect`), with the manifest besides.
fn describe(store: &Store, text: &str, image: &ImageRecord) -> Outcome<Value> {
    let raw = store.images().config(&image.id)?;
    let config: &Config = raw.value();
    let names: Vec<_> = store.names().list()?.into_iter().filter(|record| record.image == image.id).collect();
    let tags: Vec<String> = names
        .iter()
        .filter(|record| record.reference.tag().is_some())
        .map(|record| record.reference.familiar())
        .collect();
    let digests: Vec<String> = names
        .iter()
        .map(|record| format!("{}@{}", record.reference.familiar_repository(), record.target.digest))
        .collect();
    let mut layers = Vec::new();
    for diff_id in &config.rootfs.diff_ids {
        let layer = store.layers().get(diff_id)?;
        let table = layer.as_ref().map(|layer| layer.table());
        layers.push(json!({
            "DiffID": diff_id,
            "Entries": table.map(|table| table.len()),
            "Size": table.map(|table| table.content_size()),
        }));
    }
    let container = serde_json::to_value(&config.config)
        .map_err(|error| Failure::new(Kind::Internal, format!("cannot write the config: {error}")))?;
    Ok(json!({
        "Id": image.id,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Descriptor": manifest_of(store, text, image)?,
        "Comment": config.history.last().map(|step| step.comment.clone()).unwrap_or_default(),
        "Created": config.created,
        "Author": config.author.clone().unwrap_or_default(),
        "Config": container,
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Size": super::images::size(store, image)?,
        "RootFS": { "Type": config.rootfs.kind, "Layers": config.rootfs.diff_ids },
        "Layers": layers,
        "Metadata": { "LastTagTime": names.iter().map(|record| record.since).max().map(time) , "Arrived": time(image.arrived), "Origin": format!("{:?}", image.origin) },
    }))
}

fn time(moment: std::time::SystemTime) -> String {
    let seconds = moment.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    image::Timestamp::from_unix(seconds.try_into().unwrap_or(0)).to_string()
}
