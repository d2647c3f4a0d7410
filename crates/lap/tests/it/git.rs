//! lap build: ADD of git repositories (DF-082, DF-083, DF-140, DF-141, DF-179), served by git itself.

use std::path::PathBuf;

use crate::environment::{Environment, Ran};

mod server;
mod ssh;

use server::{Origin, Server};

/// When the commits of the tests were made.
const TIME: &str = "1445412480";

/// The clones of a store, whole or not.
fn clones(lap: &Environment) -> Vec<PathBuf> {
    let names =
        |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let inside = names(lap.store().join("mounts")).flat_map(names).filter(|path| path.is_dir());
    inside.flat_map(names).collect()
}

/// A base, an origin with one commit, and its server.
fn lab() -> (Environment, Origin, Server) {
    let (lap, origin) = (Environment::with_base(), Origin::new());
    origin.write("file", "one\n");
    origin.write("src/deep/er", "deeper\n");
    origin.write("tool", "#!/bin/sh\n");
    origin.executable("tool");
    origin.link("link", "src/deep");
    origin.commit("first");
    let server = Server::new(origin.root());
    (lap, origin, server)
}

#[test]
fn df_141_the_files_of_a_commit() {
    let (lap, _origin, server) = lab();
    let dockerfile = format!("FROM base:1\nADD {} /src\n", server.url("/origin.git"));
    let ran = lap.build(&dockerfile).success();
    assert!(!ran.is_cached("ADD"));
    assert_eq!(server.fetches(), 1);
    let seen = lap.sh(
        "app",
        "cd /src; cat file link/er; ls -A; stat -c '%n %u:%g %a %Y' file tool link src src/deep/er",
    );
    let line = |name: &str, mode: &str| format!("{name} 0:0 {mode} {TIME}\n");
    let lines = [("file", "644"), ("tool", "755"), ("link", "777"), ("src", "755"), ("src/deep/er", "644")];
    let lines: String = lines.iter().map(|(name, mode)| line(name, mode)).collect();
    assert_eq!(seen, format!("one\ndeeper\nfile\nlink\nsrc\ntool\n{lines}"));
    // The commit is asked for, and nothing is fetched.
    assert!(lap.build(&dockerfile).success().is_cached("ADD"));
    assert_eq!(server.fetches(), 0);
    // What is executed again is the same, whether the clone is there or not.
    let layers = lap.inspect("app", ".RootFS.Layers");
    let again = |lap: &Environment| {
        lap.write("context/Dockerfile", &dockerfile);
        lap.lap(["build", "-t", "app", "--no-cache", "context"]).success();
        assert_eq!(lap.inspect("app", ".RootFS.Layers"), layers);
    };
    again(&lap);
    assert_eq!(server.fetches(), 0);
    again(&Environment::with_base());
    assert_eq!(server.fetches(), 1);
    lap.check_clean();
}

#[test]
fn df_179_a_branch_that_moves_is_another_step_and_a_tag_that_does_not_is_none() {
    let (lap, origin, server) = lab();
    origin.git(&["tag", "-a", "-m", "a tag", "v1"]);
    let url = server.url("/origin.git");
    let (moving, fixed) =
        (format!("FROM base:1\nADD {url}#main /src\n"), format!("FROM base:1\nADD {url}#v1 /src\n"));
    let before = origin.head();
    lap.built(&moving);
    lap.built(&fixed);
    origin.write("file", "two\n");
    origin.commit("second");
    assert!(lap.build(&fixed).success().is_cached("ADD"));
    lap.write("context/Dockerfile", &moving);
    let ran = lap.lap(["build", "-t", "app", "--explain", "--progress", "plain", "context"]).success();
    let said = format!("origin.git#main is at commit {}, and was at {}", &origin.head()[..12], &before[..12]);
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    assert!(ran.stderr.contains("/src/file has other contents"), "{}", ran.stderr);
    assert_eq!(lap.sh("app", "cat /src/file"), "two\n");
    lap.check_clean();
}

#[test]
fn df_082_which_commit_and_what_of_it() {
    let (lap, origin, server) = lab();
    let first = origin.head();
    origin.git(&["tag", "-a", "-m", "a tag", "v1"]);
    origin.git(&["switch", "-q", "-c", "side/branch"]);
    origin.write("file", "side\n");
    origin.commit("side");
    origin.git(&["switch", "-q", "main"]);
    origin.write("file", "two\n");
    origin.commit("second");
    let url = server.url("/origin.git");
    for (rest, command, expected) in [
        ("", "cat /x/file", "two\n"),
        ("#side/branch", "cat /x/file", "side\n"),
        ("?branch=side%2Fbranch", "cat /x/file", "side\n"),
        ("#refs/tags/v1", "cat /x/file", "one\n"),
        ("?tag=v1&subdir=src", "ls /x", "deep\n"),
        ("#v1:/src/deep", "ls /x", "er\n"),
        // Links lead to places of the repository.
        ("#:link", "ls /x", "er\n"),
        (&format!("#{first}"), "cat /x/file", "one\n"),
        (&format!("?commit={first}&subdir=src/deep"), "cat /x/er", "deeper\n"),
        (&format!("?ref=v1&checksum={}", &first[..10]), "cat /x/file", "one\n"),
    ] {
        lap.built(&format!("FROM base:1\nENV at={url}{rest}\nADD --chown=3:4 $at /x/\n"));
        assert_eq!(lap.sh("app", command), expected, "{rest}");
        assert_eq!(lap.sh("app", "stat -c %u:%g /x/*"), lap.sh("app", "for i in /x/*; do echo 3:4; done"));
    }
    // With what is in the context, in order, and without some of it.
    lap.write("context/file", "context\n");
    lap.built(&format!("FROM base:1\nADD --exclude=src --exclude=*.x file {url}#v1 /x/\n"));
    assert_eq!(lap.sh("app", "cat /x/file; ls /x"), "one\nfile\nlink\ntool\n");
    lap.built(&format!("FROM base:1\nADD {url}#v1 file /x/\n"));
    assert_eq!(lap.sh("app", "cat /x/file"), "context\n");
    lap.check_clean();
}

#[test]
fn df_141_checksums_of_commits() {
    let (lap, origin, server) = lab();
    let (url, head) = (server.url("/origin.git"), origin.head());
    let add =
        |sum: &str, rest: &str| lap.build(&format!("FROM base:1\nADD --checksum={sum} {url}{rest} /x\n"));
    add(&head, "").success();
    add(&head[..8], "#main").success();
    add(&"0".repeat(40), "").failure(1, &[&head, "0000", "Dockerfile:2:", "checksum", "find out why"]);
    add(&head, &format!("?checksum={}", "1".repeat(40)))
        .failure(1, &["more than one checksum", "Dockerfile:2:"]);
    add("sha256:12", "").failure(1, &["hexadecimal", "git rev-parse", "Dockerfile:2:"]);
    lap.check_clean();
}

#[test]
fn df_141_the_git_directory_is_kept_when_that_is_asked_for() {
    let (lap, origin, server) = lab();
    origin.write("file", "two\n");
    origin.commit("second");
    origin.git(&["tag", "-a", "-m", "a tag", "v1"]);
    let url = server.url("/origin.git");
    let look = |lap: &Environment| {
        let to = lap.path("out");
        let _ = std::fs::remove_dir_all(&to);
        let dest = format!("type=local,dest={}", to.display());
        lap.lap(["build", "-o", &dest, "context"]).success();
        let git = |arguments: &[&str]| server::git(&to.join("x"), arguments);
        assert_eq!(git(&["status", "--porcelain"]), "");
        assert_eq!(git(&["rev-parse", "HEAD"]).trim(), origin.head());
        assert_eq!(git(&["describe", "--tags"]).trim(), "v1");
        assert_eq!(git(&["rev-list", "--count", "HEAD"]).trim(), "1");
        assert_eq!(git(&["config", "remote.origin.url"]).trim(), url);
        git(&["fsck", "--strict"]);
    };
    lap.built(&format!("FROM base:1\nADD --keep-git-dir=true {url}#v1 /x\n"));
    look(&lap);
    let layers = lap.inspect("app", ".RootFS.Layers");
    lap.built(&format!("FROM base:1\nADD {url}?keep-git-dir=1&tag=v1 /x\n"));
    look(&lap);
    assert_eq!(lap.inspect("app", ".RootFS.Layers"), layers);
    let other = Environment::with_base();
    other.built(&format!("FROM base:1\nADD --keep-git-dir {url}#v1 /x\n"));
    assert_eq!(other.inspect("app", ".RootFS.Layers"), layers);
    // There is none for a part of a repository, and two that say different things are an error.
    lap.built(&format!("FROM base:1\nADD --keep-git-dir {url}#v1:src /x\n"));
    assert_eq!(lap.sh("app", "ls -A /x"), "deep\n");
    lap.build(&format!("FROM base:1\nADD --keep-git-dir {url}?keep-git-dir=0 /x\n"))
        .failure(1, &["keep-git-dir=false", "Dockerfile:2:"]);
    lap.write("context/file", "x");
    lap.build("FROM base:1\nADD --keep-git-dir file /x\n").failure(1, &["git repositories", "Dockerfile:2:"]);
    lap.check_clean();
}

#[test]
fn df_083_submodules_come_too() {
    let (lap, origin, server) = lab();
    let inner = origin.beside("inner");
    inner.write("inside", "1\n");
    inner.commit("inner");
    // A relative address, and one of a repository that has a submodule itself.
    let middle = origin.beside("middle");
    middle.submodule("../inner.git", &server.url("/inner.git"), "below");
    middle.commit("middle");
    origin.submodule("../middle.git", &server.url("/middle.git"), "sub/middle");
    origin.commit("with submodules");
    let url = server.url("/origin.git");
    lap.built(&format!("FROM base:1\nADD {url} /x\n"));
    let look = "cat /x/sub/middle/below/inside; find /x -name .git; stat -c %Y /x/sub/middle/below/inside";
    assert_eq!(lap.sh("app", look), format!("1\n{TIME}\n"));
    lap.built(&format!("FROM base:1\nADD {url}?submodules=0 /x\n"));
    assert_eq!(lap.sh("app", "ls -A /x/sub/middle"), "");
    lap.built(&format!("FROM base:1\nADD --keep-git-dir {url} /x\n"));
    assert_eq!(
        lap.sh("app", "cat /x/sub/middle/below/inside; cat /x/sub/middle/.git"),
        "1\ngitdir: ../../.git/modules/sub/middle\n"
    );
    // Those of this machine are not for repositories to take.
    let path = inner.root().join("inner.git");
    origin.submodule(path.to_str().expect("text"), path.to_str().expect("text"), "local");
    origin.commit("a file of this machine");
    lap.build(&format!("FROM base:1\nADD {url} /x\n"))
        .failure(1, &["submodules", "Dockerfile:2:", "https, http, ssh and git"]);
    lap.check_clean();
}

#[test]
fn df_140_private_repositories() {
    let (lap, _origin, server) = lab();
    server.protect("x-access-token:s3cret-word");
    let url = server.url("/origin.git");
    let dockerfile = format!("FROM base:1\nADD {url} /x\n");
    let build = |dockerfile: &str, options: &[&str]| {
        lap.write("context/Dockerfile", dockerfile);
        let arguments =
            [&["build", "-t", "app", "--no-cache", "--progress", "plain"], options, &["context"]].concat();
        let mut command = lap.command(arguments);
        let secrets = [
            ("TOKEN", "s3cret-word\n"),
            ("WRONG", "wr0ng"),
            ("HEADER", "Basic eC1hY2Nlc3MtdG9rZW46czNjcmV0LXdvcmQ="),
        ];
        Ran::of(command.envs(secrets).output().expect("lap runs"))
    };
    let refused = ["Dockerfile:2:", "could not read Username", "GIT_AUTH_TOKEN"];
    build(&dockerfile, &[]).failure(1, &refused);
    build(&dockerfile, &["--secret", "id=GIT_AUTH_TOKEN,env=WRONG"])
        .failure(1, &["Dockerfile:2:", "GIT_AUTH_TOKEN"]);
    let host = url.trim_start_matches("http://").split('/').next().expect("a host").to_owned();
    for options in [
        vec!["id=GIT_AUTH_TOKEN,env=TOKEN".to_owned()],
        vec!["id=GIT_AUTH_HEADER,env=HEADER".to_owned()],
        // That of the host counts.
        vec![format!("id=GIT_AUTH_TOKEN.{host},env=TOKEN"), "id=GIT_AUTH_TOKEN,env=WRONG".to_owned()],
    ] {
        let options: Vec<&str> = options.iter().flat_map(|option| ["--secret", option.as_str()]).collect();
        let ran = build(&dockerfile, &options).success();
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
        assert_eq!(lap.sh("app", "cat /x/file"), "one\n");
    }
    // The same for a context.
    let context = |options: &[&str]| {
        lap.write("context/Dockerfile", "FROM base:1\nCOPY --from=other file /y\n");
        let named = format!("other={url}");
        let mut command =
            lap.command([&["build", "-t", "app", "--build-context", &named], options, &["context"]].concat());
        Ran::of(command.env("TOKEN", "s3cret-word\n").output().expect("lap runs"))
    };
    context(&[]).failure(1, &["could not read Username", "GIT_AUTH_TOKEN"]);
    let ran = context(&["--secret", "id=GIT_AUTH_TOKEN,env=TOKEN"]).success();
    assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    assert_eq!(lap.sh("app", "cat /y"), "one\n");
    let with_login = url.replace("http://", "http://x-access-token:s3cret-word@");
    build(&format!("FROM base:1\nADD --keep-git-dir {with_login} /x\n"), &[]).success();
    assert!(!lap.inspect("app", ".").to_string().contains("s3cret"));
    for needle in ["s3cret", "s3cret-word", "eC1hY2Nlc3MtdG9rZW46czNjcmV0LXdvcmQ"] {
        assert!(!crate::mounts::is_anywhere(&lap.store(), needle.as_bytes()), "{needle} is in the store");
    }
    lap.check_clean();
}

#[test]
fn df_179_a_commit_that_is_written_out_is_in_the_cache_without_git() {
    let (lap, origin, server) = lab();
    let dockerfile = format!("FROM base:1\nADD {}#{} /src\n", server.url("/origin.git"), origin.head());
    assert!(!lap.build(&dockerfile).success().is_cached("ADD"));
    let mut command = lap.command(["build", "--progress", "plain", "context"]);
    let ran = Ran::of(command.env("PATH", lap.path("nothing")).output().expect("lap runs")).success();
    assert!(ran.is_cached("ADD"), "{}", ran.stderr);
    lap.check_clean();
}

#[test]
fn df_141_what_can_not_be_added() {
    let (lap, origin, server) = lab();
    let url = server.url("/origin.git");
    let secret = url.replace("http://", "http://user:word@");
    let empty = origin.beside("empty");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    for (source, said) in [
        (format!("{}?x", server.url("/origin.git")), &["no option", "HOST/PATH.git"][..]),
        (server.url("/none.git"), &["/none.git", "not found", "check the address"]),
        (format!("{secret}#none"), &["no branch or tag none", "origin.git#none"]),
        (format!("{url}#{}", &origin.head()[..12]), &["no branch or tag", "all of its digits"]),
        (format!("{url}#{}", "1".repeat(40)), &["no commit 1111", "one of its branches"]),
        (format!("{url}#:nowhere"), &["no directory nowhere in commit"]),
        (format!("{url}#:file"), &["no directory file in commit"]),
        (server.url("/empty.git"), &["the repository is empty"]),
        (format!("http://{free}/a.git"), &["check that the server runs"]),
        ("http://nobody.invalid/a.git".to_owned(), &["Could not resolve host", "resolver"]),
        ("git@localhost:a".to_owned(), &["SSH", "--ssh default", "https"]),
    ] {
        let ran = lap.build(&format!("FROM base:1\nENV at={source}\nADD $at /d/\n"));
        assert_ne!(ran.code, 0, "{source}");
        assert!(ran.stderr.lines().filter(|line| line.contains("error:")).all(|line| !line.contains("word")));
        for words in said.iter().chain(&["Dockerfile:3:"]) {
            assert!(ran.stderr.contains(words), "{source}: {words:?} is not in:\n{}", ran.stderr);
        }
    }
    drop(empty);
    lap.build(&format!("FROM base:1\nCOPY {url} /d/\n")).failure(1, &["COPY takes no URLs", "Dockerfile:2:"]);
    lap.write("context/Dockerfile", format!("FROM base:1\nADD {url} /d/\n"));
    let mut command = lap.command(["build", "context"]);
    Ran::of(command.env("PATH", lap.path("nothing")).output().expect("lap runs"))
        .failure(1, &["git is not installed", "install the package git", "Dockerfile:2:"]);
    lap.check_clean();
}

#[test]
fn df_141_a_clone_that_was_left_or_damaged_is_made_again() {
    let (lap, _origin, server) = lab();
    let url = server.url("/origin.git");
    let build = |number: &str| {
        lap.built(&format!("FROM base:1\nRUN echo {number} >/number\nADD {url} /x\n"));
        assert_eq!(lap.sh("app", "cat /x/file"), "one\n");
    };
    build("1");
    let [whole] = &clones(&lap)[..] else { panic!("one clone") };
    assert!(whole.ends_with("whole"));
    assert_eq!(server.fetches(), 1);
    // A process was killed while it fetched.
    std::fs::rename(whole, whole.with_file_name("busy")).expect("rename");
    build("2");
    assert_eq!(server.fetches(), 1);
    // What was written did not all reach the disk.
    let packs = std::fs::read_dir(whole.join("objects/pack")).expect("packs").flatten();
    for pack in packs.filter(|pack| pack.path().extension().is_some_and(|end| end == "pack")) {
        std::fs::remove_file(pack.path()).expect("remove");
        std::fs::write(pack.path(), "PACK").expect("write");
    }
    for loose in std::fs::read_dir(whole.join("objects")).expect("objects").flatten() {
        if loose.file_name().len() == 2 {
            std::fs::remove_dir_all(loose.path()).expect("remove");
        }
    }
    build("3");
    assert_eq!(server.fetches(), 1);
    build("4");
    assert_eq!(server.fetches(), 0);
    // A prune takes it.
    let shown = lap.lap(["system", "df"]).success().stdout;
    lap.lap(["system", "prune", "--all", "--force"]).success();
    assert!(clones(&lap).is_empty(), "{shown}");
    lap.check_clean();
}

#[test]
fn df_141_two_builds_share_one_clone() {
    let (lap, _origin, server) = lab();
    let url = server.url("/origin.git");
    for name in ["one", "two", "three"] {
        lap.write(
            &format!("{name}/Dockerfile"),
            format!("FROM base:1\nENV N={name}\nRUN true\nADD {url} /x\n"),
        );
    }
    let children: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .map(|name| {
            lap.command(["build", "-q", "-t", name, name])
                .stdout(std::process::Stdio::null())
                .spawn()
                .expect("lap runs")
        })
        .collect();
    for child in children {
        assert!(child.wait_with_output().expect("lap ends").status.success());
    }
    assert_eq!(server.fetches(), 1);
    assert_eq!(clones(&lap).len(), 1);
    lap.check_clean();
}

#[test]
fn df_082_git_s_own_protocol() {
    let (lap, origin, _server) = lab();
    let address = server::daemon(origin.root());
    lap.built(&format!("FROM base:1\nADD git://{address}/origin.git#main /x\n"));
    assert_eq!(lap.sh("app", "cat /x/file"), "one\n");
    lap.build(&format!("FROM base:1\nADD git://{address}/none.git /x\n"))
        .failure(1, &["no such repository", "check the address", "Dockerfile:2:"]);
    lap.check_clean();
}

#[test]
fn df_141_a_fetch_that_is_cancelled_ends_git_too() {
    use std::io::Read;
    let lap = Environment::with_base();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    lap.write("context/Dockerfile", format!("FROM base:1\nADD http://{address}/a.git /x\n"));
    let mut command = lap.command(["build", "context"]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().expect("lap runs");
    let (mut connection, _) = listener.accept().expect("git asks");
    let lap_itself = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(lap_itself, rustix::process::Signal::INT).expect("a signal");
    let ran = Ran::of(child.wait_with_output().expect("lap ends"));
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    // Nobody is at the other end any more.
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).expect("the end");
    lap.check_clean();
}

#[test]
fn df_081_a_repository_is_the_context() {
    let (lap, origin, server) = lab();
    origin.write("src/Dockerfile", "FROM base:1\nCOPY . /x\n");
    origin.write("src/other/Dockerfile", "FROM base:1\nCOPY deep/er /y\n");
    origin.write("src/.dockerignore", "out\n.dockerignore\n");
    origin.write("src/out", "out\n");
    origin.link("src/outside", "/etc");
    origin.commit("a context");
    let url = format!("{}#main:src", server.url("/origin.git"));
    let build =
        |options: &[&str]| lap.lap([&["build", "-t", "app", "--progress", "plain"], options].concat());
    build(&[&url]).success();
    assert_eq!(lap.sh("app", "ls -A /x; cat /x/deep/er"), "Dockerfile\ndeep\nother\noutside\ndeeper\n");
    assert_eq!(server.fetches(), 1);
    let layers = lap.inspect("app", ".RootFS.Layers");
    assert!(build(&[&url]).success().stderr.contains("CACHED"));
    build(&["--no-cache", &url]).success();
    assert_eq!(lap.inspect("app", ".RootFS.Layers"), layers, "times are those of the commit");
    build(&["-f", "other/Dockerfile", &url]).success();
    assert_eq!(lap.sh("app", "cat /y"), "deeper\n");
    assert_eq!(server.fetches(), 0);
    // As a named context, too.
    lap.write("context/Dockerfile", "FROM base:1\nCOPY --from=other deep/er /z\n");
    build(&["--build-context", &format!("other={url}"), "context"]).success();
    assert_eq!(lap.sh("app", "cat /z"), "deeper\n");
    // A repository is known again, whatever directory it was put into.
    origin.write("src/deep/er", "changed\n");
    origin.commit("a change");
    let ran = build(&["--explain", &url]).success();
    assert!(ran.stderr.contains("/deep/er has other contents"), "{}", ran.stderr);
    let secret = url.replace("http://", "http://user:word@");
    for (address, said) in [
        (secret.replace("#main", "#none"), &["no branch or tag none", "check the name"][..]),
        (secret.replace(":src", ":none"), &["no directory none in commit"]),
        (secret.replace(":src", ""), &["no Dockerfile in the context"]),
        (secret.replace(":src", ":src/outside"), &["no directory src/outside"]),
        (secret.replace("#main", "?colour=red#main"), &["no option \"colour\"", "HOST/PATH.git"]),
    ] {
        let ran = build(&[&address]).failure(1, said);
        assert!(!ran.stderr.contains("word"), "{}", ran.stderr);
    }
    build(&["-f", "none", &url]).failure(1, &["there is no none in the context"]);
    lap.check_clean();
}

#[test]
fn df_166_the_time_of_the_context_s_commit() {
    let (lap, origin, server) = lab();
    origin.write("Dockerfile", "FROM base:1\nRUN touch /now\nCOPY . /x\n");
    origin.commit("a context");
    let url = server.url("/origin.git");
    lap.lap(["build", "-t", "app", "--build-arg", "SOURCE_DATE_EPOCH=context", &url]).success();
    assert_eq!(lap.inspect("app", ".Created"), "2015-10-21T07:28:00Z");
    assert_eq!(lap.sh("app", "stat -c %Y /now"), "1445412480\n");
}
