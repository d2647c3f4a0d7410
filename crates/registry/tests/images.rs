//! One store: what is built is served, what is pushed is an image, and collections run meanwhile.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base::Cancel;
use common::images::{built, name, push, tar};
use common::*;
use image::{DiffId, Digest, ImageId};
use serde_json::{Value, json};
use store::Store;
use store::collect::Policy;

#[test]
fn a_layer_that_is_not_there_as_it_is_listed_is_made_when_it_is_asked_for() {
    let target = ours();
    let store = target.store();
    let (tar, id) = built(&store, "app");
    let manifest = target.get("/v2/library/app/manifests/latest").expect(&[200]).json();
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
    let path = format!("/v2/app/blobs/{layer}");
    let head = target.head(&path).expect(&[200]);
    assert_eq!(head.header("content-length"), Some(tar.len().to_string().as_str()));
    assert!(store.blobs().size(&Digest::sha256(&tar)).expect("a look").is_none());
    assert!(target.get(&path).expect(&[200]).body == tar);
    assert!(store.blobs().size(&Digest::sha256(&tar)).expect("a look").is_some());
    let part = target.request("GET", &path).header("Range", "bytes=512-1023").send().expect(&[206]);
    assert!(part.body == tar[512..1024]);
    target.get(&format!("/v2/app/blobs/{id}")).expect(&[200]);
    // RS-012: not in another repository.
    target.get(&format!("/v2/other/blobs/{layer}")).expect(&[404]);
    // What belongs to an image goes with the image.
    assert_eq!(target.delete(&path).expect(&[405]).code(), "UNSUPPORTED");
    target.delete("/v2/app/manifests/latest").expect(&[202]);
    assert!(store.names().get(&name("app")).expect("a look").is_none());
    assert_eq!(target.get("/v2/_catalog").json(), json!({"repositories": []}));
}

#[track_caller]
fn wait_for(store: &Store, text: &str, id: ImageId) {
    let started = Instant::now();
    loop {
        let named = store.names().get(&name(text)).expect("a look");
        if named.is_some_and(|named| named.image == id) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{text} is not named");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_pushed_is_an_image_of_the_store() {
    let target = ours();
    let store = target.store();
    let (id, digest, manifest) = push(&target, "team/app", "1", "pushed");
    wait_for(&store, "team/app:1", id);
    let layer = DiffId(Digest::sha256(&tar("file", b"pushed")));
    assert!(store.layers().get(&layer).expect("a look").is_some());
    let head = target.head("/v2/team/app/manifests/1").expect(&[200]);
    assert_eq!(head.header("docker-content-digest"), Some(digest.as_str()));
    // The name alone says what the tag means now.
    store.names().remove(&name("team/app:1")).expect("a removal");
    target.head("/v2/team/app/manifests/1").expect(&[404]);
    target.get(&format!("/v2/team/app/manifests/{digest}")).expect(&[200]);
    target.put_manifest("team/app", "1", MANIFEST, &manifest).expect(&[201]);
    wait_for(&store, "team/app:1", id);
    let (second, _, _) = push(&target, "team/app", "1", "pushed over");
    wait_for(&store, "team/app:1", second);
    assert_eq!(
        store.check(store::check::Depth::Full, &base::Events::none(), &Cancel::new()).expect("a check"),
        []
    );
}

#[test]
fn an_index_is_named_for_the_image_of_this_machine() {
    let target = ours();
    let store = target.store();
    let (id, _, manifest) = push(&target, "multi", "one", "for this machine");
    let host = image::Platform::host();
    let mut here = descriptor(MANIFEST, manifest.to_string());
    here["platform"] = json!({"os": host.os, "architecture": host.architecture});
    let mut there = descriptor(MANIFEST, push(&target, "multi", "two", "elsewhere").2.to_string());
    there["platform"] = json!({"os": "plan9", "architecture": "mips"});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [there, here]});
    target.put_manifest("multi", "all", INDEX, &index).expect(&[201]);
    wait_for(&store, "multi:all", id);
    assert_eq!(target.get("/v2/multi/manifests/all").expect(&[200]).json(), index);
    let page = String::from_utf8(target.get("/r/multi").expect(&[200]).body).expect("text");
    assert!(page.contains("plan9/mips") && page.contains(&host.to_string()), "{page}");
}

/// RS-028: what a client was told is there is mounted, also when it has yet to be made.
#[test]
fn rs_028_a_layer_that_is_not_there_as_it_is_listed_is_mounted() {
    let target = ours();
    let (tar, _) = built(&target.store(), "app");
    let digest = sha256(&tar);
    for query in [format!("mount={digest}&from=app"), format!("mount={digest}")] {
        target.request("POST", &format!("/v2/other/blobs/uploads/?{query}")).send().expect(&[201]);
        assert!(target.get(&format!("/v2/other/blobs/{digest}")).expect(&[200]).body == tar);
        target.delete(&format!("/v2/other/blobs/{digest}")).expect(&[202]);
    }
}

#[test]
fn rs_045_parts_of_what_stays_can_be_deleted() {
    let target = ours();
    let (_, digest, manifest) = push(&target, "app", "1", "a part");
    let index = json!({"schemaVersion": 2, "mediaType": INDEX,
        "manifests": [descriptor(MANIFEST, manifest.to_string())]});
    target.put_manifest("app", "all", INDEX, &index).expect(&[201]);
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
    for path in [format!("/v2/app/blobs/{layer}"), format!("/v2/app/manifests/{digest}")] {
        target.delete(&path).expect(&[202]);
        target.head(&path).expect(&[404]);
    }
    // What named them stays as it was pushed, and can be made whole again.
    assert_eq!(target.get("/v2/app/manifests/all").expect(&[200]).json(), index);
    push(&target, "app", "1", "a part");
    target.get(&format!("/v2/app/manifests/{digest}")).expect(&[200]);
}

#[test]
fn what_is_no_image_stays_what_it_is() {
    let target = ours();
    target.push_blob("things", "{}");
    let artifact = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.thing",
        "config": descriptor("application/vnd.oci.empty.v1+json", "{}"), "layers": []});
    target.put_manifest("things", "1", MANIFEST, &artifact).expect(&[201]);
    // An image whose layer is no layer.
    target.push_image("things", "broken", "this is no tar");
    let (id, _, _) = push(&target, "things", "image", "an image");
    wait_for(&target.store(), "things:image", id);
    let tags = target.get("/v2/things/tags/list").expect(&[200]).json();
    assert_eq!(tags["tags"], json!(["1", "broken", "image"]));
    assert_eq!(target.get("/v2/things/manifests/1").expect(&[200]).json(), artifact);
    assert!(target.store().names().get(&name("things:broken")).expect("a look").is_none());
}

#[test]
fn rs_130_collections_run_while_everything_is_pushed_and_pulled() {
    let target = ours();
    let store = target.store();
    let done = AtomicBool::new(false);
    let policy =
        Policy { dangling_images: true, all_images: false, cache: true, derived: true, dry_run: false };
    std::thread::scope(|scope| {
        let collecting = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                store.collect(&policy, &Cancel::new()).expect("a collection");
                rounds += 1;
            }
            rounds
        });
        let pushing: Vec<_> = (0..3)
            .map(|worker| {
                let target = &target;
                scope.spawn(move || {
                    for round in 0..8 {
                        // Blobs that all share, and some of one's own.
                        let (_, digest, manifest) = push(
                            target,
                            &format!("app{worker}"),
                            "latest",
                            &format!("content {}", round % 3),
                        );
                        let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
                        target.get(&format!("/v2/app{worker}/manifests/{digest}")).expect(&[200]);
                        let bytes = target.get(&format!("/v2/app{worker}/blobs/{layer}")).expect(&[200]).body;
                        assert_eq!(sha256(bytes), layer);
                    }
                })
            })
            .collect();
        for thread in pushing {
            thread.join().expect("a worker");
        }
        done.store(true, Ordering::Relaxed);
        assert!(collecting.join().expect("collections") > 0);
    });
    assert_eq!(
        store.check(store::check::Depth::Full, &base::Events::none(), &Cancel::new()).expect("a check"),
        []
    );
}

#[test]
fn rs_205_all_of_a_layout_is_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let layout = directory.path().join("things");
    std::fs::create_dir_all(layout.join("blobs/sha256")).expect("mkdir");
    let put = |bytes: &str| {
        let digest = sha256(bytes);
        std::fs::write(layout.join("blobs").join(digest.replace(':', "/")), bytes).expect("write");
        digest
    };
    put("{}");
    put("layer");
    let image = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor("application/x", "{}"),
        "layers": [descriptor("text/plain", "layer")]});
    put(&image.to_string());
    // One of its images is not in the layout.
    let index = json!({"schemaVersion": 2, "mediaType": INDEX,
        "manifests": [descriptor(MANIFEST, image.to_string()), descriptor(MANIFEST, "elsewhere")]});
    put(&index.to_string());
    let about = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.about",
        "config": descriptor("application/vnd.oci.empty.v1+json", "{}"), "layers": [],
        "subject": descriptor(INDEX, index.to_string())});
    put(&about.to_string());
    let mut named = descriptor(INDEX, index.to_string());
    named["annotations"] = json!({"org.opencontainers.image.ref.name": "team/app:2"});
    let write = |manifests: Value| {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        std::fs::write(layout.join("index.json"), index.to_string()).expect("write");
    };
    let take = |target: &Target| -> Result<(), registry::ServeError> {
        let read = archive::layout::Layout::directory(&layout)?;
        registry::take_layout(&target.store(), &read, &layout, &Cancel::new())
    };
    let target = ours();
    write(json!([named, descriptor(MANIFEST, about.to_string())]));
    let error = take(&target).expect_err("no layout yet").to_string();
    assert!(error.ends_with("is not an OCI image layout: it has no file oci-layout"), "{error}");
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("write");
    take(&target).expect("a layout");
    assert_eq!(target.get("/v2/team/app/manifests/2").expect(&[200]).json(), index);
    target.get(&format!("/v2/team/app/manifests/{}", sha256(image.to_string()))).expect(&[200]);
    assert_eq!(target.get(&format!("/v2/team/app/blobs/{}", sha256("layer"))).expect(&[200]).body, b"layer");
    let referrers =
        target.get(&format!("/v2/team/app/referrers/{}", sha256(index.to_string()))).expect(&[200]).json();
    assert_eq!(referrers["manifests"][0]["digest"], sha256(about.to_string()));
    assert_eq!(target.get("/v2/_catalog").json(), json!({"repositories": ["team/app"]}));
    // Without a name of its own, things are in a repository that is called as the directory is.
    write(json!([descriptor(MANIFEST, image.to_string())]));
    let target = ours();
    take(&target).expect("a layout");
    target.get(&format!("/v2/things/manifests/{}", sha256(image.to_string()))).expect(&[200]);
    // What is damaged is not served.
    std::fs::write(layout.join("blobs").join(sha256("layer").replace(':', "/")), "lawyer").expect("write");
    assert!(take(&ours()).is_err());
}
