//! Collection: removing what nothing needs.
//!
//! Under the exclusive lock it is decided what is needed, and what is not is renamed to the trash: moments. Sizes are
//! taken, and things deleted, afterwards. A layer that somebody uses is locked, and stays with all its forms.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base::{Cancel, Classified, IoContext, Kind};
use image::{DiffId, Digest, ImageId, Reference};

use crate::cache::StepKey;
use crate::layers::{chain_owner, recorded_blobs};
use crate::measure::Measure;
use crate::names::NameRecord;
use crate::reach::{CACHE, Reach, Reason};
use crate::repositories::{Chosen, RepositoryName};
use crate::{Result, Store, TempDir, files, lease, lock, names, remove, trees};

/// What to remove besides what nothing refers to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Images without a name, and manifests in repositories that no tag, no index and no subject keeps.
    pub dangling_images: bool,
    /// All images that no container uses, also those with a name.
    pub all_images: bool,
    /// The records of the build cache, and so the layers that only they refer to.
    pub cache: bool,
    /// Derived forms: trees, packs and compressed blobs that can be made again.
    pub derived: bool,
    /// Say what would be removed, and remove nothing.
    pub dry_run: bool,
}

/// What was removed (or would be).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Names that were forgotten.
    pub names: Vec<Reference>,
    /// Images that were forgotten.
    pub images: Vec<ImageId>,
    /// Manifests of repositories that were forgotten.
    pub manifests: Vec<(RepositoryName, Digest)>,
    /// How many records of the build cache.
    pub records: u64,
    /// How many directories of cache mounts, and clones of repositories.
    pub mounts: u64,
    /// How many layers.
    pub layers: u64,
    /// How many blobs.
    pub blobs: u64,
    /// How much room that gives, in bytes.
    pub bytes: u64,
}

impl Store {
    /// Removes what nothing needs, while other processes work on the store.
    pub fn collect(&self, policy: &Policy, cancel: &Cancel) -> Result<Report> {
        let trash = if policy.dry_run { None } else { Some(Trash::open(&self.at("trash"))?) };
        let alone = self.alone(cancel)?;
        let mut collection = Collection {
            store: self,
            policy,
            cancel,
            reach: Reach::new(self),
            trash: trash.as_ref(),
            taken: Vec::new(),
            report: Report::default(),
        };
        let collected = collection.run();
        drop(alone);
        let Collection { taken, mut report, .. } = collection;
        // What was renamed to the trash before something failed is not needed by anybody: it goes, too.
        collected?;
        let mut measure = Measure::default();
        for path in &taken {
            report.bytes += measure.room(path)?;
        }
        if let Some(Trash::Shared(_)) = trash {
            taken.iter().try_for_each(|path| remove::tree(path))?;
        }
        Ok(report)
    }
}

/// Where a collection puts what goes.
enum Trash {
    /// A directory of its own, which nobody else touches.
    Own(TempDir),
    /// The directory of all, on a disk that is too full for another directory: whoever opens the store meanwhile may remove what is
    /// in there, too.
    Shared(PathBuf),
}

impl Trash {
    fn open(directory: &Path) -> Result<Self> {
        match TempDir::create(directory, "collected") {
            Err(error) if error.kind() == Kind::NoSpace => Ok(Trash::Shared(directory.to_owned())),
            result => Ok(Trash::Own(result?)),
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        match self {
            Trash::Own(directory) => directory.path().join(name),
            Trash::Shared(directory) => directory.join(format!("{}-{name}", files::unique())),
        }
    }
}

struct Collection<'a> {
    store: &'a Store,
    policy: &'a Policy,
    cancel: &'a Cancel,
    reach: Reach<'a>,
    /// Where things go; nowhere in a dry run.
    trash: Option<&'a Trash>,
    /// Where what was taken away is now.
    taken: Vec<PathBuf>,
    report: Report,
}

impl Collection<'_> {
    fn run(&mut self) -> Result<()> {
        let leases = lease::live(self.store.root(), &self.store.at("leases"))?;
        for lease in &leases {
            self.reach.lease(lease)?;
        }
        let (forgotten_names, kept_names) = self.choose_names()?;
        for name in &kept_names {
            self.cancel.check()?;
            self.reach.name(name)?;
        }
        let pushed = self.store.repositories().choose(self.policy.dangling_images, SystemTime::now())?;
        self.reach.repositories(&pushed)?;
        let forgotten_images = self.choose_images()?;
        let forgotten_steps = self.choose_steps()?;
        let forgotten_stages = self.choose_stages()?;
        // All roots are known: from here on things go, those that refer to others first. Whatever kills this process
        // between two of them, nothing that stays refers to something that has gone.
        self.forget_names(forgotten_names)?;
        self.forget_manifests(pushed)?;
        self.forget_images(forgotten_images)?;
        self.forget_steps(forgotten_steps)?;
        for (number, path) in forgotten_stages.iter().enumerate() {
            self.take(path, &format!("stage-{number}"))?;
        }
        self.take_logs()?;
        if self.policy.cache {
            self.take_mounts()?;
        }
        self.take_layers()?;
        self.take_chains()?;
        if self.policy.derived {
            self.take_derived()?;
        }
        if self.trash.is_some() && self.report.layers > 0 {
            // A power cut must not bring a layer back whose blobs have gone.
            files::sync_directory(&self.store.at("layers"))?;
        }
        self.take_blobs()?;
        self.take_partials()
    }

    /// Beginnings of blobs that nobody is transferring, the sessions of their way out, and what is known of downloads.
    fn take_partials(&mut self) -> Result<()> {
        // Locked until they have gone, so that nobody begins to continue one.
        let held = self.store.abandoned_partials()?;
        for (path, _lock) in &held {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.take(path, &format!("partial-{name}"))?;
        }
        for path in self.store.uploads().files()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.take(&path, &format!("upload-{name}"))?;
        }
        // Each costs a download when it is needed after all.
        for path in self.store.downloads().files()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.take(&path, &format!("download-{name}"))?;
        }
        Ok(())
    }

    /// Names to forget, and names to keep.
    fn choose_names(&self) -> Result<(Vec<NameRecord>, Vec<NameRecord>)> {
        let kept = |name: &NameRecord| !self.policy.all_images || self.reach.images.contains_key(&name.image);
        Ok(self.store.names().list()?.into_iter().partition(|name| !kept(name)))
    }

    /// Images to forget; all others are needed from now on.
    fn choose_images(&mut self) -> Result<Vec<ImageId>> {
        let mut forgotten = Vec::new();
        for id in self.store.images().ids()? {
            self.cancel.check()?;
            if self.reach.images.contains_key(&id) {
                continue;
            }
            if self.policy.dangling_images || self.policy.all_images {
                forgotten.push(id);
            } else {
                self.reach.image(&id, &Reason::root("images without a name".to_owned()))?;
            }
        }
        Ok(forgotten)
    }

    /// Records to forget; all others are needed from now on.
    fn choose_steps(&mut self) -> Result<Vec<(StepKey, StepKey)>> {
        let cache = self.store.cache();
        let mut forgotten = Vec::new();
        for (definition, key) in cache.keys()? {
            self.cancel.check()?;
            if self.reach.steps.contains(&(definition, key)) {
                continue;
            }
            let layer = cache.read(&definition, &key)?.and_then(|(record, _)| record.layer);
            let has_lost_its_layer = match layer {
                Some(layer) => !files::exists(&self.store.layers().path(&layer))?,
                None => false,
            };
            if self.policy.cache || has_lost_its_layer {
                forgotten.push((definition, key));
            } else {
                self.reach.step(&definition, &key, &Reason::root(CACHE.to_owned()))?;
            }
        }
        Ok(forgotten)
    }

    /// What is known of stages whose records an earlier collection has removed: until then a build can say that they have been.
    fn choose_stages(&self) -> Result<Vec<PathBuf>> {
        if self.policy.cache { self.store.stages().without_records() } else { Ok(Vec::new()) }
    }

    fn forget_names(&mut self, forgotten: Vec<NameRecord>) -> Result<()> {
        for name in forgotten {
            if self.trash.is_some() {
                let path = self.store.names().path(&name.reference)?;
                names::forget(&self.store.at("names"), &path)?;
            }
            self.report.names.push(name.reference);
        }
        Ok(())
    }

    fn forget_manifests(&mut self, pushed: Chosen) -> Result<()> {
        let repositories = self.store.repositories();
        for (repository, digest) in pushed.forgotten {
            if self.trash.is_some() {
                repositories.forget(&repository, &digest)?;
            }
            self.report.manifests.push((repository.name().clone(), digest));
        }
        for link in pushed.links.iter().filter(|_| self.trash.is_some()) {
            names::forget(&self.store.at("repositories"), link)?;
        }
        Ok(())
    }

    fn forget_images(&mut self, forgotten: Vec<ImageId>) -> Result<()> {
        for id in forgotten {
            self.take(&self.store.images().path(&id), &format!("image-{}", id.0.hex()))?;
            self.report.images.push(id);
        }
        // Before what they need goes.
        if self.trash.is_some() && !self.report.images.is_empty() {
            files::sync_directory(&self.store.at("images"))?;
        }
        Ok(())
    }

    fn forget_steps(&mut self, forgotten: Vec<(StepKey, StepKey)>) -> Result<()> {
        for (definition, key) in forgotten {
            let path = self.store.cache().path(&definition, &key);
            self.take(&path, &format!("step-{definition}-{key}"))?;
            self.report.records += 1;
            if let (Some(_), Some(directory)) = (self.trash, path.parent()) {
                // Unless there are other records in it.
                let _ = fs::remove_dir(directory);
            }
        }
        Ok(())
    }

    /// Logs go with the records of their steps; a step that failed has none.
    fn take_logs(&mut self) -> Result<()> {
        if !self.policy.cache {
            return Ok(());
        }
        let kept: HashSet<StepKey> = self.reach.steps.iter().map(|(_, key)| *key).collect();
        for path in self.store.logs().besides(|step| kept.contains(step))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.take(&path, &format!("log-{name}"))?;
        }
        Ok(())
    }

    fn take_layers(&mut self) -> Result<()> {
        for diff_id in self.store.layers().list()? {
            self.cancel.check()?;
            if self.reach.layers.contains_key(&diff_id) {
                continue;
            }
            let path = self.store.layers().path(&diff_id);
            // Unless somebody uses the layer.
            match lock::take_unused(&path)? {
                None => self.reach.layer(&diff_id, &Reason::root("in use".to_owned()))?,
                Some(_alone) => {
                    self.take(&path, &format!("layer-{}", diff_id.0.hex()))?;
                    self.report.layers += 1;
                }
            }
        }
        Ok(())
    }

    /// Directories of cache mounts that no step has.
    fn take_mounts(&mut self) -> Result<()> {
        let mounts = self.store.mounts();
        for key in mounts.keys()? {
            self.cancel.check()?;
            // Locked until it has gone; nobody else begins to use it while this process has the store's lock alone.
            if let Some(_locks) = mounts.alone(&key)? {
                self.take(&mounts.path(&key), &format!("mount-{key}"))?;
                self.report.mounts += 1;
            }
        }
        Ok(())
    }

    /// Trees on layers below go with their layer.
    fn take_chains(&mut self) -> Result<()> {
        let all = self.store.at("chains");
        for name in files::names_in(&all)? {
            let path = all.join(&name);
            let is_needed = match chain_owner(&path)? {
                Some(owner) => self.reach.layers.contains_key(&owner),
                None => false,
            };
            if !is_needed {
                self.take(&path, &format!("chain-{}", name.to_string_lossy()))?;
            }
        }
        Ok(())
    }

    fn take_blobs(&mut self) -> Result<()> {
        for (digest, _) in self.store.blobs().list()? {
            self.cancel.check()?;
            if !self.reach.needs_blob(&digest) {
                self.take_blob(&digest)?;
            }
        }
        Ok(())
    }

    fn take_blob(&mut self, digest: &Digest) -> Result<()> {
        self.take(&self.store.blobs().path(digest), &format!("blob-{}", digest.hex()))?;
        self.report.blobs += 1;
        Ok(())
    }

    /// Takes all forms but one from each layer that nobody uses right now.
    fn take_derived(&mut self) -> Result<()> {
        let needed: Vec<DiffId> = self.reach.layers.keys().copied().collect();
        for diff_id in needed {
            self.cancel.check()?;
            if let Some(_alone) = lock::take_unused(&self.store.layers().path(&diff_id))? {
                self.take_derived_of(&diff_id)?;
            }
        }
        Ok(())
    }

    fn take_derived_of(&mut self, diff_id: &DiffId) -> Result<()> {
        let Forms { staying, made, has_pack, trees } = self.forms_of(diff_id)?;
        let mut going = made;
        let pack_is_free = has_pack && !self.reach.kept_blobs.contains(&diff_id.0);
        let stays_anyway = staying || has_pack && !pack_is_free;
        // The pack is the best to stay: everything else is made from it directly, and its digest says whether it is whole.
        let last = match (stays_anyway, has_pack) {
            (true, _) => Last::Other,
            (false, true) => Last::Pack,
            (false, false) if !going.is_empty() => {
                going.remove(0);
                Last::Other
            }
            (false, false) => return Ok(()),
        };
        if pack_is_free && last == Last::Other {
            going.push(diff_id.0);
        }
        for directory in trees {
            self.take_tree(&directory)?;
        }
        for digest in going {
            self.take_blob(&digest)?;
        }
        Ok(())
    }

    fn forms_of(&self, diff_id: &DiffId) -> Result<Forms> {
        let blobs = self.store.blobs();
        let path = self.store.layers().path(diff_id);
        let mut forms = Forms {
            staying: false,
            made: Vec::new(),
            has_pack: blobs.size(&diff_id.0)?.is_some(),
            trees: vec![path.clone()],
        };
        let mut seen = HashSet::from([diff_id.0]);
        for blob in recorded_blobs(self.store, &path)?.into_iter().flatten() {
            let digest = blob.descriptor.digest;
            if blobs.size(&digest)? != Some(blob.descriptor.size) || !seen.insert(digest) {
                continue;
            }
            // What came from outside cannot be made again; what a manifest or a process names is expected to be there.
            if blob.is_as_came() || self.reach.blobs.contains_key(&digest) {
                forms.staying = true;
            } else {
                forms.made.push(digest);
            }
        }
        forms.trees.extend(crate::layers::chains_of(self.store, diff_id)?);
        Ok(forms)
    }

    fn take_tree(&mut self, directory: &Path) -> Result<()> {
        let tree = directory.join("tree");
        if files::exists(&tree)? {
            let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if self.trash.is_some() {
                // First of all: nothing may say of another tree that it has reached the disk.
                trees::remove_marks(directory)?;
            }
            self.take(&tree, &format!("tree-{name}"))?;
        }
        Ok(())
    }

    /// Renames something to the trash.
    fn take(&mut self, path: &Path, name: &str) -> Result<()> {
        match self.trash {
            None => self.taken.push(path.to_owned()),
            Some(trash) => {
                let place = trash.place(name);
                fs::rename(path, &place).context("rename", path)?;
                self.taken.push(place);
            }
        }
        Ok(())
    }
}

/// The forms of a layer that are there.
struct Forms {
    /// Whether there is a blob that stays in any case.
    staying: bool,
    /// Blobs that were made here, and can be made again.
    made: Vec<Digest>,
    has_pack: bool,
    /// Where trees may be.
    trees: Vec<PathBuf>,
}

/// Which form stays when none has to.
#[derive(PartialEq, Eq)]
enum Last {
    Pack,
    Other,
}
