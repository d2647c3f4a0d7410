//! The interface: help, completions, manual pages, exit codes of wrong arguments.

use crate::environment::{Environment, path_text};

#[test]
fn the_whole_reference_is_a_snapshot() {
    let lap = Environment::new();
    let mut reference = String::new();
    for words in [
        "",
        "build",
        "run",
        "images",
        "tag",
        "rmi",
        "inspect",
        "history",
        "save",
        "load",
        "import",
        "system",
        "system df",
        "system prune",
        "system check",
        "image",
        "image prune",
        "builder",
        "builder prune",
        "version",
        "completions",
        "man",
        "copy",
        "doctor",
        "help",
        "help exit-codes",
        "help environment",
    ] {
        let mut arguments: Vec<&str> = words.split_whitespace().collect();
        if !words.starts_with("help ") {
            arguments.push("--help");
        }
        let ran = lap.command(arguments).env("COLUMNS", "100").output().expect("lap runs");
        assert!(ran.status.success(), "{words}");
        reference.push_str(&format!("$ lap {words}\n{}\n", String::from_utf8_lossy(&ran.stdout)));
    }
    insta::assert_snapshot!(reference);
}

#[test]
fn wrong_arguments_are_2_and_help_is_0() {
    let lap = Environment::new();
    assert_eq!(lap.lap(["--version"]).code, 0);
    assert_eq!(lap.lap::<&str>([]).code, 2);
    lap.lap(["biuld"]).failure(2, &["build"]);
    lap.lap(["help", "nothing"]).failure(2, &["nothing"]);
}

#[test]
fn commands_of_docker_that_are_not_here_say_what_does_their_work() {
    let lap = Environment::new();
    lap.lap(["ps"]).failure(2, &["lap has no ps", "lap run --rm"]);
    lap.lap(["volume", "ls"]).failure(2, &["lap has no volume", "-v DIR:PATH"]);
    lap.lap(["info"]).success();
    assert_eq!(lap.lap(["version"]).success().stdout, lap.lap(["--version"]).stdout);
}

#[test]
fn completions_and_manual_pages_are_made() {
    let lap = Environment::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = lap.lap(["completions", shell]).success().stdout;
        assert!(script.contains("build"), "{shell}");
    }
    let directory = lap.path("man");
    lap.lap(["man", path_text(&directory)]).success();
    let page = std::fs::read_to_string(directory.join("lap-build.1")).expect("a page");
    assert!(page.contains("Dockerfile"), "{page}");
    assert!(directory.join("lap-system-prune.1").exists());
}
