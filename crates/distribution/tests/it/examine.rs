//! A registry looked at step by step: what works, what does not, why, and what to do.

use base::{Cancel, Finding, State};
use distribution::config::Proxies;
use distribution::examine::{Examined, Wish, examine};
use distribution::host::Host;
use image::Reference;
use serde_json::json;

use crate::lab::Lab;
use crate::support::{Access, Fault, OCI_MANIFEST, Proxy, Registry, base64, image};

fn look(lab: &Lab, name: &Reference, push: bool) -> Examined {
    let host = Host::of(name);
    let wish = Wish { host: &host, image: Some(name), push };
    examine(&lab.client(), wish, &Cancel::new()).expect("it is not cancelled")
}

/// The finding of a name, at the first place.
fn finding<'a>(examined: &'a Examined, name: &str) -> &'a Finding {
    let found = examined.servers[0].findings.iter().find(|finding| finding.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {examined:#?}"))
}

fn names(examined: &Examined) -> Vec<&str> {
    examined.servers[0].findings.iter().map(|finding| finding.name).collect()
}

fn says(examined: &Examined, name: &str, state: State, words: &[&str]) {
    let finding = finding(examined, name);
    assert_eq!(finding.state, state, "{finding:?}");
    for words in words {
        let remedy = finding.remedy.as_deref().unwrap_or_default();
        assert!(finding.text.contains(words) || remedy.contains(words), "{words:?} is not in {finding:?}");
    }
}

#[test]
fn every_step_of_a_registry_that_keeps_to_the_protocol() {
    let registry = Registry::start();
    let digest = image(&[1000]).put(&registry, "app", "1").to_string();
    let (lab, host) = (Lab::new(), registry.host());
    let before = registry.state.blobs.lock().expect("no panic").len();
    let examined = look(&lab, &registry.name("app:1"), true);
    assert_eq!(
        names(&examined),
        [
            "proxy",
            "connect",
            "tls",
            "api",
            "login",
            "catalog",
            "image",
            "ranges",
            "referrers",
            "push",
            "chunks",
            "mount",
            "delete"
        ]
    );
    assert_eq!(examined.places.text, format!("{host}; no mirror is set up for it"));
    for (name, state, words) in [
        ("proxy", State::Ok, "none"),
        ("connect", State::Ok, host.as_str()),
        ("tls", State::Ok, "plain HTTP, which does no harm on this machine"),
        ("api", State::Ok, "answers 200 OK in HTTP/1.1"),
        ("login", State::Ok, "none is asked for"),
        ("catalog", State::Ok, "it lists no repositories (404 Not Found)"),
        ("image", State::Ok, digest.as_str()),
        ("ranges", State::Ok, "parts of blobs can be had"),
        ("referrers", State::Ok, "keeps the list of what is about it: 0"),
        ("push", State::Ok, "anybody without a login may push; the upload that tried it was cancelled"),
        ("chunks", State::Ok, "of any size"),
        ("mount", State::Ok, "are taken over, and not sent"),
    ] {
        says(&examined, name, state, &[words]);
    }
    // Nothing is left, and nothing was changed.
    assert!(registry.state.uploads.lock().expect("no panic").is_empty());
    assert_eq!(registry.state.blobs.lock().expect("no panic").len(), before);
    // Nobody asks for the right to push who does not want to know.
    registry.forget_requests();
    look(&lab, &registry.name("app:1"), false);
    assert!(registry.requests("POST", "").is_empty() && registry.requests("DELETE", "").is_empty());
}

#[test]
fn who_one_is_and_who_says_so() {
    let registry = Registry::start();
    image(&[10]).put(&registry, "app", "1");
    let (name, host) = (registry.name("app:1"), registry.host());
    let with = |password: &str| {
        let shown = base64(&format!("anna:{password}"));
        Lab::new().with_auths(&json!({"auths": {host.clone(): {"auth": shown}}}))
    };
    registry.set_access(Access::Token(None));
    says(
        &look(&Lab::new(), &name, false),
        "login",
        State::Ok,
        &[&format!("it wants a token of http://{host} for test, and anybody gets one")],
    );
    registry.set_access(Access::Token(Some(("anna", "s3cret"))));
    let examined = look(&with("s3cret"), &name, false);
    says(&examined, "login", State::Ok, &["as anna (from ", "config.json", "a token of http://"]);
    let examined = look(&with("wr0ng"), &name, false);
    says(
        &examined,
        "login",
        State::Missing,
        &["does not accept the login as anna", "config.json", "lap login"],
    );
    assert!(!format!("{examined:?}").contains("wr0ng"));
    assert_eq!(names(&examined).last(), Some(&"login"));
    registry.set_access(Access::Basic("anna", "s3cret"));
    let examined = look(&Lab::new(), &name, false);
    says(
        &examined,
        "login",
        State::Missing,
        &["it wants user and password, and there are no credentials", &format!("lap login {host}")],
    );
    says(&look(&with("s3cret"), &name, false), "login", State::Ok, &["as anna", "user and password"]);
    let helper = Lab::new().with_auths(&json!({"credHelpers": {host.clone(): "not-installed-anywhere"}}));
    says(
        &look(&helper, &name, false),
        "login",
        State::Missing,
        &["docker-credential-not-installed-anywhere failed"],
    );
}

#[test]
fn what_a_registry_does_not_do() {
    let registry = Registry::start();
    image(&[1000]).put(&registry, "app", "1");
    let (lab, name) = (Lab::new(), registry.name("app:1"));
    let forbidden =
        || Fault::Answer(403, vec![], br#"{"errors":[{"code":"DENIED","message":"read only"}]}"#.to_vec());
    for (method, part, fault, finding, state, words) in [
        ("GET", "/blobs/", Fault::IgnoreRange, "ranges", State::Better, "cannot be had"),
        ("GET", "/referrers/", Fault::Answer(404, vec![], vec![]), "referrers", State::Ok, "a tag has it"),
        (
            "GET",
            "/manifests/",
            Fault::Answer(404, vec![], vec![]),
            "image",
            State::Missing,
            "app:1 does not exist",
        ),
        (
            "HEAD",
            "/manifests/",
            Fault::Answer(405, vec![], vec![]),
            "image",
            State::Ok,
            "HEAD does not say so",
        ),
        ("POST", "/uploads/", forbidden(), "push", State::Missing, "read only (DENIED)"),
        (
            "POST",
            "/uploads/",
            Fault::Header("OCI-Chunk-Min-Length", "5242880"),
            "chunks",
            State::Ok,
            "5242880 bytes",
        ),
        ("DELETE", "/uploads/", Fault::Answer(405, vec![], vec![]), "push", State::Ok, "cannot be cancelled"),
        (
            "DELETE",
            "/manifests/",
            Fault::Answer(405, vec![], vec![]),
            "delete",
            State::Better,
            "cannot be deleted",
        ),
        ("POST", "mount=", Fault::Answer(405, vec![], vec![]), "mount", State::Ok, "sent again (405"),
        (
            "GET",
            "/v2/",
            Fault::Answer(404, vec![], b"<html>no</html>".to_vec()),
            "api",
            State::Missing,
            "there is no registry",
        ),
        (
            "GET",
            "/v2/",
            Fault::Header("Warning", r#"299 - "moves soon""#),
            "warning",
            State::Better,
            "moves soon",
        ),
    ] {
        let registry = Registry::start();
        image(&[1000]).put(&registry, "app", "1");
        registry.rule(method, part, usize::MAX, fault);
        says(&look(&lab, &registry.name("app:1"), true), finding, state, &[words]);
    }
    // RC-063: what is left, from the head of the manifest, which counts nothing.
    let digest = image::Digest::sha256(&registry.manifest("app", "1").expect("a manifest")).to_string();
    for (left, state) in
        [("76;w=21600", State::Ok), ("3;w=21600", State::Better), ("0;w=21600", State::Missing)]
    {
        let headers = vec![
            ("RateLimit-Limit", "100;w=21600".to_owned()),
            ("RateLimit-Remaining", left.to_owned()),
            ("Content-Type", OCI_MANIFEST.to_owned()),
            ("Docker-Content-Digest", digest.clone()),
        ];
        registry.rule("HEAD", "/manifests/", 1, Fault::Answer(200, headers, vec![]));
        says(&look(&lab, &name, false), "limits", state, &["of 100 pulls in 6 hours are left"]);
    }
}

#[test]
fn servers_that_cannot_be_reached() {
    let lab = Lab::new();
    let name = |text: &str| Reference::parse(text).expect("a name");
    let examined = look(&lab, &name("registry.invalid/app:1"), false);
    assert_eq!(names(&examined), ["proxy", "dns"]);
    says(&examined, "dns", State::Missing, &["there is no host of this name", "/etc/resolv.conf"]);
    let examined = look(&lab, &name("127.0.0.1:1/app:1"), false);
    assert_eq!(names(&examined), ["proxy", "connect"]);
    says(
        &examined,
        "connect",
        State::Missing,
        &["127.0.0.1:1: the connection failed", "that the server runs"],
    );
}

#[test]
fn places_and_proxies_that_apply() {
    let (registry, mut lab) = (Registry::start(), Lab::new());
    image(&[10]).put(&registry, "app", "1");
    std::fs::create_dir_all(lab.path("hosts/registry.invalid")).expect("mkdir");
    let settings = format!("[host.\"http://{}\"]\ncapabilities = [\"pull\", \"resolve\"]\n", registry.host());
    std::fs::write(lab.path("hosts/registry.invalid/hosts.toml"), settings).expect("write");
    lab.config.hosts = vec![lab.path("hosts")];
    let name = Reference::parse("registry.invalid/app:1").expect("a name");
    let examined = look(&lab, &name, false);
    let text = &examined.places.text;
    assert!(text.starts_with(&format!("{} (", registry.host())), "{text}");
    assert!(text.ends_with("hosts.toml, line 1) for tags and blobs, then registry.invalid"), "{text}");
    assert_eq!(examined.servers.len(), 2);
    says(&examined, "image", State::Ok, &["registry.invalid/app:1 is sha256:"]);
    let origin = &examined.servers[1];
    assert_eq!(
        (origin.name.as_str(), origin.findings.last().map(|last| last.name)),
        ("registry.invalid", Some("dns"))
    );
    // Settings that cannot be used are the only thing that is said.
    std::fs::write(lab.path("hosts/registry.invalid/hosts.toml"), "mirror = 1\n").expect("write");
    let examined = look(&lab, &name, false);
    assert_eq!((examined.places.state, examined.servers.len()), (State::Missing, 0));
    assert!(examined.places.text.contains("hosts.toml"), "{:?}", examined.places);

    let proxy = Proxy::start(&registry.host(), None);
    let mut lab = Lab::new();
    lab.config.insecure = vec!["registry.invalid:5000".to_owned()];
    let address = format!("http://anna:s3cret@{}", proxy.host());
    lab.config.proxies = Proxies { http: Some(address.clone()), https: Some(address), no_proxy: None };
    let examined = look(&lab, &Reference::parse("registry.invalid:5000/app:1").expect("a name"), false);
    says(&examined, "proxy", State::Ok, &[&format!("http://{}", proxy.host())]);
    says(&examined, "image", State::Ok, &["sha256:"]);
    assert!(!format!("{examined:?}").contains("s3cret"));
    lab.config.proxies.no_proxy = Some("*.invalid".to_owned());
    let examined = look(&lab, &Reference::parse("registry.invalid:5000/app:1").expect("a name"), false);
    says(&examined, "proxy", State::Ok, &["NO_PROXY excepts *.invalid"]);
}
