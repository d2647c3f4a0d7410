//! What is asked for on the command line, as the builder knows it.

use base::Kind;
use builder::{DockerfileText, Entitlement, Epoch, Network, Request};
use image::{Platform, Reference};

use super::{Args, outputs};
use crate::failure::{Failure, Outcome};
use crate::{command, environment};

/// What is asked for, but for the Dockerfile.
pub fn request(args: &Args, outputs: &outputs::Outputs, contexts: Vec<String>) -> Outcome<Request> {
    let tags =
        args.tag.iter().map(|tag| Ok(Reference::parse(tag)?.or_latest())).collect::<Outcome<Vec<_>>>()?;
    Ok(Request {
        target: args.target.clone(),
        build_args: args.build_arg.iter().filter_map(|text| build_arg(text)).collect(),
        contexts,
        labels: args.label.iter().map(|text| label(text)).collect(),
        no_cache: args.no_cache,
        explain: args.explain,
        no_cache_stages: args.no_cache_filter.clone(),
        platforms: platforms(&args.platform)?,
        ways: args.ways.ways(),
        build_platform: Platform::host(),
        tags,
        exports: outputs.exports(),
        network: if args.network == "none" { Network::None } else { Network::Host },
        allowed: args.allow.clone(),
        resources: args.resources.resources()?,
        source_date_epoch: asked_epoch(args)?,
        threads: args.threads.unwrap_or_else(command::threads).max(1),
        ..Request::new(DockerfileText::default())
    })
}

/// The platforms that images are for, each once; this machine's when none is said (DF-084).
fn platforms(texts: &[String]) -> Outcome<Vec<Platform>> {
    let mut platforms = Vec::new();
    for text in texts {
        let platform = Platform::parse(text.trim())?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    if platforms.is_empty() {
        platforms.push(Platform::host());
    }
    Ok(platforms)
}

/// A name without a value is taken over from the environment when it is set there (DF-064).
fn build_arg(text: &str) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.to_owned(), std::env::var(text).ok()?)),
    }
}

/// Reads one of `--allow`.
pub fn entitlement(text: &str) -> Result<Entitlement, String> {
    Entitlement::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = Entitlement::ALL.iter().map(|entitlement| entitlement.name()).collect();
        format!("what can be allowed is {}", names.join(", "))
    })
}

fn label(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

/// Reads `SECONDS` or `context`.
pub fn epoch(text: &str) -> Result<Epoch, String> {
    if text == Epoch::CONTEXT {
        return Ok(Epoch::Context);
    }
    text.parse().map(Epoch::At).map_err(|_| "it is neither a number of seconds nor context".to_owned())
}

/// What the flag says, else the environment.
fn asked_epoch(args: &Args) -> Outcome<Option<Epoch>> {
    if args.reproducible.is_some() {
        return Ok(args.reproducible);
    }
    match std::env::var(environment::SOURCE_DATE_EPOCH) {
        Ok(text) if !text.is_empty() => epoch(&text).map(Some).map_err(|reason| {
            let text = base::text::bytes(text.as_bytes());
            Failure::new(Kind::Invalid, format!("SOURCE_DATE_EPOCH is {text}: {reason}"))
        }),
        _ => Ok(None),
    }
}
