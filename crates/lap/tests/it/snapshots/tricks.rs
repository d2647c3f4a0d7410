//! What a command makes of things that are put into its root for a while, where nothing can be mounted.

use std::process::Command;

use super::WAYS;
use crate::environment::{Environment, Ran};

/// A cache is not given back as something else: the next step, with mounts again, would see whatever a link leads to on the machine.
#[test]
fn a_cache_that_a_command_replaces_by_a_link() {
    let lap = Environment::with_base();
    for replaced in
        ["rmdir /c && ln -s / /c", "rmdir /c && ln -s ../../../../../../../.. /c", "rmdir /c && echo x >/c"]
    {
        lap.write(
            "context/Dockerfile",
            format!(
                "FROM base:1\nRUN --mount=type=cache,target=/c {replaced}\nRUN test ! -e /c && test ! -h /c\n"
            ),
        );
        lap.lap(["build", "--no-cache", "--isolation", "chroot", "context"]).success();
        lap.write(
            "context/Dockerfile",
            "FROM base:1\nRUN --mount=type=cache,target=/c test -d /c && test -z \"$(ls -A /c)\" && touch /c/new && rm /c/new\n",
        );
        for (_, snapshot, isolation) in WAYS {
            lap.lap(["build", "--no-cache", "--snapshot", snapshot, "--isolation", isolation, "context"])
                .success();
        }
    }
    lap.check_clean();
}

/// What is in a temporary filesystem does not stay, however deep it is.
#[test]
fn a_temporary_filesystem_that_is_deeper_than_descriptors_and_paths_reach() {
    let lap = Environment::with_base();
    // Longer paths than the kernel takes are put together of shorter ones.
    lap.write(
        "context/deep",
        "p=$(for i in $(seq 900); do printf d/; done)\n\
         for where in /t /dev/shm; do\n\
           mkdir -p $where/one/$p $where/two/$p $where/three/$p\n\
           mv $where/two $where/three/$p && cd $where/three/$p && mv $where/one two/$p && cd / || exit 1\n\
         done\n",
    );
    lap.write(
        "context/Dockerfile",
        "FROM base:1\nCOPY deep /deep\nRUN --mount=type=tmpfs,target=/t sh /deep && test -d /t/three\n\
         RUN test ! -e /t && test -z \"$(ls -A /dev/shm 2>/dev/null)\"\n",
    );
    for (_, snapshot, isolation) in WAYS {
        let build =
            lap.command(["build", "--no-cache", "--snapshot", snapshot, "--isolation", isolation, "context"]);
        let ran = Command::new("sh")
            .args(["-c", "ulimit -n 512 && exec \"$@\"", "sh"])
            .arg(build.get_program())
            .args(build.get_args())
            .envs(build.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(lap.path(""))
            .output();
        Ran::of(ran.expect("sh runs")).success();
    }
    lap.check_clean();
}
