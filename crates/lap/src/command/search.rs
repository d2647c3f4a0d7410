//! `lap search`

use base::Kind;
use distribution::host::Host;
use distribution::search::{self, Hit};
use serde_json::json;

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::{network, signals, table, template};

/// What is shown of a description.
const DESCRIPTION: usize = 45;

/// Find repositories by a word
///
/// On Docker Hub, or on the registry that stands before the word. A registry without a search is asked for the list of its repositories.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap search nginx
  lap search --filter is-official=true --limit 5 debian
  lap search localhost:5000/team")]
pub struct Args {
    /// Only is-official=BOOL, is-automated=BOOL, stars=N; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// At most so many, up to 100
    #[arg(long, default_value_t = 25, value_name = "N")]
    limit: usize,
    /// Whole descriptions
    #[arg(long)]
    no_trunc: bool,
    /// `json`, `table`, or a template such as '{{.Name}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    #[command(flatten)]
    network: network::Args,
    /// The word
    #[arg(value_name = "[HOST/]TERM")]
    term: String,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    if !(1..=search::MAX_LIMIT).contains(&args.limit) {
        let text = format!("--limit is {}: it has to be between 1 and {}", args.limit, search::MAX_LIMIT);
        return Err(Failure::new(Kind::Invalid, text));
    }
    let filters = args.filter.iter().map(|text| filter(text)).collect::<Outcome<Vec<_>>>()?;
    let (host, term) = place(&args.term)?;
    let client = args.network.client()?;
    let cancel = signals::cancel_on_signal()?;
    let mut hits = search::search(&client, &host, term, args.limit, &cancel)?;
    hits.retain(|hit| filters.iter().all(|fits| fits(hit)));
    let printer = context.printer;
    match args.format.as_deref() {
        None | Some("table") => printer.data(table::columns(&rows(&hits, args.no_trunc)))?,
        Some("json") => {
            for hit in &hits {
                printer.line(crate::json::line(&fields(hit)))?;
            }
        }
        Some(format) => {
            for hit in &hits {
                printer.line(base::text::line(&template::render(format, &fields(hit))?))?;
            }
        }
    }
    Ok(0)
}

/// What stands before the first slash is a registry, if it looks like one: as in names of images.
fn place(text: &str) -> Outcome<(Host, &str)> {
    let looks_like_host = |host: &&str| host.contains(['.', ':']) || *host == "localhost";
    match text.split_once('/').filter(|(host, _)| looks_like_host(host)) {
        Some((host, term)) => Ok((network::host(host)?, term)),
        // No name on Docker Hub has a colon: it is a registry, all of which is wanted.
        None if text.contains(':') && !text.contains('/') => Ok((network::host(text)?, "")),
        None => Ok((network::host("docker.io")?, text)),
    }
}

/// Whether something that was found is wanted.
type Filter = Box<dyn Fn(&Hit) -> bool>;

fn filter(text: &str) -> Outcome<Filter> {
    let wrong = || {
        Failure::new(Kind::Invalid, format!("the filter {text:?} is not understood"))
            .hint("filters are is-official=true, is-automated=false, stars=10 and the like")
    };
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    let truth = || value.parse::<bool>().map_err(|_| wrong());
    match key {
        "is-official" => truth().map(|wanted| -> Filter { Box::new(move |hit| hit.official == wanted) }),
        "is-automated" => truth().map(|wanted| -> Filter { Box::new(move |hit| hit.automated == wanted) }),
        "stars" => {
            let least: u64 = value.parse().map_err(|_| wrong())?;
            Ok(Box::new(move |hit| hit.stars >= least))
        }
        _ => Err(wrong()),
    }
}

/// Docker's names and values.
fn fields(hit: &Hit) -> serde_json::Value {
    json!({
        "Name": hit.name, "Description": hit.description, "StarCount": hit.stars.to_string(),
        "IsOfficial": hit.official.to_string(), "IsAutomated": hit.automated.to_string(),
    })
}

fn rows(hits: &[Hit], whole: bool) -> Vec<Vec<String>> {
    let row = |hit: &Hit| {
        let mut description = base::text::line(&hit.description).into_owned();
        if !whole && description.chars().count() > DESCRIPTION {
            description = description.chars().take(DESCRIPTION - 1).chain(['…']).collect();
        }
        let official = if hit.official { "[OK]" } else { "" };
        vec![
            base::text::line(&hit.name).into_owned(),
            description,
            hit.stars.to_string(),
            official.to_owned(),
        ]
    };
    let header = ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"].map(str::to_owned).to_vec();
    std::iter::once(header).chain(hits.iter().map(row)).collect()
}
