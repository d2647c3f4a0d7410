//! images, tag, rmi, inspect, history, system.

use crate::environment::Environment;

#[test]
fn names_come_and_go() {
    let lap = Environment::with_base();
    lap.lap(["tag", "base:1", "localhost:5000/team/base"]).success();
    let listed = lap.lap(["images", "--format", "{{.Repository}}:{{.Tag}}"]).success().stdout;
    let mut names: Vec<&str> = listed.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["base:1", "localhost:5000/team/base:latest"]);

    let id = lap.inspect("base:1", ".Id");
    let id = id.as_str().expect("an ID").trim_start_matches("sha256:").to_owned();
    lap.lap(["rmi", &id[..12]])
        .failure(1, &["has several names: base:1, localhost:5000/team/base:latest", "-f"]);
    let removed = lap.lap(["rmi", "base:1"]).success().stdout;
    assert_eq!(removed, "Untagged: base:1\n");
    let removed = lap.lap(["rmi", "localhost:5000/team/base"]).success().stdout;
    assert_eq!(removed, format!("Untagged: localhost:5000/team/base:latest\nDeleted: sha256:{id}\n"));
    lap.lap(["rmi", "base:1"]).failure(1, &["there is no image base:1", "lap images"]);
    lap.check();
}

#[test]
fn the_list_says_when_an_image_came() {
    let lap = Environment::with_base();
    let listed = lap.lap(["images"]).success().stdout;
    let mut lines = listed.lines();
    let header: Vec<&str> = lines.next().expect("a header").split_whitespace().collect();
    assert_eq!(header, ["REPOSITORY", "TAG", "IMAGE", "ID", "ARRIVED", "SIZE"]);
    let line = lines.next().expect("a line");
    assert!(line.starts_with("base") && line.contains("second"), "{line}");
    // The content is of 2001, the arrival is of now.
    assert_eq!(lap.inspect("base:1", ".Created"), "2001-09-09T01:46:40Z");
}

#[test]
fn inspect_and_history_show_the_image() {
    let lap = Environment::with_base();
    lap.built("FROM base:1\nLABEL a=b\nENV X=\"1 2\"\nRUN echo hi >/hi\n");
    assert_eq!(lap.inspect("app", ".Config.Labels"), serde_json::json!({"a": "b"}));
    assert_eq!(lap.inspect("app", ".RootFS.Layers").as_array().map(Vec::len), Some(2));
    let history = lap.lap(["history", "--no-trunc", "--format", "{{.CreatedBy}}", "app"]).success().stdout;
    let lines: Vec<&str> = history.lines().collect();
    assert_eq!(lines[..3], ["RUN /bin/sh -c echo hi >/hi # buildkit", "ENV X=1 2", "LABEL a=b"]);
    lap.lap(["inspect", "nothing"]).failure(1, &["there is no image nothing"]);
    lap.lap(["inspect", "--format", "{{.Nothing}}", "app"]).failure(1, &["there is no field Nothing"]);
}

#[test]
fn prune_removes_what_nothing_needs_and_nothing_else() {
    let lap = Environment::with_base();
    lap.built("FROM base:1\nRUN echo one >/one\n");
    lap.built("FROM base:1\nRUN echo two >/two\n");
    let would = lap.lap(["system", "prune", "--dry-run"]).success();
    assert!(would.stdout.contains("Would reclaim"), "{}", would.stdout);
    let usage = lap.lap(["system", "df"]).success().stdout;
    assert!(usage.starts_with("TYPE"), "{usage}");
    lap.lap(["system", "prune", "-f"]).success();
    lap.check();
    assert_eq!(lap.sh("app", "cat /two"), "two\n");
    lap.lap(["system", "prune", "-a", "-f"]).success();
    lap.check();
    assert_eq!(lap.lap(["images", "-q"]).success().stdout, "");
    lap.lap(["system", "prune"]).failure(1, &["--force"]);
}

/// DF-207: docker's two narrower ways to prune.
#[test]
fn df_207_images_and_the_build_cache_go_separately() {
    let lap = Environment::with_base();
    let dockerfile = "FROM base:1\nRUN echo one >/one\n";
    lap.built("FROM base:1\nRUN echo zero >/zero\n");
    lap.built(dockerfile);
    let steps = |ran: crate::environment::Ran| ran.success().stderr.matches("CACHED").count();
    let all = steps(lap.build(dockerfile));

    let would = lap.lap(["builder", "prune", "--dry-run"]).success();
    assert!(would.stderr.contains("would go") && !would.stdout.contains("deleted"), "{}", would.stdout);
    let gone = lap.lap(["image", "prune", "--force"]).success().stdout;
    assert_eq!(gone.matches("deleted: ").count(), 1, "the image without a name: {gone}");
    assert_eq!(steps(lap.build(dockerfile)), all, "the cache stays");

    let gone = lap.lap(["buildx", "prune", "-a", "-f"]).success().stdout;
    assert!(!gone.contains("deleted"), "images stay: {gone}");
    assert_eq!(lap.sh("app", "cat /one"), "one\n");
    assert_eq!(steps(lap.build(dockerfile)), all - 1, "the step is executed again");
    lap.check();

    lap.lap(["image", "prune", "-a", "-f"]).success();
    assert_eq!(lap.lap(["images", "-q"]).success().stdout, "");
    lap.lap(["builder", "prune"]).failure(1, &["--force"]);
    lap.check();
}
