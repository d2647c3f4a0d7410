//! What goes wrong with registries is said in one or two sentences, cause and remedy each: all of them, to be read side by side.

use std::fmt::Write as _;

use super::real::{DockerRegistry, Setup};
use super::support::{Access, Fault, OCI_INDEX, Proxy, Registry, image};
use crate::environment::{Environment, Ran, path_text};
use crate::serve::certificate;

/// What was said, with what differs each time left out.
struct Said {
    text: String,
    /// What is replaced by what.
    names: Vec<(String, &'static str)>,
    /// What is not said as it should be.
    wrong: Vec<String>,
}

impl Said {
    fn new(lap: &Environment) -> Self {
        let directory = lap.path("").display().to_string();
        Self { text: String::new(), names: vec![(directory, "DIR/")], wrong: Vec::new() }
    }

    fn call(&mut self, what: String, name: &'static str) {
        self.names.push((what, name));
    }

    /// Takes note of a command that has to fail.
    fn add(&mut self, title: &str, ran: &Ran) {
        let mut said = ran.stderr.clone();
        for (what, name) in &self.names {
            said = said.replace(what, name);
        }
        // What the resolver says of it depends on the network.
        let said = match said.split_once("no host of this name (") {
            Some((before, after)) => {
                let after = after.split_once(')').map_or("", |(_, after)| after);
                format!("{before}no host of this name (WHY){after}")
            }
            None => super::without_digests(&said),
        };
        let lines: Vec<_> = said.lines().skip_while(|line| !line.starts_with("error: ")).collect();
        let hints = lines.iter().skip(1).filter(|line| line.starts_with("hint: ")).count();
        if ran.code != 1 || hints == 0 || hints > 2 || hints + 1 != lines.len() {
            self.wrong.push(format!("{title}: {}: {}", ran.code, ran.stderr));
        }
        let _ = writeln!(self.text, "# {title}\n{}\n", lines.join("\n"));
    }
}

#[test]
fn what_clients_are_told() {
    let lap = Environment::with_base();
    let registry = Registry::start();
    let host = registry.host();
    let mut said = Said::new(&lap);
    said.call(host.clone(), "HOST");
    let name = |rest: &str| format!("{host}/{rest}");
    let layers = image(&[1000, 2000]);
    layers.put(&registry, "app", "1");
    let tag = |name: &str| {
        lap.lap(["tag", "base:1", name]).success();
    };

    said.add("a name with capital letters", &lap.lap(["pull", "registry.example/Team/App"]));
    said.add("an unknown host", &lap.lap(["pull", "registry.invalid/app"]));
    said.add("a port where nobody listens", &lap.lap(["pull", "127.0.0.1:1/app"]));
    said.add("a tag that is missing", &lap.lap(["pull", &name("app:2")]));
    said.add("a repository that is missing", &lap.lap(["pull", &name("other/app:1")]));
    said.add("a registry where an image is expected", &lap.lap(["pull", &host]));
    said.add("a repository where a registry is expected", &lap.lap(["registry", "catalog", &name("team")]));
    said.add("an image where a repository is expected", &lap.lap(["registry", "tags", &name("app:1")]));
    let missing = name(&format!("app@sha256:{}", "0".repeat(64)));
    said.add("a blob that is missing", &lap.lap(["registry", "delete", "--blob", &missing]));
    let platforms = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{
        "mediaType": super::support::OCI_MANIFEST, "digest": format!("sha256:{}", "1".repeat(64)), "size": 100,
        "platform": {"os": "linux", "architecture": "s390x"},
    }]});
    registry.add_manifest("app", "s390x", OCI_INDEX, platforms.to_string().as_bytes());
    said.add(
        "a platform that is missing",
        &lap.lap(["pull", "--platform", "linux/arm64", &name("app:s390x")]),
    );

    let second = image::Digest::sha256(&layers.layers[1]).to_string();
    registry.rule("GET", second.clone(), 2, Fault::WrongBytes);
    let ran = lap.lap(["pull", "-q", &name("app:1")]);
    said.add("bytes that are not what their digest says", &ran);
    // What was verified before is kept: only the layer that was wrong is asked for.
    registry.forget_requests();
    lap.lap(["pull", &name("app:1")]).success();
    let first = image::Digest::sha256(&layers.layers[0]).to_string();
    assert_eq!((registry.requests("GET", &first).len(), registry.requests("GET", &second).len()), (0, 1));
    lap.check();
    let wrong = Fault::Answer(
        200,
        vec![("Content-Type", super::support::OCI_MANIFEST.to_owned())],
        layers.manifest[..layers.manifest.len() - 1].to_vec(),
    );
    registry.rule("GET", "/manifests/sha256:", 1, wrong);
    let digest = image::Digest::sha256(&layers.manifest);
    said.add(
        "a manifest that is not what its digest says",
        &lap.lap(["pull", &name(&format!("app@{digest}"))]),
    );

    registry.set_access(Access::Basic("anna", "s3cret"));
    said.add("no login", &lap.lap(["pull", &name("app:1")]));
    let arguments = ["login", "-u", "anna", "--password-stdin", &host];
    said.add("a wrong password at login", &lap.lap_with_input(arguments, b"wr0ng"));
    said.add("no password at login", &lap.lap_with_input(arguments, b""));
    let auth = super::support::base64("anna:wr0ng");
    let file = lap.write("auth.json", format!(r#"{{"auths": {{"{host}": {{"auth": "{auth}"}}}}}}"#));
    let ran = lap.lap(["pull", "--authfile", path_text(&file), &name("app:1")]);
    said.add("a wrong password that was kept", &ran);
    registry.set_access(Access::Open);

    let denied = br#"{"errors":[{"code":"DENIED","message":"read only"}]}"#.to_vec();
    registry.rule("POST", "/uploads/", 1, Fault::Answer(403, vec![], denied));
    tag(&name("denied:1"));
    said.add("no right to push", &lap.lap(["push", "-q", &name("denied:1")]));
    let fixed = br#"{"errors":[{"code":"UNSUPPORTED","message":"this registry is read-only"}]}"#.to_vec();
    registry.rule("POST", "/uploads/", usize::MAX, Fault::Answer(405, vec![], fixed));
    tag(&name("fixed:1"));
    said.add("a registry that is read-only", &lap.lap(["push", "-q", &name("fixed:1")]));
    let limits = vec![
        ("RateLimit-Limit", "100;w=21600".to_owned()),
        ("RateLimit-Remaining", "0".to_owned()),
        ("Retry-After", "3600".to_owned()),
    ];
    registry.rule("GET", "/manifests/", 1, Fault::Answer(429, limits, vec![]));
    said.add("too many pulls", &lap.lap(["pull", &name("app:1")]));

    let proxy = Proxy::start(&registry.host(), None);
    said.call(proxy.host(), "PROXY");
    let through = |arguments: &[&str]| {
        let mut command = lap.command(arguments);
        command
            .env("HTTPS_PROXY", format!("http://{}", proxy.host()))
            .env_remove("NO_PROXY")
            .env_remove("no_proxy");
        Ran::of(command.output().expect("lap runs"))
    };
    said.add("plain HTTP where TLS is expected", &through(&["pull", "registry.invalid/app"]));
    let (certificate, key) = certificate(&lap);
    let secured = DockerRegistry::start(
        &lap,
        "secured",
        &Setup { tls: Some((&certificate, &key)), ..Setup::default() },
    );
    said.call(secured.host(), "SECURED");
    tag(&format!("{}/app:1", secured.host()));
    said.add(
        "a certificate that is signed by itself",
        &lap.lap(["push", "-q", &format!("{}/app:1", secured.host())]),
    );
    let file = format!("config/containerd/certs.d/{}/hosts.toml", secured.host());
    lap.write(&file, format!("server = \"http://{}\"\n", secured.host()));
    let mut command = lap.command(["registry", "catalog", &secured.host()]);
    let plain = command.env("XDG_CONFIG_HOME", lap.path("config")).output().expect("lap runs");
    said.add("TLS where plain HTTP is expected", &Ran::of(plain));
    insta::assert_snapshot!(said.text);
    // One line of what and why, and one or two of what to do.
    assert!(said.wrong.is_empty(), "{}", said.wrong.join("\n"));
}

#[test]
fn what_is_said_to_who_serves() {
    let lap = Environment::new();
    let mut said = Said::new(&lap);
    let (certificate, key) = certificate(&lap);
    let (certificate, key) = (path_text(&certificate), path_text(&key));
    let missing = lap.path("missing.key");
    let ran = lap.lap(["serve", "--tls-cert", certificate, "--tls-key", path_text(&missing)]);
    said.add("a key that is missing", &ran);
    // Root reads every file; a directory nobody does.
    let directory = lap.path("directory.key");
    std::fs::create_dir(&directory).expect("mkdir");
    let ran = lap.lap(["serve", "--tls-cert", certificate, "--tls-key", path_text(&directory)]);
    said.add("a key that cannot be read", &ran);
    let ran = lap.lap(["serve", "--tls-cert", key, "--tls-key", key]);
    said.add("a key where a certificate is expected", &ran);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    said.call(address.clone(), "ADDRESS");
    said.add("a port that is in use", &lap.lap(["serve", "--addr", &address]));
    insta::assert_snapshot!(said.text);
    // One line of what and why, and one or two of what to do.
    assert!(said.wrong.is_empty(), "{}", said.wrong.join("\n"));
}
