//! Configs and history texts, instruction by instruction.

use serde_json::{Value, json};

use super::*;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The config section and the history of what follows FROM.
fn check(what: &str, dockerfile: &str, config: Value, history: &[&str]) {
    let stage = target_of(dockerfile);
    let found = serde_json::to_value(&stage.config.config).expect("JSON");
    assert_eq!(found, config, "{what}: {dockerfile}");
    assert_eq!(history_of(&stage), history, "{what}: {dockerfile}");
}

/// What `FROM scratch` gives, with changes.
fn scratch(changes: Value) -> Value {
    let mut config = json!({ "Env": [PATH], "WorkingDir": "/" });
    if let (Value::Object(config), Value::Object(changes)) = (&mut config, changes) {
        config.extend(changes);
    }
    config
}

#[test]
fn what_instructions_say_of_the_image() {
    let rows: &[(&str, &str, Value, &[&str])] = &[
        ("DF-162", "", json!({}), &[]),
        (
            "DF-146",
            "ENV a=1 b=$a\nENV a=2",
            json!({ "Env": [PATH, "a=2", "b="] }),
            &["ENV a=1 b=", "ENV a=2"],
        ),
        ("DF-052", "ENV a the value", json!({ "Env": [PATH, "a=the value"] }), &["ENV a=the value"]),
        (
            "DF-047",
            "ENV n=k\nENV $n=\"x y\"",
            json!({ "Env": [PATH, "n=k", "k=x y"] }),
            &["ENV n=k", "ENV k=x y"],
        ),
        (
            "DF-147",
            "LABEL a=1 \"b c\"='2 3'",
            json!({ "Labels": { "a": "1", "b c": "2 3" } }),
            &["LABEL a=1 b c=2 3"],
        ),
        (
            "DF-149",
            "ENV P=\"90 91\"\nEXPOSE 8080-8081/udp 80 $P",
            json!({ "Env": [PATH, "P=90 91"], "ExposedPorts": {
                "80/tcp": {}, "90/tcp": {}, "91/tcp": {}, "8080/udp": {}, "8081/udp": {},
            } }),
            &["ENV P=90 91", "EXPOSE [90/tcp 91/tcp 80/tcp 8080/udp 8081/udp]"],
        ),
        (
            "DF-150",
            "ENV u=me\nUSER $u:9",
            json!({ "Env": [PATH, "u=me"], "User": "me:9" }),
            &["ENV u=me", "USER me:9"],
        ),
        (
            "DF-151",
            "WORKDIR a\nWORKDIR \"b/../c/\"\nWORKDIR /",
            json!({ "WorkingDir": "/" }),
            &["WORKDIR /a", "WORKDIR /a/c", "WORKDIR /"],
        ),
        (
            "DF-153",
            "VOLUME [\"/a b\", \"/c\"]",
            json!({ "Volumes": { "/a b": {}, "/c": {} } }),
            &["VOLUME [/a b /c]"],
        ),
        (
            "DF-154",
            "CMD echo \"$x\"",
            json!({ "Cmd": ["/bin/sh", "-c", "echo \"$x\""], "ArgsEscaped": true }),
            &["CMD [\"/bin/sh\" \"-c\" \"echo \\\"$x\\\"\"]"],
        ),
        ("DF-154", "CMD [\"a\"]\nCMD []", json!({ "ArgsEscaped": true }), &["CMD [\"a\"]", "CMD []"]),
        (
            "DF-155",
            "CMD [\"c\"]\nENTRYPOINT [\"e\"]",
            json!({ "Cmd": ["c"], "Entrypoint": ["e"], "ArgsEscaped": true }),
            &["CMD [\"c\"]", "ENTRYPOINT [\"e\"]"],
        ),
        (
            "DF-156",
            "HEALTHCHECK --interval=5m --retries=3 CMD curl x",
            json!({ "Healthcheck": { "Test": ["CMD-SHELL", "curl x"], "Interval": 300_000_000_000_u64, "Retries": 3 } }),
            &["HEALTHCHECK &{[\"CMD-SHELL\" \"curl x\"] \"5m0s\" \"0s\" \"0s\" \"0s\" '\\x03'}"],
        ),
        (
            "DF-156",
            "HEALTHCHECK CMD [\"a\", \"b\"]\nHEALTHCHECK NONE",
            json!({ "Healthcheck": { "Test": ["NONE"] } }),
            &[
                "HEALTHCHECK &{[\"CMD\" \"a\" \"b\"] \"0s\" \"0s\" \"0s\" \"0s\" '\\x00'}",
                "HEALTHCHECK &{[\"NONE\"] \"0s\" \"0s\" \"0s\" \"0s\" '\\x00'}",
            ],
        ),
        ("DF-157", "STOPSIGNAL SIGTERM", json!({ "StopSignal": "SIGTERM" }), &["STOPSIGNAL SIGTERM"]),
        (
            "DF-158",
            "SHELL [\"/bin/bash\", \"-ec\"]\nENTRYPOINT x",
            json!({ "Shell": ["/bin/bash", "-ec"], "Entrypoint": ["/bin/bash", "-ec", "x"] }),
            &["SHELL [/bin/bash -ec]", "ENTRYPOINT [\"/bin/bash\" \"-ec\" \"x\"]"],
        ),
        ("DF-159", "ONBUILD RUN make", json!({ "OnBuild": ["RUN make"] }), &[]),
        ("DF-063", "ARG a=1 b\nARG c=$a", json!({}), &["ARG a=1 b", "ARG c=1"]),
        ("DF-148", "MAINTAINER me <m@e>", json!({}), &["MAINTAINER me <m@e>"]),
    ];
    for (what, instructions, changes, history) in rows {
        check(what, &format!("FROM scratch\n{instructions}\n"), scratch(changes.clone()), history);
    }
    assert_eq!(target_of("FROM scratch\nMAINTAINER me\n").config.author.as_deref(), Some("me"));
}

#[test]
fn df_161_a_base_is_copied() {
    let mut base = World::usual().images["debian"].clone();
    base.created = Some(image::Timestamp::EPOCH);
    base.config.working_dir = "/a/../b".to_owned();
    base.config.env = vec!["X=1".to_owned()];
    base.config.on_build = vec!["ENV triggered=yes".to_owned()];
    base.config.extra.insert("Memory".to_owned(), json!(7));
    base.extra.insert("docker_version".to_owned(), json!("1"));
    base.extra.insert("moby.x".to_owned(), json!("kept"));
    let world = World::default().with("base", base);
    let plan = plan(&request("FROM base\nENTRYPOINT [\"x\"]\n"), &world).expect("a plan");
    let config = &plan.stages[0].config;
    assert_eq!(config.created, None);
    let expected = json!({
        "Env": ["X=1", PATH, "triggered=yes"], "Entrypoint": ["x"], "WorkingDir": "/b", "Memory": 7,
    });
    assert_eq!(serde_json::to_value(&config.config).expect("JSON"), expected, "DF-155, DF-160, DF-162");
    assert_eq!(config.extra.keys().collect::<Vec<_>>(), ["moby.x"]);
}

#[test]
fn df_155_an_inherited_command_is_cleared() {
    let stage = target_of("FROM scratch AS a\nCMD [\"x\"]\nFROM a\nENTRYPOINT [\"e\"]\n");
    assert_eq!(stage.config.config.cmd, None);
    let stage = target_of("FROM debian\nENV a=1\n");
    assert_eq!(stage.config.config.cmd, Some(vec!["bash".to_owned()]));
}

#[test]
fn df_164_history_of_what_is_executed() {
    let stage = target_of(
        "FROM debian\n\
         ARG A=1\nARG B\nARG A=2\n\
         RUN make  all\n\
         RUN [\"make\", \"all\"]\n\
         COPY --chown=me --chmod=755 --exclude=z x y /d/\n\
         ADD <<F x /e/\nhello\nF\n\
         RUN <<E\necho\nE\n",
    );
    let run = "RUN |2 A=2 B=";
    assert_eq!(
        history_of(&stage)[3..],
        [
            format!("{run} /bin/sh -c make  all # buildkit").as_str(),
            &format!("{run} make all # buildkit"),
            "COPY --chown=me --chmod=755 x y /d/ # buildkit",
            "ADD x <<F /e/ # buildkit",
            &format!("{run} /bin/sh -c echo\n # buildkit"),
        ]
    );
    let steps: Vec<Option<usize>> = stage.history.iter().map(|entry| entry.step).collect();
    assert_eq!(steps, [None, None, None, Some(0), Some(1), Some(2), Some(3), Some(4)], "DF-163");
}
