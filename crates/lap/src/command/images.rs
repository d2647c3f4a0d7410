//! `lap images`

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use base::Kind;
use image::{ImageId, Reference};
use serde::Serialize;
use store::{ImageRecord, NameRecord, Store};

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::{progress, table, template, units};

/// List images
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  lap images\n  lap images app           only the repository app\n  lap images --format '{{.Repository}}:{{.Tag}} {{.Size}}'\n  lap images -q | xargs lap rmi"
)]
pub struct Args {
    /// Only this repository, or this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    repository: Option<String>,
    /// Only IDs
    #[arg(short, long)]
    quiet: bool,
    /// Also images without a name, and those for other platforms that an index has
    #[arg(short, long)]
    all: bool,
    /// Whole IDs
    #[arg(long)]
    no_trunc: bool,
    /// Also the digests of manifests
    #[arg(long)]
    digests: bool,
    /// `json`, `table`, or a template such as '{{.Repository}}:{{.Tag}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

/// One line; the names of the fields are docker's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    repository: String,
    tag: String,
    #[serde(rename = "ID")]
    id: String,
    digest: String,
    /// When it came to this machine.
    created_at: String,
    created_since: String,
    size: String,
    virtual_size: String,
    #[serde(skip)]
    whole_id: ImageId,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let store = context.store_with(&progress::Args::silent_when(args.quiet))?;
    let lines = lines(&store, args)?;
    let printer = context.printer;
    match args.format.as_deref() {
        _ if args.quiet => {
            let mut seen = BTreeSet::new();
            for line in lines.iter().filter(|line| seen.insert(line.whole_id)) {
                printer.line(&line.id)?;
            }
        }
        None | Some("table") => printer.data(table::columns(&rows(&lines, args.digests)))?,
        Some("json") => {
            for line in &lines {
                printer.line(crate::json::line(&to_json(line)?))?;
            }
        }
        Some(format) => {
            let format = format.strip_prefix("table ").unwrap_or(format);
            for line in &lines {
                printer.line(template::render(format, &to_json(line)?)?)?;
            }
        }
    }
    Ok(0)
}

fn to_json(line: &Line) -> Outcome<serde_json::Value> {
    serde_json::to_value(line).map_err(|error| Failure::new(Kind::Internal, error.to_string()))
}

fn rows(lines: &[Line], digests: bool) -> Vec<Vec<String>> {
    let columns = |cells: [&str; 6]| -> Vec<String> {
        let [repository, tag, digest, id, arrived, size] = cells;
        let mut row = vec![repository, tag];
        if digests {
            row.push(digest);
        }
        row.extend([id, arrived, size]);
        row.into_iter().map(str::to_owned).collect()
    };
    let header = columns(["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "ARRIVED", "SIZE"]);
    let body = lines.iter().map(|line| {
        columns([&line.repository, &line.tag, &line.digest, &line.id, &line.created_since, &line.size])
    });
    std::iter::once(header).chain(body).collect()
}

fn lines(store: &Store, args: &Args) -> Outcome<Vec<Line>> {
    let wanted = args.repository.as_deref().map(Reference::parse).transpose()?;
    let mut names: BTreeMap<ImageId, Vec<NameRecord>> = BTreeMap::new();
    for record in store.names().list()? {
        // The other images of an index are not the one that its name means here, and not without a name either.
        let variants = if args.all { store.images().variants(&record.target)? } else { None };
        for variant in variants.into_iter().flat_map(|variants| variants.images) {
            if variant.image != record.image {
                names.entry(variant.image).or_default().push(record.clone());
            }
        }
        names.entry(record.image).or_default().push(record);
    }
    let now = SystemTime::now();
    let mut images = store.images().list()?;
    images.sort_by_key(|image| std::cmp::Reverse(image.arrived));
    let mut lines = Vec::new();
    for image in &images {
        let named = names.remove(&image.id).unwrap_or_default();
        let size = match size(store, image) {
            // It was removed, and collected, after it was listed.
            Err(_) if store.images().get(&image.id)?.is_none() => continue,
            size => size?,
        };
        if named.is_empty() && wanted.is_none() && args.all {
            lines.push(line(image, None, size, now, args.no_trunc));
        }
        let fitting = named
            .iter()
            .filter(|record| wanted.as_ref().is_none_or(|wanted| fits(&record.reference, wanted)));
        lines.extend(fitting.map(|record| line(image, Some(record), size, now, args.no_trunc)));
    }
    Ok(lines)
}

fn fits(reference: &Reference, wanted: &Reference) -> bool {
    reference.host() == wanted.host()
        && reference.path() == wanted.path()
        && wanted.tag().is_none_or(|tag| reference.tag() == Some(tag))
}

fn line(image: &ImageRecord, name: Option<&NameRecord>, size: u64, now: SystemTime, whole: bool) -> Line {
    let none = || "<none>".to_owned();
    let arrived = image::Timestamp::from_unix(
        image
            .arrived
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs().try_into().unwrap_or(0)),
    );
    let digest = name.map(|name| name.target.digest).or_else(|| Some(image.manifests.first()?.digest));
    Line {
        repository: name.map_or_else(none, |name| name.reference.familiar_repository()),
        tag: name.and_then(|name| name.reference.tag()).map_or_else(none, str::to_owned),
        id: if whole { image.id.to_string() } else { image.id.0.short() },
        digest: digest.map_or_else(none, |digest| digest.to_string()),
        created_at: arrived.to_string(),
        created_since: units::ago(image.arrived, now),
        size: units::size(size),
        virtual_size: units::size(size),
        whole_id: image.id,
    }
}

/// The size of an image: of all files in its layers.
pub fn size(store: &Store, image: &ImageRecord) -> Outcome<u64> {
    let config = store.images().config(&image.id)?;
    let mut sum = 0;
    for diff_id in &config.value().rootfs.diff_ids {
        if let Some(layer) = store.layers().get(diff_id)? {
            sum += layer.table().content_size();
        }
    }
    Ok(sum)
}
