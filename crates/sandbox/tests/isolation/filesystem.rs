//! What the process sees as its files, and what it leaves behind.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use sandbox::{CreatedMountPoint, Mount, MountSource, Root, Spec};

use crate::lab::{Case, Lab, Outcome, explain, output, run};
use crate::same;

pub fn cases() -> Vec<Case> {
    vec![
        ("nothing_is_left_in_the_upper_directory", no_trace),
        ("what_is_written_goes_to_the_upper_directory", changes_arrive),
        ("an_empty_root_has_its_mount_points", empty_root),
        ("files_of_the_host_are_shown_whatever_the_image_has", files_of_the_host),
        ("a_copied_parent_keeps_its_attributes", stub_parents),
        ("ct_032_masked_and_read_only_paths", masked_paths),
        ("ct_036_devices", devices),
        ("ct_030_read_only_root", read_only_root),
        ("ct_048_bind_and_tmpfs_mounts", mounts),
        ("df_095_snapshots_are_shown_in_part", snapshots),
        ("mounts_under_missing_and_hidden_places", hidden_places),
        ("mount_points_in_directories_of_the_host_in_memory", in_memory_of_the_host),
        ("a_plain_directory_as_root", plain_directory),
        ("two_hundred_layers", many_layers),
        ("odd_images_are_refused_with_a_sentence", odd_images),
        ("volatile_overlays_are_marked", volatile),
    ]
}

fn no_trace() -> Outcome {
    let lab = Lab::new()?;
    let before = std::fs::metadata(lab.path("upper"))?.mtime_nsec();
    let mut spec = lab
        .script("cat /etc/hosts /etc/resolv.conf; ls /proc/self/status /sys/kernel /deep/er/one > /dev/null");
    spec.mounts.push(Mount::tmpfs("/deep/er/one", None));
    spec.mounts.push(Mount::bind(lab.path("lower/etc/passwd"), "/opt/x/passwd"));
    let ran = run(&spec).map_err(explain)?;
    same!(ran.stdout, "127.0.0.1 localhost\nnameserver 192.0.2.1\n", "{ran:?}");
    same!(ran.exit.created_mount_points, vec![]);
    same!(lab.upper()?, Vec::<String>::new());
    same!(std::fs::metadata(lab.path("upper"))?.mtime_nsec(), before);
    Ok(())
}

fn changes_arrive() -> Outcome {
    let lab = Lab::new()?;
    lab.output("echo new > /etc/new; rm /etc/passwd; echo x >> /etc/hosts; mkdir /made; ln -s a /made/link")?;
    let mut names = lab.upper()?;
    names.sort();
    // The written hosts file is the one in memory.
    same!(names, ["etc", "etc/new", "etc/passwd", "made", "made/link"]);
    same!(std::fs::read_to_string(lab.path("upper/etc/new"))?, "new\n");
    same!(std::fs::symlink_metadata(lab.path("upper/etc/passwd"))?.rdev(), 0);
    Ok(())
}

fn empty_root() -> Outcome {
    let lab = Lab::new()?;
    std::fs::create_dir(lab.path("nothing"))?;
    std::fs::create_dir(lab.path("upper/bin"))?;
    std::fs::copy("/bin/busybox", lab.path("upper/bin/busybox"))?;
    let mut spec = lab.command(&["busybox", "sh", "-c", "busybox ls -a / /etc; busybox stat -c %Y /etc"]);
    let Root::Overlay { lowers, .. } = &mut spec.root else { return Err("no overlay".into()) };
    lowers.clear();
    let seen = output(&spec)?.replace('\n', " ");
    same!(seen, "/: . .. bin dev etc proc sys  /etc: . .. hostname hosts resolv.conf 0 ");
    same!(lab.upper()?, ["bin", "bin/busybox"]);
    Ok(())
}

fn files_of_the_host() -> Outcome {
    type Prepare = fn(&Lab) -> std::io::Result<()>;
    let cases: [(&str, Prepare); 6] = [
        ("missing", |_| Ok(())),
        ("a file", |lab| std::fs::write(lab.path("lower/etc/resolv.conf"), "old")),
        ("a symlink to nothing", |lab| {
            symlink("../run/systemd/resolve/stub-resolv.conf", lab.path("lower/etc/resolv.conf"))
        }),
        ("a symlink to something", |lab| {
            std::fs::write(lab.path("lower/tmp/real"), "real")?;
            symlink("/tmp/real", lab.path("lower/etc/resolv.conf"))
        }),
        ("a symlink that leads out", |lab| symlink("../../../../tmp/out", lab.path("lower/etc/resolv.conf"))),
        ("an /etc that is elsewhere", |lab| {
            std::fs::rename(lab.path("lower/etc"), lab.path("lower/moved"))?;
            symlink("/moved", lab.path("lower/etc"))
        }),
    ];
    for (name, prepare) in cases {
        let lab = Lab::new()?;
        prepare(&lab)?;
        let ran = run(&lab.script("cat /etc/resolv.conf")).map_err(explain)?;
        same!(ran.stdout, "nameserver 192.0.2.1\n", "{name}: {ran:?}");
        same!(lab.upper()?, Vec::<String>::new(), "{name}");
        same!(ran.exit.created_mount_points, vec![], "{name}");
        same!(std::path::Path::new("/tmp/out").exists(), false);
    }
    Ok(())
}

/// The directories that lead to a stub come from the stubs' layer: they must look like the image's.
fn stub_parents() -> Outcome {
    let lab = Lab::new()?;
    let app = lab.path("lower/app");
    std::fs::create_dir(&app)?;
    std::fs::write(app.join("kept"), "kept")?;
    std::fs::set_permissions(&app, PermissionsExt::from_mode(0o2750))?;
    std::os::unix::fs::chown(&app, Some(1234), Some(5678))?;
    set_attribute(&app, "user.color", "blue")?;
    set_time(&app)?;
    // Opaque, as a directory is that a RUN made: a stub below the image would be hidden.
    set_attribute(&app, "trusted.overlay.opaque", "y")?;
    let mut spec = lab.script("stat -c '%a %u %g %Y' /app; cat /app/kept; touch /app/new; ls /app /app/data");
    spec.mounts.push(Mount::tmpfs("/app/data", None));
    let ran = run(&spec).map_err(explain)?;
    same!(ran.stdout, "2750 1234 5678 1000000000\nkept/app:\ndata\nkept\nnew\n\n/app/data:\n", "{ran:?}");
    same!(ran.exit.created_mount_points, vec![]);
    same!(lab.upper()?, ["app", "app/new"]);
    let copied = std::fs::metadata(lab.path("upper/app"))?;
    same!((copied.mode() & 0o7777, copied.uid(), copied.gid()), (0o2750, 1234, 5678));
    // Stubs lie in memory, which keeps attributes of users since Linux 6.6.
    let memory = tempfile::tempdir_in("/dev/shm")?;
    if set_attribute(memory.path(), "user.color", "blue").is_ok() {
        let mut color = [0; 4];
        rustix::fs::getxattr(lab.path("upper/app"), "user.color", &mut color[..])?;
        same!(&color, b"blue");
    }
    Ok(())
}

fn set_attribute(path: &std::path::Path, name: &str, value: &str) -> Outcome {
    rustix::fs::setxattr(path, name, value.as_bytes(), rustix::fs::XattrFlags::empty())?;
    Ok(())
}

fn set_time(path: &std::path::Path) -> Outcome {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::open(path)?.set_modified(time)?;
    Ok(())
}

fn masked_paths() -> Outcome {
    let lab = Lab::new()?;
    for file in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/sched_debug"] {
        same!(
            lab.output(&format!("test ! -e {file} || wc -c < {file}"))?.trim().trim_end_matches('0'),
            "",
            "{file}"
        );
    }
    for directory in
        ["/proc/acpi", "/proc/scsi", "/proc/asound", "/sys/firmware", "/sys/devices/virtual/powercap"]
    {
        same!(lab.output(&format!("test ! -e {directory} || ls {directory}"))?, "", "{directory}");
    }
    for path in
        ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/proc/irq/x"]
    {
        let ran = run(&lab.script(&format!("echo x > {path}"))).map_err(explain)?;
        same!(
            ran.stderr.contains("Read-only") || ran.stderr.contains("nonexistent"),
            true,
            "{path}: {ran:?}"
        );
    }
    let ran = run(&lab.script("mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x")).map_err(explain)?;
    same!(ran.exit.status.is_success(), false);
    same!(lab.output("echo /proc/[0-9]*")?, "/proc/1\n", "only its own processes");
    let mut spec = lab.script("mount | grep -c -E '/proc/(keys|sys) '; test -d /sys/firmware");
    spec.security = sandbox::Security::Insecure;
    same!(run(&spec).map_err(explain)?.stdout, "0\n");
    Ok(())
}

fn devices() -> Outcome {
    let lab = Lab::new()?;
    same!(
        lab.output("ls /dev | tr '\\n' ' '")?,
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "
    );
    same!(
        lab.output("echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 2 /dev/urandom | wc -c")?,
        "3\n2\n"
    );
    same!(
        lab.output("readlink /dev/ptmx; readlink /dev/fd; stat -c %a /dev/shm /dev/mqueue; ls /dev/pts")?,
        "pts/ptmx\n/proc/self/fd\n1777\n1777\nptmx\n"
    );
    same!(lab.output("df -k /dev/shm | tail -1 | tr -s ' ' | cut -d ' ' -f 2")?, "65536\n");
    // Made, but not to be opened: neither in the root nor in /dev.
    for directory in ["/", "/dev/", "/dev/shm/", "/tmp/"] {
        let script = format!("mknod {directory}node c 1 3 && echo made; echo x > {directory}node");
        let ran = run(&lab.script(&script)).map_err(explain)?;
        same!((ran.stdout.as_str(), ran.exit.status.is_success()), ("made\n", false), "{directory}");
        same!(ran.stderr.contains("Permission denied"), true, "{ran:?}");
    }
    Ok(())
}

fn read_only_root() -> Outcome {
    let lab = Lab::new()?;
    let mut spec =
        lab.script("echo x > /dev/shm/x; echo x > /etc/hosts; echo x > /data/x; echo ok; echo x > /tmp/x");
    spec.read_only_root = true;
    spec.mounts.push(Mount::tmpfs("/data", None));
    let ran = run(&spec).map_err(explain)?;
    same!((ran.stdout.as_str(), ran.exit.status.is_success()), ("ok\n", false), "{ran:?}");
    same!(ran.stderr.contains("Read-only file system"), true, "{ran:?}");
    Ok(())
}

fn mounts() -> Outcome {
    let lab = Lab::new()?;
    std::fs::create_dir_all(lab.path("host/sub"))?;
    std::fs::write(lab.path("host/file"), "from the host")?;
    std::fs::write(lab.path("lower/etc/target"), "hidden")?;
    let mut spec = lab.script(
        "cat /etc/target /data/file; echo w > /data/written; echo w > /read/x; echo w > /etc/target; \
         stat -c %a /scratch; df -k /scratch | tail -1 | tr -s ' ' | cut -d ' ' -f 2; ls /data/new; cp /bin/busybox /scratch/; /scratch/busybox",
    );
    let read_only = |mount: Mount| Mount { read_only: true, ..mount };
    spec.mounts = vec![
        read_only(Mount::bind(lab.path("host/file"), "/etc/target")),
        Mount::bind(lab.path("host"), "/data"),
        read_only(Mount::bind(lab.path("host"), "/read")),
        Mount {
            source: MountSource::Tmpfs { size: Some(1 << 21), mode: 0o700 },
            ..Mount::tmpfs("/scratch", None)
        },
        Mount::tmpfs("/data/new", None),
    ];
    let ran = run(&spec).map_err(explain)?;
    same!(ran.stdout, "from the hostfrom the host700\n2048\n", "{ran:?}");
    same!(ran.stderr.matches("Read-only").count(), 2, "{ran:?}");
    same!(ran.stderr.contains("/scratch/busybox: Permission denied"), true, "{ran:?}");
    same!(std::fs::read_to_string(lab.path("host/written"))?, "w\n");
    // The place in the directory of the host was made, is reported, and is gone.
    let made = CreatedMountPoint { path: "/data/new".into(), removed: true };
    same!(ran.exit.created_mount_points, vec![made]);
    same!(lab.path("host/new").exists(), false);
    same!(lab.upper()?, Vec::<String>::new());

    let mut spec = lab.script("true");
    spec.mounts = vec![Mount::bind(lab.path("no-such"), "/x")];
    let Err(error) = run(&spec) else { return Err("it ran".into()) };
    same!(error.to_string().starts_with("cannot bind-mount /"), true, "{error}");
    Ok(())
}

/// Another filesystem: an overlay or a directory, all of it or a part, read-only or not, with mounts in it.
fn snapshots() -> Outcome {
    let lab = Lab::new()?;
    for directory in ["other/in/deep", "changed", "working", "plain/in/deep"] {
        std::fs::create_dir_all(lab.path(directory))?;
    }
    for top in ["other", "plain"] {
        std::fs::write(lab.path(top).join("in/deep/file"), top)?;
        // It stays inside: there is no such file in the host's /in.
        symlink("/in/deep/file", lab.path(top).join("in/link"))?;
    }
    let overlay = Root::Overlay {
        lowers: vec![lab.path("other")],
        upper: lab.path("changed"),
        work: lab.path("working"),
        user_attributes: false,
        volatile: true,
    };
    let plain = Root::Directory(lab.path("plain"));
    let shown = |root: &Root, path: &str| MountSource::Snapshot { root: root.clone(), path: path.into() };
    let mut spec = lab.script(
        "cat /a/deep/file /b; echo x >/a/deep/new; echo x >/c/in/new; echo x >/c/mine/x && cat /c/mine/x; ls /c/in /a",
    );
    spec.mounts = vec![
        Mount::new("/a", shown(&overlay, "in")),
        Mount::tmpfs("/a/mine", None),
        Mount::new("/b", shown(&plain, "in/link")),
        Mount { read_only: true, ..Mount::new("/c", shown(&plain, "")) },
        Mount::tmpfs("/c/mine", None),
    ];
    let ran = run(&spec).map_err(explain)?;
    same!(ran.stdout, "otherplainx\n/a:\ndeep\nlink\nmine\n\n/c/in:\ndeep\nlink\n", "{ran:?}");
    same!(ran.stderr.matches("Read-only").count(), 1, "{ran:?}");
    same!(ran.exit.created_mount_points, vec![], "they vanish with the snapshots");
    same!(lab.upper()?, Vec::<String>::new());
    same!((lab.path("changed/deep/new").exists(), lab.path("other/in/deep/new").exists()), (false, false));
    same!(lab.path("changed/in/deep/new").exists(), true);

    let mut spec = lab.script("true");
    spec.mounts = vec![Mount::new("/x", shown(&plain, "in/nothing"))];
    let Err(error) = run(&spec) else { return Err("it ran".into()) };
    same!(error.to_string().contains("in a snapshot, in/nothing"), true, "{error}");
    Ok(())
}

/// Where the upper directory itself hides the stub, there is no other way than to create and remove.
fn hidden_places() -> Outcome {
    let lab = Lab::new()?;
    std::fs::create_dir(lab.path("upper/opt"))?;
    set_attribute(&lab.path("upper/opt"), "trusted.overlay.opaque", "y")?;
    set_time(&lab.path("upper/opt"))?;
    let mut spec = lab.script("ls -d /opt/a/b; echo x > /opt/kept/x");
    spec.mounts =
        vec![Mount::tmpfs("/opt/a/b", None), Mount::bind(lab.path("lower/etc/passwd"), "/opt/file")];
    let ran = run(&spec).map_err(explain)?;
    same!(ran.stdout, "/opt/a/b\n", "{ran:?}");
    let made = |path: &str| CreatedMountPoint { path: path.into(), removed: true };
    same!(ran.exit.created_mount_points, vec![made("/opt/a"), made("/opt/a/b"), made("/opt/file")]);
    same!(lab.upper()?, ["opt"]);
    same!(std::fs::metadata(lab.path("upper/opt"))?.mtime(), 1_000_000_000);

    // What somebody put beside it stays, and so does what leads to it.
    let mut spec = lab.script("echo x > /opt/a/beside");
    spec.mounts = vec![Mount::tmpfs("/opt/a/b", None)];
    let ran = run(&spec).map_err(explain)?;
    let kept = CreatedMountPoint { path: "/opt/a".into(), removed: false };
    same!(ran.exit.created_mount_points, vec![kept, made("/opt/a/b")]);
    same!(lab.upper()?, ["opt", "opt/a", "opt/a/beside"]);
    Ok(())
}

/// What is made in memory that is the host's does not go away by itself; what is made in memory of ours does.
fn in_memory_of_the_host() -> Outcome {
    let lab = Lab::new()?;
    let host = tempfile::tempdir_in("/dev/shm")?;
    std::fs::create_dir(host.path().join("kept"))?;
    set_time(host.path())?;
    let mut spec =
        lab.script("echo x > /data/a/b/x && echo x > /dev/memory/x && ls /data /own/in/it /dev/passwd");
    spec.mounts = vec![
        Mount::bind(host.path(), "/data"),
        Mount::tmpfs("/data/a/b", None),
        Mount::bind(lab.path("lower/etc/passwd"), "/data/kept/passwd"),
        Mount::bind(lab.path("lower/etc/passwd"), "/data/a/b/c/passwd"),
        Mount::tmpfs("/own", None),
        Mount::tmpfs("/own/in/it", None),
        Mount::tmpfs("/dev/memory", None),
        Mount::bind(lab.path("lower/etc/passwd"), "/dev/passwd"),
    ];
    let ran = run(&spec).map_err(explain)?;
    same!(ran.stdout, "/dev/passwd\n\n/data:\na\nkept\n\n/own/in/it:\n", "{ran:?}");
    let made = |path: &str| CreatedMountPoint { path: path.into(), removed: true };
    same!(ran.exit.created_mount_points, vec![made("/data/a"), made("/data/a/b"), made("/data/kept/passwd")]);
    same!(std::fs::read_dir(host.path())?.count(), 1);
    same!(std::fs::read_dir(host.path().join("kept"))?.count(), 0);
    same!(std::fs::metadata(host.path())?.mtime(), 1_000_000_000);
    same!(lab.upper()?, Vec::<String>::new());
    Ok(())
}

fn plain_directory() -> Outcome {
    let lab = Lab::new()?;
    let mut spec = lab.script("echo made > /made; cat /etc/hosts");
    spec.root = Root::Directory(lab.path("lower"));
    let ran = run(&spec).map_err(explain)?;
    same!(ran.stdout, "127.0.0.1 localhost\n");
    same!(std::fs::read_to_string(lab.path("lower/made"))?, "made\n");
    same!(ran.exit.created_mount_points.iter().all(|point| point.removed), true, "{ran:?}");
    for name in ["proc", "sys", "dev", "etc/hosts"] {
        same!(lab.path("lower").join(name).exists(), false, "{name}");
    }
    Ok(())
}

fn many_layers() -> Outcome {
    let lab = Lab::new()?;
    let mut spec = lab.script("cat /number; ls /numbers | wc -l");
    let Root::Overlay { lowers, .. } = &mut spec.root else { return Err("no overlay".into()) };
    for number in 1..=199 {
        // Names with what mount(2) would want escaped.
        let layer = lab.path(&format!(
            "a:layer,with\\a rather long name that makes options longer than one page {number}"
        ));
        std::fs::create_dir_all(layer.join("numbers"))?;
        std::fs::write(layer.join("number"), format!("{number}\n"))?;
        std::fs::write(layer.join("numbers").join(number.to_string()), "")?;
        lowers.insert(0, layer);
    }
    same!(output(&spec)?, "199\n199\n");
    let Root::Overlay { lowers, .. } = &mut spec.root else { return Err("no overlay".into()) };
    let first = lowers[0].clone();
    lowers.extend(std::iter::repeat_n(first, 301));
    let Err(error) = run(&spec) else { return Err("it ran".into()) };
    same!(error.to_string(), "a root of 501 layers: 498 can be mounted at most");
    Ok(())
}

fn odd_images() -> Outcome {
    type Prepare = fn(&Lab) -> std::io::Result<()>;
    let cases: [(Prepare, &str); 8] = [
        (
            |lab| std::fs::write(lab.path("lower/dev"), ""),
            "cannot mount a directory on /dev, which is a file in the root",
        ),
        (
            |lab| std::fs::create_dir(lab.path("lower/etc/hosts")),
            "cannot mount a file on /etc/hosts, which is a directory in the root",
        ),
        (
            |lab| symlink("resolv.conf", lab.path("lower/etc/resolv.conf")),
            "cannot open, in the root, /etc/resolv.conf",
        ),
        // What is mounted there would hide all the rest, or would be hidden.
        (
            |lab| symlink("/", lab.path("lower/proc")),
            "cannot mount on /proc: in the root, it leads to / itself",
        ),
        (
            |lab| symlink(".", lab.path("lower/dev")),
            "cannot mount on /dev: in the root, it leads to / itself",
        ),
        (
            |lab| symlink("../proc/net/pnp", lab.path("lower/etc/resolv.conf")),
            "cannot mount on /etc/resolv.conf: in the root, it leads into /proc",
        ),
        (
            |lab| symlink("etc", lab.path("lower/proc")),
            "cannot mount on /etc/hosts: in the root, it leads into /proc",
        ),
        (
            |lab| symlink("/proc/new", lab.path("lower/sys")),
            "cannot mount on /sys: in the root, it leads into /proc",
        ),
    ];
    for (prepare, text) in cases {
        let lab = Lab::new()?;
        prepare(&lab)?;
        let Err(error) = run(&lab.script("true")) else {
            return Err(format!("accepted, not: {text}").into());
        };
        same!(error.to_string(), text);
        same!(lab.upper()?, Vec::<String>::new());
    }
    let lab = Lab::new()?;
    symlink("/proc", lab.path("lower/link"))?;
    for (target, why) in [
        ("/link/new", "in the root, it leads into /proc"),
        ("/link", "processes are shown there"),
        ("/proc", "processes are shown there"),
    ] {
        let mut spec: Spec = lab.script("true");
        spec.mounts = vec![Mount::tmpfs(target, None)];
        let Err(error) = run(&spec) else { return Err("it ran".into()) };
        same!(error.to_string(), format!("cannot mount on {target}: {why}"));
        same!(lab.upper()?, Vec::<String>::new());
    }

    let lab = Lab::new()?;
    let spec: Spec = lab.script("true");
    std::fs::remove_dir_all(lab.path("work"))?;
    let Err(error) = run(&spec) else { return Err("it ran".into()) };
    same!(error.to_string().starts_with("cannot open the layer "), true, "{error}");
    Ok(())
}

fn volatile() -> Outcome {
    let lab = Lab::new()?;
    let mut spec =
        lab.script("mount | grep ' on / ' | grep -c volatile; mount | grep ' on / ' | grep -c nodev");
    let Root::Overlay { volatile, work, .. } = &mut spec.root else { return Err("no overlay".into()) };
    *volatile = true;
    let work = work.clone();
    same!(output(&spec)?, "1\n1\n");
    same!(work.join("work/incompat/volatile").exists(), true);
    // Linux refuses to mount it again, and says so.
    let Err(error) = run(&spec) else { return Err("it ran".into()) };
    let text =
        "cannot mount overlay (its work directory was used by a volatile overlay before: take a new one)";
    same!(error.to_string(), text);
    Ok(())
}
