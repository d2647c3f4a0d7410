//! RUN --mount: memory, secrets, caches.

use std::path::Path;

use crate::environment::Environment;

/// What no file of a store may hold.
const SECRET: &str = "hunter2-and-more";

/// Whether a file below a directory has these bytes in it.
pub fn is_anywhere(directory: &Path, needle: &[u8]) -> bool {
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
