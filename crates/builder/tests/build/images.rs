//! What builds give: files, configs, history, names.

use image::Reference;
use libtest_mimic::Trial;
use store::table::EntryKind;

use crate::lab::{Lab, request, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("from_copy_run", from_copy_run),
        trial("df_069_scratch_and_stages", df_069_scratch_and_stages),
        trial("df_088_environment_of_a_run", df_088_environment_of_a_run),
        trial("df_089_users", df_089_users),
        trial("df_090_nothing_of_the_surroundings_stays", df_090_nothing_of_the_surroundings_stays),
        trial("df_092_a_run_that_changes_nothing", df_092_a_run_that_changes_nothing),
        trial("df_093_volumes_keep_what_a_run_writes", df_093_volumes_keep_what_a_run_writes),
        trial("df_034_heredocs", df_034_heredocs),
        trial("df_037_a_command_in_the_middle_may_fail", df_037_a_command_in_the_middle_may_fail),
        trial("df_151_working_directories", df_151_working_directories),
        trial("df_089_a_working_directory_that_is_missing", df_089_a_working_directory_that_is_missing),
        trial("df_147_labels_names_and_what_they_meant", df_147_labels_names_and_what_they_meant),
        trial("df_163_history_and_layers", df_163_history_and_layers),
        trial("df_163_stages_continue_histories", df_163_stages_continue_histories),
        trial("removed_files_stay_removed", removed_files_stay_removed),
        trial("stages_run_at_the_same_time", stages_run_at_the_same_time),
    ]
}

fn from_copy_run() {
    let lab = Lab::new();
    lab.file("hello.txt", "hello\n");
    let (outcome, heard) = lab.build(
        "FROM busybox\nENV WHO=world\nCOPY hello.txt /greeting/\nRUN cat /greeting/hello.txt && echo \"$WHO\" > /greeting/who && echo done >&2\n",
    );
    assert_eq!(lab.read(outcome.image, "greeting/hello.txt").as_deref(), Some("hello\n"));
    assert_eq!(lab.read(outcome.image, "greeting/who").as_deref(), Some("world\n"));
    let output = heard.output();
    assert!(output.contains("hello\n") && output.contains("done\n"), "{output}");
    assert_eq!((outcome.steps.executed, outcome.steps.cached), (2, 0));
    let named = lab.store.names().get(&Reference::parse("app:latest").expect("a name")).expect("the store");
    assert_eq!(named.map(|record| (record.image, record.target)), Some((outcome.image, outcome.manifest)));
}

fn df_069_scratch_and_stages() {
    let lab = Lab::new();
    let (outcome, heard) = lab.build(
        "FROM busybox AS make\nRUN mkdir /out && echo program > /out/program\n\
         FROM busybox AS never\nRUN echo unused && exit 1\n\
         FROM scratch\nCOPY --from=make /out/ /\nENTRYPOINT [\"/program\"]\n",
    );
    assert_eq!(lab.read(outcome.image, "program").as_deref(), Some("program\n"));
    assert_eq!(lab.config(outcome.image).rootfs.diff_ids.len(), 1);
    assert!(!heard.output().contains("unused"), "DF-073");
    let platform = lab.config(outcome.image).platform();
    assert_eq!(platform, image::Platform::host());
}

fn df_088_environment_of_a_run() {
    let lab = Lab::new();
    let mut request =
        request("FROM busybox\nARG V=1\nENV E=2\nWORKDIR /w\nRUN env; pwd; cat /etc/hostname\n");
    request.build_args = vec![("http_proxy".to_owned(), "http://p".to_owned())];
    let (_, heard) = lab.build_with(request);
    let output = heard.output();
    for line in [
        "PATH=/bin",
        "V=1",
        "E=2",
        "HOME=/root",
        "http_proxy=http://p",
        "HTTP_PROXY=http://p",
        "/w",
        "buildkitsandbox",
    ] {
        assert!(output.lines().any(|found| found == line), "{line} is not in\n{output}");
    }
}

fn df_089_users() {
    let lab = Lab::new();
    for (user, expected) in [
        ("", "uid=0(root) gid=0(root)"),
        ("me", "uid=1000(me) gid=1000(me) groups=1000(me),2000(extra)"),
        ("1000", "uid=1000(me) gid=1000(me)"),
        ("1234", "uid=1234 gid=0(root)"),
        ("1234:extra", "uid=1234 gid=2000(extra)"),
    ] {
        let user_line = if user.is_empty() { String::new() } else { format!("USER {user}\n") };
        let (_, heard) = lab.build(&format!("FROM busybox\n{user_line}RUN id\n"));
        assert!(heard.output().starts_with(expected), "{user}: {}", heard.output());
    }
}

fn df_090_nothing_of_the_surroundings_stays() {
    let lab = Lab::new();
    let (outcome, _) =
        lab.build("FROM busybox\nRUN cat /etc/hosts /etc/resolv.conf && touch /x /dev/shm/y\n");
    let view = lab.view(outcome.image);
    let paths: Vec<String> = view
        .walk(b"")
        .map(|(path, _)| String::from_utf8(path).expect("text"))
        .filter(|path| !path.starts_with("bin"))
        .collect();
    let expected = ["etc", "etc/group", "etc/passwd", "tmp", "x"];
    assert_eq!(paths.iter().filter(|path| !path.is_empty()).collect::<Vec<_>>(), expected);
}

fn df_092_a_run_that_changes_nothing() {
    let lab = Lab::new();
    let (outcome, _) = lab.build("FROM busybox\nRUN true\nRUN --network=none true\nRUN touch /x; rm /x\n");
    let config = lab.config(outcome.image);
    assert_eq!(config.rootfs.diff_ids.len(), 4);
    assert_eq!(config.rootfs.diff_ids[1], config.rootfs.diff_ids[2], "the same empty layer");
    assert!(config.history.iter().all(|entry| !entry.empty_layer));
}

fn df_034_heredocs() {
    let lab = Lab::new();
    let (outcome, heard) = lab.build(
        "FROM busybox\nENV a=b\nCOPY <<conf <<'raw' /etc/x/\na=$a\nconf\n$a\nraw\n\
         RUN <<EOF\necho one\necho two\nEOF\n\
         RUN <<-SCRIPT\n\t#!/bin/cat\n\tshown\n\tSCRIPT\n\
         RUN cat <<A <<B && echo $a\n1\nA\n2\nB\n",
    );
    assert_eq!(lab.read(outcome.image, "etc/x/conf").as_deref(), Some("a=b\n"), "DF-032");
    assert_eq!(lab.read(outcome.image, "etc/x/raw").as_deref(), Some("$a\n"), "DF-031");
    let output = heard.output();
    assert!(output.contains("one\ntwo\n"), "DF-034: {output}");
    assert!(output.contains("#!/bin/cat\nshown\n"), "DF-035: {output}");
    assert!(output.contains("2\nb\n"), "DF-036: {output}");
    assert_eq!(lab.view(outcome.image).find(b"dev"), None, "mount points leave no trace");
}

fn df_151_working_directories() {
    let lab = Lab::new();
    let (outcome, heard) = lab
        .build("FROM busybox\nWORKDIR /tmp\nUSER me\nWORKDIR /home/me/src\nRUN pwd && touch x\nWORKDIR /\n");
    let config = lab.config(outcome.image);
    let empty: Vec<bool> = config.history[1..].iter().map(|entry| entry.empty_layer).collect();
    assert_eq!(empty, [true, true, false, false, true], "tmp was there; the base's layer is the first");
    assert_eq!(config.config.working_dir, "/");
    let view = lab.view(outcome.image);
    let entry = |path: &str| {
        let node = view.find(path.as_bytes()).expect(path);
        let entry = view.entry(node);
        assert!(matches!(entry.kind, EntryKind::Directory { .. }));
        (entry.mode, entry.uid, entry.gid)
    };
    assert_eq!(
        (entry("tmp"), entry("home"), entry("home/me/src")),
        ((0o1777, 0, 0), (0o755, 1000, 1000), (0o755, 1000, 1000))
    );
    assert!(heard.output().contains("/home/me/src\n"));
}

/// The working directory of an image need not be there; only a RUN makes it.
fn df_089_a_working_directory_that_is_missing() {
    let lab = Lab::new();
    let (outcome, heard) = lab.build("FROM placed\nRUN pwd && echo x > y\n");
    assert_eq!(heard.output(), "/etc/not/there\n");
    assert_eq!(lab.read(outcome.image, "etc/not/there/y").as_deref(), Some("x\n"));
    assert!(lab.read(outcome.image, "etc/passwd").is_some(), "what is beside it stays");
    assert_eq!(lab.config(outcome.image).config.working_dir, "/etc/not/there");
}

fn df_147_labels_names_and_what_they_meant() {
    let lab = Lab::new();
    let mut first = request("FROM scratch\nLABEL a=1 b=1\n");
    first.labels = vec![("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())];
    first.tags.push(Reference::parse("localhost:5000/other:v1").expect("a name"));
    let (first, _) = lab.build_with(first);
    let config = lab.config(first.image);
    let labels: Vec<String> =
        config.config.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(labels, ["a=1", "b=2", "c=3"]);
    assert_eq!(config.history.len(), 1);
    assert_eq!(
        first.names.iter().map(|named| named.reference.familiar()).collect::<Vec<_>>(),
        ["app:latest", "localhost:5000/other:v1"]
    );
    let (second, _) = lab.build("FROM scratch\nENV x=y\n");
    assert_eq!(second.names[0].before, Some(first.image));
}

fn df_163_history_and_layers() {
    let lab = Lab::new();
    lab.file("a", "a");
    let (outcome, _) = lab.build("FROM busybox\nENV x=1\nCOPY a /a\nCMD [\"sh\"]\n");
    let config = lab.config(outcome.image);
    let history: Vec<(&str, bool, &str)> = config
        .history
        .iter()
        .map(|entry| (entry.created_by.as_str(), entry.empty_layer, entry.comment.as_str()))
        .collect();
    let ours = "buildkit.dockerfile.v0";
    assert_eq!(
        history,
        [
            ("", false, "buildkit.exporter.image.v0"),
            ("ENV x=1", true, ours),
            ("COPY a /a # buildkit", false, ours),
            ("CMD [\"sh\"]", true, ours),
        ]
    );
    let times: Vec<i64> = config.history.iter().map(|entry| entry.created.expect("a time").unix()).collect();
    assert_eq!(times, [500_000_000, 500_000_000, 1_000_000_000, 1_000_000_000], "no clock");
    assert_eq!(config.created, config.history[3].created);
    let layers = config.history.iter().filter(|entry| !entry.empty_layer).count();
    assert_eq!(config.rootfs.diff_ids.len(), layers);
    let manifest = lab.store.images().manifest(&outcome.manifest).expect("a manifest");
    let digests: Vec<image::DiffId> =
        manifest.value().layers.iter().map(|layer| image::DiffId(layer.digest)).collect();
    assert_eq!(digests, config.rootfs.diff_ids);
}

fn df_163_stages_continue_histories() {
    let lab = Lab::new();
    let (outcome, _) =
        lab.build("FROM busybox AS a\nRUN echo a > /a\nFROM a AS b\nENV b=1\nFROM b\nRUN echo c > /c\n");
    let config = lab.config(outcome.image);
    let history: Vec<&str> = config.history[1..].iter().map(|entry| entry.created_by.as_str()).collect();
    let expected =
        ["RUN /bin/sh -c echo a > /a # buildkit", "ENV b=1", "RUN /bin/sh -c echo c > /c # buildkit"];
    assert_eq!(history, expected);
    assert_eq!(config.rootfs.diff_ids.len(), 3);
    assert_eq!(config.created, config.history[3].created);
    assert!(config.history[1].created <= config.history[3].created);
}

fn removed_files_stay_removed() {
    let lab = Lab::new();
    lab.file("d/a", "a");
    lab.file("d/b", "b");
    let (outcome, heard) = lab.build("FROM busybox\nCOPY d /d\nRUN rm /d/a && chmod 700 /d\nRUN ls /d\n");
    assert_eq!(lab.read(outcome.image, "d/a"), None);
    assert_eq!(lab.read(outcome.image, "d/b").as_deref(), Some("b"));
    assert!(heard.output().ends_with("b\n"));
}

/// One stage waits for a connection that the other one makes: one after the other, neither would succeed.
fn stages_run_at_the_same_time() {
    let lab = Lab::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    let dockerfile = format!(
        "FROM busybox AS a\nRUN busybox timeout 60 busybox nc -l -p {port} -e /bin/true\n\
         FROM busybox AS b\nRUN i=0; until busybox nc 127.0.0.1 {port} -e /bin/true; do i=$((i+1)); test $i -lt 300 || exit 1; sleep 0.1; done\n\
         FROM scratch\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n"
    );
    let (outcome, _) = lab.build(&dockerfile);
    assert_eq!(outcome.steps.executed, 4);
}

fn df_093_volumes_keep_what_a_run_writes() {
    let lab = Lab::new();
    let (outcome, _) = lab.build("FROM busybox\nVOLUME /v\nRUN mkdir /v && echo kept > /v/file\n");
    assert_eq!(lab.read(outcome.image, "v/file").as_deref(), Some("kept\n"));
}

fn df_037_a_command_in_the_middle_may_fail() {
    let lab = Lab::new();
    let script = "RUN <<EOF\ntest -e /nothing\necho on > /on\nEOF\n";
    let (outcome, _) = lab.build(&format!("FROM busybox\n{script}"));
    assert_eq!(lab.read(outcome.image, "on").as_deref(), Some("on\n"));
    lab.fail(&format!("FROM busybox\nSHELL [\"/bin/sh\", \"-ec\"]\n{script}"));
}
