//! `lap doctor` on this very machine.

use crate::environment::Environment;
use crate::ordinary::{NOBODY, User, tester};

#[test]
fn root_of_this_machine_can_run_commands() {
    let lap = Environment::new();
    let said = lap.lap(["doctor"]).success().stdout;
    for words in ["user       root", "isolation  namespaces", "Commands run here: isolation by namespaces"] {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
    let report = lap.lap(["doctor", "--format", "json"]).success().stdout;
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["works"], true, "{report}");
    assert_eq!(report["isolation"], "namespaces", "{report}");
    // What was tried leaves nothing behind.
    assert_eq!(std::fs::read_dir(lap.store().join("tmp")).expect("tmp").count(), 0);
}

#[test]
fn users_are_told_what_they_have() {
    let lap = Environment::new();
    let many = User { lap: &lap, ids: tester(), wrapped_in: &[] };
    let said = many.lap(&["doctor"]).success().stdout;
    assert!(said.contains("an ordinary user with subordinate ids: 65537 in all"), "{said}");
    std::fs::remove_dir_all(lap.path("home")).expect("removed");
    let one = User { lap: &lap, ids: (NOBODY, NOBODY), wrapped_in: &[] };
    let said = one.lap(&["doctor"]).success().stdout;
    for words in ["an ordinary user with one id (/etc/subuid has no ids for nobody)", "usermod --add-subuids"]
    {
        assert!(said.contains(words), "{words:?} is not in:\n{said}");
    }
}
