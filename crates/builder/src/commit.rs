//! Commit: what was planned and what was built → config, history, manifest, for several platforms an index; then names.

use image::media_type::MediaType;
use image::{Config, Descriptor, History, ImageId, Index, Manifest, Raw, Timestamp};
use layer::FIXED_TIME;
use store::{Layer, Lease, Origin, Store, Variant, Variants};

use crate::error::BuildError;
use crate::outcome::Named;
use crate::plan::{Base, HistoryEntry, Plan, Stage, Target};
use crate::request::Request;
use crate::solve::Solved;

/// Who made an entry of the history, as BuildKit says it.
const COMMENT: &str = "buildkit.dockerfile.v0";
/// What stands in the history for layers that it does not mention (DF-163).
const UNMENTIONED: &str = "buildkit.exporter.image.v0";

/// Images whose documents are in the store, under the lease alone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Committed {
    /// The image; of several the one for this machine, or else the first.
    pub image: ImageId,
    /// Its manifest.
    pub manifest: Descriptor,
    /// The index of several images.
    pub variants: Option<Variants>,
}

impl Committed {
    /// What the names are given for: the index, or the manifest.
    pub fn root(&self) -> &Descriptor {
        self.variants.as_ref().map_or(&self.manifest, |variants| &variants.index)
    }
}

/// Writes the configs and manifests of all targets, and the index of several.
pub(crate) fn commit(
    store: &Store,
    lease: &Lease,
    request: &Request,
    plan: &Plan,
    solved: &Solved,
) -> Result<Committed, BuildError> {
    let images = plan.targets.iter().map(|target| image(store, lease, request, plan, solved, target));
    let images = images.collect::<Result<Vec<_>, _>>()?;
    let nothing = || BuildError::Internal("no platform was asked for".to_owned());
    if images.len() < 2 {
        let Variant { image, manifest } = images.into_iter().next().ok_or_else(nothing)?;
        return Ok(Committed { image, manifest, variants: None });
    }
    let index = Raw::write(Index::oci(images.iter().map(|image| image.manifest.clone()).collect()))?;
    store.blobs().put(lease, index.bytes())?;
    let variants = Variants { index: index.descriptor(MediaType::OCI_INDEX), images, is_whole: true };
    let chosen = variants.for_platform(&request.build_platform).or(variants.images.first());
    let Variant { image, manifest } = chosen.cloned().ok_or_else(nothing)?;
    Ok(Committed { image, manifest: Descriptor { platform: None, ..manifest }, variants: Some(variants) })
}

/// Writes the config and the manifest of a target. Where there are several, the manifest is described as the index does it: with the platform that was
/// asked for.
fn image(
    store: &Store,
    lease: &Lease,
    request: &Request,
    plan: &Plan,
    solved: &Solved,
    target: &Target,
) -> Result<Variant, BuildError> {
    let has_several = plan.targets.len() > 1;
    let layers = solved.layers(target.stage);
    let config = Raw::write(config(request, plan, solved, target.stage))?;
    let manifest = Raw::write(Manifest::oci(
        config.descriptor(MediaType::OCI_CONFIG),
        layers.iter().map(descriptor).collect(),
    ))?;
    let image = ImageId(store.blobs().put(lease, config.bytes())?);
    store.blobs().put(lease, manifest.bytes())?;
    let platform = has_several.then(|| target.platform.clone());
    let manifest = Descriptor { platform, ..manifest.descriptor(MediaType::OCI_MANIFEST) };
    Ok(Variant { image, manifest })
}

/// Makes the images known, and gives them their names: not before everything that they need is on the disk. An image that is known already was synced then.
pub(crate) fn publish(
    store: &Store,
    lease: &Lease,
    request: &Request,
    committed: &Committed,
) -> Result<Vec<Named>, BuildError> {
    if !request.keeps_image() {
        return Ok(Vec::new());
    }
    let one = [Variant { image: committed.image, manifest: committed.manifest.clone() }];
    let all = committed.variants.as_ref().map_or(&one[..], |variants| &variants.images);
    let mut is_known = true;
    for Variant { image, manifest } in all {
        let known = store.images().get(image)?;
        let is_it = |other: &Descriptor| other.digest == manifest.digest;
        is_known &= known.is_some_and(|record| record.manifests.iter().any(is_it));
    }
    if !is_known {
        store.sync()?;
    }
    for Variant { image, manifest } in all {
        let manifest = Descriptor { platform: None, ..manifest.clone() };
        store.images().add(lease, *image, manifest, Origin::Built)?;
    }
    let mut names = Vec::new();
    for tag in &request.tags {
        let reference = tag.clone().or_latest();
        let image = (committed.image, &committed.manifest);
        let before = store.images().name_index(lease, &reference, committed.root(), image, Origin::Built)?;
        let before = before.map(|record| record.image).filter(|image| *image != committed.image);
        names.push(Named { reference, before });
    }
    Ok(names)
}

/// The layer as a plain tar: the pack need not be there, it can be derived.
fn descriptor(layer: &Layer) -> Descriptor {
    Descriptor::new(MediaType::OCI_LAYER, layer.diff_id().0, layer.table().tar_size())
}

fn config(request: &Request, plan: &Plan, solved: &Solved, target: usize) -> Config {
    let mut config = plan.stages.get(target).map(|stage| stage.config.clone()).unwrap_or_default();
    config.config.labels.extend(request.labels.iter().cloned());
    config.rootfs.diff_ids = solved.layers(target).iter().map(Layer::diff_id).collect();
    config.history = history(plan, solved, target);
    config.created =
        config.history.last().and_then(|entry| entry.created).or(Some(clamped(FIXED_TIME, plan.epoch)));
    config
}

/// The whole history of a stage, that of what it stands on first.
fn history(plan: &Plan, solved: &Solved, place: usize) -> Vec<History> {
    let mut history = Vec::new();
    let mut last = None;
    for (place, stage) in lineage(plan, place) {
        if let Base::Image(image) = &stage.base {
            history = history_of_image(&image.config);
            last = history.last().and_then(|entry| entry.created).or(image.config.created);
        }
        for entry in &stage.history {
            let layer = entry.step.and_then(|step| solved.layer(place, step));
            let newest = layer.and_then(|layer| layer.table().newest());
            let created = entry_time(newest, last, plan.epoch);
            history.push(written(entry, created, layer.is_none()));
            last = Some(created);
        }
    }
    history
}

/// A stage and all that it stands on, the lowest first.
fn lineage(plan: &Plan, place: usize) -> Vec<(usize, &Stage)> {
    let mut lineage = Vec::new();
    let mut next = Some(place);
    while let Some(place) = next {
        let Some(stage) = plan.stages.get(place) else { break };
        lineage.push((place, stage));
        next = match stage.base {
            // They refer to earlier ones only.
            Base::Stage(below) if below < place => Some(below),
            _ => None,
        };
    }
    lineage.reverse();
    lineage
}

/// No clock enters it: the newest time in the layer, else the predecessor's, else the fixed one.
fn entry_time(newest: Option<i64>, last: Option<Timestamp>, epoch: Option<i64>) -> Timestamp {
    let seconds = newest.or(last.map(Timestamp::unix)).unwrap_or(FIXED_TIME);
    clamped(seconds, epoch)
}

fn clamped(seconds: i64, epoch: Option<i64>) -> Timestamp {
    Timestamp::from_unix(epoch.map_or(seconds, |epoch| seconds.min(epoch)))
}

fn written(entry: &HistoryEntry, created: Timestamp, empty_layer: bool) -> History {
    History {
        created: Some(created),
        created_by: entry.created_by.clone(),
        comment: COMMENT.to_owned(),
        empty_layer,
        ..History::default()
    }
}

/// An image's own history, made to fit its layers (DF-163).
fn history_of_image(config: &Config) -> Vec<History> {
    let mut history = config.history.clone();
    let mentioned = history.iter().filter(|entry| !entry.empty_layer).count();
    let layers = config.rootfs.diff_ids.len();
    let surplus = mentioned.saturating_sub(layers);
    for entry in history.iter_mut().filter(|entry| !entry.empty_layer).take(surplus) {
        entry.empty_layer = true;
    }
    let unmentioned =
        || History { created: config.created, comment: UNMENTIONED.to_owned(), ..History::default() };
    history.extend(std::iter::repeat_with(unmentioned).take(layers.saturating_sub(mentioned)));
    history
}

#[cfg(test)]
mod tests {
    use image::{DiffId, Digest};

    use super::*;

    #[test]
    fn df_163_the_history_of_a_base_fits_its_layers() {
        let entry = |empty_layer| History { empty_layer, ..History::default() };
        for (history, layers, expected) in [
            (vec![], 2, vec![false, false]),
            (vec![entry(false), entry(true)], 1, vec![false, true]),
            (vec![entry(false), entry(true)], 2, vec![false, true, false]),
            (vec![entry(false), entry(false), entry(false)], 1, vec![true, true, false]),
        ] {
            let mut config = Config { history, ..Config::default() };
            config.rootfs.diff_ids = vec![DiffId(Digest::sha256(b"x")); layers];
            let made: Vec<bool> = history_of_image(&config).iter().map(|entry| entry.empty_layer).collect();
            assert_eq!(made, expected);
        }
    }

    #[test]
    fn df_165_times_come_from_contents() {
        let at = Timestamp::from_unix;
        for (newest, last, epoch, expected) in [
            (Some(100), Some(at(50)), None, 100),
            (None, Some(at(50)), None, 50),
            (None, None, None, FIXED_TIME),
            (Some(100), None, Some(70), 70),
            (Some(60), None, Some(70), 60),
            (None, Some(at(90)), Some(70), 70),
        ] {
            assert_eq!(entry_time(newest, last, epoch), at(expected));
        }
    }
}
