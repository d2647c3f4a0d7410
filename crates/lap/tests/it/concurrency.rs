//! Many commands at the same time on one store: none fails because of another, and the store stays whole.

use std::thread::scope;

use crate::environment::{Environment, path_text};

/// How often each command runs.
fn rounds() -> usize {
    if std::env::var_os("LAP_TEST_ALL").is_some() { 60 } else { 4 }
}

#[test]
fn builds_prune_rmi_load_save_and_run_together() {
    let lap = Environment::with_base();
    for index in 0..20 {
        lap.write(&format!("context/files/{index}"), vec![index as u8; 20_000]);
    }
    lap.write(
        "context/Dockerfile",
        "FROM base:1 AS a\nRUN cat /proc/sys/kernel/random/uuid >/id\n\
         FROM base:1 AS b\nARG X\nCOPY files /files\nRUN echo $X >/x; rm /files/1\n\
         FROM b\nCOPY --from=a /id /id\nRUN rm /x\n",
    );
    let archive = lap.path("saved.tar");
    lap.lap(["build", "-t", "saved", "context"]).success();
    lap.lap(["save", "-o", path_text(&archive), "saved"]).success();
    let build = |name: &str| {
        for round in 0..rounds() {
            let (argument, tag) = (format!("X={}", round % 3), format!("{name}:{}", round % 2));
            lap.lap(["build", "--build-arg", &argument, "-t", &tag, "context"]).success();
        }
    };
    let every = |arguments: &[&str], code: i32| {
        for _ in 0..rounds() {
            let ran = lap.lap(arguments);
            assert_eq!(ran.code, code, "{arguments:?}\n{}", ran.stderr);
        }
    };
    scope(|threads| {
        threads.spawn(|| build("one"));
        threads.spawn(|| build("two"));
        threads.spawn(|| every(&["build", "--no-cache", "-t", "fresh", "context"], 0));
        threads.spawn(|| every(&["system", "prune", "-f"], 0));
        threads.spawn(|| every(&["rmi", "-f", "one:0", "two:0", "saved"], 0));
        threads.spawn(|| every(&["load", "-i", path_text(&archive)], 0));
        threads.spawn(|| every(&["save", "-o", path_text(&lap.path("base-again.tar")), "base:1"], 0));
        threads.spawn(|| every(&["run", "--rm", "base:1", "sh", "-c", "exit 7"], 7));
    });
    lap.check();
    assert_eq!(std::fs::read_dir(lap.store().join("tmp")).expect("tmp").count(), 0);
}
