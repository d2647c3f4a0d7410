//! Builds that fail: what they say, and what they leave.

use base::{Cancel, Classified, Kind};
use builder::{BuildError, StepFailure};
use libtest_mimic::Trial;

use crate::lab::{Lab, chain, request, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("df_091_a_command_that_fails", df_091_a_command_that_fails),
        trial("a_missing_file_says_so", a_missing_file_says_so),
        trial("a_missing_image_says_so", a_missing_image_says_so),
        trial("a_missing_layer_says_so", a_missing_layer_says_so),
        trial("an_unknown_user_says_so", an_unknown_user_says_so),
        trial("the_first_failure_stops_the_others", the_first_failure_stops_the_others),
        trial("a_cancelled_build_ends", a_cancelled_build_ends),
        trial("a_bad_ignore_file_says_so", a_bad_ignore_file_says_so),
    ]
}

fn df_091_a_command_that_fails() {
    let lab = Lab::new();
    let (error, heard) = lab.fail("FROM busybox\nRUN echo before; \\\n  echo last words >&2; exit 3\n");
    let text = r#"[2/2] RUN echo before;   echo last words >&2; exit 3 failed: process "/bin/sh -c echo before;   echo last words >&2; exit 3" did not complete successfully: exit code: 3"#;
    assert_eq!(chain(&error), text);
    assert_eq!(error.kind(), Kind::Failed);
    let place = error.place().expect("a place");
    assert_eq!((place.span.line, place.span.end_line), (2, 3));
    assert!(String::from_utf8_lossy(error.log_tail()).contains("last words\n"));
    assert!(heard.output().contains("before\n"));
    assert!(
        lab.store.names().list().expect("names").iter().all(|name| name.reference.familiar() != "app:latest")
    );

    let (error, _) = lab.fail("FROM busybox\nRUN [\"nonsense\"]\n");
    assert!(
        matches!(&error, BuildError::Step(step) if matches!(step.cause, StepFailure::Run(_))),
        "{error:?}"
    );
    assert!(chain(&error).contains("nonsense"), "{}", chain(&error));
    // A shell of its own: signals that process 1 sends to itself are ignored.
    let (error, _) = lab.fail("FROM busybox\nRUN sh -c 'kill -9 $$'; exit $?\n");
    assert!(chain(&error).ends_with("exit code: 137"), "{}", chain(&error));
    assert!(error.hint().is_some_and(|hint| hint.contains("memory")));
}

fn a_missing_file_says_so() {
    let lab = Lab::new();
    lab.file("present", "");
    lab.file("hidden", "");
    lab.file(".dockerignore", "# nothing\nhid*\n");
    let (error, _) = lab.fail("FROM busybox\nCOPY present absent /x/\n");
    assert!(chain(&error).contains("there is no absent in the build context"), "{}", chain(&error));
    assert_eq!((error.kind(), error.place().map(|place| place.span.column)), (Kind::NotFound, Some(14)));
    let (error, _) = lab.fail("FROM busybox\nCOPY hidden /x\n");
    assert!(chain(&error).contains("excluded by hid* in line 2 of .dockerignore"), "{}", chain(&error));
}

fn a_missing_image_says_so() {
    let lab = Lab::new();
    let (error, _) = lab.fail("FROM busybx\n");
    assert_eq!(error.to_string(), "there is no image busybx in the store (did you mean busybox?)");
    assert!(error.hint().is_some_and(|hint| hint.contains("lap import")));
}

fn a_missing_layer_says_so() {
    let lab = Lab::new();
    std::fs::remove_dir_all(lab.store.root().join("layers")).expect("layers");
    std::fs::create_dir(lab.store.root().join("layers")).expect("no layers");
    let (error, _) = lab.fail("FROM busybox\nRUN true\n");
    assert!(chain(&error).contains("its layer sha256:"), "{}", chain(&error));
    assert_eq!(error.kind(), Kind::Corrupt);
}

fn an_unknown_user_says_so() {
    let lab = Lab::new();
    let (error, _) = lab.fail("FROM busybox\nUSER nobody-here\nRUN id\n");
    assert!(chain(&error).contains("unable to find user nobody-here"), "{}", chain(&error));
}

fn the_first_failure_stops_the_others() {
    let lab = Lab::new();
    let (error, _) = lab.fail(
        "FROM busybox AS slow\nRUN sleep 1000\nFROM busybox AS broken\nRUN sleep 0.2; exit 9\n\
         FROM scratch\nCOPY --from=slow / /a\nCOPY --from=broken / /b\n",
    );
    assert!(chain(&error).ends_with("exit code: 9"), "{}", chain(&error));
}

fn a_cancelled_build_ends() {
    let lab = Lab::new();
    let cancel = Cancel::new();
    let asks = cancel.clone();
    let records = lab.store.root().join("cache");
    let waits = std::thread::spawn(move || {
        // The first step has ended when it has a record.
        while std::fs::read_dir(&records).expect("the cache").next().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        asks.cancel();
    });
    let (result, _) = lab.attempt(&request("FROM busybox\nRUN echo kept > /x\nRUN sleep 1000\n"), &cancel);
    waits.join().expect("no panic");
    let error = result.expect_err("cancelled");
    assert_eq!(error.kind(), Kind::Cancelled, "{error:?}");
    let (outcome, _) = lab.build("FROM busybox\nRUN echo kept > /x\n");
    assert_eq!(outcome.steps.cached, 1, "DF-182");
}

fn a_bad_ignore_file_says_so() {
    let lab = Lab::new();
    lab.file(".dockerignore", "ok\n!\n");
    lab.file("a", "");
    let (error, _) = lab.fail("FROM busybox\nCOPY a /a\n");
    assert!(chain(&error).contains(".dockerignore") && chain(&error).contains("line 2"), "{}", chain(&error));
}
