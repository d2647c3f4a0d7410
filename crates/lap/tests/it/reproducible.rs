//! The same input gives the same image: in two stores, on two days, at one and at two threads.

use crate::environment::Environment;

/// Everything that is not a RUN.
const WITHOUT_RUN: &str = "\
FROM base:1 AS build
WORKDIR /made/here
COPY --chown=app src /src
COPY <<EOF /heredoc
text
EOF

FROM base:1
LABEL a=b
COPY --from=build /src/sub /copied
COPY --from=build /heredoc /made /all/
ENTRYPOINT [\"/bin/sh\"]
";

fn context(lap: &Environment) {
    for (index, name) in ["src/a", "src/sub/b", "src/sub/deeper/c"].into_iter().enumerate() {
        let path = lap.write(&format!("context/{name}"), format!("content {index}"));
        let time =
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000 + index as u64);
        std::fs::File::options().write(true).open(path).expect("a file").set_modified(time).expect("a time");
    }
    for directory in ["src/sub/deeper", "src/sub", "src"] {
        let path = lap.path(&format!("context/{directory}"));
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_400_000_000);
        std::fs::File::open(path).expect("a directory").set_modified(time).expect("a time");
    }
}

fn id(dockerfile: &str, flags: &[&str]) -> String {
    let lap = Environment::with_base();
    context(&lap);
    lap.write("context/Dockerfile", dockerfile);
    let arguments = [&["build", "-q", "-t", "app"], flags, &["context"]].concat();
    lap.lap(arguments).success().stdout
}

#[test]
fn without_run_nothing_but_the_input_counts() {
    let one = id(WITHOUT_RUN, &["--threads", "1"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(one, id(WITHOUT_RUN, &["--threads", "2"]));
}

#[test]
fn reproducible_makes_run_the_same_too() {
    let dockerfile =
        format!("{WITHOUT_RUN}RUN date +%s%N >/dev/null && mkdir /run-made && echo x >/run-made/x\n");
    let one = id(&dockerfile, &["--reproducible=1000"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(one, id(&dockerfile, &["--reproducible=1000", "--threads", "1"]));
}

/// What an image says of its time, and what a RUN sees of it.
const EPOCH: &str = "\
ARG SOURCE_DATE_EPOCH
FROM base:1
ARG SOURCE_DATE_EPOCH
RUN echo at $SOURCE_DATE_EPOCH >/at
";

#[test]
fn df_166_the_newest_file_of_the_context_is_the_epoch() {
    let lap = Environment::with_base();
    context(&lap);
    lap.write("context/.dockerignore", "later\n.dockerignore\nDockerfile\n");
    lap.write("context/later", "ignored, and newer");
    let newest = "2017-07-14T02:40:02Z";
    lap.write("context/Dockerfile", EPOCH);
    lap.lap(["build", "-t", "app", "--build-arg", "SOURCE_DATE_EPOCH=context", "context"]).success();
    assert_eq!(lap.sh("app", "cat /at"), "at 1500000002\n");
    assert_eq!(lap.inspect("app", ".Created"), newest);
    lap.lap(["build", "-t", "app", "--reproducible=context", "context"]).success();
    assert_eq!(lap.inspect("app", ".Created"), newest);
    let from_environment = lap
        .command(["build", "-q", "context"])
        .env("SOURCE_DATE_EPOCH", "context")
        .output()
        .expect("it runs");
    let id = String::from_utf8_lossy(&from_environment.stdout).trim().to_owned();
    assert_eq!(lap.inspect("app", ".Id"), id.as_str());
    // The Dockerfile says it; what is given wins.
    lap.write("context/Dockerfile", EPOCH.replacen("EPOCH\n", "EPOCH=context\n", 1));
    lap.lap(["build", "-t", "app", "context"]).success();
    assert_eq!(
        (lap.inspect("app", ".Created"), lap.sh("app", "cat /at")),
        (newest.into(), "at 1500000002\n".into())
    );
    lap.lap(["build", "-t", "app", "--build-arg", "SOURCE_DATE_EPOCH=7", "context"]).success();
    assert_eq!(lap.sh("app", "cat /at"), "at 7\n");
    // Without a context there is no time in it.
    let dockerfile = EPOCH.replace(">/at", ">/at && true");
    let ran = lap.lap_with_input(
        ["build", "-t", "app", "--build-arg", "SOURCE_DATE_EPOCH=context", "-"],
        dockerfile.as_bytes(),
    );
    ran.success();
    assert_eq!(lap.sh("app", "cat /at"), "at\n");
    lap.lap(["build", "--reproducible=contxt", "context"])
        .failure(2, &["neither a number of seconds nor context"]);
}
