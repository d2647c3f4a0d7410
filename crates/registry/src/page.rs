//! Pages for people, at `/`: which repositories there are, what their tags mean, how to pull them. They are written by the server and need no
//! script.

mod commands;
mod html;

use std::time::SystemTime;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};
use image::config::MAX_CONFIG_SIZE;
use image::{Config, Descriptor, Digest, Document, Manifest};
use store::{Repository, RepositoryName, Store};

use crate::access::Action;
use crate::referrers::describe;
use crate::reply::{Answer, Code, Refusal, Reply, bytes, set};
use crate::service::{Exchange, blocking};

/// Repositories and tags that one page shows: more are not read by anybody.
const MAX_SHOWN: usize = 500;
/// Platforms of one tag that are shown.
const MAX_PLATFORMS: usize = 32;
/// What is about a manifest, of which is shown.
const MAX_ATTACHED: usize = 32;
/// Nothing is loaded (an icon is a part of the page), nothing is executed, nothing is sent anywhere.
const SECURITY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// How the reader reaches this registry, and what can be done there.
struct Place {
    /// The name that the reader has for it.
    host: String,
    is_tls: bool,
    read_only: bool,
}

/// A line of the first page.
struct Line {
    name: RepositoryName,
    tags: Vec<String>,
    changed: Option<SystemTime>,
}

/// What a tag means.
struct Tag {
    name: String,
    target: Descriptor,
    since: SystemTime,
    images: Vec<Image>,
    /// Of an index: how many manifests it has.
    parts: usize,
    /// What is about it: signatures, lists of contents. Kinds and digests.
    attached: Vec<(String, Digest)>,
}

/// An image, or an artifact.
struct Image {
    what: String,
    is_artifact: bool,
    size: u64,
    layers: Vec<Layer>,
}

/// A step of an image's history, and the layer that it made.
struct Layer {
    instruction: String,
    blob: Option<(Digest, u64)>,
}

/// Shows all repositories, or one.
pub(crate) async fn show(exchange: &Exchange, name: Option<&RepositoryName>) -> Answer {
    let place = place(exchange);
    let (state, user) = (exchange.state.clone(), exchange.user.clone());
    let page = match name.cloned() {
        None => {
            blocking(move || {
                let repositories = state.store.repositories();
                let mut names = repositories.list()?;
                names.retain(|name| state.access.may(&user, Action::Pull, name));
                let more = names.len().saturating_sub(MAX_SHOWN);
                names.truncate(MAX_SHOWN);
                let lines = names.into_iter().map(|name| line(&repositories.get(&name)));
                Ok(html::repositories(&place, &lines.collect::<Answer<Vec<_>>>()?, more))
            })
            .await?
        }
        Some(name) => {
            blocking(move || {
                let repository = state.store.repositories().get(&name);
                let mut tags = repository.tags()?;
                sort(&mut tags);
                if tags.is_empty() && !repository.exists()? {
                    return Err(Refusal::new(
                        Code::NameUnknown,
                        "there is no such repository, or nothing in it",
                    ));
                }
                let more = tags.len().saturating_sub(MAX_SHOWN);
                tags.truncate(MAX_SHOWN);
                let tags = tags.into_iter().map(|found| tag(&state.store, &repository, found));
                Ok(html::repository(&place, &name, &tags.collect::<Answer<Vec<_>>>()?, more))
            })
            .await?
        }
    };
    Ok(reply(StatusCode::OK, page))
}

/// Why there is no page, for somebody who reads pages; the headers of a refusal stay.
pub(crate) fn refused(refusal: Refusal) -> Reply {
    let (title, text) = match refusal.status {
        StatusCode::NOT_FOUND => ("Not found", "There is no such repository here, or nothing in it."),
        StatusCode::UNAUTHORIZED => {
            ("Not logged in", "Log in with the name and the password that you push with.")
        }
        StatusCode::FORBIDDEN => ("Not permitted", "You may not see this repository."),
        _ => ("Failed", "The registry cannot show this page; its log says why."),
    };
    let page = html::refusal(title, text);
    let mut refused = reply(refusal.status, page);
    for (name, value) in refusal.reply().headers() {
        if !refused.headers().contains_key(name) {
            refused.headers_mut().append(name.clone(), value.clone());
        }
    }
    refused
}

/// Whether somebody who reads pages asks for one.
pub(crate) fn is_wanted(path: &str, headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    (path == "/" || path.starts_with("/r/")) && accepts.contains("text/html")
}

fn reply(status: StatusCode, page: String) -> Reply {
    let mut reply = bytes(status, "text/html; charset=utf-8", page);
    set(&mut reply, header::CONTENT_SECURITY_POLICY, SECURITY);
    set(&mut reply, header::CACHE_CONTROL, "no-cache");
    set(&mut reply, header::REFERRER_POLICY, "no-referrer");
    reply
}

/// How the reader calls this registry: commands to copy have to work where they are read.
fn place(exchange: &Exchange) -> Place {
    let options = &exchange.state.options;
    let is_forwarded = exchange.header("x-forwarded-proto") == Some("https");
    Place {
        host: host(exchange),
        is_tls: options.tls.is_some() || is_forwarded,
        read_only: options.read_only,
    }
}

fn host(exchange: &Exchange) -> String {
    let is_host = |text: &&str| {
        text.len() < 256 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte))
    };
    let host = exchange.header(header::HOST).filter(is_host);
    host.map_or_else(|| exchange.state.options.address.to_string(), str::to_owned)
}

fn line(repository: &Repository) -> Answer<Line> {
    let mut tags = repository.tags()?;
    sort(&mut tags);
    Ok(Line {
        name: repository.name().clone(),
        changed: tags.iter().map(|tag| tag.since).max(),
        tags: tags.into_iter().map(|tag| tag.name).collect(),
    })
}

/// The newest first.
fn sort(tags: &mut [store::repositories::Tag]) {
    tags.sort_by(|one, two| two.since.cmp(&one.since).then_with(|| one.name.cmp(&two.name)));
}

fn tag(store: &Store, repository: &Repository, found: store::repositories::Tag) -> Answer<Tag> {
    let attached = attached(repository, &found.target.digest)?;
    let mut tag = Tag {
        name: found.name,
        target: found.target,
        since: found.since,
        images: Vec::new(),
        parts: 0,
        attached,
    };
    match document(repository, &tag.target.digest) {
        None => {}
        Some(Document::Manifest(manifest)) => tag.images.push(image(store, repository, manifest.value())),
        Some(Document::Index(index)) => {
            tag.parts = index.value().manifests.len();
            for part in index.value().manifests.iter().take(MAX_PLATFORMS) {
                let Some(Document::Manifest(manifest)) = document(repository, &part.digest) else { continue };
                let mut image = image(store, repository, manifest.value());
                if let Some(platform) = &part.platform {
                    image.what = platform.to_string();
                }
                tag.images.push(image);
            }
        }
    }
    Ok(tag)
}

fn attached(repository: &Repository, subject: &Digest) -> Answer<Vec<(String, Digest)>> {
    let mut attached = Vec::new();
    for record in repository.referrers(subject)?.into_iter().take(MAX_ATTACHED) {
        let descriptor = describe(repository, record)?;
        let kind = descriptor.artifact_type.unwrap_or(descriptor.media_type);
        attached.push((kind.to_string(), descriptor.digest));
    }
    Ok(attached)
}

/// A manifest that can be seen here. One that cannot be read shows nothing; pulling it says why.
fn document(repository: &Repository, digest: &Digest) -> Option<Document> {
    repository.manifest(digest).ok()??;
    Document::parse(&repository.read_manifest(digest).ok()?).ok()
}

fn image(store: &Store, repository: &Repository, manifest: &Manifest) -> Image {
    let size = manifest.layers.iter().fold(manifest.config.size, |sum, layer| sum.saturating_add(layer.size));
    let is_image = manifest.config.media_type.is_image_config();
    let config = is_image
        .then(|| repository.blob(&manifest.config.digest).ok()??.is_there.then_some(()))
        .flatten()
        .and_then(|()| store.blobs().read(&manifest.config.digest, MAX_CONFIG_SIZE).ok())
        .and_then(|bytes| Config::parse(&bytes).ok());
    let mut blobs = manifest.layers.iter().map(|layer| (layer.digest, layer.size));
    let Some(config) = config else {
        let kind = manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type);
        let layers = manifest.layers.iter().map(|layer| Layer {
            instruction: layer.media_type.to_string(),
            blob: Some((layer.digest, layer.size)),
        });
        let what = if is_image { "image".to_owned() } else { format!("artifact {kind}") };
        return Image { what, is_artifact: !is_image, size, layers: layers.collect() };
    };
    let config = config.value();
    let mut layers: Vec<Layer> = config
        .history
        .iter()
        .map(|step| Layer {
            instruction: step.created_by.clone(),
            blob: if step.empty_layer { None } else { blobs.next() },
        })
        .collect();
    // A history may be shorter than the image, or missing.
    layers.extend(blobs.map(|blob| Layer { instruction: String::new(), blob: Some(blob) }));
    Image { what: config.platform().to_string(), is_artifact: false, size, layers }
}
