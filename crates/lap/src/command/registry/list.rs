//! `lap registry tags` and `lap registry catalog`

use base::Kind;
use distribution::listing::{self, Part};
use image::Reference;
use serde_json::json;

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::{natural, network, signals};

/// List the tags of a repository
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lap registry tags registry.example.com/team/app
  lap registry tags --sort natural --format json debian
  lap registry tags --after 1.2 --limit 10 localhost:5000/app")]
pub struct TagsArgs {
    #[command(flatten)]
    part: PartArgs,
    #[command(flatten)]
    network: network::Args,
    /// The repository
    #[arg(value_name = "NAME")]
    repository: String,
}

/// List the repositories of a registry
///
/// Docker Hub and other registries for everybody do not tell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  lap registry catalog localhost:5000\n  lap registry catalog --format json registry.example.com"
)]
pub struct CatalogArgs {
    #[command(flatten)]
    part: PartArgs,
    #[command(flatten)]
    network: network::Args,
    /// The registry
    #[arg(value_name = "HOST[:PORT]")]
    registry: String,
}

/// What of a list, and how.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct PartArgs {
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only what comes behind this one, in the registry's order
    #[arg(long, value_name = "ENTRY")]
    after: Option<String>,
    /// In the registry's order, or with numbers in theirs (1.9 before 1.10)
    #[arg(long, default_value = "registry", value_parser = ["registry", "natural"], value_name = "ORDER")]
    sort: String,
    /// How to say it: text or json
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

impl PartArgs {
    fn part(&self) -> Part {
        Part { after: self.after.clone(), limit: self.limit }
    }

    fn sorted(&self, mut entries: Vec<String>) -> Vec<String> {
        if self.sort == "natural" {
            entries.sort_by(|one, other| natural::compare(one, other));
        }
        entries
    }

    /// Lines, or a document.
    fn print(&self, context: &Context, entries: &[String], document: &serde_json::Value) -> Outcome {
        if self.format == "json" {
            return context.printer.data(crate::json::pretty(document));
        }
        for entry in entries {
            // What a registry says is a text from outside.
            context.printer.line(base::text::line(entry))?;
        }
        Ok(())
    }
}

pub fn tags(context: &Context, args: &TagsArgs) -> Outcome<u8> {
    let repository = Reference::parse(&args.repository)?;
    if repository.tag().is_some() || repository.digest().is_some() {
        let what = format!("{} is one image, and tags are those of a repository", repository.familiar());
        return Err(Failure::new(Kind::Invalid, what)
            .hint(format!("leave out what is behind it: {}", repository.familiar_repository())));
    }
    let client = args.network.client()?;
    let cancel = signals::cancel_on_signal()?;
    let tags = args.part.sorted(listing::tags(&client, &repository, &args.part.part(), &cancel)?);
    // The names of the fields are skopeo's.
    let document = json!({"Repository": repository.repository(), "Tags": tags});
    args.part.print(context, &tags, &document)?;
    Ok(0)
}

pub fn catalog(context: &Context, args: &CatalogArgs) -> Outcome<u8> {
    let host = network::host(&args.registry)?;
    let path = args.registry.split("://").last().and_then(|bare| bare.split_once('/')).map(|(_, path)| path);
    if let Some(path) = path.filter(|path| !path.is_empty()) {
        let what = format!("{} is more than a registry", base::text::line(&args.registry));
        return Err(Failure::new(Kind::Invalid, what).hint(format!(
            "`lap search {host}/{}` lists repositories with this in their names",
            base::text::line(path)
        )));
    }
    let client = args.network.client()?;
    let cancel = signals::cancel_on_signal()?;
    let names = args.part.sorted(listing::catalog(&client, &host, &args.part.part(), &cancel)?);
    // The registry's own words.
    let document = json!({"repositories": names});
    args.part.print(context, &names, &document)?;
    Ok(0)
}
