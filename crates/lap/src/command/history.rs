//! `lap history`

use base::Kind;
use serde::Serialize;
use store::Store;

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::{progress, table, template, units};

/// Show how an image was made, the newest step first
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  lap history app\n  lap history --no-trunc --format '{{.Size}}\\t{{.CreatedBy}}' app"
)]
pub struct Args {
    /// A name or an ID
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Whole instructions
    #[arg(long)]
    no_trunc: bool,
    /// Only IDs
    #[arg(short, long)]
    quiet: bool,
    /// `json`, `table`, or a template such as '{{.CreatedBy}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

/// One step; the names of the fields are docker's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Step {
    #[serde(rename = "ID")]
    id: String,
    created_at: String,
    created_by: String,
    size: String,
    comment: String,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let store = context.store_with(&progress::Args::silent_when(args.quiet))?;
    let steps = steps(&store, args)?;
    let printer = context.printer;
    match args.format.as_deref() {
        _ if args.quiet => steps.iter().try_for_each(|step| printer.line(&step.id))?,
        None | Some("table") => {
            let header = ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"].map(str::to_owned).to_vec();
            let rows = steps
                .into_iter()
                .map(|step| vec![step.id, step.created_at, step.created_by, step.size, step.comment]);
            printer.data(table::columns(&std::iter::once(header).chain(rows).collect::<Vec<_>>()))?;
        }
        Some(format) => {
            for step in &steps {
                let value = serde_json::to_value(step)
                    .map_err(|error| Failure::new(Kind::Internal, error.to_string()))?;
                printer.line(if format == "json" {
                    crate::json::line(&value)
                } else {
                    template::render(format, &value)?
                })?;
            }
        }
    }
    Ok(0)
}

fn steps(store: &Store, args: &Args) -> Outcome<Vec<Step>> {
    let image = store.images().resolve(&args.image)?;
    let config = store.images().config(&image.id)?;
    let config = config.value();
    let mut layers = config.rootfs.diff_ids.iter();
    let mut steps = Vec::new();
    for step in &config.history {
        let size = match if step.empty_layer { None } else { layers.next() } {
            Some(diff_id) => store.layers().get(diff_id)?.map_or(0, |layer| layer.table().content_size()),
            None => 0,
        };
        steps.push(Step {
            id: "<missing>".to_owned(),
            created_at: step.created.map(|created| created.to_string()).unwrap_or_default(),
            created_by: shorten(&base::text::line(&step.created_by), args.no_trunc),
            size: units::size(size),
            comment: base::text::line(&step.comment).into_owned(),
        });
    }
    if let Some(last) = steps.last_mut() {
        last.id = if args.no_trunc { image.id.to_string() } else { image.id.0.short() };
    }
    steps.reverse();
    Ok(steps)
}

fn shorten(text: &str, whole: bool) -> String {
    const WIDTH: usize = 45;
    if whole || text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    text.chars().take(WIDTH - 1).chain(['…']).collect()
}
