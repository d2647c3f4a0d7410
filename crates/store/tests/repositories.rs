//! Repositories: what is pushed stays and can be seen, what is deleted cannot, and collections keep what is needed.

mod common;

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use base::{Classified, Kind};
use common::*;
use image::{Algorithm, Descriptor, Digest, Digester, Index, Manifest, MediaType, Raw};
use store::collect::Policy;
use store::repositories::{Condition, NewManifest};
use store::{Repository, RepositoryName, Store, StoreError};

const UNTAGGED: Policy =
    Policy { dangling_images: true, all_images: false, cache: false, derived: false, dry_run: false };

fn repository(store: &Store, name: &str) -> Repository {
    store.repositories().get(&RepositoryName::parse(name).expect("a name"))
}

fn push_blob(store: &Store, repository: &Repository, bytes: &[u8]) -> Digest {
    let mut upload = store.repositories().uploads().begin(repository, Algorithm::Sha256).expect("an upload");
    upload.append(bytes).expect("append");
    let digest = Digest::sha256(bytes);
    assert_eq!(upload.commit(&digest).expect("a blob"), bytes.len() as u64);
    digest
}

fn add(
    store: &Store,
    repository: &Repository,
    bytes: &[u8],
    media_type: MediaType,
    tags: &[&str],
    subject: Option<Digest>,
) -> Digest {
    let lease = store.lease("push").expect("a lease");
    let digest = store.blobs().put(&lease, bytes).expect("a blob");
    let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
    let new = NewManifest {
        descriptor,
        subject,
        blobs: &[],
        manifests: &[],
        tags: &tags,
        condition: Condition::Any,
    };
    repository.add_manifest(&new).expect("a manifest").expect("no condition");
    digest
}

/// Pushes an image of one layer.
fn push(
    store: &Store,
    repository: &Repository,
    content: &str,
    tags: &[&str],
    subject: Option<Digest>,
) -> (Digest, [Digest; 2]) {
    let blobs = [format!("{{\"config\":\"{content}\"}}"), format!("layer {content}")];
    let [config, layer] = blobs.map(|bytes| {
        let digest = push_blob(store, repository, bytes.as_bytes());
        Descriptor::new(MediaType::OCTET_STREAM, digest, bytes.len() as u64)
    });
    let digests = [config.digest, layer.digest];
    let manifest = Raw::write(Manifest::oci(config, vec![layer])).expect("a manifest");
    (add(store, repository, manifest.bytes(), MediaType::OCI_MANIFEST, tags, subject), digests)
}

/// Everything that was pushed was pushed two hours ago.
fn age(store: &Store) {
    let then = SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    let mut waiting = vec![store.root().join("repositories")];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if directory.ends_with("_manifests") {
                let text = fs::read_to_string(&path).expect("a record");
                let mut record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                let nanoseconds = then.duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_nanos();
                record["pushed"] = serde_json::json!(u64::try_from(nanoseconds).expect("a small time"));
                fs::write(&path, record.to_string()).expect("write");
            } else {
                File::options()
                    .write(true)
                    .open(&path)
                    .expect("open")
                    .set_modified(then)
                    .expect("set the time");
            }
        }
    }
}

fn blobs(store: &Store) -> usize {
    store.blobs().list().expect("a list").len()
}

#[test]
fn rs_012_a_blob_can_be_seen_where_it_was_pushed_or_mounted() {
    let place = place();
    let store = &place.store;
    let (one, two) = (repository(store, "one"), repository(store, "two"));
    let digest = push_blob(store, &one, b"blob");
    assert_eq!(one.blob(&digest).expect("a look").map(|blob| (blob.size, blob.is_there)), Some((4, true)));
    assert_eq!(two.blob(&digest).expect("a look"), None);
    assert!(two.mount_blob(&one, &digest).expect("a mount"));
    assert!(!two.mount_blob(&one, &Digest::sha256(b"another")).expect("a look"));
    assert!(one.remove_blob(&digest).expect("a removal"));
    assert!(!one.remove_blob(&digest).expect("a removal"));
    assert_eq!(one.blob(&digest).expect("a look"), None);
    assert!(two.open_blob(&digest).expect("a look").is_some());
    assert_whole(store);
}

#[test]
fn rs_151_what_is_in_two_repositories_lies_in_the_store_once() {
    let place = place();
    let store = &place.store;
    let (one, two) = (repository(store, "one"), repository(store, "two"));
    assert_eq!(push_blob(store, &one, b"content"), push_blob(store, &two, b"content"));
    assert_eq!(blobs(store), 1);
}

#[test]
fn rs_026_an_upload_goes_on_in_another_process() {
    let place = place();
    let store = &place.store;
    let app = repository(store, "app");
    let uploads = store.repositories().uploads();
    let mut upload = uploads.begin(&app, Algorithm::Sha256).expect("an upload");
    let id = upload.id().to_owned();
    upload.append(b"first, ").expect("append");
    let busy = uploads.resume(&app, &id, None).err().expect("somebody writes");
    assert_eq!(busy.kind(), Kind::Busy);
    upload.pause().expect("a pause");
    let again = Store::open(store.root()).expect("the store");
    let uploads = again.repositories().uploads();
    assert_eq!(uploads.size(&app, &id).expect("a look"), Some(7));
    assert_eq!(uploads.size(&repository(&again, "other"), &id).expect("a look"), None);
    let mut upload = uploads.resume(&app, &id, None).expect("a look").expect("the upload");
    upload.append(b"second").expect("append");
    let mut digester = Digester::new(Algorithm::Sha512);
    digester.update(b"first, second");
    let digest = digester.finish();
    upload.commit(&digest).expect("a blob");
    assert_eq!(uploads.size(&app, &id).expect("a look"), None);
    assert_eq!(app.blob(&digest).expect("a look").map(|blob| blob.size), Some(13));
    assert_whole(store);
}

#[test]
fn rs_023_wrong_bytes_never_become_a_blob() {
    let place = place();
    let app = repository(&place.store, "app");
    let uploads = place.store.repositories().uploads();
    let mut upload = uploads.begin(&app, Algorithm::Sha256).expect("an upload");
    let id = upload.id().to_owned();
    upload.append(b"wrong").expect("append");
    let error = upload.commit(&Digest::sha256(b"right")).expect_err("an error");
    assert!(matches!(error, StoreError::Mismatch { .. }), "{error}");
    assert_eq!(uploads.size(&app, &id).expect("a look"), None);
    assert_eq!(blobs(&place.store), 0);
}

#[test]
fn rs_131_idle_uploads_go() {
    let place = place();
    let store = &place.store;
    let app = repository(store, "app");
    let uploads = store.repositories().uploads();
    let held = uploads.begin(&app, Algorithm::Sha256).expect("an upload");
    let idle = uploads.begin(&app, Algorithm::Sha256).expect("an upload");
    let (held_id, idle_id) = (held.id().to_owned(), idle.id().to_owned());
    drop(idle);
    age(store);
    assert_eq!(uploads.purge(Duration::from_secs(24 * 60 * 60)).expect("a purge"), 0);
    assert_eq!(uploads.purge(Duration::from_secs(60 * 60)).expect("a purge"), 1);
    assert_eq!(uploads.size(&app, &held_id).expect("a look"), Some(0));
    assert_eq!(uploads.size(&app, &idle_id).expect("a look"), None);
    for strange in ["..", "", "../../version", &"0".repeat(32), &"x".repeat(32)] {
        assert_eq!(uploads.size(&app, strange).expect("a look"), None, "{strange}");
    }
}

#[test]
fn rs_044_deleting_a_tag_keeps_the_manifest_and_deleting_the_manifest_takes_its_tags() {
    let place = place();
    let store = &place.store;
    let app = repository(store, "team/app");
    let (digest, _) = push(store, &app, "one", &["1", "latest"], None);
    assert!(app.remove_tag("1").expect("a removal"));
    assert!(!app.remove_tag("1").expect("a removal"));
    assert!(app.manifest(&digest).expect("a look").is_some());
    assert!(app.remove_manifest(&digest).expect("a removal"));
    assert!(!app.remove_manifest(&digest).expect("a removal"));
    assert!(app.manifest(&digest).expect("a look").is_none() && app.tags().expect("tags").is_empty());
    assert!(store.repositories().list().expect("a list").is_empty());
    assert_whole(store);
}

#[test]
fn rs_047_conditions() {
    let place = place();
    let store = &place.store;
    let app = repository(store, "app");
    let (first, _) = push(store, &app, "one", &["1"], None);
    let (second, _) = push(store, &app, "two", &[], None);
    let put = |condition| {
        let tags = ["1".to_owned()];
        let descriptor = app.manifest(&second).expect("a look").expect("a manifest");
        let new =
            NewManifest { descriptor, subject: None, blobs: &[], manifests: &[], tags: &tags, condition };
        app.add_manifest(&new).expect("a manifest").map_err(|tag| tag.map(|tag| tag.target.digest))
    };
    assert_eq!(put(Condition::Absent), Err(Some(first)));
    assert_eq!(put(Condition::Is(second)), Err(Some(first)));
    assert_eq!(put(Condition::Is(first)), Ok(()));
    assert_eq!(app.tag("1").expect("a look").map(|tag| tag.target.digest), Some(second));
}

#[test]
fn rs_052_referrers_come_and_go_with_their_manifests() {
    let place = place();
    let store = &place.store;
    let app = repository(store, "app");
    let subject = Digest::sha256(b"pushed later, or never");
    let (referrer, _) = push(store, &app, "signature", &[], Some(subject));
    let found = |subject: &Digest| -> Vec<Digest> {
        app.referrers(subject).expect("referrers").into_iter().map(|record| record.digest).collect()
    };
    assert_eq!(found(&subject), [referrer]);
    assert_eq!(found(&referrer), []);
    app.remove_manifest(&referrer).expect("a removal");
    assert_eq!(found(&subject), []);
}

#[test]
fn images_of_the_store_can_be_seen_and_what_was_said_last_counts() {
    let place = place();
    let store = &place.store;
    let lease = store.lease("setup").expect("a lease");
    let layer = material("layer").add_tree_layer(store, &lease);
    let (id, target) = add_image(store, &lease, &[&layer], "image");
    store.names().set(&lease, &name("app:1"), id, &target).expect("a name");
    let app = repository(store, "library/app");
    assert_eq!(store.repositories().list().expect("a list"), [app.name().clone()]);
    assert_eq!(app.tag("1").expect("a look").map(|tag| tag.target), Some(target.clone()));
    assert_eq!(app.manifest(&target.digest).expect("a look"), Some(target.clone()));
    let config = app.blob(&id.0).expect("a look").expect("the config");
    assert!(config.is_there);
    let pack = app.blob(&layer.diff_id().0).expect("a look").expect("the layer");
    assert_eq!((pack.size, pack.is_there), (layer.table().tar_size(), false));
    assert_eq!(repository(store, "other").blob(&id.0).expect("a look"), None);

    let (pushed, _) = push(store, &app, "pushed", &["1"], None);
    assert_eq!(app.tag("1").expect("a look").map(|tag| tag.target.digest), Some(pushed));
    store.names().remove(&name("app:1")).expect("a removal");
    store.names().set(&lease, &name("app:1"), id, &target).expect("a name");
    assert_eq!(app.tag("1").expect("a look").map(|tag| tag.target.digest), Some(target.digest));
    assert_eq!(app.tags().expect("tags").len(), 1);
    assert!(app.remove_manifest(&target.digest).expect("a removal"));
    assert_eq!(store.names().get(&name("app:1")).expect("a look"), None);
}

#[test]
fn rs_044_a_tag_that_was_removed_or_pushed_over_is_not_settled() {
    let place = place();
    let store = &place.store;
    let lease = store.lease("setup").expect("a lease");
    let layer = material("layer").add_tree_layer(store, &lease);
    let (id, image) = add_image(store, &lease, &[&layer], "image");
    let app = repository(store, "library/app");
    let manifest = store.blobs().read(&image.digest, 1 << 20).expect("a manifest");
    let push_image =
        || assert_eq!(add(store, &app, &manifest, MediaType::OCI_MANIFEST, &["1"], None), image.digest);
    push_image();
    let seen = app.tag("1").expect("a look").expect("a tag");
    app.remove_tag("1").expect("a removal");
    assert!(!app.settle_tag(&lease, &seen, id).expect("a decision"));
    assert_eq!(app.tag("1").expect("a look"), None);

    push_image();
    let (other, _) = push(store, &app, "other", &["1"], None);
    assert!(!app.settle_tag(&lease, &seen, id).expect("a decision"));
    assert_eq!(app.tag("1").expect("a look").map(|tag| tag.target.digest), Some(other));
    assert_eq!(store.names().get(&name("app:1")).expect("a look"), None);

    push_image();
    assert!(app.settle_tag(&lease, &seen, id).expect("a decision"));
    assert_eq!(store.names().get(&name("app:1")).expect("a look").map(|name| name.image), Some(id));
    assert_eq!(app.pushed_tags().expect("tags"), []);
}

#[test]
fn rs_130_a_collection_keeps_what_was_pushed() {
    let place = place();
    let store = &place.store;
    let app = repository(store, "app");
    let (_, kept) = push(store, &app, "tagged", &["1"], None);
    let lonely = push_blob(store, &app, b"of no manifest");
    age(store);
    // Whoever is told that a blob is there may rely on it.
    let fresh = push_blob(store, &app, b"just pushed");
    collect(store, UNTAGGED);
    for (digest, is_there) in [(kept[0], true), (kept[1], true), (lonely, false), (fresh, true)] {
        assert_eq!(app.blob(&digest).expect("a look").is_some(), is_there, "{digest}");
    }
    assert_eq!(blobs(store), 4);
    age(store);
    assert!(app.blob(&fresh).expect("a look").is_some());
    collect(store, UNTAGGED);
    assert!(app.blob(&fresh).expect("a look").is_some(), "asking for it keeps it");
    assert_whole(store);
    let why = store.why(&kept[1]).expect("a reason").unwrap_or_default();
    assert!(why.starts_with("repository app → target → manifest"), "{why}");
    assert_eq!(store.usage().expect("the usage").temporary.reclaimable, 0);
}

#[test]
fn rs_132_untagged_manifests_go_unless_something_needs_them() {
    let place = place();
    let store = &place.store;
    let app = repository(store, "app");
    let (child, _) = push(store, &app, "child", &[], None);
    let child = app.manifest(&child).expect("a look").expect("a manifest");
    let index = Raw::write(Index::oci(vec![child.clone()])).expect("an index");
    let index = add(store, &app, index.bytes(), MediaType::OCI_INDEX, &["multi"], None);
    let (signature, _) = push(store, &app, "signature", &[], Some(child.digest));
    let (untagged, parts) = push(store, &app, "untagged", &[], None);
    age(store);
    let (new, _) = push(store, &app, "new", &[], None);
    let dry = collect(store, Policy { dry_run: true, ..UNTAGGED });
    assert_eq!(dry.manifests, [(app.name().clone(), untagged)]);
    assert!(app.manifest(&untagged).expect("a look").is_some());
    assert_eq!(collect(store, Policy { dangling_images: false, ..UNTAGGED }).manifests, []);
    let report = collect(store, UNTAGGED);
    assert_eq!((report.manifests, report.blobs), (dry.manifests, 3));
    for (digest, is_there) in
        [(child.digest, true), (index, true), (signature, true), (new, true), (untagged, false)]
    {
        assert_eq!(app.manifest(&digest).expect("a look").is_some(), is_there, "{digest}");
    }
    assert_eq!(app.blob(&parts[0]).expect("a look"), None);
    assert_whole(store);
}

#[test]
fn rs_130_a_manifest_that_is_kept_by_a_running_push_has_its_parts_kept() {
    let place = place();
    let store = &place.store;
    let app = repository(store, "app");
    let (digest, parts) = push(store, &app, "image", &["1"], None);
    age(store);
    let lease = store.lease("push it again").expect("a lease");
    assert!(store.blobs().keep(&lease, &digest).expect("a look"));
    collect(store, UNTAGGED);
    assert!(app.blob(&parts[1]).expect("a look").is_some());
}

#[test]
fn rs_152_a_check_names_what_is_wrong_with_repositories() {
    let place = place();
    let store = &place.store;
    let app = repository(store, "app");
    let (digest, parts) = push(store, &app, "image", &["1"], None);
    assert_whole(store);
    fs::remove_file(store.blobs().path(&parts[1])).expect("remove");
    fs::write(store.root().join("repositories/stray"), "").expect("write");
    fs::write(store.root().join("repositories/app/_tags/torn"), "{").expect("write");
    let findings = check(store, store::check::Depth::Full);
    let texts: Vec<String> =
        findings.iter().map(|finding| format!("{}: {}", finding.what, finding.problem)).collect();
    for expected in [
        format!("repository app: manifest {digest}: its blob {} is missing", parts[1]),
        "repository app: repositories/app/_tags/torn: EOF".to_owned(),
        "file repositories/stray: it does not belong there".to_owned(),
    ] {
        assert!(texts.iter().any(|text| text.starts_with(&expected)), "{expected}: {texts:#?}");
    }
    assert_eq!(findings.len(), 3, "{texts:#?}");
}
