//! Mirrors, as containerd's and podman's files have them.

use base::{Classified, Kind};
use serde_json::json;

use crate::lab::{Lab, chain};
use crate::support::{Access, Fault, Registry, image};

/// A registry, its mirror, and who pulls. `HOST` in the text is the mirror.
fn setup(hosts: &str) -> (Registry, Registry, Lab) {
    let (origin, mirror, mut lab) = (Registry::start(), Registry::start(), Lab::new());
    lab.config.hosts = vec![lab.path("certs.d")];
    write(&lab, &origin.host(), &hosts.replace("HOST", &mirror.host()));
    (origin, mirror, lab)
}

fn write(lab: &Lab, directory: &str, hosts: &str) {
    let directory = lab.path("certs.d").join(directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("hosts.toml"), hosts).expect("write");
}

fn auth(user: &str, password: &str) -> serde_json::Value {
    use base64::Engine as _;
    json!({"auth": base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))})
}

const MIRROR: &str = "[host.\"http://HOST\"]\ncapabilities = [\"pull\", \"resolve\"]\n";

#[test]
fn rc_042_rc_117_a_mirror_is_asked_instead_and_told_whose_image_is_meant() {
    let (origin, mirror, lab) = setup(MIRROR);
    image(&[10, 20]).put(&mirror, "team/app", "1");
    let pulled = lab.pull(&origin.name("team/app:1")).expect("a pull");
    assert_eq!(pulled.reference, origin.name("team/app:1"));
    assert!(origin.trace().is_empty(), "{:?}", origin.trace());
    // Manifest, config, two layers.
    let asked = mirror.requests("GET", "/v2/team/app/");
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|request| request.query("ns") == [origin.host()]), "{:?}", mirror.trace());
}

#[test]
fn rc_042_what_a_mirror_lacks_comes_from_where_the_name_says() {
    let (origin, mirror, lab) = setup(MIRROR);
    let image = image(&[10, 20]);
    image.put(&origin, "app", "1");
    // Nothing at all.
    lab.pull(&origin.name("app:1")).expect("a pull");
    assert_eq!(mirror.requests("GET", "/v2/app/manifests/1").len(), 1);
    // The manifest, and no blobs.
    let lab = Lab { config: lab.config.clone(), ..Lab::new() };
    mirror.add_manifest("app", "1", crate::support::OCI_MANIFEST, &image.manifest);
    origin.forget_requests();
    lab.pull(&origin.name("app:1")).expect("a pull");
    assert_eq!(origin.requests("GET", "/manifests/").len(), 0);
    assert_eq!(origin.requests("GET", "/blobs/").len(), 3);
    assert!(origin.requests("GET", "/blobs/").iter().all(|request| request.query("ns").is_empty()));
}

#[test]
fn rc_042_a_mirror_that_is_not_there_is_left_alone() {
    let (origin, mirror, mut lab) = setup("[host.\"http://127.0.0.1:1\"]\n[host.\"http://HOST\"]\n");
    image(&[10, 20, 30]).put(&mirror, "app", "1");
    lab.config.patience.retries = 0;
    lab.pull(&origin.name("app:1")).expect("a pull");
    assert!(origin.trace().is_empty(), "{:?}", origin.trace());
}

#[test]
fn rc_042_rc_064_a_blob_that_breaks_off_goes_on_elsewhere() {
    let (origin, mirror, lab) = setup(MIRROR);
    let image = image(&[300_000]);
    image.put(&mirror, "app", "1");
    image.put(&origin, "app", "1");
    mirror.rule("GET", format!("/blobs/{}", image::Digest::sha256(&image.layers[0])), 1, Fault::Cut(100_000));
    mirror.rule("GET", format!("/blobs/{}", image::Digest::sha256(&image.layers[0])), 100, Fault::HangUp);
    lab.pull(&origin.name("app:1")).expect("a pull");
    let rest = origin.requests("GET", "/blobs/");
    assert_eq!(
        rest.iter().map(|request| request.header("range")).collect::<Vec<_>>(),
        [Some("bytes=100000-")]
    );
}

#[test]
fn rc_042_rc_060_wrong_bytes_of_a_mirror_are_asked_for_elsewhere() {
    let (origin, mirror, lab) = setup(MIRROR);
    let image = image(&[3000]);
    image.put(&mirror, "app", "1");
    image.put(&origin, "app", "1");
    let layer = image::Digest::sha256(&image.layers[0]);
    mirror.rule("GET", format!("/blobs/{layer}"), 100, Fault::WrongBytes);
    lab.pull(&origin.name("app:1")).expect("a pull");
    assert_eq!(origin.requests("GET", "/blobs/").len(), 1);
}

#[test]
fn rc_042_secrets_stay_with_their_own_server() {
    let (origin, mirror, lab) =
        setup(&format!("{MIRROR}[host.\"http://HOST\".header]\nX-Key = \"for the mirror\"\n"));
    origin.set_access(Access::Basic("anna", "of-the-origin"));
    mirror.set_access(Access::Basic("bert", "of-the-mirror"));
    let image = image(&[10]);
    image.put(&origin, "app", "1");
    mirror.add_manifest("app", "1", crate::support::OCI_MANIFEST, &image.manifest);
    let lab = lab.with_auths(&json!({"auths": {
        origin.host(): auth("anna", "of-the-origin"), mirror.host(): auth("bert", "of-the-mirror"),
    }}));
    lab.pull(&origin.name("app:1")).expect("a pull");
    let shown = |registry: &Registry| {
        let mut shown: Vec<_> = registry
            .requests("GET", "/v2/")
            .iter()
            .filter_map(|request| request.header("authorization").map(str::to_owned))
            .collect();
        shown.dedup();
        shown
    };
    let basic = |user, password| format!("Basic {}", auth(user, password)["auth"].as_str().expect("text"));
    assert_eq!(shown(&origin), [basic("anna", "of-the-origin")]);
    assert_eq!(shown(&mirror), [basic("bert", "of-the-mirror")]);
    assert!(origin.requests("GET", "").iter().all(|request| request.header("x-key").is_none()));
    let key = |request: &crate::support::Request| request.header("x-key") == Some("for the mirror");
    assert!(mirror.requests("GET", "/v2/").iter().all(key));
}

#[test]
fn rc_042_a_mirror_without_a_login_does_not_get_the_one_of_the_registry() {
    let (origin, mirror, lab) = setup(MIRROR);
    mirror.set_access(Access::Basic("anna", "secret"));
    origin.set_access(Access::Basic("anna", "secret"));
    image(&[10]).put(&origin, "app", "1");
    image(&[10]).put(&mirror, "app", "1");
    let lab = lab.with_auths(&json!({"auths": {origin.host(): auth("anna", "secret")}}));
    lab.pull(&origin.name("app:1")).expect("a pull");
    assert!(mirror.requests("GET", "").iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn rc_042_each_place_does_what_it_is_for() {
    let (origin, mirror, lab) = setup("[host.\"http://HOST\"]\ncapabilities = [\"pull\"]\n");
    let image = image(&[10]);
    for registry in [&origin, &mirror] {
        image.put(registry, "app", "1");
    }
    let pulled = lab.pull(&origin.name("app:1")).expect("a pull");
    assert_eq!(origin.requests("GET", "/manifests/1").len(), 1);
    assert_eq!((origin.requests("GET", "/blobs/").len(), mirror.requests("GET", "/blobs/").len()), (0, 2));
    mirror.forget_requests();
    lab.push(&pulled, &[origin.name("app:2")]).expect("a push");
    assert!(origin.manifest("app", "2").is_some());
    assert!(mirror.trace().is_empty(), "{:?}", mirror.trace());
    // A place that takes images gets them.
    write(&lab, &origin.host(), &format!("[host.\"http://{}\"]\ncapabilities = [\"push\"]\n", mirror.host()));
    lab.push(&pulled, &[origin.name("app:3")]).expect("a push");
    assert_eq!((origin.manifest("app", "3"), mirror.manifest("app", "3")), (None, Some(image.manifest)));
    write(&lab, &origin.host(), "server = \"http://127.0.0.1:1\"\ncapabilities = [\"pull\"]\n");
    let refused = lab.push(&pulled, &[origin.name("app:4")]).expect_err("nobody takes it");
    assert_eq!(refused.kind(), Kind::Invalid);
    assert!(chain(&refused).contains("hosts.toml, line 1"), "{}", chain(&refused));
}

#[test]
fn rc_042_where_the_file_is() {
    for directory in ["_default".to_owned(), "HOST_PORT_".to_owned()] {
        let (origin, mirror, lab) = setup("");
        std::fs::remove_dir_all(lab.path("certs.d").join(origin.host())).expect("remove");
        let name = directory.replace("HOST_PORT", &origin.host().replace(':', "_"));
        write(&lab, &name, &MIRROR.replace("HOST", &mirror.host()));
        image(&[10]).put(&mirror, "app", "1");
        lab.pull(&origin.name("app:1")).unwrap_or_else(|error| panic!("{directory}: {}", chain(&error)));
        // A directory of the host's own counts before the one for all.
        std::fs::create_dir_all(lab.path("certs.d").join(origin.host())).expect("a directory");
        let lab = Lab { config: lab.config.clone(), ..Lab::new() };
        assert_eq!(lab.pull(&origin.name("app:1")).is_ok(), directory != "_default");
    }
}

#[test]
fn rc_042_the_server_stands_for_the_registry_and_paths_are_taken_over() {
    let (origin, mirror, lab) = setup("server = \"http://HOST/v2/proxy\"\noverride_path = true\n");
    image(&[10]).put(&mirror, "proxy/app", "1");
    lab.pull(&origin.name("app:1")).expect("a pull");
    assert!(origin.trace().is_empty(), "{:?}", origin.trace());
    // Without override_path the API is below the path.
    write(&lab, &origin.host(), &format!("server = \"http://{}/proxy\"\n", mirror.host()));
    lab.pull(&origin.name("app:2")).expect_err("it is not there");
    assert_eq!(mirror.requests("GET", "/proxy/v2/app/manifests/2").len(), 1);
}

#[test]
fn rc_042_errors_name_every_place_and_where_it_is_from() {
    let (origin, mirror, lab) = setup(MIRROR);
    let error = lab.pull(&origin.name("app:1")).expect_err("nobody has it");
    assert_eq!(error.kind(), Kind::NotFound);
    let text = chain(&error);
    let file = lab.path("certs.d").join(origin.host()).join("hosts.toml");
    assert!(text.contains(&format!("{} ({}, line 1): ", mirror.host(), file.display())), "{text}");
    assert!(text.contains("app:1 does not exist"), "{text}");
}

#[test]
fn rc_042_broken_files_are_errors_with_their_lines() {
    let secret = "hunter2";
    for (hosts, expected) in [
        ("\nserver = 5\n", "line 2"),
        ("\n\nservers = \"x\"\n", "line 3: unknown field `servers`"),
        ("server = \"ftp://x\"\n", "line 1: this is not the address"),
        ("[host.\"https://a b\"]\n", "line 1: this is not the address"),
        ("[host.\"https://x\"]\ncapabilities = [\"pull\",\n\"fly\"]\n", "line 3: a capability"),
        ("[host.\"https://x\"]\nserver = \"https://y\"\n", "line 1: a host has no server"),
        ("[host.\"https://x\"]\nclient = [\"a\", \"b\"]\n", "line 2: client"),
        ("[host.\"https://x\"]\nca = 1\n", "line 2: ca"),
        ("[host.\"https://x\"]\ndial_timeout = \"soon\"\n", "line 2: dial_timeout"),
        ("[host.\"https://x\"]\nheader = \"hunter2\"\n", "line 2: header"),
        ("[host.\"https://x\".header]\nx = \"hunter2\n", "line 2"),
        ("[host.\"https://x\".header]\nx = \"hunter2\\n\"\n", "header"),
        ("[host\n", "line 1"),
    ] {
        let (origin, _, lab) = setup(hosts);
        let error = lab.pull(&origin.name("app:1")).expect_err(hosts);
        let text = chain(&error);
        assert_eq!(error.kind(), Kind::Invalid, "{hosts}: {text}");
        assert!(text.contains("hosts.toml cannot be used") && text.contains(expected), "{hosts}: {text}");
        assert!(!text.contains(secret), "{text}");
        assert!(origin.trace().is_empty(), "{hosts}");
    }
}

/// A registry, its mirror, and who pulls with podman's files. `HOST` in the text is the mirror, `ORIGIN` the registry.
fn podman(text: &str) -> (Registry, Registry, Lab) {
    let (origin, mirror, mut lab) = (Registry::start(), Registry::start(), Lab::new());
    let text = text.replace("HOST", &mirror.host()).replace("ORIGIN", &origin.host());
    std::fs::write(lab.path("registries.conf"), text).expect("write");
    lab.config.registries = vec![lab.path("registries.conf"), lab.path("registries.conf.d")];
    (origin, mirror, lab)
}

#[test]
fn rc_043_mirrors_are_asked_in_order_and_then_the_location() {
    let (origin, mirror, lab) = podman(
        "unqualified-search-registries = [\"x.example\"]\n[[registry]]\nprefix = \"ORIGIN/team\"\nlocation = \"HOST/moved\"\n\
         [[registry.mirror]]\nlocation = \"HOST/first\"\n[[registry.mirror]]\nlocation = \"HOST/second\"\n",
    );
    image(&[10]).put(&mirror, "moved/app", "1");
    let pulled = lab.pull(&origin.name("team/app:1")).expect("a pull");
    assert_eq!(pulled.reference, origin.name("team/app:1"));
    assert!(origin.trace().is_empty(), "{:?}", origin.trace());
    let manifests: Vec<_> = mirror.trace().into_iter().filter(|line| line.contains("/manifests/")).collect();
    let asked = ["first", "second", "moved"].map(|path| format!("GET /v2/{path}/app/manifests/1"));
    assert_eq!(manifests, asked);
    // What is pushed goes to the location, never to a mirror.
    lab.push(&pulled, &[origin.name("team/app:2")]).expect("a push");
    assert!(mirror.manifest("moved/app", "2").is_some());
    // Another prefix is left as it is.
    lab.pull(&origin.name("teams/app:1")).expect_err("it is not there");
    assert_eq!(origin.requests("GET", "/v2/teams/app/manifests/1").len(), 1);
}

#[test]
fn rc_043_mirrors_for_digests_or_tags_alone() {
    let by_digest = "mirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"HOST\"\n";
    let mirror_of =
        |when: &str| format!("[[registry.mirror]]\nlocation = \"HOST\"\npull-from-mirror = \"{when}\"\n");
    for (settings, tag, digest) in [
        (by_digest.to_owned(), false, true),
        (mirror_of("digest-only"), false, true),
        (mirror_of("tag-only"), true, false),
        (mirror_of("all"), true, true),
    ] {
        let (origin, mirror, lab) = podman(&format!("[[registry]]\nlocation = \"ORIGIN\"\n{settings}"));
        let image = image(&[10]);
        let manifest = image.put(&origin, "app", "1");
        image.put(&mirror, "app", "1");
        lab.pull(&origin.name("app:1")).expect("a pull");
        assert_eq!(!mirror.trace().is_empty(), tag, "{settings}");
        mirror.forget_requests();
        lab.pull(&origin.name(&format!("app@{manifest}"))).expect("a pull");
        assert_eq!(!mirror.trace().is_empty(), digest, "{settings}");
    }
}

#[test]
fn rc_043_the_longest_prefix_and_the_last_file_count() {
    let (origin, mirror, lab) = podman(
        "[[registry]]\nlocation = \"ORIGIN\"\nblocked = true\n[[registry]]\nprefix = \"ORIGIN/team\"\nlocation = \"HOST/one\"\n",
    );
    let error = lab.pull(&origin.name("app:1")).expect_err("it is blocked");
    assert_eq!(error.kind(), Kind::Denied);
    assert!(chain(&error).contains("registries.conf, line 1"), "{}", chain(&error));
    image(&[10]).put(&mirror, "two/app", "1");
    lab.pull(&origin.name("team/app:1")).expect_err("it is not there");
    std::fs::create_dir(lab.path("registries.conf.d")).expect("a directory");
    for (name, location) in [("10-b.conf", "two"), ("05-a.conf", "three"), ("99-c.txt", "four")] {
        let location = format!("{}/{location}", mirror.host());
        let text = format!("[[registry]]\nprefix = \"{}/team\"\nlocation = \"{location}\"\n", origin.host());
        std::fs::write(lab.path("registries.conf.d").join(name), text).expect("write");
    }
    lab.pull(&origin.name("team/app:1")).expect("a pull");
    assert!(origin.trace().is_empty(), "{:?}", origin.trace());
}

#[test]
fn rc_043_the_login_is_the_mirrors_own() {
    let (origin, mirror, lab) = podman(
        "[[registry]]\nlocation = \"ORIGIN\"\n[[registry.mirror]]\nlocation = \"HOST/copy\"\ninsecure = true\n",
    );
    mirror.set_access(Access::Basic("bert", "of-the-mirror"));
    origin.set_access(Access::Basic("anna", "of-the-origin"));
    image(&[10]).put(&origin, "app", "1");
    let auths = json!({"auths": {
        origin.host(): auth("anna", "of-the-origin"), format!("{}/copy", mirror.host()): auth("bert", "of-the-mirror"),
    }});
    lab.with_auths(&auths).pull(&origin.name("app:1")).expect("a pull");
    for (registry, user, password) in [(&origin, "anna", "of-the-origin"), (&mirror, "bert", "of-the-mirror")]
    {
        let own = format!("Basic {}", auth(user, password)["auth"].as_str().expect("text"));
        let requests = registry.requests("GET", "/v2/");
        let shown: Vec<_> = requests.iter().filter_map(|request| request.header("authorization")).collect();
        assert!(!shown.is_empty() && shown.iter().all(|shown| *shown == own), "{user}: {shown:?}");
    }
}

#[test]
fn rc_043_broken_files_are_errors_with_their_lines() {
    for (text, expected) in [
        ("[[registry]]\nlocatoin = \"x\"\n", "line 2: unknown field `locatoin`"),
        ("\n[[registry]]\ninsecure = true\n", "line 2: a registry has neither"),
        ("[[registry]]\nlocation = \"https://ORIGIN\"\n", "line 1: a registry has neither"),
        ("[[registry]]\nlocation = \"*.example.com\"\n", "line 1: a location is no pattern"),
        (
            "[[registry]]\nlocation = \"ORIGIN\"\n[[registry.mirror]]\nlocation = \"https://x\"\n",
            "line 3: a location",
        ),
        (
            "[[registry]]\nlocation = \"ORIGIN\"\n[[registry.mirror]]\nlocation = \"x\"\npull-from-mirror = \"never\"\n",
            "line 5: pull-from-mirror",
        ),
        ("[registries.search]\nregistries = []\n", "unknown field `registries`"),
        ("[[registry]\n", "line 1"),
    ] {
        let (origin, _, lab) = podman(text);
        let error = lab.pull(&origin.name("app:1")).expect_err(text);
        let said = chain(&error);
        assert_eq!(error.kind(), Kind::Invalid, "{text}: {said}");
        assert!(said.contains("registries.conf cannot be used") && said.contains(expected), "{text}: {said}");
    }
}
