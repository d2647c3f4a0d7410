//! Bad input: what, where, why, what to do; exit code 1; nothing in the store changed.

use crate::environment::Environment;

/// Dockerfile, and what the error has to say.
const TABLE: &[(&str, &str, &[&str])] = &[
    (
        "an unknown instruction",
        "FROM base:1\nRUM true\n",
        &["unknown instruction: RUM", "RUN", "context/Dockerfile:2", "RUM true", "^"],
    ),
    ("a bad flag", "FROM base:1\nCOPY --form=x a /\n", &["--form", "--from", "context/Dockerfile:2"]),
    (
        "a missing stage",
        "FROM base:1 AS build\nFROM base:1\nCOPY --from=biuld /a /\n",
        &["biuld", "build", "context/Dockerfile:3"],
    ),
    ("a missing file", "FROM base:1\nCOPY nothing /\n", &["nothing", "context/Dockerfile:2"]),
    (
        "an excluded file",
        "FROM base:1\nCOPY secret.txt /\n",
        &["secret.txt", "excluded", ".dockerignore", "2", "*.txt"],
    ),
    ("bad JSON", "FROM base:1\nSHELL [\"/bin/sh\",]\n", &["SHELL", "JSON", "context/Dockerfile:2"]),
    (
        "a list that is not of strings",
        "FROM base:1\nCMD [\"a\", 1]\n",
        &["CMD", "string", "context/Dockerfile:2"],
    ),
    (
        "an unterminated heredoc",
        "FROM base:1\nRUN <<EOF\ntrue\n",
        &["unterminated heredoc", "EOF", "context/Dockerfile:2"],
    ),
    (
        "a missing image",
        "FROM 127.0.0.1:1/nowhere:1\n",
        &["cannot get the base image", "cannot reach", "127.0.0.1:1", "context/Dockerfile:1"],
    ),
    ("an empty file", "", &["empty"]),
    ("no FROM", "ARG A=1\n", &["FROM"]),
    ("a bad variable", "FROM base:1\nENV A=${B:=x}\n", &["context/Dockerfile:2"]),
    (
        "what is not done yet",
        "# syntax=example/frontend:1\nFROM base:1\n",
        &["example/frontend:1", "not supported", "context/Dockerfile:1"],
    ),
    (
        "a failing command",
        "FROM base:1\nRUN echo before; exit 42\n",
        &["exit code: 42", "before", "context/Dockerfile:2", "RUN echo before"],
    ),
    (
        "a missing command",
        "FROM base:1\nRUN [\"/nothing\"]\n",
        &["/nothing", "not found", "context/Dockerfile:2"],
    ),
    (
        "an unknown user",
        "FROM base:1\nUSER ghost\nRUN true\n",
        &["ghost", "/etc/passwd", "context/Dockerfile:3"],
    ),
];

#[test]
fn every_kind_of_mistake_in_a_dockerfile() {
    let lap = Environment::with_base();
    lap.write("context/.dockerignore", "# comment\n*.txt\n");
    lap.write("context/secret.txt", "s");
    let before = lap.lap(["images", "--no-trunc"]).success().stdout;
    for (name, dockerfile, said) in TABLE {
        let ran = lap.build(dockerfile);
        assert_eq!(ran.code, 1, "{name}:\n{}", ran.stderr);
        for words in *said {
            assert!(ran.stderr.contains(words), "{name}: {words:?} is not in:\n{}", ran.stderr);
        }
    }
    let after = lap.lap(["images", "--no-trunc"]).success().stdout;
    let ids = |text: &str| {
        text.lines()
            .map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&before), ids(&after));
    lap.check();
}

#[test]
fn missing_places() {
    let lap = Environment::with_base();
    lap.lap(["build", "nothing"]).failure(1, &["the context nothing does not exist", "https://"]);
    std::fs::create_dir(lap.path("empty")).expect("a directory");
    lap.lap(["build", "empty"]).failure(1, &["there is no Dockerfile in empty", "-f"]);
    lap.lap(["build", "-t", "Upper", "empty"]).failure(1, &["Upper is not the name of an image"]);
    lap.write("empty/Dockerfile", "FROM base:1\n");
    lap.lap(["build", "-t", "Upper/Case", "empty"]).failure(1, &["upper"]);
    lap.lap(["load", "-i", "missing.tar"]).failure(1, &["cannot open missing.tar"]);
    lap.lap(["save", "nothing"]).failure(1, &["nothing"]);
}

#[test]
fn pipes_in_a_context_are_not_waited_for() {
    let lap = Environment::new();
    for (name, pipe) in [("first", "Dockerfile"), ("second", ".dockerignore")] {
        if pipe != "Dockerfile" {
            lap.write(&format!("{name}/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
        } else {
            std::fs::create_dir(lap.path(name)).expect("a directory");
        }
        let path = lap.path(name).join(pipe);
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        let ran = lap.lap(["build", name]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("{name}/{pipe} is a pipe, not a file")), "{}", ran.stderr);
    }
}

#[test]
fn a_store_that_is_none() {
    let lap = Environment::new();
    lap.write("store/something", "else");
    lap.lap(["images"]).failure(1, &["is not a store"]);
    let newer = Environment::with_base();
    std::fs::write(newer.store().join("version"), "lapstrake store 999\n").expect("the version is written");
    newer.lap(["images"]).failure(1, &["newer version"]);
}
