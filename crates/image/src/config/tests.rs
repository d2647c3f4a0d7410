use base::{Classified, Kind};
use serde_json::json;

use super::*;
use crate::Digest;

const DIFF_ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn read(json: &str) -> Raw<Config> {
    Config::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{}", error.source))
}

/// As dockerd's classic builder writes it: with empty strings, nulls and fields that only it knows.
#[test]
fn df_161_a_config_of_docker_keeps_what_is_not_known() {
    let text = format!(
        r#"{{"architecture":"amd64","config":{{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"Env":["PATH=/bin"],
        "Cmd":["sh","-c","a && b"],"Image":"sha256:abc","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,
        "Labels":null,"StopTimeout":10,"ExposedPorts":{{"80/tcp":{{}},"443/tcp":null}}}},
        "container":"0123","container_config":{{"Hostname":"0123","Cmd":null}},
        "created":"2024-02-29T12:00:00.123456789Z","docker_version":"20.10.24",
        "history":[{{"created":"2024-02-29T12:00:00Z","created_by":"/bin/sh -c #(nop) ADD file in / "}},
        {{"created":"2024-02-29T12:00:00Z","created_by":"/bin/sh -c #(nop)  CMD [\"sh\"]","empty_layer":true}}],
        "os":"linux","rootfs":{{"type":"layers","diff_ids":["{DIFF_ID}"]}}}}"#
    );
    let raw = read(&text);
    let config = raw.value();
    assert_eq!(config.platform().to_string(), "linux/amd64");
    assert_eq!(config.rootfs.diff_ids, [DiffId(Digest::sha256(b""))]);
    assert_eq!(config.history.iter().map(|step| step.empty_layer).collect::<Vec<_>>(), [false, true]);
    assert_eq!(
        config.config.cmd.as_deref(),
        Some(&["sh".to_owned(), "-c".to_owned(), "a && b".to_owned()][..])
    );
    assert_eq!(config.config.entrypoint, None);
    assert_eq!(config.config.exposed_ports.len(), 2);
    assert_eq!(config.extra.get("docker_version"), Some(&json!("20.10.24")));
    assert_eq!(config.config.extra.get("StopTimeout"), Some(&json!(10)));

    let written = Raw::write(config.clone()).expect("JSON");
    let expected = format!(
        concat!(
            r#"{{"architecture":"amd64","config":{{"AttachStdin":false,"Cmd":["sh","-c","a \u0026\u0026 b"],"#,
            r#""Domainname":"","Env":["PATH=/bin"],"ExposedPorts":{{"443/tcp":{{}},"80/tcp":{{}}}},"Hostname":"","#,
            r#""Image":"sha256:abc","StopTimeout":10}},"container":"0123","#,
            r#""container_config":{{"Cmd":null,"Hostname":"0123"}},"created":"2024-02-29T12:00:00.123456789Z","#,
            r#""docker_version":"20.10.24","history":[{{"created":"2024-02-29T12:00:00Z","#,
            r#""created_by":"/bin/sh -c #(nop) ADD file in / "}},{{"created":"2024-02-29T12:00:00Z","#,
            r#""created_by":"/bin/sh -c #(nop)  CMD [\"sh\"]","empty_layer":true}}],"os":"linux","#,
            r#""rootfs":{{"diff_ids":["{}"],"type":"layers"}}}}"#,
        ),
        DIFF_ID
    );
    assert_eq!(String::from_utf8_lossy(written.bytes()), expected);
    assert_eq!(Config::parse(written.bytes()).expect("a config").value(), config);
}

/// As BuildKit writes it.
#[test]
fn df_161_a_config_of_buildkit_is_read_whole() {
    let raw = read(
        r#"{"architecture":"arm","config":{"User":"app:app","Env":["A=b"],"Entrypoint":["/app"],"WorkingDir":"/srv",
        "Labels":{"b":"2","a":"1","A":"0"},"StopSignal":"SIGQUIT","ArgsEscaped":true,"Volumes":{"/data":{},"/Data":{}},
        "Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,"StartInterval":1,"Retries":3},
        "OnBuild":["RUN x"],"Shell":["/bin/bash","-c"]},
        "created":"2024-02-29T12:00:00Z","history":[{"comment":"buildkit.dockerfile.v0","author":"me"}],
        "os":"linux","rootfs":{"type":"layers","diff_ids":null},"variant":"v7","moby.buildkit.buildinfo.v1":"e30="}"#,
    );
    let config = raw.value();
    assert_eq!(config.platform().to_string(), "linux/arm/v7");
    assert_eq!(config.config.user, "app:app");
    assert_eq!(config.config.labels.len(), 3);
    assert_eq!(config.config.volumes.len(), 2);
    assert!(config.config.args_escaped);
    let health = config.config.healthcheck.as_ref().expect("a health check");
    assert_eq!(
        (health.interval, health.timeout, health.start_interval, health.retries),
        (5_000_000_000, 0, 1, 3)
    );
    assert_eq!(config.config.on_build, ["RUN x"]);
    assert_eq!(config.config.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(config.rootfs.diff_ids, []);
    assert!(config.config.extra.is_empty(), "{:?}", config.config.extra);
    assert_eq!(config.extra.keys().collect::<Vec<_>>(), ["moby.buildkit.buildinfo.v1"]);
    let written = Raw::write(config.clone()).expect("JSON");
    assert_eq!(Config::parse(written.bytes()).expect("a config").value(), config);
}

#[test]
fn null_and_absent_are_empty() {
    let absent = read("{}");
    let null = read(
        r#"{"config":null,"history":null,"rootfs":null,"os.features":null,"created":null,"author":null,"variant":null}"#,
    );
    assert_eq!(absent.value(), null.value());
    assert_eq!(absent.value(), &Config::default());
    let inner = read(
        r#"{"config":{"User":null,"ExposedPorts":null,"Env":null,"Entrypoint":null,"Cmd":null,"Healthcheck":null,
        "Volumes":null,"WorkingDir":null,"OnBuild":null,"Labels":null,"StopSignal":null,"Shell":null}}"#,
    );
    assert_eq!(inner.value(), &Config::default());
    let unset = read(r#"{"created":"0001-01-01T00:00:00Z"}"#);
    assert_eq!(unset.value().created, Some(Timestamp::from_unix(i64::MIN)));
}

/// These bytes must not change: every image ID depends on them.
#[test]
fn golden_the_smallest_config() {
    let config = Config { architecture: "amd64".to_owned(), os: "linux".to_owned(), ..Config::default() };
    let written = Raw::write(config).expect("JSON");
    let expected =
        r#"{"architecture":"amd64","config":{},"os":"linux","rootfs":{"diff_ids":[],"type":"layers"}}"#;
    assert_eq!(String::from_utf8_lossy(written.bytes()), expected);
}

#[test]
fn an_empty_command_is_not_the_same_as_none() {
    let raw = read(r#"{"config":{"Cmd":[],"Entrypoint":[]}}"#);
    let written = Raw::write(raw.value().clone()).expect("JSON");
    assert_eq!(raw.value().config.cmd, Some(Vec::new()));
    assert!(String::from_utf8_lossy(written.bytes()).contains(r#"{"Cmd":[],"Entrypoint":[]}"#));
}

#[test]
fn what_other_tools_would_read_differently_is_refused() {
    for (json, reason) in [
        (r#"{"os":"a","os":"b"}"#, "the key os is there twice"),
        (r#"{"config":{"User":"a","user":"b"}}"#, "twice, in letters of different case"),
        (r#"{"config":{"user":"b"}}"#, "its key user is not how User is written"),
        (r#"{"Config":{"User":"b"}}"#, "its key Config is not how config is written"),
        (r#"{"RootFS":{}}"#, "its key RootFS is not how rootfs is written"),
        (r#"{"rootfs":{"diff_ids":["sha256:../../x"]}}"#, "is not a digest"),
        (r#"{"created":"yesterday"}"#, "is not a time in RFC 3339"),
        (r#"{"config":{"Env":"A=b"}}"#, "expected a sequence"),
        (r#"{"config":{"Healthcheck":{"Interval":-1}}}"#, "expected u64"),
        ("[]", "expected struct Config"),
        ("null", "expected struct Config"),
    ] {
        let error = Config::parse(json.as_bytes()).expect_err(json);
        assert_eq!(error.to_string(), "the config is not valid");
        assert!(error.source.to_string().contains(reason), "{json}: {}", error.source);
        assert_eq!(error.kind(), Kind::Invalid, "{json}");
    }
}

#[test]
fn st_012_a_config_has_a_largest_size() {
    let limit = usize::try_from(MAX_CONFIG_SIZE).expect("a size");
    let with_size = |size: usize| format!("{{}}{}", " ".repeat(size - 2));
    assert!(Config::parse(with_size(limit).as_bytes()).is_ok());
    let error = Config::parse(with_size(limit + 1).as_bytes()).expect_err("too large");
    assert_eq!(error.kind(), Kind::TooLarge);
    assert_eq!(error.source.to_string(), "it has 8388609 bytes, at most 8388608 are read");
}

#[test]
fn unknown_keys_cannot_be_mistaken_for_known_ones() {
    // The lists of known keys are the keys that a full config is written with.
    let mut config = Config {
        author: Some(String::new()),
        created: Some(Timestamp::EPOCH),
        history: vec![History::default()],
        os_version: Some(String::new()),
        os_features: vec![String::new()],
        variant: Some(String::new()),
        ..Config::default()
    };
    config.config = ContainerConfig {
        user: "u".to_owned(),
        exposed_ports: BTreeMap::from([(String::new(), Empty {})]),
        env: vec![String::new()],
        entrypoint: Some(Vec::new()),
        cmd: Some(Vec::new()),
        healthcheck: Some(Healthcheck::default()),
        args_escaped: true,
        volumes: BTreeMap::from([(String::new(), Empty {})]),
        working_dir: "/".to_owned(),
        on_build: vec![String::new()],
        labels: BTreeMap::from([(String::new(), String::new())]),
        stop_signal: Some(String::new()),
        shell: Some(Vec::new()),
        extra: Map::new(),
    };
    let value = serde_json::to_value(&config).expect("JSON");
    let keys = |value: &Value| {
        let mut keys: Vec<String> = value.as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&value), KNOWN);
    assert_eq!(keys(&value["config"]), KNOWN_CONTAINER);
}
