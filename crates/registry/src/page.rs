//! Pages for people, at `/`: which repositories there are, what their tags mean, how to pull them. They are written by the server and need no
//! script.

mod html;

use std::time::SystemTime;

use hyper::{StatusCode, header};
use image::config::MAX_CONFIG_SIZE;
use image::{Config, Descriptor, Digest, Document, Manifest, MediaType};
use store::{Repository, RepositoryName, Store};

use crate::access::Action;
use crate::reply::{Answer, Code, Refusal, bytes, set};
use crate::service::{Exchange, blocking};

/// Repositories and tags that one page shows: more are not read by anybody.
const MAX_SHOWN: usize = 500;
/// Platforms of one tag that are shown.
const MAX_PLATFORMS: usize = 32;
/// Nothing is loaded, nothing is executed, nothing is sent anywhere.
const SECURITY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

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
}

/// An image, or an artifact.
struct Image {
    what: String,
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
    let host = host(exchange);
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
                Ok(html::repositories(&host, &lines.collect::<Answer<Vec<_>>>()?, more))
            })
            .await?
        }
        Some(name) => {
            blocking(move || {
                let repository = state.store.repositories().get(&name);
                let mut tags = repository.tags()?;
                if tags.is_empty() && !repository.exists()? {
                    return Err(Refusal::new(
                        Code::NameUnknown,
                        "there is no such repository, or nothing in it",
                    ));
                }
                let more = tags.len().saturating_sub(MAX_SHOWN);
                tags.truncate(MAX_SHOWN);
                let tags = tags.into_iter().map(|found| tag(&state.store, &repository, found));
                Ok(html::repository(&host, &name, &tags.collect::<Answer<Vec<_>>>()?, more))
            })
            .await?
        }
    };
    let mut reply = bytes(StatusCode::OK, "text/html; charset=utf-8", page);
    set(&mut reply, header::CONTENT_SECURITY_POLICY, SECURITY);
    set(&mut reply, header::CACHE_CONTROL, "no-cache");
    set(&mut reply, header::REFERRER_POLICY, "no-referrer");
    Ok(reply)
}

/// How the reader calls this registry: commands to copy have to work where they are read.
fn host(exchange: &Exchange) -> String {
    let is_host = |text: &&str| {
        text.len() < 256 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte))
    };
    let host = exchange.header(header::HOST).filter(is_host);
    host.map_or_else(|| exchange.state.options.address.to_string(), str::to_owned)
}

fn line(repository: &Repository) -> Answer<Line> {
    let tags = repository.tags()?;
    Ok(Line {
        name: repository.name().clone(),
        changed: tags.iter().map(|tag| tag.since).max(),
        tags: tags.into_iter().map(|tag| tag.name).collect(),
    })
}

fn tag(store: &Store, repository: &Repository, found: store::repositories::Tag) -> Answer<Tag> {
    let mut tag =
        Tag { name: found.name, target: found.target, since: found.since, images: Vec::new(), parts: 0 };
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

/// A manifest that can be seen here. One that cannot be read shows nothing; pulling it says why.
fn document(repository: &Repository, digest: &Digest) -> Option<Document> {
    repository.manifest(digest).ok()??;
    Document::parse(&repository.read_manifest(digest).ok()?).ok()
}

fn image(store: &Store, repository: &Repository, manifest: &Manifest) -> Image {
    let size = manifest.layers.iter().fold(manifest.config.size, |sum, layer| sum.saturating_add(layer.size));
    let is_image = [MediaType::OCI_CONFIG, MediaType::DOCKER_CONFIG].contains(&manifest.config.media_type);
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
        return Image { what: format!("artifact {kind}"), size, layers: layers.collect() };
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
    Image { what: config.platform().to_string(), size, layers }
}
