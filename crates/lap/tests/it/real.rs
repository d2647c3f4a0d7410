//! Real input: Debian, gcc, Python; and real readers of what is saved.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::environment::{Environment, path_text, tool};

/// Debian bookworm, made once per run of the tests by mmdebstrap.
fn debian() -> &'static PathBuf {
    static TAR: OnceLock<PathBuf> = OnceLock::new();
    TAR.get_or_init(|| {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let tar = directory.join(format!("bookworm-{}.tar", std::process::id()));
        let made = Command::new(tool("mmdebstrap", "mmdebstrap"))
            .args(["--variant=minbase", "--quiet", "bookworm"])
            .arg(&tar)
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .status()
            .expect("mmdebstrap runs");
        assert!(made.success(), "mmdebstrap failed");
        tar
    })
}

fn with_debian() -> Environment {
    let lap = Environment::new();
    lap.lap(["import", path_text(debian()), "debian:bookworm"]).success();
    lap
}

#[test]
fn git_from_apt_and_readers_of_the_archive() {
    let lap = with_debian();
    lap.built("FROM debian:bookworm\nRUN apt-get update && apt-get install -y --no-install-recommends git\nRUN git --version\nCMD [\"git\", \"--version\"]\n");
    assert!(lap.lap(["run", "--rm", "app"]).success().stdout.starts_with("git version 2."));
    let archive = lap.path("app.tar");
    lap.lap(["save", "-o", path_text(&archive), "app"]).success();
    lap.check();

    let policy = lap.write("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    for transport in ["docker-archive", "oci-archive"] {
        let copied = Command::new(tool("skopeo", "skopeo"))
            .args(["--policy", path_text(&policy), "copy", "--quiet"])
            .arg(format!("{transport}:{}", archive.display()))
            .arg(format!("dir:{}", lap.path(transport).display()))
            .output()
            .expect("skopeo runs");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    }
    podman_runs(&lap, &archive);
}

/// podman, with a store of its own, loads the archive and runs the image.
fn podman_runs(lap: &Environment, archive: &std::path::Path) {
    let podman = |arguments: &[&str]| {
        let output = Command::new(tool("podman", "podman"))
            .args(["--root", path_text(&lap.path("podman")), "--runroot", path_text(&lap.path("podman-run"))])
            .args(["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--events-backend", "none"])
            .args(arguments)
            .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
            .output()
            .expect("podman runs");
        assert!(output.status.success(), "podman {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let policy = lap.path("policy.json");
    podman(&["load", "--quiet", "--signature-policy", path_text(&policy), "-i", path_text(archive)]);
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    let run =
        [&["--runtime", "runc", "run", "--rm", "--network", "host"], &limits[..], &["app:latest"]].concat();
    assert!(podman(&run).starts_with("git version 2."));
    Command::new("umount").arg(lap.path("podman/overlay")).status().expect("umount runs");
}

#[test]
fn a_c_program_from_one_stage_into_scratch() {
    let lap = with_debian();
    lap.write(
        "context/hello.c",
        "#include <stdio.h>\nint main(void) { puts(\"hello from C\"); return 0; }\n",
    );
    lap.built(
        "FROM debian:bookworm AS build\n\
         RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev\n\
         COPY hello.c /src/\n\
         RUN gcc -O2 -static -o /hello /src/hello.c\n\
         FROM scratch\n\
         COPY --from=build /hello /hello\n\
         ENTRYPOINT [\"/hello\"]\n",
    );
    assert_eq!(lap.lap(["run", "--rm", "app"]).success().stdout, "hello from C\n");
    lap.check();
}

/// The certificates that this machine trusts: it may stand behind a proxy with one of its own.
fn certificates() -> Vec<u8> {
    let file =
        std::env::var_os("SSL_CERT_FILE").unwrap_or_else(|| "/etc/ssl/certs/ca-certificates.crt".into());
    std::fs::read(&file).expect(
        "this test needs certificates: install the package ca-certificates (scripts/install-tools does)",
    )
}

#[test]
fn a_python_image() {
    let lap = with_debian();
    lap.write("context/ca.crt", certificates());
    lap.write("context/main.py", "import sys, six\nprint('six', six.__version__, *sys.argv[1:])\n");
    lap.built(
        "FROM debian:bookworm\n\
         RUN apt-get update && apt-get install -y --no-install-recommends python3-pip\n\
         COPY ca.crt /usr/local/share/ca.crt\n\
         RUN PIP_CERT=/usr/local/share/ca.crt pip install --break-system-packages --no-cache-dir six==1.16.0\n\
         WORKDIR /app\n\
         COPY main.py .\n\
         ENTRYPOINT [\"python3\", \"main.py\"]\n\
         CMD [\"default\"]\n",
    );
    assert_eq!(lap.lap(["run", "--rm", "app"]).success().stdout, "six 1.16.0 default\n");
    assert_eq!(lap.lap(["run", "--rm", "app", "a", "b"]).success().stdout, "six 1.16.0 a b\n");
}
