//! What is said of made-up machines.

use std::path::PathBuf;

use engine::snapshot::SnapshotKind;
use sandbox::identity::{Obstacle, Shortage};
use sandbox::{Cgroups, Isolation};

use super::facts::{Facts, Refusal, Runtime, StoreFacts, User};
use super::{diagnose, report, text};

/// A machine on which everything is well.
fn good() -> Facts {
    Facts {
        kernel: "6.12.9-amd64".to_owned(),
        overlay: Some(true),
        cgroups: Cgroups::V2,
        limits: ["memory", "processors", "processes"].map(|name| (name, Ok(()))).into(),
        seccomp: true,
        container: None,
        user: User::Root,
        isolation: Ok(Isolation::Namespaces),
        namespaces: Ok(()),
        snapshots: Ok(SnapshotKind::Overlay),
        overlay_here: Ok(()),
        store: Ok(StoreFacts {
            root: "/var/lib/lapstrake".into(),
            filesystem: "ext4".to_owned(),
            free: 80_000_000_000,
            reflinks: false,
            attributes: true,
        }),
        runtimes: vec![Runtime {
            name: "runc",
            path: PathBuf::from("/usr/bin/runc"),
            version: "1.1.5".to_owned(),
        }],
    }
}

fn store_on(filesystem: &str) -> StoreFacts {
    StoreFacts {
        root: "/var/lib/lapstrake".into(),
        filesystem: filesystem.to_owned(),
        free: 5_000_000_000,
        reflinks: false,
        attributes: true,
    }
}

fn refusal(why: &str, remedy: &str) -> Refusal {
    Refusal { why: why.to_owned(), remedy: Some(remedy.to_owned()) }
}

fn said(facts: &Facts) -> String {
    text(facts, &diagnose(facts))
}

#[test]
fn root_of_a_machine_has_everything() {
    insta::assert_snapshot!(said(&good()));
}

#[test]
fn a_user_with_subordinate_ids_on_btrfs() {
    let store = StoreFacts { reflinks: true, ..store_on("btrfs") };
    let facts =
        Facts { user: User::Mapped { ids: 65_537 }, store: Ok(store), runtimes: Vec::new(), ..good() };
    insta::assert_snapshot!(said(&facts));
}

#[test]
fn a_user_with_one_id() {
    let facts = Facts { user: User::Single { shortage: Shortage::Program("newuidmap") }, ..good() };
    insta::assert_snapshot!(said(&facts));
}

#[test]
fn a_user_who_may_not_enter_namespaces() {
    let none = refusal("running commands as an ordinary user is not supported", "become root");
    let facts = Facts {
        user: User::Ordinary { obstacle: Obstacle::AppArmor },
        namespaces: Err("cannot enter new namespaces: Operation not permitted (os error 1)".to_owned()),
        isolation: Err(none.clone()),
        snapshots: Err(none),
        ..good()
    };
    insta::assert_snapshot!(said(&facts));
}

#[test]
fn an_unprivileged_container() {
    let facts = Facts {
        container: Some("docker"),
        overlay: None,
        isolation: Ok(Isolation::Chroot),
        namespaces: Err("cannot enter new namespaces: Operation not permitted (os error 1)".to_owned()),
        snapshots: Ok(SnapshotKind::Copy),
        overlay_here: Err("cannot enter new namespaces: Operation not permitted (os error 1)".to_owned()),
        store: Ok(store_on("overlay")),
        runtimes: Vec::new(),
        ..good()
    };
    insta::assert_snapshot!(said(&facts));
}

#[test]
fn an_old_kernel_and_a_store_that_is_somebody_else_s() {
    let facts = Facts {
        kernel: "5.10.0-35-amd64".to_owned(),
        overlay: Some(false),
        cgroups: Cgroups::V1,
        limits: vec![
            (
                "memory",
                Err(refusal("cannot set --memory: the cgroup / has no controller memory", "switch it on")),
            ),
            ("processes", Ok(())),
        ],
        store: Err(refusal("the store at /s was made with other user ids", "use it as the user who made it")),
        snapshots: Err(refusal("there is no store to try them in", "see above")),
        ..good()
    };
    insta::assert_snapshot!(said(&facts));
}

#[test]
fn names_of_fields_for_machines() {
    let facts = Facts { user: User::Single { shortage: Shortage::Program("newuidmap") }, ..good() };
    let value = report(&facts, &diagnose(&facts));
    assert_eq!(value["works"], true);
    assert_eq!((&value["isolation"], &value["snapshots"]), (&"namespaces".into(), &"overlay".into()));
    let finding = &value["findings"][1];
    assert_eq!((&finding["name"], &finding["state"]), (&"user".into(), &"better".into()));
    assert!(finding["text"].is_string() && finding["remedy"].is_string(), "{finding}");
}
