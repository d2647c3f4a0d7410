//! What goes wrong with registries is said in a sentence or two: what, why, and what to do.

use std::process::Command;

use super::real::{DockerRegistry, Setup};
use crate::environment::{Environment, path_text, tool};

/// A certificate for 127.0.0.1 that is signed by itself, and its key.
fn certificate(lap: &Environment) -> (std::path::PathBuf, std::path::PathBuf) {
    let (certificate, key) = (lap.path("server.crt"), lap.path("server.key"));
    let made = Command::new(tool("openssl", "openssl"))
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
        .args([
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            path_text(&key),
            "-out",
            path_text(&certificate),
        ])
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

#[test]
fn rc_045_certificates_that_nobody_vouches_for() {
    let lap = Environment::with_base();
    let (certificate, key) = certificate(&lap);
    let setup = Setup { tls: Some((&certificate, &key)), ..Setup::default() };
    let registry = DockerRegistry::start(&lap, "registry", &setup);
    let host = registry.host();
    let name = format!("{host}/app:1");
    lap.lap(["tag", "base:1", &name]).success();
    lap.lap(["push", &name]).failure(
        1,
        &[
            "its certificate is signed by itself",
            &format!("certs.d/{host}/ca.crt"),
            &format!("--insecure {host}"),
        ],
    );
    lap.lap(["push", "--insecure", &format!("https://{host}"), &name]).success();
    lap.lap(["pull", "--insecure", "a b", &name])
        .failure(1, &["is not the name of a registry", "HOST[:PORT]"]);
    // RC-041: a certificate of its own, where docker has it as well.
    let config = lap.path("config");
    lap.write(
        &format!("config/containers/certs.d/{host}/ca.crt"),
        std::fs::read(&certificate).expect("read"),
    );
    let pulled = lap.command(["pull", &name]).env("XDG_CONFIG_HOME", &config).output().expect("lap runs");
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    // RC-044: plain HTTP where TLS is spoken.
    let proxied =
        lap.command(["pull", &name]).env("LAPSTRAKE_INSECURE_REGISTRIES", &host).output().expect("lap runs");
    assert!(proxied.status.success(), "{}", String::from_utf8_lossy(&proxied.stderr));
}

#[test]
fn rc_042_certificates_of_a_host() {
    let lap = Environment::with_base();
    let (certificate, key) = certificate(&lap);
    let setup = Setup { tls: Some((&certificate, &key)), ..Setup::default() };
    let registry = DockerRegistry::start(&lap, "registry", &setup);
    let host = registry.host();
    let name = format!("{host}/app:1");
    lap.lap(["tag", "base:1", &name]).success();
    let file = format!("config/containerd/certs.d/{host}/hosts.toml");
    let config = lap.path("config");
    let push = || lap.command(["push", &name]).env("XDG_CONFIG_HOME", &config).output().expect("lap runs");
    for settings in ["skip_verify = true", "ca = \"../ca.pem\"", "ca = [\"../ca.pem\"]"] {
        lap.write(&file, "# nothing is said\n");
        assert!(!push().status.success());
        lap.write("config/containerd/certs.d/ca.pem", std::fs::read(&certificate).expect("read"));
        lap.write(&file, format!("server = \"https://{host}\"\n{settings}\n"));
        let pushed = push();
        assert!(pushed.status.success(), "{settings}: {}", String::from_utf8_lossy(&pushed.stderr));
    }
    lap.write(&file, "ca = \"missing.pem\"\n");
    let refused = push();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("missing.pem"));
}

#[test]
fn rc_044_plain_http_where_tls_is_expected() {
    let lap = Environment::new();
    let registry = DockerRegistry::start(&lap, "registry", &Setup::default());
    // A name of this machine that does not look like it.
    let host = format!("{}:{}", rustix::system::uname().nodename().to_string_lossy(), registry.port);
    let ran = lap.lap(["pull", &format!("{host}/app:1")]);
    // It may not have an address, or one on which the registry does not listen.
    if ran.stderr.contains("does not speak TLS") {
        ran.failure(1, &["it seems to speak plain HTTP", &format!("--insecure {host}")]);
    } else {
        ran.failure(1, &["cannot reach"]);
    }
}

#[test]
fn what_is_wrong_with_a_name_is_said_before_anybody_is_asked() {
    let lap = Environment::with_base();
    let registry = DockerRegistry::start(&lap, "registry", &Setup::default());
    let host = registry.host();
    for (arguments, said) in [
        (vec!["pull", "localhost:1/Team/App"], vec!["upper-case", "did you mean localhost:1/team/app"]),
        (vec!["pull", "https://quay.io/x/y"], vec!["did you mean quay.io/x/y"]),
        (vec!["pull", "127.0.0.1:1/app"], vec!["cannot reach", "127.0.0.1:1", "check the port"]),
        (vec!["pull", "no-such-host.invalid/app"], vec!["there is no host of this name", "spelling"]),
        (vec!["push", "quay.io/never/tagged"], vec!["no image has the name quay.io/never/tagged", "lap tag"]),
        (vec!["login", "a b"], vec!["is not the name of a registry"]),
    ] {
        lap.lap(arguments).failure(1, &said);
    }
    lap.lap(["tag", "base:1", &format!("{host}/app:1")]).success();
    lap.lap(["push", &format!("{host}/app:1")]).success();
    lap.lap(["pull", &format!("{host}/app:2")])
        .failure(1, &["app:2 does not exist", "check the name and the tag"]);
    lap.lap(["pull", &format!("{host}/other")]).failure(1, &["other:latest does not exist"]);
    lap.write("context/Dockerfile", format!("FROM {host}/app:2\n"));
    lap.lap(["build", "context"])
        .failure(1, &["cannot get the base image", "app:2 does not exist", "did you mean", "Dockerfile:1:6"]);
}
