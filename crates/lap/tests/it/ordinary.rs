//! As an ordinary user: with subordinate ids, with a single id, and where there are no user namespaces.
//!
//! The tests of this program are run again, by a user: what root sees, a user sees. The few that are left out need to be
//! root themselves, to prepare something.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::environment::{Environment, PROGRAM, Ran, TESTDATA, passed, program, testdata};

/// A user with subordinate ids; `scripts/test` makes it.
const TESTER: &str = "lapstrake-tester";
/// A user without.
pub const NOBODY: u32 = 65534;

/// Says to the tests which ids there are: `many` or `one`; or that there are no namespaces: `chroot`.
pub const IDS: &str = "LAP_TEST_IDS";

/// Dockerfiles that make device nodes, which only root can, or give files to ids that no user has.
const NEED_ROOT: [&str; 2] = ["F-special", "G-from-kept"];
/// Dockerfiles that show how one user of the image is kept from another's files, and whose mounts are: with one id, nobody is, and root's.
const NEED_IDS: [&str; 2] = ["C-where", "F-mount-owners"];
/// Dockerfiles that need `/proc`, or a network of their own; and one that changes a file with several names, which is another
/// layer where the step works in a copy.
const NEED_NAMESPACES: [&str; 4] = ["B-run", "F-hardlinks", "F-network-none", "F-stdin"];

/// Tests that are not run again: those that mount or change users themselves, and those that take long and show nothing new.
const LEFT_OUT: &[&str] = &[
    "ordinary::",
    "real::",
    "filesystems::",
    "faults::",
    "house::",
    "interface::",
    "disk::",
    "versions::",
    "cgroups::",
    "clock::",
    "doctor::",
    "concurrency::",
    "copies::peers::podman_reads_what_is_written_and_its_archives_are_read",
    "emulation::df_108_with_an_emulator_it_runs",
    "runtime::",
    "hostile_rootfs::a_passwd_that_is_no_file",
    // Compared with records in the checkout, which this user may not read.
    "registries::mistakes::",
    "registries::memory::",
    "serve::clients::buildah_and_podman_pull_change_and_push",
    "serve::clients::buildah_pushes_indexes_and_podman_searches",
    "serve::clients::rs_110_clients_with_a_login_and_tls",
    "serve::docker::",
    "serve::pages::",
    "snapshots::",
    "unprivileged::",
];

/// Tests that log in, which a user without a shell cannot: nobody has none.
const NEED_SHELL: [&str; 1] = ["git::ssh::"];

/// Tests that trace lap, for whom newuidmap must not be needed: traced by an ordinary user, it has no more rights than that.
const NEED_NO_HELPER: [&str; 1] = ["kill::copies::st_033_where_files_have_names_while_they_are_written"];

/// Tests that are run again in the long run only.
const LONG: [&str; 4] =
    ["kill::", "registries::killed::", "serve::killed::", "hostile_rootfs::what_is_deeper_than_paths"];

/// Whether a Dockerfile gives something else here, since this is not root, or there are no namespaces.
pub fn is_left_out(dockerfile: &str) -> bool {
    match std::env::var(IDS).as_deref() {
        Ok("many") => NEED_ROOT.contains(&dockerfile),
        Ok("one") => NEED_ROOT.contains(&dockerfile) || NEED_IDS.contains(&dockerfile),
        Ok("chroot") => NEED_NAMESPACES.contains(&dockerfile),
        _ => false,
    }
}

/// Runs the tests of this program as a user. Everything that they need is copied to where the user can look.
fn run_again(user: u32, group: u32, ids: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str| directory.path().join(name);
    let home = place("home");
    std::fs::create_dir(&home).expect("a directory");
    chown(&home, Some(user), Some(group)).expect("an owner");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("a mode");
    copy(&program(), &place("lap"));
    copy(&std::env::current_exe().expect("this program"), &place("tests"));
    let copied = Command::new("cp").arg("-r").arg(testdata()).arg(place("testdata")).status();
    assert!(copied.expect("cp runs").success());
    let mut command = Command::new(place("tests"));
    command.args(["--test-threads", "2"]).args(LEFT_OUT.iter().flat_map(|name| ["--skip", name]));
    if ids == "one" {
        command.args(NEED_SHELL.iter().flat_map(|name| ["--skip", name]));
    }
    if ids == "many" {
        command.args(NEED_NO_HELPER.iter().flat_map(|name| ["--skip", name]));
    }
    if std::env::var_os("LAP_TEST_ALL").is_none() {
        command.args(LONG.iter().flat_map(|name| ["--skip", name]));
    }
    // Some of them are enough: what takes all of them is shown as root.
    command.env_remove("LAP_TEST_ALL");
    command.current_dir(&home).env("HOME", &home).env("TMPDIR", &home).env(IDS, ids);
    command.env(PROGRAM, place("lap")).env(TESTDATA, place("testdata"));
    let ran = Ran::of(command.uid(user).gid(group).output().expect("the tests run"));
    assert_eq!(ran.code, 0, "as user {user}, with {ids} ids:\n{}\n{}", ran.stdout, ran.stderr);
    assert!(passed(&ran.stdout) > 30, "{}", ran.stdout);
}

#[test]
fn with_subordinate_ids_everything_is_as_for_root() {
    let (user, group) = tester();
    run_again(user, group, "many");
}

#[test]
fn with_one_id_owners_come_out_right_all_the_same() {
    run_again(NOBODY, NOBODY, "one");
}

/// The user with subordinate ids, and its group.
pub fn tester() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let fields = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        (*fields.first()? == TESTER).then_some(())?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    passwd.lines().find_map(fields).unwrap_or_else(|| {
        panic!("this test needs the user {TESTER} with subordinate ids: useradd {TESTER} (scripts/test does)")
    })
}

/// Copies a program. Another process does it: a child of another test may inherit what this one has open for writing, and nothing that is
/// open for writing can be executed.
fn copy(program: &Path, to: &Path) {
    assert!(Command::new("cp").arg(program).arg(to).status().expect("cp runs").success());
}

/// Runs lap as a user in a home of its own.
pub struct User<'a> {
    /// Where.
    pub lap: &'a Environment,
    /// The user and the group.
    pub ids: (u32, u32),
    /// What is put before the command.
    pub wrapped_in: &'a [&'a str],
}

impl User<'_> {
    /// Runs it.
    pub fn lap(&self, arguments: &[&str]) -> Ran {
        let home = self.lap.path("home");
        if !home.exists() {
            std::fs::create_dir(&home).expect("a directory");
            chown(&home, Some(self.ids.0), Some(self.ids.1)).expect("an owner");
            std::fs::set_permissions(self.lap.path(""), PermissionsExt::from_mode(0o755)).expect("a mode");
            // The program may lie where only root can look.
            copy(&program(), &self.lap.path("lap"));
        }
        let own = self.lap.path("lap");
        let mut command = match self.wrapped_in {
            [] => {
                let mut command = Command::new(&own);
                command.uid(self.ids.0).gid(self.ids.1);
                command
            }
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&own);
                command
            }
        };
        command.args(arguments).current_dir(self.lap.path("")).env("LAPSTRAKE_ROOT", home.join("store"));
        Ran::of(command.output().expect("lap runs"))
    }
}

/// Where nobody can enter a user namespace, as in most containers: a process in a changed root may not, either.
#[test]
fn without_user_namespaces_what_runs_no_command_works_and_the_rest_says_why() {
    let lap = Environment::with_base();
    lap.write("context/Dockerfile", "FROM base:1\nCOPY file /\n");
    lap.write("context/file", "x");
    lap.lap(["save", "-o", "base-image.tar", "base:1"]).success();
    std::fs::create_dir(lap.path("root")).expect("a directory");
    let script = "mount --rbind / root && exec chroot root setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'cd \"$0\" && exec \"$@\"' \"$PWD\" \"$@\"";
    let wrapped_in = ["unshare", "--mount", "sh", "-ec", script, "sh"];
    let user = User { lap: &lap, ids: (NOBODY, NOBODY), wrapped_in: &wrapped_in };
    user.lap(&["load", "-i", "base-image.tar"]).success();
    user.lap(&["build", "-t", "app", "context"]).success();
    user.lap(&["save", "-o", "home/app.tar", "app"]).success();
    user.lap(&["system", "check"]).success();
    let said = ["ordinary user without user namespaces", "hint:"];
    user.lap(&["run", "--rm", "app", "true"]).failure(125, &said);
    lap.write("context/Dockerfile", "FROM base:1\nRUN true\n");
    user.lap(&["build", "context"]).failure(1, &["RUN true", said[0], said[1]]);
}

/// What belongs to whom is in the image, whoever has built it: root, a user with many ids, or with one.
#[test]
fn the_same_dockerfile_gives_the_same_image_to_everybody() {
    let lap = Environment::with_base();
    lap.write(
        "context/Dockerfile",
        "FROM base:1\n\
         COPY --chown=5:6 file /file\n\
         RUN mkdir /d && touch /d/f /d/g && chown -R app:app /d && chown 7 /d/g && ln -s f /l && chown -h 8:9 /l && chgrp 10 /file\n\
         RUN [ \"$(stat -c %u:%g /d/f /d/g /file | tr '\\n' ' ')\" = '1000:1001 7:1001 5:10 ' ] && mv /d/f /moved && chmod 640 /d/g\n\
         USER app\n\
         RUN [ \"$(id -u) $(id -g) $(id -G)\" = '1000 1001 1001 10' ] && touch /tmp/mine\n",
    );
    lap.write("context/file", "x");
    lap.lap(["save", "-o", "base.tar", "base:1"]).success();
    let arguments = ["build", "-q", "--reproducible", "context"];
    let by_root = lap.lap(arguments).success().stdout;
    for ids in [tester(), (NOBODY, NOBODY)] {
        let user = User { lap: &lap, ids, wrapped_in: &[] };
        user.lap(&["load", "-q", "-i", "base.tar"]).success();
        assert_eq!(user.lap(&arguments).success().stdout, by_root, "by user {}", ids.0);
        user.lap(&["system", "check"]).success();
        // Its files belong to the first user, who is gone.
        std::fs::remove_dir_all(lap.path("home")).expect("removed");
    }
}

/// Runtimes work inside of the user namespace, too; with one id they would need the others, and are refused.
#[test]
fn runtimes_make_the_processes_of_users_with_subordinate_ids() {
    let lap = Environment::with_base();
    lap.lap(["save", "-o", "base.tar", "base:1"]).success();
    let user = User { lap: &lap, ids: tester(), wrapped_in: &[] };
    user.lap(&["load", "-q", "-i", "base.tar"]).success();
    for runtime in ["runc", "crun"] {
        let run = ["run", "--rm", "--runtime", runtime, "-u", "app", "base:1", "sh", "-c", "id -u; exit 3"];
        let ran = user.lap(&run);
        assert_eq!((ran.code, ran.stdout.as_str()), (3, "1000\n"), "{runtime}: {}", ran.stderr);
    }
    std::fs::remove_dir_all(lap.path("home")).expect("removed");
    let user = User { lap: &lap, ids: (NOBODY, NOBODY), wrapped_in: &[] };
    user.lap(&["load", "-q", "-i", "base.tar"]).success();
    user.lap(&["run", "--rm", "--runtime", "runc", "base:1", "true"])
        .failure(125, &["with a single user id is not supported", "leave the runtime out"]);
}

/// A store belongs to the ids that it was made with.
#[test]
fn a_store_is_not_opened_with_other_ids() {
    let lap = Environment::with_base();
    lap.lap(["save", "-o", "base.tar", "base:1"]).success();
    let user = User { lap: &lap, ids: tester(), wrapped_in: &[] };
    user.lap(&["load", "-i", "base.tar"]).success();
    let root = Path::new("home/store");
    let store = ["--root", root.to_str().expect("text"), "images"];
    lap.lap(store).failure(1, &["made with other user ids", "as the user who made it"]);
}

/// A group is an ordinary user's own only where systemd, say, has left one to it.
#[test]
fn df_107_limits_say_what_forbids_them() {
    let lap = Environment::with_base();
    lap.lap(["save", "-o", "base.tar", "base:1"]).success();
    let user = User { lap: &lap, ids: (NOBODY, NOBODY), wrapped_in: &[] };
    user.lap(&["load", "-q", "-i", "base.tar"]).success();
    let said = ["cannot set --memory", "cannot write to /sys/fs/cgroup", "Permission denied", "Delegate=yes"];
    user.lap(&["run", "--rm", "-m", "64m", "base:1", "true"]).failure(125, &said);
    lap.write("context/Dockerfile", "FROM base:1\nRUN true\n");
    user.lap(&["build", "-m", "64m", "context"]).failure(1, &said);
    let said = user.lap(&["doctor"]).success().stdout;
    assert!(said.contains("commands cannot be limited in memory, processors, processes"), "{said}");
}
