//! Limits and names that take nothing but the flags: `--ulimit`, `--shm-size`, `--add-host`.

use crate::environment::Environment;

#[test]
fn ct_37_limits_of_a_command() {
    let lap = Environment::with_base();
    let script = "ulimit -Sn; ulimit -Hn; ulimit -Sc";
    let flags = ["--ulimit", "nofile=99:100", "--ulimit", "core=5", "--ulimit", "core=0"];
    let run = lap.lap([&["run", "--rm"], &flags[..], &["base:1", "sh", "-c", script]].concat()).success();
    assert_eq!(run.stdout, "99\n100\n0\n");
    lap.write("context/Dockerfile", "FROM base:1\nRUN ulimit -Sn >/limits; ulimit -Hn >>/limits\n");
    let build = |flags: &[&str]| lap.lap([&["build", "-t", "app"], flags, &["context"]].concat());
    build(&flags).success();
    assert_eq!(lap.sh("app", "cat /limits"), "99\n100\n");
    // They belong to what a step is.
    build(&["--ulimit", "nofile=98"]).success();
    assert_eq!(lap.sh("app", "cat /limits"), "98\n98\n");
    lap.lap(["run", "--rm", "--ulimit", "nofile=9:8", "base:1"]).failure(125, &["at most the hard one"]);
    lap.lap(["run", "--rm", "--ulimit", "files=9", "base:1"])
        .failure(125, &["there is no such limit", "nofile"]);
    // No kernel goes that far; it is known before anything is executed.
    lap.lap(["run", "--rm", "--ulimit", "nofile=1099511627776", "base:1"])
        .failure(125, &["cannot set --ulimit nofile=1099511627776", "may not raise it", "ask for at most"]);
    let refused = build(&["--ulimit", "nofile=1099511627776"]).failure(1, &["may not raise it"]);
    assert!(!refused.stderr.contains("] RUN"), "{}", refused.stderr);
}

#[test]
fn df_107_hosts() {
    let lap = Environment::with_base();
    let flags =
        ["--add-host", "db:192.0.2.7", "--add-host", "six=[2001:db8::1]", "--add-host", "here:host-gateway"];
    let tail = "tail -n 3 /etc/hosts";
    let expected = "192.0.2.7\tdb\n2001:db8::1\tsix\n127.0.0.1\there\n";
    let run = lap.lap([&["run", "--rm"], &flags[..], &["base:1", "sh", "-c", tail]].concat()).success();
    assert_eq!(run.stdout, expected);
    lap.write("context/Dockerfile", format!("FROM base:1\nRUN {tail} >/hosts\n"));
    let build = |flags: &[&str]| {
        lap.lap([&["build", "-t", "app", "--progress", "plain"], flags, &["context"]].concat()).success()
    };
    build(&flags);
    assert_eq!(lap.sh("app", "cat /hosts"), expected);
    // Names belong to what a step is, addresses do not.
    let other = ["--add-host", "db:192.0.2.8", "--add-host", "six:::1", "--add-host", "here:::1"];
    assert!(build(&other).stderr.contains("#2 CACHED"));
    assert!(!build(&["--add-host", "db:192.0.2.8"]).stderr.contains("#2 CACHED"));
    assert_eq!(lap.sh("app", "tail -n 1 /hosts"), "192.0.2.8\tdb\n");
    lap.lap(["run", "--rm", "--add-host", "db:nowhere", "base:1"])
        .failure(125, &["--add-host", "not an address"]);
}

#[test]
fn df_107_shared_memory() {
    let lap = Environment::with_base();
    let size = "df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2";
    let run = lap.lap(["run", "--rm", "--shm-size", "1m", "base:1", "sh", "-c", size]).success();
    assert_eq!(run.stdout, "1024\n");
    lap.write("context/Dockerfile", format!("FROM base:1\nRUN {size} >/size\n"));
    lap.lap(["build", "-t", "app", "--shm-size", "2m", "context"]).success();
    assert_eq!(lap.sh("app", "cat /size"), "2048\n");
    lap.lap(["run", "--rm", "--shm-size", "much", "base:1"]).failure(125, &["--shm-size much", "not a size"]);
}

#[test]
fn df_061_proxies_reach_commands_and_nothing_else() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nRUN echo $HTTP_PROXY $http_proxy $no_proxy >/seen\n");
    let build = |proxy: &str| {
        let proxy = format!("HTTP_PROXY=http://{proxy}");
        let arguments = [
            "build",
            "-t",
            "app",
            "--progress",
            "plain",
            "--build-arg",
            &proxy,
            "--build-arg",
            "no_proxy=here",
        ];
        lap.lap([&arguments[..], &["context"]].concat()).success().stderr
    };
    build("one.example");
    assert_eq!(
        lap.sh("app", "cat /seen; env | grep -ic proxy; true"),
        "http://one.example http://one.example here\n0\n"
    );
    let history = lap.lap(["history", "--no-trunc", "app"]).success().stdout;
    assert!(!history.contains("one.example"), "{history}");
    // Another proxy is no other step (DF-107).
    assert!(build("two.example").contains("#2 CACHED"));
    assert!(lap.sh("app", "cat /seen").contains("one.example"));
}
