use proptest::prelude::*;

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn read(text: &str) -> Reference {
    Reference::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Number, text, and the host, path and tag in it.
#[test]
fn rc_001_to_010_what_is_right() {
    let with_hex = format!("registry.example/{HEX}");
    for (number, text, host, path, tag) in [
        ("RC-001", "debian", "docker.io", "library/debian", None),
        ("RC-001", "user/app", "docker.io", "user/app", None),
        ("RC-001", "localhost/app", "localhost", "app", None),
        ("RC-001", "localhost:5000", "docker.io", "library/localhost", Some("5000")),
        ("RC-001", "localhost:5000/app", "localhost:5000", "app", None),
        ("RC-001", "registry.example/a/b:c", "registry.example", "a/b", Some("c")),
        ("RC-001", "registry.example", "docker.io", "library/registry.example", None),
        ("RC-001", "box:1/app", "box:1", "app", None),
        ("RC-001", "Foo/bar", "Foo", "bar", None),
        ("RC-002", "docker.io/user/app", "docker.io", "user/app", None),
        ("RC-002", "index.docker.io/user/app", "docker.io", "user/app", None),
        ("RC-002", "registry-1.docker.io/app", "docker.io", "library/app", None),
        ("RC-002", "Docker.IO/app", "docker.io", "library/app", None),
        ("RC-002", "docker.io", "docker.io", "library/docker.io", None),
        ("RC-003", "docker.io/library/x", "docker.io", "library/x", None),
        ("RC-003", "registry.example/x", "registry.example", "x", None),
        ("RC-003", "library", "docker.io", "library/library", None),
        ("RC-004", "x/a.b_c__d---e/0", "docker.io", "x/a.b_c__d---e/0", None),
        ("RC-005", "x:_A.b-9", "docker.io", "library/x", Some("_A.b-9")),
        ("RC-006", &with_hex, "registry.example", HEX, None),
        ("RC-006", "sha256:abc", "docker.io", "library/sha256", Some("abc")),
        ("RC-009", "[::1]:5000/x", "[::1]:5000", "x", None),
        ("RC-009", "[fd00::A]/x:y", "[fd00::A]", "x", Some("y")),
        ("RC-010", "registry.example:65535/x", "registry.example:65535", "x", None),
    ] {
        let reference = read(text);
        assert_eq!(
            (reference.host(), reference.path(), reference.tag()),
            (host, path, tag),
            "{number} {text}"
        );
        assert_eq!(reference.digest(), None, "{number} {text}");
    }
}

/// Number, text, a part of the error, and the hint or a part of it.
#[test]
fn rc_001_to_013_what_is_wrong() {
    let long_path = format!("registry.example/{}", "a".repeat(239));
    let long_tag = format!("x:{}", "a".repeat(129));
    let id_with_tag = format!("{HEX}:latest");
    let id_in_full = format!("docker.io/library/{HEX}");
    let id_with_algorithm = format!("sha256:{HEX}");
    let upper_digest = format!("x@sha256:{}", HEX.to_uppercase());
    let two_digests = format!("x@sha256:{HEX}@sha256:{HEX}");
    for (number, text, reason, hint) in [
        ("RC-001", "", "it is empty", ""),
        ("RC-001", "/x", "begins or ends with a slash", ""),
        ("RC-001", "localhost/", "it has no repository", ""),
        ("RC-001", "a_b.example/x", "its host a_b.example is not the name of a host", "hyphens"),
        ("RC-001", "registry..example/x", "not the name of a host", "single dots"),
        ("RC-001", "-.example/x", "not the name of a host", ""),
        ("RC-004", "Debian:Bookworm", "upper-case letters", "did you mean debian:Bookworm?"),
        ("RC-004", "user/App", "upper-case letters", "did you mean user/app?"),
        ("RC-004", "User/App", "upper-case letters", "did you mean user/app?"),
        ("RC-004", "Registry.example/App", "upper-case letters", "did you mean Registry.example/app?"),
        ("RC-004", "a___b", "a___b in its path is not right", "one or two underscores"),
        ("RC-004", "a..b", "a..b in its path is not right", "one dot"),
        ("RC-004", "-a", "-a in its path is not right", ""),
        ("RC-004", "a-", "a- in its path is not right", ""),
        ("RC-004", "a._b", "in its path is not right", ""),
        ("RC-004", "a/", "begins or ends with a slash", ""),
        ("RC-004", "a//b", "two in a row", ""),
        ("RC-004", " a", "\" a\" in its path is not right", ""),
        ("RC-004", "a\u{1b}[1m", "\"a\\u{1b}[1m\" in its path", ""),
        ("RC-004", "bücher", "bücher in its path is not right", "lower-case letters"),
        ("RC-004", "a/b:c/d", "b:c in its path is not right", ""),
        ("RC-005", &long_path, "have 256 characters, at most 255", ""),
        ("RC-005", &long_tag, "its tag has 129 characters, at most 128", ""),
        ("RC-005", "x:", "its tag is empty", ""),
        ("RC-005", "x:-a", "its tag -a is not right", "begin with neither"),
        ("RC-005", "x:é", "its tag é is not right", "ASCII"),
        ("RC-005", "x:a:b", "its tag a:b is not right", ""),
        ("RC-006", HEX, "the ID of an image", "NAME@sha256:"),
        ("RC-006", &id_with_tag, "the ID of an image", ""),
        ("RC-006", &id_in_full, "the ID of an image", ""),
        ("RC-006", &id_with_algorithm, "the ID of an image", ""),
        ("RC-008", "x@sha256:abc", "sha256:abc behind its @ is not a digest, its length is wrong", "64"),
        ("RC-008", "x@", "there is no colon in it", ""),
        ("RC-008", &upper_digest, "not a lower-case hexadecimal digit", "lower-case"),
        ("RC-008", &two_digests, "its length is wrong", ""),
        (
            "RC-008",
            "x@md5:d41d8cd98f00b204e9800998ecf8427e",
            "its algorithm is not one that can be verified",
            "",
        ),
        ("RC-009", "::1/x", "stands in brackets", "did you mean [::1]/x?"),
        ("RC-009", "[::1", "no repository behind its host", ""),
        ("RC-009", "[::1]:5000", "no repository behind its host", ""),
        ("RC-009", "[::1:5000/x", "is not closed", ""),
        ("RC-009", "[::1]5000/x", "neither : nor /", ""),
        ("RC-009", "[fe80::1%eth0]/x", "a zone", ""),
        ("RC-009", "[1:2]/x", "1:2 in the brackets", ""),
        ("RC-010", "localhost:0/x", "its port 0 is not", ""),
        ("RC-010", "localhost:99999/x", "its port 99999 is not a number from 1 to 65535", ""),
        ("RC-010", "localhost:+80/x", "its port +80 is not", ""),
        ("RC-010", "localhost:/x", "its port \"\" is not", ""),
        (
            "RC-013",
            "https://registry.example/x",
            "with https:// in front",
            "did you mean registry.example/x?",
        ),
        ("RC-013", "http://localhost:5000/x:1/", "with http:// in front", "did you mean localhost:5000/x:1?"),
        ("RC-013", "docker://debian", "with docker:// in front", "did you mean debian?"),
        ("RC-013", "https://Wrong Name", "with https:// in front", ""),
    ] {
        let error = Reference::parse(text).expect_err(&format!("{number} {text:?}"));
        assert!(error.reason.contains(reason), "{number} {text:?}: {error}");
        assert_eq!(error.kind(), Kind::Invalid, "{number} {text:?}");
        let given = error.hint().unwrap_or_default();
        assert!(given.contains(hint), "{number} {text:?}: hint {given:?}");
    }
}

#[test]
fn rc_005_long_texts_are_refused_shortly() {
    for text in
        ["x ".repeat(10_000), "a://".repeat(100_000), "é".repeat(301), format!("x:{}", " ".repeat(500))]
    {
        let error = Reference::parse(&text).expect_err("too long");
        assert!(error.to_string().len() < 3 * MAX_TEXT, "{} bytes", error.to_string().len());
    }
    let nested = format!("{}x", "a://".repeat(100));
    assert_eq!(Reference::parse(&nested).expect_err("an address").hint, None);
    let longest =
        format!("{}/{}:{}@sha512:{HEX}{HEX}", "h.".repeat(50) + "h", "p".repeat(153), "t".repeat(128));
    assert_eq!(read(&longest).to_string(), longest);
}

#[test]
fn rc_003_both_forms_are_printed() {
    for (text, canonical, familiar) in [
        ("debian:12", "docker.io/library/debian:12", "debian:12"),
        ("docker.io/library/debian", "docker.io/library/debian", "debian"),
        ("index.docker.io/user/app", "docker.io/user/app", "user/app"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
        // Without its host, each of these would name something else.
        ("docker.io/localhost/app", "docker.io/localhost/app", "docker.io/localhost/app"),
        ("docker.io/a.b/app", "docker.io/a.b/app", "docker.io/a.b/app"),
    ] {
        let reference = read(text);
        assert_eq!(reference.to_string(), canonical, "{text}");
        assert_eq!(reference.familiar(), familiar, "{text}");
        assert_eq!(read(familiar), reference, "{text}");
    }
}

#[test]
fn rc_007_a_tag_and_a_digest_are_both_kept() {
    let text = format!("registry.example/x:1.0@sha256:{HEX}");
    let reference = read(&text);
    assert_eq!(reference.tag(), Some("1.0"));
    assert_eq!(reference.digest(), Digest::parse(&format!("sha256:{HEX}")).ok());
    assert_eq!(reference.to_string(), text);
    let long = format!("x@sha512:{HEX}{HEX}");
    assert_eq!(read(&long).familiar(), long);
}

#[test]
fn rc_011_latest_only_when_nothing_else_is_said() {
    let digest = format!("x@sha256:{HEX}");
    for (text, expected) in [("x", "x:latest"), ("x:1", "x:1"), (&digest, &digest)] {
        assert_eq!(read(text).or_latest().familiar(), expected);
    }
}

#[test]
fn another_tag_takes_the_place_of_tag_and_digest() {
    let reference = read(&format!("user/x:1@sha256:{HEX}"));
    assert_eq!(reference.with_tag("2").map(|tagged| tagged.familiar()), Ok("user/x:2".to_owned()));
    for wrong in ["", "a b", "a/b", "a:b", "a@b", &"a".repeat(129)] {
        assert!(reference.with_tag(wrong).is_err(), "{wrong:?}");
    }
    let digest = Digest::sha256(b"");
    assert_eq!(reference.with_digest(digest).familiar(), format!("user/x:1@{digest}"));
}

fn references() -> impl Strategy<Value = String> {
    let host =
        "(localhost|[a-z]{1,8}(\\.[a-zA-Z0-9]{1,6}){1,2}|docker\\.io|\\[::[1-9a-f]\\])(:[1-9][0-9]{0,3})?";
    let path = "[a-z0-9]{1,6}((\\.|_|__|-{1,3}|/)[a-z0-9]{1,6}){0,4}";
    // Without a host, the first component must not look like one.
    let repository = format!("({host}/{path}|[a-z0-9]{{1,6}}(/{path})?)");
    let tag = "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20})?";
    let digest = "(@sha256:[0-9a-f]{64})?";
    proptest::string::string_regex(&format!("{repository}{tag}{digest}")).expect("a pattern")
}

proptest! {
    #[test]
    fn what_is_printed_reads_the_same(text in references()) {
        let reference = read(&text);
        prop_assert_eq!(&read(&reference.to_string()), &reference);
        prop_assert_eq!(&read(&reference.familiar()), &reference);
        prop_assert_eq!(read(&reference.to_string()).to_string(), reference.to_string());
    }

    #[test]
    fn any_text_is_a_reference_or_an_error(text in "[a-zA-Z0-9:/@._\\[\\]% é-]{0,40}") {
        match Reference::parse(&text) {
            Ok(reference) => prop_assert_eq!(&read(&reference.familiar()), &reference),
            Err(error) => prop_assert!(error.to_string().contains(&error.reason)),
        }
    }
}
