//! lap build: where the files come from (DF-078 … DF-081).

use std::io::Write;

use crate::environment::{Environment, Ran};
use crate::web::{Page, Web};

/// A tar of files: name and contents; `-> x` is a link.
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o640);
        // Whoever made it is nobody here.
        header.set_uid(4242);
        header.set_gid(4242);
        header.set_mtime(1_000_000_000);
        match content.strip_prefix("-> ") {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, name, target).expect("a link");
            }
            None => {
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, name, content.as_bytes()).expect("an entry");
            }
        }
    }
    tar.into_inner().expect("a tar")
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

/// Compresses with a program.
pub fn compressed(program: &str, package: &str, bytes: &[u8]) -> Vec<u8> {
    let program = crate::environment::tool(program, package);
    let mut child = std::process::Command::new(program)
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("a thread").expect("written");
    assert!(output.status.success());
    output.stdout
}

const DOCKERFILE: &str = "FROM base:1\nCOPY . /c/\n";

fn build(lap: &Environment, arguments: &[&str], input: &[u8]) -> Ran {
    let start = ["build", "-t", "app", "--progress", "plain"];
    lap.lap_with_input(start.iter().chain(arguments), input)
}

/// Nothing of a context is left.
fn check_clean(lap: &Environment) {
    let remembered = std::fs::read_dir(lap.store().join("contexts")).map_or(0, Iterator::count);
    assert_eq!(remembered, 0, "digests of files that are gone");
    lap.check_clean();
}

#[test]
fn df_081_a_context_from_standard_input() {
    let lap = Environment::with_base();
    let files = [
        ("Dockerfile", DOCKERFILE),
        (".dockerignore", "*.log\n"),
        ("a.txt", "one\n"),
        ("b.log", "no\n"),
        ("d/link", "-> ../a.txt"),
    ];
    let plain = tar(&files);
    for (name, bytes) in [("plain", plain.clone()), ("gzip", gzip(&plain))] {
        let ran = build(&lap, &["-"], &bytes).success();
        assert_eq!(ran.is_cached("COPY"), name != "plain", "{name}:\n{}", ran.stderr);
        let seen = lap.sh("app", "cd /c; ls -A . d; cat d/link; stat -c '%u:%g %a %Y' a.txt");
        assert_eq!(
            seen, ".:\n.dockerignore\nDockerfile\na.txt\nd\n\nd:\nlink\none\n0:0 640 1000000000\n",
            "{name}"
        );
    }
    check_clean(&lap);
}

#[test]
fn df_081_a_context_from_standard_input_compressed_in_other_ways() {
    let lap = Environment::with_base();
    let plain = tar(&[("Dockerfile", DOCKERFILE), ("a.txt", "one\n")]);
    build(&lap, &["-"], &plain).success();
    for (program, package) in [("bzip2", "bzip2"), ("xz", "xz-utils"), ("zstd", "zstd")] {
        let ran = build(&lap, &["-"], &compressed(program, package, &plain)).success();
        assert!(ran.is_cached("COPY"), "{program}:\n{}", ran.stderr);
    }
    check_clean(&lap);
}

#[test]
fn df_081_the_dockerfile_of_a_context_from_standard_input() {
    let lap = Environment::with_base();
    let bytes = tar(&[
        ("Dockerfile", "FROM base:1\nRUN false\n"),
        ("sub/Other", "FROM base:1\nCOPY x y /\n"),
        ("sub/Other.dockerignore", "y\n"),
        ("x", "x"),
        ("y", "y"),
    ]);
    let place = "sub/Other:2:";
    build(&lap, &["-f", "sub/Other", "-"], &bytes).failure(1, &[place, "sub/Other.dockerignore"]);
    build(&lap, &["-f", "none", "-"], &bytes)
        .failure(1, &["there is no none in the context", "-f names a file"]);
    build(&lap, &["-f", "-", "-"], &bytes).failure(1, &["cannot be the Dockerfile as well"]);
    build(&lap, &["-"], &tar(&[("x", "x")])).failure(1, &["there is no Dockerfile in the context"]);
    build(&lap, &["-f", "Dockerfile", "-"], b"FROM scratch\n").failure(1, &["is a Dockerfile, and -f names"]);
    // A Dockerfile alone, and a Dockerfile beside a directory.
    build(&lap, &["-"], b"FROM base:1\nCOPY x /\n").failure(1, &["there is no build context"]);
    lap.write("context/x", "x");
    build(&lap, &["-f", "-", "context"], b"FROM base:1\nCOPY x /\n").success();
    lap.check();
}

#[test]
fn df_081_a_context_is_not_trusted() {
    let lap = Environment::with_base();
    lap.write("secret", "FROM s3cret\n");
    let secret = lap.path("secret");
    let secret = secret.to_str().expect("text");
    for (files, said) in [
        // What a link leads to is looked for in the context.
        (vec![("Dockerfile", format!("-> {secret}"))], "there is no Dockerfile"),
        (vec![("Dockerfile", "-> /dev/stdin".to_owned())], "there is no Dockerfile"),
        (
            vec![("Dockerfile", "FROM base:1\nCOPY x /\n".to_owned()), ("x", format!("-> {secret}"))],
            "leads nowhere",
        ),
        (vec![("Dockerfile", DOCKERFILE.to_owned()), (".dockerignore", format!("-> {secret}"))], ""),
    ] {
        let files: Vec<_> = files.iter().map(|(name, content)| (*name, content.as_str())).collect();
        let ran = build(&lap, &["-"], &tar(&files));
        assert_eq!(ran.code == 0, said.is_empty(), "{}", ran.stderr);
        assert!(ran.stderr.contains(said) && !ran.stderr.contains("s3cret"), "{}", ran.stderr);
    }
    let mut cut = tar(&[("Dockerfile", DOCKERFILE)]);
    cut.truncate(520);
    build(&lap, &["-"], &cut).failure(1, &["Dockerfile", "the archive ends within it"]);
    build(&lap, &["-"], &gzip(b"FROM scratch\n")).failure(1, &["it is not a tar archive"]);
    let mut damaged = gzip(&tar(&[("Dockerfile", DOCKERFILE)]));
    let middle = damaged.len() / 2;
    damaged.truncate(middle);
    build(&lap, &["-"], &damaged).failure(1, &["cannot read the archive"]);
    check_clean(&lap);
}

#[test]
fn df_081_contexts_of_the_web() {
    let (lap, web) = (Environment::with_base(), Web::new());
    let archive =
        tar(&[("Dockerfile", DOCKERFILE), ("a", "one\n"), ("Other", "FROM base:1\nCOPY a /other\n")]);
    web.put("/c.tar.gz?token=s3cret", Page::of(gzip(&archive)));
    web.put("/moved", Page { redirect: Some("/c.tar.gz?token=s3cret".to_owned()), ..Page::default() });
    web.put("/file", Page::of("FROM base:1\nRUN echo 1 >/alone\n"));
    web.put("/alone", Page::of("FROM base:1\nCOPY a /\n"));
    let ran = build(&lap, &[&web.url("/c.tar.gz?token=s3cret")], b"").success();
    assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    assert_eq!(lap.sh("app", "cat /c/a"), "one\n");
    assert!(build(&lap, &[&web.url("/moved")], b"").success().is_cached("COPY"));
    build(&lap, &["-f", "Other", &web.url("/moved")], b"").success();
    assert_eq!(lap.sh("app", "cat /other"), "one\n");
    build(&lap, &["-f", "-", &web.url("/moved")], b"FROM base:1\nCOPY a /in\n").success();
    assert_eq!(lap.sh("app", "cat /in"), "one\n");
    build(&lap, &[&web.url("/file")], b"").success();
    assert_eq!(lap.sh("app", "cat /alone"), "1\n");
    build(&lap, &[&web.url("/alone")], b"").failure(1, &["/alone:2:", "there is no build context"]);
    build(&lap, &["-f", "x", &web.url("/alone")], b"").failure(1, &["is a Dockerfile, and -f names x"]);
    build(&lap, &[&web.url("/none")], b"").failure(1, &["does not exist", "not here", "check the address"]);
    check_clean(&lap);
}

#[test]
fn df_078_df_079_named_contexts() {
    let (lap, web) = (Environment::with_base(), Web::new());
    lap.write("assets/in", "in\n");
    lap.write("assets/out", "out\n");
    lap.write("assets/.dockerignore", "out\n");
    lap.write("context/.dockerignore", "in\n");
    web.put("/c.tar", Page::of(tar(&[("a", "web\n")])));
    lap.write(
        "context/Dockerfile",
        "FROM alpine AS one\nCOPY --from=assets . /assets/\nCOPY --from=web a /a\n",
    );
    let url = format!("web={}", web.url("/c.tar"));
    let arguments = ["--build-context", "alpine=docker-image://base:1", "--build-context", "assets=assets"];
    let arguments = [&arguments[..], &["--build-context", &url, "context"]].concat();
    build(&lap, &arguments, b"").success();
    assert_eq!(lap.sh("app", "ls -A /assets; cat /a"), ".dockerignore\nin\nweb\n");
    assert_eq!(web.requests().len(), 1);
    assert!(build(&lap, &arguments, b"").success().is_cached("COPY"));
    // One that is not used is not downloaded, and that is said.
    lap.write("context/Dockerfile", "FROM base:1\n");
    web.requests();
    let ran = build(&lap, &["--build-context", &url, "context"], b"").success();
    assert!(ran.stderr.contains("the build context web is not used"), "{}", ran.stderr);
    assert_eq!(web.requests(), [""; 0]);
    lap.check();
}

#[test]
fn df_080_a_stage_from_a_directory() {
    let lap = Environment::with_base();
    lap.write("rootfs/etc/motd", "hello\n");
    lap.write("rootfs/.dockerignore", "secret\n");
    lap.write("rootfs/secret", "no\n");
    lap.write(
        "context/Dockerfile",
        "FROM none AS root\nRUN false\nFROM root AS next\nCOPY Dockerfile /d\nFROM base:1\nCOPY --from=next / /next/\nCOPY --from=root etc/motd /motd\n",
    );
    let arguments = ["--build-context", "root=rootfs", "context"];
    build(&lap, &arguments, b"").success();
    let seen = lap.sh("app", "ls -A /next; cat /motd /next/etc/motd");
    assert_eq!(seen, ".dockerignore\nd\netc\nhello\nhello\n");
    // The image of such a stage.
    build(&lap, &[&["--target", "root"], &arguments[..]].concat(), b"").success();
    assert_eq!(lap.inspect("app", ".RootFS.Layers").as_array().map(Vec::len), Some(1));
    lap.write("rootfs/etc/motd", "other\n");
    let ran = build(&lap, &[&["--explain"], &arguments[..]].concat(), b"").success();
    assert!(ran.stderr.contains("/motd has other contents"), "{}", ran.stderr);
    lap.check();
}

#[test]
fn df_078_bad_contexts() {
    let (lap, web) = (Environment::with_base(), Web::new());
    lap.write("context/Dockerfile", "FROM base:1\nCOPY --from=x a /\n");
    web.put("/text", Page::of("hello\n"));
    for (value, said) in [
        ("x=none", &["the build context x: none does not exist", "a context is a directory"][..]),
        ("x=context/Dockerfile", &["is not a directory"]),
        ("x=ftp://host/x", &["ftp:// is not known", "docker-image://IMAGE"]),
        ("x", &["there is no value"]),
        ("x=docker-image://localhost:1/none", &["localhost:1", "Dockerfile:2:"]),
        (
            &format!("x={}", web.url("/text")),
            &["Dockerfile:2:", "is not an archive", "ADD takes single files"],
        ),
        (
            &format!("x={}", web.url("/none?s3cret")),
            &["Dockerfile:2:", "does not exist", "check the address"],
        ),
        ("x=https://host/x.git?colour=red", &["Dockerfile:2:", "no option \"colour\"", "HOST/PATH.git"]),
        ("x=oci-layout://none", &["the OCI image layout", "none does not exist"]),
        ("x=oci-layout://context", &["Dockerfile:2:", "is not an OCI image layout"]),
    ] {
        let ran = lap.lap(["build", "--build-context", value, "context"]);
        assert_ne!(ran.code, 0, "{value}");
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
        for words in said {
            assert!(ran.stderr.contains(words), "{words:?} is not in:\n{}", ran.stderr);
        }
    }
    lap.lap(["build", "none"]).failure(1, &["the context none does not exist"]);
    lap.lap(["build", "ftp://host/x"]).failure(1, &["does not exist", "https://"]);
    lap.check();
}

#[test]
fn df_078_an_image_of_a_layout() {
    let lap = Environment::with_base();
    let mut ids = Vec::new();
    for (name, tag) in [("one", "latest"), ("two", "2")] {
        lap.write("context/Dockerfile", format!("FROM base:1\nRUN echo {name} >/name\nENV NAME={name}\n"));
        ids.push(lap.lap(["build", "-q", "-t", name, "context"]).success().stdout.trim().to_owned());
        lap.lap(["copy", "-q", &format!("store:{name}"), &format!("oci:layout:{tag}")]).success();
        lap.lap(["copy", "-q", &format!("store:{name}"), &format!("oci:alone-{name}:x")]).success();
        lap.lap(["rmi", name]).success();
    }
    lap.lap(["system", "prune", "--all", "--force"]).success();
    let digest = lap.lap(["copy", "-q", "oci:layout:2", "oci:other"]).success().stdout.trim().to_owned();
    lap.write("context/Dockerfile", "FROM x\nCOPY --from=x /name /copied\nRUN echo $NAME >/env\n");
    let with = |value: &str| {
        lap.lap([
            "build",
            "-t",
            "app",
            "--pull",
            "--build-context",
            &format!("x=oci-layout://{value}"),
            "context",
        ])
    };
    // Without a name: the one that is called latest, as in docker, or else the only one.
    for (value, name) in
        [("layout", "one"), ("layout:2", "two"), (&format!("layout@{digest}"), "two"), ("alone-two", "two")]
    {
        with(value).success();
        assert_eq!(lap.sh("app", "cat /name /copied /env"), format!("{name}\n{name}\n{name}\n"), "{value}");
    }
    // An image like any other, but without a name.
    assert_eq!(lap.inspect(&ids[1], ".Config.Env").to_string().matches("NAME=two").count(), 1);
    with("layout:3").failure(1, &["no image with the name 3", "Dockerfile:1:"]);
    // What is not what its digest says is no image.
    lap.lap(["rmi", "app"]).success();
    lap.lap(["system", "prune", "--all", "--force"]).success();
    for blob in std::fs::read_dir(lap.path("layout/blobs/sha256")).expect("blobs").flatten() {
        let mut bytes = std::fs::read(blob.path()).expect("a blob");
        if bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(blob.path(), bytes).expect("a blob");
        }
    }
    with("layout:2").failure(1, &["Dockerfile:1:", "the OCI image layout"]);
    check_clean(&lap);
}

#[test]
fn explanations_know_a_context_again_that_is_elsewhere_each_time() {
    let lap = Environment::with_base();
    let of = |content: &str| tar(&[("Dockerfile", DOCKERFILE), ("a", content)]);
    build(&lap, &["-"], &of("one")).success();
    let ran = build(&lap, &["--explain", "-"], &of("two")).success();
    assert!(ran.stderr.contains("NOT CACHED: /c/a has other contents"), "{}", ran.stderr);
    check_clean(&lap);
}
