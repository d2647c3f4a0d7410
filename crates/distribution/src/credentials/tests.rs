use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use image::Reference;
use serde_json::{Value, json};

use super::*;

fn password(user: &str, password: &str) -> Secret {
    Secret::Password { user: user.to_owned(), password: password.to_owned() }
}

/// Whom a file makes one on the registry of a name.
fn found(text: &str, name: &str) -> Result<Option<Secret>> {
    let reference = Reference::parse(name).expect("a name");
    let config = Config {
        auth_files: vec![AuthFile::Text { name: "the test".to_owned(), text: text.to_owned() }],
        ..Config::default()
    };
    let found = find(&config, &Host::of(&reference), reference.path(), &Cancel::new())?;
    Ok(found.map(|credential| credential.secret))
}

fn auth(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn rc_031_what_stands_in_a_file() {
    for (entry, expected) in [
        (json!({"auth": auth("u:p:q")}), Some(password("u", "p:q"))),
        (json!({"auth": auth("u:p\0\0")}), Some(password("u", "p"))),
        (json!({"auth": auth("u:p").trim_end_matches('=')}), Some(password("u", "p"))),
        (json!({"username": "u", "password": "p"}), Some(password("u", "p"))),
        (json!({"auth": "", "identitytoken": "t"}), Some(Secret::Identity { token: "t".to_owned() })),
        (json!({"registrytoken": "t"}), Some(Secret::Bearer { token: "t".to_owned() })),
        (json!({}), None),
    ] {
        let text = json!({"auths": {"quay.io": entry}, "HttpHeaders": {"x": "y"}}).to_string();
        assert_eq!(found(&text, "quay.io/a/b").expect("a file"), expected, "{text}");
        assert_eq!(found(&text, "quay.com/a/b").expect("a file"), None);
    }
}

#[test]
fn rc_031_keys_in_all_spellings() {
    for (key, name) in [
        ("https://index.docker.io/v1/", "debian"),
        ("index.docker.io", "debian"),
        ("docker.io", "user/app"),
        ("registry-1.docker.io", "debian"),
        ("https://quay.io", "quay.io/a/b"),
        ("https://quay.io/v2/", "quay.io/a/b"),
        ("http://localhost:5000", "localhost:5000/a"),
        ("quay.io:443", "quay.io/a/b"),
    ] {
        let text = json!({"auths": {key: {"auth": auth("u:p")}}}).to_string();
        assert_eq!(found(&text, name).expect("a file"), Some(password("u", "p")), "{key}");
    }
}

#[test]
fn rc_032_the_longest_key_counts() {
    let text = json!({"auths": {
        "quay.io": {"auth": auth("host:p")},
        "quay.io/team": {"auth": auth("team:p")},
        "quay.io/team/app": {"auth": auth("app:p")},
    }})
    .to_string();
    for (name, user) in [
        ("quay.io/other/app", "host"),
        ("quay.io/team/other", "team"),
        ("quay.io/team/app", "app"),
        ("quay.io/team/app/part", "app"),
        ("quay.io/teamapp/x", "host"),
    ] {
        assert_eq!(found(&text, name).expect("a file"), Some(password(user, "p")), "{name}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_without_what_is_in_it() {
    for text in [r#"{"auths": {"quay.io": {"auth": "c2VjcmV0"}}}"#, r#"{"auths": "s3cret"}"#, "s3cret"] {
        let error = found(text, "quay.io/a/b").expect_err("not usable");
        assert!(error.to_string().contains("the test"), "{error}");
        assert!(!error.to_string().contains("s3cret") && !error.to_string().contains("c2VjcmV0"), "{error}");
    }
    let credential = Credential { secret: password("anna", "s3cret"), source: "here".to_owned() };
    assert_eq!(format!("{credential:?}"), "anna from here");
}

/// A directory with a helper in it, and a file that names it. Programs are found by PATH, so the helper's name leads there.
struct Helper {
    directory: tempfile::TempDir,
}

impl Helper {
    fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("docker-credential-x");
        std::fs::write(&program, format!("#!/bin/sh\ncd '{}'\n{script}", directory.path().display()))
            .expect("write");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn run_helper(helper: &Helper, key: &str) -> Result<Option<Secret>> {
    helper::get_from(&helper.path("docker-credential-x"), key, &Cancel::new())
}

#[test]
fn rc_033_what_helpers_say() {
    let helper =
        Helper::new(r#"echo "$1 $(cat)" >asked; echo '{"ServerURL":"x","Username":"u","Secret":"p"}'"#);
    assert_eq!(run_helper(&helper, "quay.io").expect("an answer"), Some(password("u", "p")));
    assert_eq!(std::fs::read_to_string(helper.path("asked")).expect("read"), "get quay.io\n");
    let helper = Helper::new(r#"echo '{"Username":"<token>","Secret":"t"}'"#);
    assert_eq!(
        run_helper(&helper, "x").expect("an answer"),
        Some(Secret::Identity { token: "t".to_owned() })
    );
    let helper = Helper::new("echo credentials not found in native keychain; exit 1");
    assert_eq!(run_helper(&helper, "x").expect("an answer"), None);
    let helper = Helper::new("echo the keychain is locked >&2; exit 1");
    let error = run_helper(&helper, "x").expect_err("a failure").to_string();
    assert!(error.ends_with("failed: the keychain is locked"), "{error}");
    let helper = Helper::new("echo s3cret");
    let error = run_helper(&helper, "x").expect_err("a failure").to_string();
    assert!(!error.contains("s3cret"), "{error}");
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("read")).expect("JSON")
}

#[test]
fn rc_034_a_login_is_kept_beside_what_else_is_in_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("new/config.json");
    let host = Host::parse("quay.io").expect("a host");
    assert_eq!(
        save(&path, &host, &password("u", "p"), &Cancel::new()).expect("saved"),
        Saved::File(path.clone())
    );
    assert_eq!(read(&path), json!({"auths": {"quay.io": {"auth": auth("u:p")}}}));
    assert_eq!(std::fs::metadata(&path).expect("stat").permissions().mode() & 0o777, 0o600);
    // Others' fields, their order and their indentation stay.
    let text = "{\n  \"z\": 1,\n  \"auths\": {\n    \"https://quay.io/\": {},\n    \"a.io\": {\n      \"auth\": \"x\"\n    }\n  },\n  \"a\": {}\n}\n";
    std::fs::write(&path, text).expect("write");
    save(&path, &host, &Secret::Identity { token: "t".to_owned() }, &Cancel::new()).expect("saved");
    let written = std::fs::read_to_string(&path).expect("read");
    assert!(written.starts_with("{\n  \"z\": 1,\n  \"auths\": {\n    \"a.io\""), "{written}");
    assert!(written.ends_with("  \"a\": {}\n}\n"), "{written}");
    assert_eq!(read(&path)["auths"]["quay.io"]["identitytoken"], "t");
    assert!(erase(&path, &host, &Cancel::new()).expect("erased"));
    assert!(!erase(&path, &host, &Cancel::new()).expect("erased"));
    assert_eq!(read(&path)["auths"], json!({"a.io": {"auth": "x"}}));
}

#[test]
fn rc_034_a_link_is_followed() {
    let directory = tempfile::tempdir().expect("a directory");
    let (link, real) = (directory.path().join("config.json"), directory.path().join("real.json"));
    std::fs::write(&real, "{}").expect("write");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    let host = Host::parse("docker.io").expect("a host");
    save(&link, &host, &password("u", "p"), &Cancel::new()).expect("saved");
    assert!(link.is_symlink());
    assert_eq!(read(&real)["auths"]["https://index.docker.io/v1/"]["auth"], auth("u:p"));
}
