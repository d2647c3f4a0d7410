//! What goes over the wire beside blobs and manifests: names, cookies, warnings, limits, where uploads go on.

use base::{Cancel, Classified, Events, Kind};
use distribution::copy::Wish;
use distribution::manifests;
use distribution::pull::pull;
use image::{Digest, Platform, Reference};

use crate::lab::{Lab, chain};
use crate::support::{Access, Fault, OCI_MANIFEST, Registry, TestImage, image};

/// A lab that has pulled an image, and a registry that has nothing.
fn elsewhere(sizes: &[usize]) -> (Registry, Lab, TestImage, distribution::pull::Pulled) {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(sizes);
    image.put(&registry, "base", "1");
    let pulled = lab.pull(&registry.name("base:1")).expect("a pull");
    (Registry::start(), lab, image, pulled)
}

#[test]
fn rc_050_every_request_says_who_asks() {
    let (registry, lab, _, pulled) = elsewhere(&[1000]);
    registry.set_access(Access::Token(None));
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    for method in ["GET", "HEAD", "POST", "PUT"] {
        let requests = registry.requests(method, "");
        assert!(!requests.is_empty(), "{method}");
        for request in requests {
            // How TLS is answered with plain HTTP has no head.
            assert_eq!(request.header("user-agent"), Some("test"), "{request:?}");
        }
    }
}

#[test]
fn rc_051_cookies_come_back_to_the_registry_and_to_nobody_else() {
    let (registry, lab, _, pulled) = elsewhere(&[20 << 20]);
    registry.rule("POST", "/uploads/", usize::MAX, Fault::Header("Set-Cookie", "node=7; Path=/; HttpOnly"));
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    let patches = registry.requests("PATCH", "/uploads/");
    assert!(patches.len() >= 2);
    assert!(patches.iter().all(|patch| patch.header("cookie") == Some("node=7")), "{patches:?}");
    // Where an upload goes on elsewhere, nothing comes along; another registry has cookies of its own.
    let (registry, other) = (Registry::start(), Registry::start());
    let client = lab.client();
    let lease = lab.store.lease("test").expect("a lease");
    let image = image(&[1000]);
    image.put(&registry, "app", "1");
    image.put(&other, "app", "1");
    registry.rule("GET", "/manifests/", 1, Fault::Header("Set-Cookie", "node=8"));
    let layer = Digest::sha256(&image.layers[0]);
    let location = format!("http://{}/v2/app/blobs/{layer}", other.host());
    registry.rule("GET", layer.to_string(), 1, Fault::Answer(307, vec![("Location", location)], vec![]));
    let (platform, events, cancel) = (Platform::host(), Events::none(), Cancel::new());
    for name in [registry.name("app:1"), other.name("app:1")] {
        pull(&client, &lab.store, &lease, &name, &platform, &events, &cancel).expect("a pull");
    }
    assert_eq!(registry.requests("GET", &layer.to_string())[0].header("cookie"), Some("node=8"));
    assert!(other.requests("GET", "").iter().all(|request| request.header("cookie").is_none()));
}

#[test]
fn rc_063_what_a_registry_says_of_its_limits_is_told_when_it_gives_no_more() {
    let registry = Registry::start();
    let headers = vec![
        ("RateLimit-Limit", "100;w=21600".to_owned()),
        ("RateLimit-Remaining", "0;w=21600".to_owned()),
        ("Docker-RateLimit-Source", "203.0.113.7".to_owned()),
    ];
    let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your limit"}]}"#.to_vec();
    registry.rule("GET", "/manifests/", usize::MAX, Fault::Answer(429, headers.clone(), body));
    let lab = Lab::new();
    let error = lab.pull(&registry.name("app:1")).expect_err("no more for now");
    let host = registry.host();
    assert_eq!(
        error.to_string(),
        format!(
            "{host} gives no more for now (0 of 100 pulls in 6 hours are left, counted for 203.0.113.7): it says You have reached your limit (TOOMANYREQUESTS)"
        )
    );
    assert_eq!(error.kind(), Kind::Busy);
    let hint = error.hint().expect("a hint");
    assert!(hint.contains(&format!("lap login {host}")) && hint.contains("mirror"), "{hint}");
    assert_eq!(registry.requests("GET", "/manifests/").len(), 5);
    // A pause that is too long is not waited for.
    let registry = Registry::start();
    let headers = headers.into_iter().chain([("Retry-After", "21600".to_owned())]).collect();
    registry.rule("GET", "/manifests/", usize::MAX, Fault::Answer(429, headers, vec![]));
    let error = lab.pull(&registry.name("app:1")).expect_err("no more for now");
    assert!(error.to_string().ends_with("203.0.113.7), and asks for a pause of 21600 seconds"), "{error}");
    assert_eq!(registry.requests("GET", "/manifests/").len(), 1);
}

#[test]
fn rc_070_the_smallest_chunk_of_a_registry_is_kept_to() {
    let (registry, lab, image, pulled) = elsewhere(&[30_000_000]);
    registry.rule("POST", "/uploads/", usize::MAX, Fault::Header("OCI-Chunk-Min-Length", "20000000"));
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    let ranges: Vec<_> = registry
        .requests("PATCH", "/uploads/")
        .iter()
        .filter_map(|request| request.header("content-range").map(str::to_owned))
        .collect();
    assert_eq!(ranges[0], "0-19999999");
    assert_eq!(ranges[1], format!("20000000-{}", image.layers[0].len() - 1));
}

#[test]
fn rc_071_where_an_upload_goes_on_is_said_in_any_form() {
    let path = |id: &str| format!("/v2/app/blobs/uploads/{id}?_state=a%2Fb%3D%3D");
    for form in ["absolute", "without a scheme", "from the root", "from here"] {
        let (registry, lab, image, pulled) = elsewhere(&[1000]);
        for id in ["s1", "s2"] {
            registry.state.uploads.lock().expect("no panic").insert(id.to_owned(), Vec::new());
            let location = match form {
                "absolute" => format!("http://{}{}", registry.host(), path(id)),
                "without a scheme" => format!("//{}{}", registry.host(), path(id)),
                "from the root" => path(id),
                _ => format!("{id}?_state=a%2Fb%3D%3D"),
            };
            registry.rule("POST", "/uploads/", 1, Fault::Answer(202, vec![("Location", location)], vec![]));
        }
        lab.push(&pulled, &[registry.name("app:1")])
            .unwrap_or_else(|error| panic!("{form}: {}", chain(&error)));
        assert_eq!(
            registry.blob("app", &Digest::sha256(&image.layers[0])),
            Some(image.layers[0].clone()),
            "{form}"
        );
        for put in registry.requests("PUT", "/uploads/") {
            assert!(put.target.contains("?_state=a%2Fb%3D%3D&digest=sha256"), "{form}: {put:?}");
        }
    }
    // None at all, and one that leads away from HTTP.
    for location in [None, Some("ftp://x/y"), Some("http://[")] {
        let (registry, lab, _, pulled) = elsewhere(&[10]);
        let headers = location.map(|location| ("Location", location.to_owned())).into_iter().collect();
        registry.rule("POST", "/uploads/", usize::MAX, Fault::Answer(202, headers, vec![]));
        let error = lab.push(&pulled, &[registry.name("app:1")]).expect_err("no place");
        assert!(error.to_string().contains("to go on"), "{error}");
    }
}

#[test]
fn rc_072_blobs_of_nothing_travel() {
    let (from, to) = (Registry::start(), Registry::start());
    let empty = from.add_blob("app", b"");
    let config = from.add_blob("app", b"{}");
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-test",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config.to_string(), "size": 2},
        "layers": [{"mediaType": "application/octet-stream", "digest": empty.to_string(), "size": 0}],
    });
    from.add_manifest("app", "1", OCI_MANIFEST, manifest.to_string().as_bytes());
    Lab::new().copy(&from.name("app:1"), &to.name("app:1"), &Wish::default()).expect("a copy");
    assert_eq!(to.blob("app", &empty), Some(Vec::new()));
    let digest = format!("digest={}", empty.to_string().replace(':', "%3A"));
    let puts = to.requests("PUT", &digest);
    assert_eq!(puts[0].header("content-length"), Some("0"), "{puts:?}");
}

#[test]
fn rc_073_a_session_stays_to_be_continued_and_is_used_where_a_mount_gave_it() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let image = image(&[1000]);
    image.put(&registry, "base", "1");
    let pulled = lab.pull(&registry.name("base:1")).expect("a pull");
    registry.state.blobs.lock().expect("no panic").clear();
    lab.push(&pulled, &[registry.name("app:1")]).expect("a push");
    // Each mount that is none gave a session, and each was used: none is left, and none had to be cancelled.
    assert_eq!(registry.requests("POST", "").len(), registry.requests("POST", "mount=").len());
    assert!(registry.state.uploads.lock().expect("no panic").is_empty());
    assert!(registry.requests("DELETE", "").is_empty());
}

#[test]
fn rc_085_the_head_of_a_manifest_is_enough_where_it_says_enough() {
    let describe = |registry: &Registry, name: &Reference| {
        registry.forget_requests();
        let lab = Lab::new();
        manifests::describe(&lab.client(), name, None, &Cancel::new()).expect("a description")
    };
    let registry = Registry::start();
    let digest = image(&[10]).put(&registry, "app", "1");
    let name = registry.name("app:1");
    assert_eq!(describe(&registry, &name).digest, digest);
    assert!(registry.requests("GET", "/manifests/").is_empty());
    // What a HEAD says wrongly, or not at all, is found out by a GET.
    let answer = |status, headers| Fault::Answer(status, headers, vec![]);
    let length = || ("Content-Length", "9".to_owned());
    let kind = || ("Content-Type", OCI_MANIFEST.to_owned());
    let says = |text: &str| ("Docker-Content-Digest", text.to_owned());
    for fault in [
        answer(405, vec![]),
        answer(404, vec![]),
        answer(403, vec![]),
        answer(200, vec![length(), kind()]),
        answer(200, vec![length(), kind(), says("md5:0")]),
        answer(200, vec![length(), ("Content-Type", "text/html".to_owned()), says(&digest.to_string())]),
    ] {
        registry.rule("HEAD", "/manifests/", 1, fault);
        assert_eq!(describe(&registry, &name).digest, digest);
        assert_eq!(registry.requests("GET", "/manifests/").len(), 1);
    }
    // A name with a digest gets no other one.
    registry.rule(
        "HEAD",
        "/manifests/",
        1,
        answer(200, vec![length(), kind(), says(&Digest::sha256(b"x").to_string())]),
    );
    assert_eq!(describe(&registry, &name.with_digest(digest)).digest, digest);
}

#[test]
fn rc_113_warnings_of_a_registry_are_kept_for_whoever_asks() {
    let registry = Registry::start();
    image(&[10, 20]).put(&registry, "app", "1");
    registry.rule("GET", "/v2/app/", usize::MAX, Fault::Header("Warning", r#"299 - "app will be removed""#));
    let (lab, cancel) = (Lab::new(), Cancel::new());
    let (client, lease) = (lab.client(), lab.store.lease("test").expect("a lease"));
    let name = registry.name("app:1");
    pull(&client, &lab.store, &lease, &name, &Platform::host(), &Events::none(), &cancel).expect("a pull");
    assert_eq!(client.warnings(), [format!("{} says: app will be removed", registry.host())]);
    assert!(client.warnings().is_empty());
}

#[test]
fn rc_014_a_word_alone_is_docker_hub_s_whatever_podman_makes_of_it() {
    let (registry, other) = (Registry::start(), Registry::start());
    image(&[10]).put(&registry, "library/app", "latest");
    let mut lab = Lab::new();
    let settings = format!(
        "unqualified-search-registries = [\"{other}\"]\nshort-name-mode = \"permissive\"\n\
         [[registry]]\nprefix = \"docker.io\"\nlocation = \"{hub}\"\n\
         [aliases]\n\"app\" = \"{other}/app\"\n",
        other = other.host(),
        hub = registry.host(),
    );
    let path = lab.path("registries.conf");
    std::fs::write(&path, settings).expect("write");
    lab.config.registries = vec![path];
    lab.pull(&Reference::parse("app").expect("a name").or_latest()).expect("a pull");
    assert!(other.trace().is_empty(), "{:?}", other.trace());
}
