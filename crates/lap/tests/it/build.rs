//! lap build: what an image is, after the Dockerfile was built.

use std::process::Command;

use crate::environment::{Environment, Ran, path_text, tool};

/// How many steps were taken from the cache; the base image, which always is, not counted.
fn cached(ran: &Ran) -> usize {
    let bases = ran.stderr.lines().filter(|line| line.contains("] FROM ")).count();
    ran.stderr.matches("CACHED").count() - bases
}

#[test]
fn a_dockerfile_with_everything() {
    let lap = Environment::with_base();
    lap.write("context/src/a.txt", "a\n");
    lap.write("context/src/b.log", "b\n");
    lap.write("context/.dockerignore", "*.md\n**/*.log\n");
    lap.write("context/README.md", "no\n");
    lap.built(
        r#"
ARG VERSION=1
FROM base:1 AS tools
RUN echo "tool $0" >/tool && chmod 755 /tool

FROM base:1
ARG VERSION
LABEL version=$VERSION org="A B"
ENV HOME_OF=/app PATH_EXTRA=${HOME_OF:-none}
WORKDIR /app
WORKDIR data
COPY src ./src
COPY --from=tools /tool /usr/local/bin/
COPY --chown=app:app --chmod=640 src/a.txt /owned
USER app
RUN ["sh", "-c", "id -un; pwd"]
RUN <<EOF
echo "heredoc in $0"
touch /tmp/$VERSION
EOF
EXPOSE 80 53/udp
VOLUME /app/data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
SHELL ["/bin/sh", "-ec"]
CMD echo hi
"#,
    );
    let config = lap.inspect("app", ".Config");
    assert_eq!(config["User"], "app");
    assert_eq!(config["WorkingDir"], "/app/data");
    assert_eq!(config["Labels"], serde_json::json!({"version": "1", "org": "A B"}));
    assert_eq!(config["ExposedPorts"], serde_json::json!({"53/udp": {}, "80/tcp": {}}));
    assert_eq!(config["Volumes"], serde_json::json!({"/app/data": {}}));
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["Cmd"], serde_json::json!(["/bin/sh", "-ec", "echo hi"]));
    assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD-SHELL", "true"]));
    assert!(config["Env"].as_array().is_some_and(|env| env.contains(&"PATH_EXTRA=none".into())), "{config}");
    let seen = lap.sh("app", "ls src; stat -c '%u:%g %a' /owned; cat /usr/local/bin/tool; ls /tmp");
    assert_eq!(seen, "a.txt\n1000:1001 640\ntool /bin/sh\n1\n");
    lap.check();
}

#[test]
fn df_135_df_137_archives() {
    let lap = Environment::with_base();
    lap.write("tree/d/file", "in the archive\n");
    lap.write("tree/d/program", "#!/bin/sh\necho it runs\n");
    std::os::unix::fs::symlink("file", lap.path("tree/d/link")).expect("a link");
    std::fs::create_dir_all(lap.path("context")).expect("a directory");
    let made = Command::new(tool("tar", "tar"))
        .args([
            "--owner=1000",
            "--group=1001",
            "--mode=u=rwx,go=rx",
            "-C",
            path_text(&lap.path("tree")),
            "-czf",
        ])
        .args([path_text(&lap.path("context/data.bin")), "d"])
        .status();
    assert!(made.expect("tar runs").success());
    lap.built("FROM base:1\nADD data.bin /x/\nADD --chown=7:8 data.bin /y/\nADD --unpack=false data.bin /z/\nRUN /x/d/program\n");
    let seen = lap.sh("app", "cat /x/d/link; stat -c '%u:%g %a' /x/d/file /y/d/file; ls /z");
    assert_eq!(seen, "in the archive\n1000:1001 755\n7:8 755\ndata.bin\n");
    let archive = std::fs::read(lap.path("context/data.bin")).expect("an archive");
    lap.write("context/data.bin", &archive[..archive.len() - 20]);
    lap.build("FROM base:1\nADD data.bin /x/\n").failure(
        1,
        &["Dockerfile:2", "cannot unpack data.bin", "COPY, and ADD --unpack=false, copy an archive as it is"],
    );
    lap.check();
}

#[test]
fn a_second_build_executes_nothing() {
    let lap = Environment::with_base();
    lap.write("context/file", "1");
    let dockerfile = "FROM base:1\nCOPY file /file\nRUN echo $$ >/pid\n";
    lap.built(dockerfile);
    let first = lap.inspect("app", ".Id");
    let again = lap.build(dockerfile).success();
    assert_eq!(cached(&again), 2, "{}", again.stderr);
    assert_eq!(lap.inspect("app", ".Id"), first);

    // Other times do not matter, other contents do.
    std::fs::File::options()
        .write(true)
        .open(lap.path("context/file"))
        .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH))
        .expect("a time is set");
    assert_eq!(cached(&lap.build(dockerfile).success()), 2);
    lap.write("context/file", "2");
    assert_eq!(cached(&lap.build(dockerfile).success()), 0);
    assert_eq!(lap.sh("app", "cat /file"), "2");
}

#[test]
fn df_180_metadata_does_not_execute_what_follows_again() {
    let lap = Environment::with_base();
    lap.built("FROM base:1\nLABEL a=1\nRUN echo x >/x\n");
    let again = lap.build("FROM base:1\nLABEL a=2\nRUN echo x >/x\n").success();
    assert_eq!(cached(&again), 1, "{}", again.stderr);
    let no_cache = lap.lap(["build", "--no-cache", "--progress", "plain", "context"]).success();
    assert_eq!(cached(&no_cache), 0, "{}", no_cache.stderr);
}

#[test]
fn df_073_only_what_the_target_needs_is_built() {
    let lap = Environment::with_base();
    lap.write(
        "context/Dockerfile",
        "FROM base:1 AS one\nRUN echo one >/one\nFROM base:1 AS two\nRUN exit 9\nFROM one AS three\nRUN echo three >/three\n",
    );
    lap.lap(["build", "-t", "app", "context"]).success();
    assert_eq!(lap.sh("app", "cat /one /three"), "one\nthree\n");
    lap.lap(["build", "--target", "TWO", "context"]).failure(1, &["exit code: 9", "RUN exit 9"]);
    lap.lap(["build", "--target", "thre", "context"]).failure(1, &["thre", "three"]);
}

#[test]
fn a_step_sees_docker_s_surroundings_and_leaves_no_trace_of_them() {
    let lap = Environment::with_base();
    lap.built("FROM base:1\nRUN cat /etc/resolv.conf /etc/hosts >/dev/null && ls /proc/self /sys /dev/null >/dev/null && true\n");
    let layers = lap.inspect("app", ".RootFS.Layers");
    let table = lap.inspect("app", ".Layers");
    assert_eq!(layers.as_array().map(Vec::len), Some(2));
    assert_eq!(table[1]["Entries"], 0, "the step left something: {table}");
    let capabilities =
        lap.sh("base:1", "grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; umask");
    assert_eq!(capabilities, "CapEff:\t00000000a80425fb\nSeccomp:\t2\n0022\n");
    let denied = lap.build("FROM base:1\nRUN mount -t tmpfs none /tmp\n");
    denied.failure(1, &["exit code: 1"]);
}

#[test]
fn two_builds_at_a_time_execute_a_step_once() {
    let lap = Environment::with_base();
    lap.write(
        "context/Dockerfile",
        "FROM base:1\nRUN sleep 1; dd if=/dev/urandom bs=16 count=1 2>/dev/null | md5sum >/id\n",
    );
    let builds: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|name| lap.command(["build", "-t", name, "context"]).spawn().expect("lap runs"))
        .collect();
    for mut build in builds {
        assert!(build.wait().expect("lap ends").success());
    }
    assert_eq!(lap.sh("one", "cat /id"), lap.sh("two", "cat /id"));
    lap.check();
}

#[test]
fn files_about_the_result() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nLABEL x=y\n");
    let quiet = lap
        .lap([
            "build",
            "-q",
            "-t",
            "app",
            "--label",
            "z=1",
            "--iidfile",
            "id",
            "--metadata-file",
            "meta",
            "context",
        ])
        .success();
    let id = std::fs::read_to_string(lap.path("id")).expect("a file");
    assert_eq!(quiet.stdout, format!("{id}\n"));
    assert_eq!(quiet.stderr, "");
    let metadata: serde_json::Value =
        serde_json::from_slice(&std::fs::read(lap.path("meta")).expect("a file")).expect("JSON");
    assert_eq!(metadata["containerimage.config.digest"], id);
    assert_eq!(lap.inspect("app", ".Config.Labels"), serde_json::json!({"x": "y", "z": "1"}));
}

#[test]
fn progress_as_json_lines() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nRUN echo said\n");
    let ran = lap.lap(["build", "--progress", "json", "context"]).success();
    let lines: Vec<serde_json::Value> = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(lines.iter().any(|line| line["log"]["data"] == "said\n"), "{}", ran.stderr);
    assert!(
        lines
            .iter()
            .any(|line| line["vertex"]["name"].as_str().is_some_and(|name| name.contains("RUN echo said")))
    );
}

#[test]
fn a_dockerfile_from_standard_input() {
    let lap = Environment::with_base();
    lap.lap_with_input(["build", "-t", "app", "-"], b"FROM base:1\nRUN echo in >/in\n").success();
    assert_eq!(lap.sh("app", "cat /in"), "in\n");
    lap.lap_with_input(["build", "-"], b"FROM base:1\nCOPY a /\n").failure(1, &["context"]);
}

#[test]
fn df_026_df_027_which_dockerfile() {
    let lap = Environment::with_base();
    let label = |name: &str| format!("FROM base:1\nLABEL from={name}\n");
    let built_from = |arguments: &[&str]| {
        lap.lap([&["build", "-t", "app"], arguments].concat()).success();
        lap.inspect("app", ".Config.Labels.from")
    };
    lap.lap(["build", "context"]).failure(1, &["context"]);
    lap.write("context/Containerfile", label("Containerfile"));
    assert_eq!(built_from(&["context"]), "Containerfile");
    lap.write("context/dockerfile", label("dockerfile"));
    assert_eq!(built_from(&["context"]), "dockerfile");
    lap.write("elsewhere/named", label("named"));
    std::os::unix::fs::symlink("../elsewhere/named", lap.path("context/Dockerfile")).expect("a link");
    assert_eq!(built_from(&["context"]), "named", "a link is followed");
    lap.write("here", label("here"));
    assert_eq!(built_from(&["-f", "here", "context"]), "here", "relative to the working directory");
    lap.lap(["build", "-f", "missing", "context"]).failure(1, &["missing"]);
}

#[test]
fn df_181_stages_that_are_built_again() {
    let lap = Environment::with_base();
    let text = "FROM base:1 AS one\nRUN echo 1 >/1\nFROM one AS two\nRUN echo 2 >/2\n";
    lap.write("context/Dockerfile", text);
    lap.lap(["build", "context"]).success();
    let again = lap.lap(["build", "--no-cache-filter", "two,other", "context"]).success();
    assert_eq!(cached(&again), 1, "{}", again.stderr);
    assert!(again.stderr.contains("no stage is called other"), "{}", again.stderr);
}

#[test]
fn p14_misses_are_explained() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nCOPY a /a\nRUN cat /a\n");
    lap.write("context/a", "1");
    lap.lap(["build", "context"]).success();
    lap.write("context/a", "2");
    let plain = lap.lap(["build", "--explain", "context"]).success();
    assert!(plain.stderr.contains(" NOT CACHED: /a has other contents\n"), "{}", plain.stderr);
    lap.write("context/a", "3");
    let json = lap.lap(["build", "--explain", "--progress", "json", "context"]).success();
    let lines = json.stderr.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let explained: Vec<_> = lines.iter().filter(|line| !line["explanation"].is_null()).collect();
    assert_eq!(explained.len(), 2, "{}", json.stderr);
    assert_eq!(explained[0]["explanation"]["reasons"], serde_json::json!(["/a has other contents"]));
    lap.check();
}

#[test]
fn hardlinks_whiteouts_and_odd_files_survive() {
    let lap = Environment::with_base();
    lap.built(
        "FROM base:1\n\
         RUN mkdir -p /d/e && echo 1 >/d/a && ln /d/a /d/b && mkfifo /d/p && touch '/d/a b' && chmod 2755 /d/e\n\
         RUN rm -r /d/e && mkdir /d/e && echo n >/d/e/new && rm '/d/a b'\n",
    );
    let seen =
        lap.sh("app", "cd /d; ls; ls e; stat -c %h a; [ a -ef b ] && echo same; [ -p p ] && echo pipe");
    assert_eq!(seen, "a\nb\ne\np\nnew\n2\nsame\npipe\n");
    // The same out of an archive.
    let archive = lap.command(["save", "app"]).output().expect("lap runs").stdout;
    let other = Environment::new();
    other.lap_with_input(["load"], &archive).success();
    assert_eq!(other.sh("app", "cd /d; ls; ls e; [ a -ef b ] && echo same"), "a\nb\ne\np\nnew\nsame\n");
}

#[test]
fn an_output_that_has_no_place_is_refused_before_anything_is_built() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nRUN echo executed\n");
    let ran = lap.lap(["build", "-o", "type=tar,dest=no/where.tar", "context"]);
    assert!(!ran.stderr.contains("executed"), "{}", ran.stderr);
    ran.failure(1, &["there is no directory no", "create it first"]);
}

#[test]
fn a_step_that_two_stages_share_runs_once() {
    let lap = Environment::with_base();
    lap.built(
        "FROM base:1 AS one\nRUN dd if=/dev/urandom bs=16 count=1 2>/dev/null | md5sum >/id; sleep 0.3\n\
         FROM base:1 AS two\nRUN dd if=/dev/urandom bs=16 count=1 2>/dev/null | md5sum >/id; sleep 0.3\n\
         FROM base:1\nCOPY --from=one /id /one\nCOPY --from=two /id /two\n",
    );
    let seen = lap.sh("app", "cat /one /two");
    let ids: Vec<&str> = seen.lines().collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "{seen}");
}

#[test]
fn df_076_a_base_for_another_platform_is_a_warning_and_stays_what_it_is() {
    let lap = Environment::with_base();
    let tar = lap.path("base.tar");
    lap.lap(["import", "--platform", "linux/s390x", tar.to_str().expect("text"), "other:1"]).success();
    let ran = lap.build("FROM other:1\nCOPY Dockerfile /\n").success();
    let said =
        "InvalidBaseImagePlatform: Base image other:1 was pulled with platform \"linux/s390x\", expected";
    assert!(ran.stderr.contains(said) && ran.stderr.contains("Dockerfile:1"), "{}", ran.stderr);
    assert_eq!(lap.inspect("app", ".Architecture"), "s390x");
    // One that is asked for is what was expected.
    let ran = lap.lap(["build", "--platform", "linux/s390x", "context"]).success();
    assert!(!ran.stderr.contains("InvalidBaseImagePlatform"), "{}", ran.stderr);
}
