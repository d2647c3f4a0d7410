//! docker, with a daemon of its own.

use super::{Served, htpasswd, wait_for_image};
use crate::docker::Docker;
use crate::environment::{Environment, path_text};

#[test]
fn docker_pulls_builds_mounts_and_pushes() {
    let lap = Environment::with_base();
    lap.built("FROM base:1\nRUN echo made >/made\n");
    let served = Served::start(&lap, 0, &[]);
    let docker = Docker::start();
    let from = served.name("app");
    docker.run(&["pull", "-q", &from]).success();
    let ran = docker.run(&["run", "--rm", "--network", "host", &from, "/bin/cat", "/made"]).success();
    assert_eq!(ran.stdout, "made\n");
    lap.write("context/Dockerfile", format!("FROM {from}\nRUN echo by docker >>/made\n"));
    let pushed = served.name("team/docker:1");
    docker
        .run(&["build", "-q", "--network", "host", "-t", &pushed, path_text(&lap.path("context"))])
        .success();
    docker.run(&["push", "-q", &pushed]).success();
    wait_for_image(&lap, "team/docker:1");
    assert_eq!(lap.sh("team/docker:1", "cat /made"), "made\nby docker\n");

    // RS-028, RS-029: what the registry has elsewhere is mounted, what it has here is not sent.
    let other = served.name("other/docker:1");
    docker.run(&["tag", &pushed, &other]).success();
    let said = docker.run(&["push", &other]).success().stdout;
    assert!(said.contains("Mounted from") && !said.contains("Pushed"), "{said}");
    let said = docker.run(&["push", &other]).success().stdout;
    assert!(said.contains("Layer already exists"), "{said}");
    let digest = said.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest");
    docker.run(&["pull", "-q", &served.name(&format!("team/docker@{digest}"))]).success();
    docker.run(&["pull", "-q", &served.name("team/docker:2")]).failure(1, &["manifest unknown"]);
    served.stop();

    // RS-100: with a login.
    let users = htpasswd(&lap, "ann", "s3cret");
    let served = Served::start(&lap, 0, &["--htpasswd", path_text(&users)]);
    let (host, name) = (served.address.to_string(), served.name("private/docker:1"));
    docker.run(&["tag", &pushed, &name]).success();
    docker.run(&["push", "-q", &name]).failure(1, &["no basic auth credentials"]);
    docker.run(&["login", "-u", "ann", "-p", "wrong", &host]).failure(1, &["401 Unauthorized"]);
    docker.run(&["login", "-u", "ann", "-p", "s3cret", &host]).success();
    docker.run(&["push", "-q", &name]).success();
    docker.run(&["pull", "-q", &name]).success();
    served.stop();
    lap.check();
}
