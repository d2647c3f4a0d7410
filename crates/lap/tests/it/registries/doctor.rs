//! `lap doctor HOST`: with a registry that keeps to the protocol, with TLS that is believed or not, through a proxy.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::real::{DockerRegistry, Setup};
use super::support::{Proxy, Registry, image};
use crate::environment::{Environment, Ran, path_text, tool};

/// For how many days a certificate is good that has expired.
const EXPIRED: &str = "none";

/// A certificate for a host that is signed by its own key, good from now for so many days, and the key.
fn certificate(lap: &Environment, host: &str, days: &str) -> (PathBuf, PathBuf) {
    let file = |name: &str| lap.path(&format!("{name}{days}{}", host.replace([':', '.'], "-")));
    let (request, certificate, key) = (file("request"), file("certificate"), file("key"));
    let extensions = lap.write("extensions", format!("subjectAltName={host}\n"));
    let openssl = |arguments: &[&str]| {
        let made = Command::new(tool("openssl", "openssl")).args(arguments).output().expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let (request, pem, key_text) = (path_text(&request), path_text(&certificate), path_text(&key));
    let kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=test"];
    openssl(&[&["req", "-new"], &kind[..], &["-keyout", key_text, "-out", request]].concat());
    let extended = ["-extfile", path_text(&extensions), "-in", request, "-out", pem];
    if days == EXPIRED {
        lap.write("authority/index", "");
        let place = lap.path("authority");
        let config = format!(
            "[ca]\ndefault_ca=d\n[d]\ndatabase={0}/index\nnew_certs_dir={0}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n",
            place.display()
        );
        let config = lap.write("authority/config", config);
        let signed =
            ["ca", "-batch", "-notext", "-selfsign", "-keyfile", key_text, "-config", path_text(&config)];
        let times = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"];
        openssl(&[&signed[..], &times[..], &extended[..]].concat());
    } else {
        openssl(&[&["x509", "-req", "-signkey", key_text, "-days", days][..], &extended[..]].concat());
    }
    (certificate, key)
}

/// A registry of Debian that speaks TLS; its certificate is believed where `CONFIG` says so.
fn secured(lap: &Environment, host: &str, days: &str) -> DockerRegistry {
    let (certificate, key) = certificate(lap, host, days);
    let registry = DockerRegistry::start(
        lap,
        "registry",
        &Setup { tls: Some((&certificate, &key)), ..Setup::default() },
    );
    let authority = format!("believing/containers/certs.d/{}/ca.crt", registry.host());
    lap.write(&authority, std::fs::read(&certificate).expect("read"));
    registry
}

fn doctor(lap: &Environment, config: Option<&Path>, arguments: &[&str]) -> Ran {
    let mut command = lap.command([&["doctor"], arguments].concat());
    command.env("XDG_CONFIG_HOME", config.unwrap_or(&lap.path("nothing")));
    Ran::of(command.output().expect("lap runs"))
}

fn says(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
    for words in words {
        assert!(ran.stdout.contains(words), "{words:?} is not in:\n{}", ran.stdout);
    }
}

#[test]
fn every_step_is_said_to_people_and_to_programs() {
    let (lap, registry) = (Environment::new(), Registry::start());
    image(&[1000]).put(&registry, "team/app", "1");
    let name = format!("{}/team/app:1", registry.host());
    let ran = doctor(&lap, None, &["--push", &name]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let millis = |line: &str| match line.split_once(" in ").filter(|_| line.contains("connect")) {
        Some((before, _)) => format!("{before} in N ms"),
        None => line.to_owned(),
    };
    let said = super::without_digests(&ran.stdout.replace(&registry.host(), "HOST"));
    let text = said.lines().map(millis).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(text);
    let ran = doctor(&lap, None, &["--format", "json", &name]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.code, &report["works"]), (0, &true.into()), "{report}");
    let findings = report["servers"][0]["findings"].as_array().expect("a list");
    assert!(
        findings.iter().any(|finding| finding["name"] == "ranges" && finding["state"] == "ok"),
        "{report}"
    );
    // What was tried leaves nothing: no store is needed.
    assert!(!lap.store().exists());
    doctor(&lap, None, &["--push"]).failure(2, &["HOST"]);
    doctor(&lap, None, &["--push", &registry.host()]).failure(1, &["--push", "name a repository"]);
    doctor(&lap, None, &["a b"]).failure(1, &["is not the name of a registry"]);
}

#[test]
fn rc_046_rc_045_tls_that_is_believed_and_what_is_wrong_where_it_is_not() {
    let lap = Environment::new();
    let believing = lap.path("believing");
    let registry = secured(&lap, "IP:127.0.0.1", "100");
    let host = registry.host();
    says(
        &doctor(&lap, Some(&believing), &[&host]),
        0,
        &[
            "TLS 1.3; its certificate is good; it is for 127.0.0.1, signed by itself",
            "answers 200 OK in HTTP/2, as registry/2.0",
        ],
    );
    says(
        &doctor(&lap, None, &[&host]),
        1,
        &[
            "no  tls",
            "TLS 1.3, but its certificate is signed by itself",
            &format!("certs.d/{host}/ca.crt"),
            "What does not work: tls.",
        ],
    );
    says(
        &doctor(&lap, None, &["--insecure", &host, &host]),
        0,
        &["!   tls", "is not checked, as the settings want it"],
    );
    drop(registry);
    for (names, days, words) in [
        ("DNS:other.example", "100", vec!["is for another host", "it is for other.example"]),
        ("IP:127.0.0.1", EXPIRED, vec!["has expired, or the clock of this machine is wrong"]),
    ] {
        let registry = secured(&lap, names, days);
        says(&doctor(&lap, Some(&believing), &[&registry.host()]), 1, &words);
    }
    let registry = secured(&lap, "IP:127.0.0.1", "5");
    says(&doctor(&lap, Some(&believing), &[&registry.host()]), 0, &["!   tls", "-> it ends in 4 days"]);
}

#[test]
fn rc_044_tls_where_there_is_none_and_the_other_way_round() {
    let (lap, plain) = (Environment::new(), Registry::start());
    // TLS where plain HTTP is spoken, seen by a request that a proxy leads there.
    let proxy = Proxy::start(&plain.host(), None);
    let ran = lap
        .command(["doctor", "registry.invalid"])
        .env("HTTPS_PROXY", format!("http://anna:s3cret@{}", proxy.host()))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .expect("lap runs");
    let ran = Ran::of(ran);
    says(
        &ran,
        1,
        &[
            &format!("proxy    http://{}", proxy.host()),
            "no  api",
            "it seems to speak plain HTTP",
            "--insecure registry.invalid",
        ],
    );
    assert!(!ran.stdout.contains("s3cret"));
    // Plain HTTP where TLS is spoken.
    let registry = secured(&lap, "IP:127.0.0.1", "100");
    let host = registry.host();
    lap.write(
        &format!("plain/containerd/certs.d/{host}/hosts.toml"),
        format!("server = \"http://{host}\"\n"),
    );
    let ran = doctor(&lap, Some(&lap.path("plain")), &[&host]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("no  api") && ran.stdout.contains("seems to speak TLS"), "{}", ran.stdout);
}

#[test]
fn rc_047_tls_through_a_proxy_reaches_the_registry_that_is_behind_it() {
    let lap = Environment::with_base();
    let (certificate, key) = certificate(&lap, "DNS:registry.invalid", "100");
    let registry = DockerRegistry::start(
        &lap,
        "registry",
        &Setup { tls: Some((&certificate, &key)), ..Setup::default() },
    );
    lap.write("config/docker/certs.d/registry.invalid/ca.crt", std::fs::read(&certificate).expect("read"));
    let proxy = Proxy::start(&registry.host(), Some(("anna", "s3cret")));
    let run = |password: &str, arguments: &[&str]| {
        let ran = lap
            .command(arguments)
            .env("HTTPS_PROXY", format!("http://anna:{password}@{}", proxy.host()))
            .env("XDG_CONFIG_HOME", lap.path("config"))
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .output();
        Ran::of(ran.expect("lap runs"))
    };
    let name = "registry.invalid/team/app:1";
    lap.lap(["tag", "base:1", name]).success();
    run("s3cret", &["push", name]).success();
    run("s3cret", &["pull", name]).success();
    assert!(proxy.trace().iter().all(|line| line == "CONNECT registry.invalid:443"), "{:?}", proxy.trace());
    says(&run("s3cret", &["doctor", name]), 0, &["answers 200 OK in HTTP/2", "ok  image"]);
    for command in ["pull", "push", "doctor"] {
        let ran = run("wr0ng", &[command, name]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            said.contains("the proxy wants another user and password") && said.contains("HTTPS_PROXY"),
            "{said}"
        );
        assert!(!said.contains("wr0ng") && !said.contains("anna"), "{said}");
    }
}
