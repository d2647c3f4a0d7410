//! RUN --mount: memory, secrets, caches.

use std::path::Path;

use crate::environment::Environment;

/// What no file of a store may hold.
const SECRET: &str = "hunter2-and-more";

/// Whether a file below a directory has these bytes in it.
fn is_anywhere(directory: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(directory).expect("a directory").any(|entry| {
        let path = entry.expect("an entry").path();
        let metadata = path.symlink_metadata().expect("stat");
        if metadata.is_dir() {
            return is_anywhere(&path, needle);
        }
        metadata.is_file()
            && std::fs::read(&path).expect("read").windows(needle.len()).any(|part| part == needle)
    })
}

fn build(lap: &Environment, dockerfile: &str, options: &[&str]) -> crate::environment::Ran {
    let file = lap.write("context/Dockerfile", dockerfile);
    let context = file.parent().expect("a parent").to_owned();
    let context = context.to_str().expect("text").to_owned();
    let mut command = lap.command([&["build", "-t", "app"], options, &[context.as_str()]].concat());
    crate::environment::Ran::of(command.env("TOKEN", SECRET).output().expect("lap runs"))
}

#[test]
fn df_100_memory_is_thrown_away() {
    let lap = Environment::with_base();
    lap.built(
        "FROM base:1\nRUN --mount=type=tmpfs,target=/gone echo x >/gone/file && stat -c %a /gone >/mode\n",
    );
    assert_eq!(lap.sh("app", "cat /mode; ls -d /gone 2>&1 | grep -c 'No such'"), "1777\n1\n");
}

#[test]
fn df_101_secrets_are_files_and_variables_and_nowhere_else() {
    let lap = Environment::with_base();
    let file = lap.write("secret.txt", SECRET);
    let from_file = format!("id=key,src={}", file.display());
    let options = ["--secret", from_file.as_str(), "--secret", "id=token,env=TOKEN"];
    // Its length and mode are evidence enough, without the text.
    let ran = build(
        &lap,
        "FROM base:1\nRUN --mount=type=secret,id=key,required --mount=type=secret,id=token,env=T,target=/x/y,mode=0444 \\\n    stat -c %a /run/secrets/key /x/y >/seen && wc -c </run/secrets/key >>/seen && echo ${#T} >>/seen\n",
        &options,
    )
    .success();
    assert!(!ran.stderr.contains(SECRET));
    assert_eq!(
        lap.sh("app", "cat /seen; ls -d /x /run/secrets 2>&1 | grep -c 'No such'"),
        "400\n444\n16\n16\n2\n"
    );
    assert!(!is_anywhere(&lap.store(), SECRET.as_bytes()), "in the store");
    let again = build(&lap, &std::fs::read_to_string(lap.path("context/Dockerfile")).expect("read"), &[]);
    assert!(again.success().stderr.contains("CACHED"), "the contents are not in the key");
    let failed = build(&lap, "FROM base:1\nRUN --mount=type=secret,id=key,env=K false\n", &options);
    assert!(!failed.failure(1, &["did not complete"]).stderr.contains(SECRET));
    lap.check();
}

#[test]
fn df_101_secrets_that_are_missing() {
    let lap = Environment::with_base();
    build(
        &lap,
        "FROM base:1\nRUN --mount=type=secret,id=a,env=A test ! -e /run/secrets/a -a -z \"$A\"\n",
        &[],
    )
    .success();
    let ran = build(&lap, "FROM base:1\nRUN --mount=type=secret,id=a,required true\n", &[]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("cannot use the secret a: it was not given"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Dockerfile:2"), "{}", ran.stderr);
    let ran = build(&lap, "FROM base:1\n", &["--secret", "id=a,src=/nowhere"]);
    assert!(ran.code != 0 && ran.stderr.contains("the file /nowhere is not there"), "{}", ran.stderr);
}

#[test]
fn df_097_caches_live_on_and_are_in_no_image() {
    let lap = Environment::with_base();
    let dockerfile = |text: &str| {
        format!(
            "FROM base:1\nRUN --mount=type=cache,target=/c,mode=0750 echo {text} >>/c/list && cat /c/list >/seen\n"
        )
    };
    build(&lap, &dockerfile("one"), &[]).success();
    build(&lap, &dockerfile("one"), &["--no-cache"]).success();
    build(&lap, &dockerfile("two"), &[]).success();
    assert_eq!(lap.sh("app", "cat /seen; ls -d /c 2>&1 | grep -c 'No such'"), "one\none\ntwo\n1\n");
    lap.check();
    lap.lap(["system", "prune", "-f"]).success();
    build(&lap, &dockerfile("three"), &[]).success();
    assert_eq!(lap.sh("app", "cat /seen"), "three\n");
}

#[test]
fn df_098_a_locked_cache_is_waited_for_across_processes() {
    let lap = Environment::with_base();
    let dockerfile = "FROM base:1\nRUN --mount=type=cache,id=l,target=/c,sharing=locked mkdir /c/held && sleep 1 && rmdir /c/held && echo NAME\n";
    let run = |name: &str| {
        let file = lap.write(&format!("{name}/Dockerfile"), dockerfile.replace("NAME", name));
        let context = file.parent().expect("a parent").to_owned();
        lap.lap(["build".as_ref(), "--no-cache".as_ref(), context.as_os_str()]).success()
    };
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| run("one"));
        let two = scope.spawn(|| run("two"));
        (one.join().expect("no panic"), two.join().expect("no panic"))
    });
    let waited = [one, two]
        .iter()
        .filter(|ran| ran.stderr.contains("waiting for another step that uses the cache l"))
        .count();
    assert_eq!(waited, 1);
}

/// Whether nothing can be mounted here, so that what cannot be written elsewhere can be, and is thrown away.
fn is_chroot() -> bool {
    std::env::var(crate::ordinary::IDS).is_ok_and(|ids| ids == "chroot")
}

#[test]
fn df_095_df_096_a_bind_shows_the_context_and_leaves_nothing() {
    let lap = Environment::with_base();
    lap.write("context/dir/file", "one");
    lap.write("context/dir/sub/deep", "two");
    lap.write("context/dir/skipped", "three");
    lap.write("context/.dockerignore", "dir/skipped\nDockerfile\n");
    let dockerfile = "FROM base:1\nWORKDIR /work\n\
        RUN --mount=source=dir,target=src cat src/file src/sub/deep >/seen && ls src >>/seen && stat -c %u /work/src/file >>/seen && \\\n    if echo x 2>/dev/null >src/new; then echo written; else echo refused; fi >/how\n\
        RUN --mount=type=bind,dst=/all,rw echo changed >/all/dir/file && rm -r /all/dir/sub && cat /all/dir/file >>/seen && ls -A /all >>/seen\n\
        RUN --mount=target=/only,source=dir/file cat /only >>/seen\n";
    build(&lap, dockerfile, &[]).success();
    let seen = "onetwofile\nsub\n0\nchanged\n.dockerignore\ndir\none";
    assert_eq!(lap.sh("app", "cat /seen"), seen);
    assert_eq!(lap.sh("app", "cat /how"), if is_chroot() { "written\n" } else { "refused\n" });
    assert_eq!(lap.sh("app", "ls -A /work; ls -d /all /only 2>&1 | grep -c 'No such'"), "2\n");
    assert_eq!(std::fs::read(lap.path("context/dir/file")).expect("a file"), b"one");
    assert!(!lap.path("context/dir/new").exists());
    lap.check();
}

#[test]
fn df_096_df_177_what_a_bind_shows_is_in_the_key() {
    let lap = Environment::with_base();
    lap.write("context/dir/file", "one");
    lap.write("context/other", "1");
    let dockerfile = "FROM base:1\nRUN --mount=source=dir,target=/src cat /src/file >/seen\n";
    let run_of = |ran: crate::environment::Ran| {
        let ran = ran.success();
        let line = ran.stderr.lines().find(|line| line.contains("RUN --mount")).expect("a step").to_owned();
        let number = line.split(' ').next().expect("a number").to_owned();
        (ran.stderr.contains(&format!("{number} CACHED")), ran.stderr)
    };
    let plain = |more: &[&str]| run_of(build(&lap, dockerfile, &[&["--progress", "plain"], more].concat()));
    assert!(!plain(&[]).0);
    lap.write("context/other", "2");
    std::fs::File::open(lap.path("context/dir/file"))
        .and_then(|file| file.set_modified(std::time::UNIX_EPOCH))
        .expect("a time");
    let (cached, said) = plain(&[]);
    assert!(cached, "neither what is not shown nor a time is in the key:\n{said}");
    lap.write("context/dir/file", "two");
    let (cached, said) = plain(&["--explain"]);
    assert!(!cached, "{said}");
    assert!(said.contains("what is mounted on /src has changed"), "{said}");
    assert!(said.contains("/dir/file has other contents"), "{said}");
    assert_eq!(lap.sh("app", "cat /seen"), "two");
}

#[test]
fn df_095_df_099_binds_of_stages_and_images() {
    let lap = Environment::with_base();
    lap.built(
        "FROM base:1 AS tool\nRUN mkdir -p /opt/real/in && echo tool >/opt/real/in/file && chown 1000:1001 /opt/real/in/file && ln -s /opt/real /link && ln -s ../../../../etc /opt/out\n\
         FROM base:1 AS early\nRUN --mount=from=tool,target=/x ls /x/opt >/names\n\
         FROM base:1\n\
         RUN --mount=from=tool,source=link/in,target=/t cat /t/file >/seen && stat -c %u:%g /t/file >>/seen\n\
         RUN --mount=from=0,source=/../opt/out/passwd,target=/p grep -c app /p >>/seen\n\
         RUN --mount=from=base:1,source=/etc,target=/e,rw echo new >/e/passwd && cat /e/passwd >>/seen && grep -c app /etc/passwd >>/seen\n\
         RUN --mount=from=early,target=/e --mount=from=tool,target=/e/opt cat /e/names /e/opt/opt/real/in/file >>/seen\n",
    );
    assert_eq!(
        lap.sh("app", "cat /seen; ls -d /t /p /e 2>&1 | grep -c 'No such'"),
        "tool\n1000:1001\n1\nnew\n1\nout\nreal\ntool\n3\n"
    );
    lap.check();
}

#[test]
fn df_094_mounts_lie_in_mounts() {
    let lap = Environment::with_base();
    lap.write("context/file", "one");
    lap.built(
        "FROM base:1\nRUN --mount=type=tmpfs,target=/src/tmp --mount=type=cache,target=/src/deep/cache --mount=target=/src \\\n    cat /src/file >/seen && echo x >/src/deep/cache/x && echo y >/src/tmp/y && cat /src/*/y /src/deep/cache/x >>/seen\n\
         RUN --mount=type=cache,target=/src/deep/cache ls -A /src/deep/cache >>/seen\n",
    );
    assert_eq!(lap.sh("app", "cat /seen; ls -d /src 2>&1 | grep -c 'No such'"), "oney\nx\nx\n1\n");
    assert!(!lap.path("context/deep").exists());
    lap.check();
}

#[test]
fn df_097_df_098_a_cache_begins_with_the_contents_of_a_stage() {
    let lap = Environment::with_base();
    let dockerfile = |first: &str, run: &str| {
        format!(
            "FROM base:1 AS first\nRUN mkdir -p /a/b && echo {first} >/a/b/list && chmod 0750 /a/b\n\
             FROM base:1\nRUN --mount=type=cache,id=c,target=/c,from=first,source=/a/b echo {run} >>/c/list && cat /c/list >/seen && stat -c %a /c >>/seen\n"
        )
    };
    build(&lap, &dockerfile("one", "two"), &[]).success();
    assert_eq!(lap.sh("app", "cat /seen"), "one\ntwo\n750\n");
    build(&lap, &dockerfile("one", "three"), &[]).success();
    assert_eq!(lap.sh("app", "cat /seen"), "one\ntwo\nthree\n750\n");
    build(&lap, &dockerfile("other", "four"), &[]).success();
    assert_eq!(lap.sh("app", "cat /seen"), "other\nfour\n750\n", "other first contents, another cache");
    let plain = "FROM base:1\nRUN --mount=type=cache,id=c,target=/c ls -A /c >/seen\n";
    build(&lap, plain, &[]).success();
    assert_eq!(lap.sh("app", "cat /seen"), "", "without any, another one, too");
    lap.check();
}

#[test]
fn df_095_df_102_mounts_that_cannot_be() {
    let lap = Environment::with_base();
    lap.write("context/dir/file", "one");
    lap.write("context/.dockerignore", "secret\n");
    lap.write("context/secret", "x");
    for (dockerfile, place, said) in [
        (
            "FROM base:1\nRUN --mount=source=dri,target=/x true\n",
            2,
            "there is no /dri in the build context (did you mean dir?)",
        ),
        ("FROM base:1\nRUN --mount=source=secret,target=/x true\n", 2, "excluded by secret in line 1"),
        (
            "FROM base:1 AS a\nFROM base:1\nRUN --mount=from=a,source=/nothing,target=/x true\n",
            3,
            "there is no /nothing in the image",
        ),
        (
            "FROM base:1 AS a\nFROM base:1 AS m\nRUN --mount=from=b,target=/x true\nFROM base:1 AS b\nCOPY --from=m / /x\n",
            3,
            "stage \"b\" must be defined before it is used",
        ),
        (
            "FROM base:1 AS a\nRUN --mount=from=a,target=/x true\n",
            2,
            "a stage can not take files from itself",
        ),
        (
            "FROM base:1 AS a\nFROM base:1\nRUN --mount=from=7,target=/x true\n",
            3,
            "there is no stage number 7",
        ),
        (
            "FROM base:1\nRUN --mount=type=cache,target=/x,source=a true\n",
            2,
            "name the stage or image that has it: from=NAME",
        ),
        (
            "FROM base:1\nRUN --mount=type=cache,target=/x,from=base:1,source=/etc/passwd true\n",
            2,
            "a cache cannot begin with etc/passwd: it is no directory",
        ),
        ("FROM base:1\nRUN --mount=target=/x,colour=red true\n", 2, "colour"),
        (
            "FROM base:1\nRUN --mount=type=ssh,id=git,required true\n",
            2,
            "cannot use the SSH agent git: it was not given",
        ),
        ("FROM base:1\nRUN --mount=type=ssh,id=git,required true\n", 2, "give it with --ssh git"),
    ] {
        let ran = build(&lap, dockerfile, &[]);
        assert_ne!(ran.code, 0, "{dockerfile}");
        assert!(ran.stderr.contains(said), "{dockerfile}: {said:?} is not in\n{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("Dockerfile:{place}")), "{dockerfile}: {}", ran.stderr);
    }
    let alone = lap.lap_with_input(["build", "-"], b"FROM base:1\nRUN --mount=target=/x true\n");
    assert!(
        alone.code != 0 && alone.stderr.contains("there is no build context to copy from"),
        "{}",
        alone.stderr
    );
}
