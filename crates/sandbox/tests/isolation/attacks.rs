//! Commands that attack: their builder, the host, the descriptors that might have been left to them.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use sandbox::{Network, Resource, Rlimit, Root, Status};

use crate::lab::{Case, Lab, Outcome, explain, output, run};
use crate::same;

pub fn cases() -> Vec<Case> {
    vec![
        ("cve_2019_5736_the_program_outside_cannot_be_written", program_outside),
        ("cve_2024_21626_nothing_of_the_host_is_open", nothing_is_open),
        ("other_processes_are_not_there", other_processes),
        ("the_kernel_is_not_told_what_to_do", kernel_settings),
        ("devices_cannot_be_opened", devices),
        ("places_in_the_image_that_are_links", linked_places),
        ("working_directories_that_are_links", working_directories),
        ("a_fork_bomb_ends_with_its_step", fork_bomb),
    ]
}

/// The program that starts containers is process 1's parent, and was process 1.
fn program_outside() -> Outcome {
    let lab = Lab::new()?;
    let program = std::env::current_exe()?;
    let stat =
        || std::fs::metadata(&program).map(|stat| (stat.len(), stat.mtime(), stat.ctime(), stat.ino()));
    let before = stat()?;
    for init in [false, true] {
        let mut spec = lab.script(
            // What is the container's own may be written to: older kernels let an overlay copy up a program that is being executed.
            "for exe in /proc/self/exe /proc/1/exe /proc/$PPID/exe; do \
               test $exe -ef /bin/busybox && continue; \
               (echo evil > $exe) 2>/dev/null && echo written to $exe; \
               (echo evil >> $exe) 2>/dev/null && echo added to $exe; \
               cp $exe /tmp/exe 2>/dev/null && test $(wc -c < /tmp/exe) != $(wc -c < /bin/busybox) && echo read $exe; \
             done; echo done",
        );
        spec.process.init = init;
        same!(run(&spec).map_err(explain)?.stdout, "done\n", "init: {init}");
        // A command that is the program outside: `#!/proc/self/exe`, and a link to it.
        for (name, make) in [
            (
                "script",
                (|place| std::fs::write(place, "#!/proc/self/exe\n")) as fn(&Path) -> std::io::Result<()>,
            ),
            ("link", |place| symlink("/proc/self/exe", place)),
        ] {
            use std::os::unix::fs::PermissionsExt;
            let place = lab.path("lower/bin").join(name);
            make(&place)?;
            if name == "script" {
                std::fs::set_permissions(&place, PermissionsExt::from_mode(0o755))?;
            }
            let mut spec = lab.command(&[name, "--list"]);
            spec.process.init = init;
            if let Ok(ran) = run(&spec) {
                same!(
                    ran.stdout.contains("the_program_outside"),
                    false,
                    "{name} ran the program outside: {ran:?}"
                );
            }
            std::fs::remove_file(place)?;
        }
    }
    same!(stat()?, before);
    Ok(())
}

fn nothing_is_open() -> Outcome {
    let lab = Lab::new()?;
    let host = std::fs::metadata("/")?;
    // The shell reads the directory itself while it expands the pattern.
    let script = "for process in self 1; do for fd in /proc/$process/fd/*; do \
                    case $(readlink $fd) in pipe:*|/dev/null|'') ;; /proc/*/fd) ;; *) echo $fd: $(readlink $fd) ;; esac; \
                    stat -L -c %d:%i $fd/. 2>/dev/null; \
                  done; done; readlink /proc/1/root; readlink /proc/1/cwd; ls -d /proc/self/fd/[3-9] /proc/self/fd/[1-9][0-9] 2>/dev/null | grep -v /3$; true";
    let seen = output(&lab.script(script))?;
    same!(seen, "/\n/\n");
    same!(seen.contains(&format!(":{}\n", host.ino())), false);
    // Working directories through descriptors.
    for number in 0..12 {
        for path in [format!("/proc/self/fd/{number}"), format!("/proc/self/fd/{number}/../../..")] {
            let mut spec = lab.script("test -e /etc/shadow && echo the host; pwd");
            spec.process.cwd = path.clone().into();
            if let Ok(ran) = run(&spec) {
                same!(ran.stdout.contains("the host"), false, "{path}: {ran:?}");
            }
        }
    }
    let mut spec = lab.script("ls /proc/self/fd | wc -l");
    spec.process.init = true;
    same!(output(&spec)?.trim(), "4");
    Ok(())
}

fn other_processes() -> Outcome {
    let lab = Lab::new()?;
    let mut victim = std::process::Command::new("sleep").arg("1000").spawn()?;
    let id = victim.id();
    let script = format!(
        "kill -9 {id} 2>/dev/null && echo killed; kill -9 -1 2>/dev/null; \
         cat /proc/{id}/environ /proc/{id}/mem 2>/dev/null && echo read; ls /proc | grep -c '^[0-9]'; true"
    );
    let ran = run(&lab.script(&script)).map_err(explain)?;
    let alive = victim.try_wait()?.is_none();
    victim.kill()?;
    victim.wait()?;
    same!(alive, true, "a process of the host was killed");
    same!((ran.stdout.contains("killed"), ran.stdout.contains("read")), (false, false), "{ran:?}");
    // What the builder has in its environment is not in the command's, nor in process 1's.
    let mut spec = lab.script("cat /proc/1/environ /proc/self/environ 2>/dev/null | tr '\\0' '\\n' | grep -c -E '^(CARGO|RUST|USER|LOGNAME)'; true");
    spec.process.init = true;
    same!(output(&spec)?, "0\n");
    Ok(())
}

fn kernel_settings() -> Outcome {
    let lab = Lab::new()?;
    let settings =
        ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/overcommit_memory"];
    let read = || settings.map(|path| std::fs::read(path).ok());
    let before = read();
    for path in settings.into_iter().chain([
        "/proc/sysrq-trigger",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/1/oom_score_adj_",
        "/sys/kernel/uevent_helper",
        "/sys/power/state",
        "/sys/fs/cgroup/release_agent",
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/memory/release_agent",
        "/sys/fs/cgroup/pids/notify_on_release",
    ]) {
        let ran = run(&lab.script(&format!("echo 1 > {path}"))).map_err(explain)?;
        same!(ran.exit.status.is_success(), false, "{path}");
    }
    let commands = [
        "mount -o remount,rw /proc/sys",
        "mount -o remount,bind,rw /proc/sys",
        "mount -o remount,rw /sys",
        "umount /proc/sys",
        "umount -l /proc",
        "umount /etc/hosts",
        "mount -t proc proc /proc",
        "mount -t tmpfs none /proc",
        "mount -t cgroup -o rdma none /tmp",
        "mount --bind / /tmp",
        "mount -t overlay none -o lowerdir=/,upperdir=/tmp,workdir=/tmp /tmp",
        "unshare -U true",
        "unshare -r mount -t tmpfs none /tmp",
        "unshare -m true",
        "unshare -p true",
        "unshare -n true",
    ];
    for command in commands {
        let mut spec = lab.script(command);
        spec.network = Network::None;
        let ran = run(&spec).map_err(explain)?;
        same!(ran.exit.status.is_success(), false, "{command}");
    }
    same!(read(), before);
    Ok(())
}

fn devices() -> Outcome {
    let lab = Lab::new()?;
    for (kind, major, minor, what) in [
        ("c", 1, 1, "/dev/mem"),
        ("c", 1, 2, "/dev/kmem"),
        ("c", 1, 11, "/dev/kmsg"),
        ("b", 8, 0, "a disk"),
        ("b", 254, 0, "a disk"),
        ("b", 7, 0, "a loop"),
        ("c", 10, 229, "/dev/fuse"),
        ("c", 5, 1, "the console"),
    ] {
        for directory in ["/", "/dev", "/dev/shm", "/tmp"] {
            let script = format!(
                "mknod {directory}/node {kind} {major} {minor} || exit 0; head -c 1 {directory}/node && exit 1; exit 0"
            );
            let ran = run(&lab.script(&script)).map_err(explain)?;
            same!(ran.exit.status, Status::Code(0), "{what} in {directory}: {ran:?}");
        }
    }
    // Those of the image neither.
    let node = lab.path("lower/tmp/mem");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &node,
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::RUSR,
        rustix::fs::makedev(1, 1),
    )?;
    same!(run(&lab.script("head -c 1 /tmp/mem")).map_err(explain)?.exit.status.is_success(), false);
    Ok(())
}

/// What of an image is where `/proc`, `/dev`, `/sys` and `/etc` belong.
fn linked_places() -> Outcome {
    let outside = tempfile::tempdir()?;
    std::fs::write(outside.path().join("precious"), "precious")?;
    std::fs::create_dir(outside.path().join("etc"))?;
    let absolute = outside.path().to_str().ok_or("text")?.to_owned();
    let upwards = format!("{}{absolute}", "../".repeat(20));
    let listing = || -> std::io::Result<Vec<String>> {
        let listed = std::process::Command::new("find")
            .arg(outside.path())
            .args(["-printf", "%P %y %m %s %T@ %n\n"])
            .output()?;
        Ok(String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect())
    };
    let before = listing()?;
    for name in ["proc", "sys", "dev", "etc"] {
        for target in [
            absolute.as_str(),
            &upwards,
            "/",
            ".",
            "/proc",
            "/proc/self/root",
            "/proc/self/fd/3",
            "nowhere",
            &format!("{name}2"),
        ] {
            for plain in [false, true] {
                let lab = Lab::new()?;
                if name == "etc" {
                    std::fs::remove_dir_all(lab.path("lower/etc"))?;
                }
                symlink(target, lab.path("lower").join(name))?;
                symlink(name, lab.path(&format!("lower/{name}2")))?;
                let mut spec = lab.script("echo x > /etc/hosts; echo x > /etc/resolv.conf; touch /etc/made /dev/made; mkdir -p /tmp/x; true");
                if plain {
                    spec.root = Root::Directory(lab.path("lower"));
                }
                // It may be refused, or run with what the link leads to inside.
                let ran = run(&spec);
                same!(listing()?, before, "/{name} -> {target}: {ran:?}");
            }
        }
    }
    Ok(())
}

fn working_directories() -> Outcome {
    let lab = Lab::new()?;
    symlink("/", lab.path("lower/root"))?;
    symlink("../../../../../../../..", lab.path("lower/up"))?;
    symlink("/proc/1/root", lab.path("lower/proc-root"))?;
    symlink("/proc/self/cwd", lab.path("lower/cwd"))?;
    for directory in ["/root", "/up", "/proc-root", "/cwd", "/up/up/root", "/../../.."] {
        let mut spec = lab.script("ls; cat etc/passwd");
        spec.process.cwd = directory.into();
        match run(&spec) {
            Ok(ran) => {
                same!(ran.stdout.contains("root:x:0:0::/:/bin/sh"), true, "{directory}: {ran:?}");
                same!(ran.stdout.contains("cwd\n"), true, "{directory}: {ran:?}");
            }
            Err(error) => {
                same!(error.to_string().starts_with("cannot enter the working directory"), true, "{error}")
            }
        }
    }
    Ok(())
}

/// Within limits: it gets no further than they say, and nothing of it is left when its step ends.
fn fork_bomb() -> Outcome {
    let lab = Lab::new()?;
    let mut spec =
        lab.script("bomb() { bomb | bomb & }; bomb 2>/dev/null; (sleep 1000 &) 2>/dev/null; exit 3");
    // The limit counts all processes of a user, root's are not limited: a user whom nobody is.
    spec.process.user.uid = 54_321;
    spec.process.rlimits = vec![Rlimit { resource: Resource::Nproc, soft: 60, hard: 60 }];
    let began = std::time::Instant::now();
    let ran = run(&spec).map_err(explain)?;
    same!(matches!(ran.exit.status, Status::Code(_)), true, "{ran:?}");
    same!(began.elapsed().as_secs() < 60, true);
    let left = std::fs::read_dir("/proc")?
        .flatten()
        .filter(|entry| entry.metadata().is_ok_and(|stat| stat.uid() == 54_321))
        .filter(|entry| {
            std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
        })
        .count();
    same!(left, 0, "processes are left");
    Ok(())
}
