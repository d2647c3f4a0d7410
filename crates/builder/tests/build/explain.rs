//! `--explain`: why a step was executed (pain P14).

use base::Cancel;
use builder::Request;
use libtest_mimic::Trial;
use store::collect::Policy;

use crate::lab::{Lab, request, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("p14_each_change_has_its_line", p14_each_change_has_its_line),
        trial("p14_files_are_named", p14_files_are_named),
        trial("p14_a_base_that_has_changed", p14_a_base_that_has_changed),
        trial("p14_what_is_told_after_a_collection", p14_what_is_told_after_a_collection),
        trial("p14_what_is_cached_is_not_explained", p14_what_is_cached_is_not_explained),
        trial("p14_values_are_not_told", p14_values_are_not_told),
    ]
}

type Reasons = Vec<(String, Vec<String>)>;

fn explained(lab: &Lab, change: impl FnOnce(&mut Request), dockerfile: &str) -> Reasons {
    let mut request = Request { explain: true, threads: 1, ..request(dockerfile) };
    change(&mut request);
    lab.build_with(request).1.reasons()
}

fn reasons(expected: &[(&str, &[&str])]) -> Reasons {
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    expected.iter().map(|(step, lines)| ((*step).to_owned(), owned(lines))).collect()
}

/// What the last step of a Dockerfile says, when one is built after another.
fn p14_each_change_has_its_line() {
    let rows: &[(&str, &str, &str, &[&str])] = &[
        ("command", "RUN echo 1", "RUN echo 2", &["its command has changed"]),
        ("form", "RUN [\"true\"]", "RUN [\"true\", \"x\"]", &["its command has changed"]),
        ("new variable", "RUN true", "ENV A=1\nRUN true", &["the variable A is new"]),
        ("other value", "ENV A=1 B=1\nRUN true", "ENV A=2 B=1\nRUN true", &["the variable A has changed"]),
        ("no variable", "ENV A=1\nRUN true", "RUN true", &["the variable A is not there any more"]),
        ("argument", "ARG A=1\nRUN true", "ARG A=2\nRUN true", &["the variable A has changed"]),
        ("user", "RUN true", "USER me\nRUN true", &["its user has changed"]),
        ("network", "RUN true", "RUN --network=none true", &["--network has changed"]),
        (
            "directory",
            "WORKDIR /tmp\nRUN true",
            "WORKDIR /etc\nRUN true",
            &["its working directory has changed"],
        ),
        ("sources", "COPY a /d/", "COPY a b /d/", &["its sources have changed", "/d/b is new"]),
        (
            "mode",
            "COPY a /",
            "COPY --chmod=600 a /",
            &["--chmod has changed", "/a has another mode, owner or attributes"],
        ),
        (
            "owner",
            "COPY a /",
            "COPY --chown=me a /",
            &["--chown has changed", "/a has another mode, owner or attributes"],
        ),
        (
            "two things",
            "ENV A=1\nRUN true",
            "ENV B=1\nRUN echo 1",
            &["its command has changed", "the variable A is not there any more", "the variable B is new"],
        ),
        ("a step more", "RUN true", "RUN true\nRUN echo 1", &["it is new in its stage"]),
    ];
    for (what, first, then, expected) in rows {
        let lab = Lab::new();
        lab.file("a", "a");
        lab.file("b", "b");
        lab.build(&format!("FROM busybox\n{first}\n"));
        let found = explained(&lab, |_| {}, &format!("FROM busybox\n{then}\n"));
        assert_eq!(found.last().expect(what).1, *expected, "{what}");
    }
}

fn p14_files_are_named() {
    let lab = Lab::new();
    for name in ["changed", "gone", "same"] {
        lab.file(&format!("src/{name}"), name);
    }
    let text = "FROM busybox\nCOPY src /s/\nRUN true\n";
    let first = explained(&lab, |_| {}, text);
    let before: &[&str] = &["it was not built before"];
    assert_eq!(first, reasons(&[("COPY src /s/", before), ("RUN true", before)]));
    lab.file("src/changed", "other");
    lab.file("src/new", "new");
    std::fs::remove_file(lab.context().join("src/gone")).expect("a file");
    let expected: &[&str] =
        &["/s/changed has other contents", "/s/gone is not there any more", "/s/new is new"];
    let found = explained(&lab, |_| {}, text);
    assert_eq!(found[0], reasons(&[("COPY src /s/", expected)])[0]);
    assert!(
        found[1].1[0].starts_with("what it stands on has changed: ") && found[1].1.len() == 1,
        "{found:?}"
    );
    assert!(found[1].1[0].ends_with("COPY src /s/"), "{found:?}");
    for number in 10..30 {
        lab.file(&format!("src/{number}"), "n");
    }
    let many = explained(&lab, |_| {}, text);
    assert_eq!((many[0].1.len(), many[0].1.last().map(String::as_str)), (11, Some("and 10 more")));
}

fn p14_a_base_that_has_changed() {
    let lab = Lab::new();
    lab.build("FROM busybox\nRUN echo 1 > /1\n");
    lab.build("FROM busybox\nRUN true\n");
    // The same steps, on what was built.
    lab.build("FROM app AS s\nRUN true\n");
    lab.build("FROM busybox\nRUN echo 2 > /2\n");
    let found = explained(&lab, |_| {}, "FROM app AS s\nRUN true\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.len() == 1 && found[0].1[0].starts_with("its base has changed: "), "{found:?}");
    assert!(found[0].1[0].ends_with("FROM docker.io/library/app:latest"), "{found:?}");
}

/// Once it is said that the record has been removed; what nothing is known of any more was not built.
fn p14_what_is_told_after_a_collection() {
    let lab = Lab::new();
    let text = "FROM busybox\nRUN echo 1 > /1\n";
    let collect = || {
        let policy = Policy { cache: true, ..Policy::default() };
        lab.store.collect(&policy, &Cancel::new()).expect("a collection");
    };
    lab.build(text);
    collect();
    let found = explained(&lab, |_| {}, text);
    assert_eq!(found[0].1, ["the record of how it was built before has been removed"]);
    collect();
    collect();
    assert_eq!(explained(&lab, |_| {}, text)[0].1, ["it was not built before"]);
    assert!(
        lab.store
            .check(store::check::Depth::Full, &base::Events::none(), &Cancel::new())
            .expect("a check")
            .is_empty()
    );
}

fn p14_what_is_cached_is_not_explained() {
    let lab = Lab::new();
    let text = "FROM busybox AS one\nRUN echo 1 > /1\nFROM one\nRUN echo 2 > /2\n";
    lab.build(text);
    assert_eq!(explained(&lab, |_| {}, text), []);
    let all = explained(&lab, |request| request.no_cache = true, text);
    assert!(all.iter().all(|(_, lines)| *lines == ["--no-cache"]) && all.len() == 2, "{all:?}");
    let one = explained(&lab, |request| request.no_cache_stages = vec!["ONE".to_owned()], text);
    assert_eq!(one, reasons(&[("RUN echo 1 > /1", &["--no-cache-filter"])]));
    let (_, heard) = lab.build_with(Request { no_cache: true, ..request(text) });
    assert_eq!(heard.reasons(), [], "nobody has asked");
}

fn p14_values_are_not_told() {
    let lab = Lab::new();
    let build = |value: &str| {
        let arguments = vec![("TOKEN".to_owned(), value.to_owned())];
        explained(&lab, |request| request.build_args = arguments, "FROM busybox\nARG TOKEN\nRUN true\n")
    };
    build("hunter1");
    assert_eq!(build("hunter2")[0].1, ["the variable TOKEN has changed"]);
}
