//! Who gets in, as whom, and who gets to see what.

use base::{Classified, Kind};
use distribution::DistributionError;
use image::Digest;
use serde_json::json;

use crate::lab::{Lab, chain};
use crate::support::{Access, Fault, Registry, image};

const USER: (&str, &str) = ("anna", "s3cret:with:colons");

fn encoded(user: &str, password: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
}

fn auths(key: &str, user: &str, password: &str) -> serde_json::Value {
    json!({"auths": {key: {"auth": encoded(user, password)}}})
}

#[test]
fn rc_028_basic_is_shown_when_it_was_asked_for_and_then_at_once() {
    let registry = Registry::start();
    registry.set_access(Access::Basic(USER.0, USER.1));
    image(&[10, 20]).put(&registry, "app", "1");
    let lab = Lab::new().with_auths(&auths(&registry.host(), USER.0, USER.1));
    lab.pull(&registry.name("app:1")).expect("a pull");
    assert_eq!(
        registry
            .requests("GET", "/v2/")
            .iter()
            .filter(|request| request.header("authorization").is_none())
            .count(),
        1
    );
}

#[test]
fn rc_038_fifty_requests_one_token() {
    let registry = Registry::start();
    registry.set_access(Access::Token(None));
    image(&(1..50).collect::<Vec<_>>()).put(&registry, "team/app", "1");
    Lab::new().pull(&registry.name("team/app:1")).expect("a pull");
    let tokens = registry.requests("GET", "/token");
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].query("scope"), ["repository:team/app:pull"]);
    assert_eq!(
        (tokens[0].query("service"), tokens[0].header("authorization")),
        (vec!["test".to_owned()], None)
    );
}

#[test]
fn rc_022_a_password_goes_to_the_token_server_alone() {
    let registry = Registry::start();
    registry.set_access(Access::Token(Some(USER)));
    image(&[10]).put(&registry, "app", "1");
    let lab = Lab::new().with_auths(&auths(&registry.host(), USER.0, USER.1));
    lab.pull(&registry.name("app:1")).expect("a pull");
    let shown = registry.requests("GET", "/v2/");
    assert!(
        shown
            .iter()
            .filter_map(|request| request.header("authorization"))
            .all(|shown| shown.starts_with("Bearer "))
    );
    assert_eq!(registry.requests("GET", "/token")[0].query("account"), [USER.0]);
}

#[test]
fn rc_023_an_identity_token_goes_by_oauth() {
    let registry = Registry::start();
    registry.set_access(Access::Token(Some(USER)));
    image(&[10]).put(&registry, "app", "1");
    let lab =
        Lab::new().with_auths(&json!({"auths": {registry.host(): {"auth": "", "identitytoken": "refresh"}}}));
    lab.pull(&registry.name("app:1")).expect("a pull");
    assert_eq!((registry.requests("POST", "/token").len(), registry.requests("GET", "/token").len()), (1, 0));
}

#[test]
fn rc_030_rc_037_a_rejected_login_is_an_error_and_nobody_is_asked_as_nobody() {
    for access in [Access::Basic(USER.0, USER.1), Access::Token(Some(USER))] {
        let registry = Registry::start();
        registry.set_access(access.clone());
        image(&[10]).put(&registry, "app", "1");
        let lab = Lab::new().with_auths(&auths(&registry.host(), USER.0, "wr0ng"));
        let error = lab.pull(&registry.name("app:1")).expect_err("a wrong password");
        assert_eq!(error.kind(), Kind::Denied);
        let text = chain(&error);
        assert!(
            text.contains("as anna") && text.contains("config.json") && text.contains(&registry.host()),
            "{text}"
        );
        assert!(!text.contains("wr0ng") && !text.contains(&encoded(USER.0, "wr0ng")), "{text}");
        assert!(error.hint().is_some_and(|hint| hint.contains("lap login")));
        if access == Access::Token(Some(USER)) {
            assert!(
                registry
                    .requests("GET", "/token")
                    .iter()
                    .all(|request| request.header("authorization").is_some())
            );
        }
    }
}

#[test]
fn rc_037_what_nobody_may_is_said_so() {
    let registry = Registry::start();
    registry.set_access(Access::Basic(USER.0, USER.1));
    let error = Lab::new().pull(&registry.name("app:1")).expect_err("no login");
    assert!(matches!(error, DistributionError::Denied { anonymous: true, .. }), "{error}");
    assert!(error.to_string().contains("does not permit anybody without a login to pull app"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("lap login")));
}

#[test]
fn rc_026_too_small_a_token_is_replaced_once() {
    let registry = Registry::start();
    registry.set_access(Access::Token(None));
    image(&[10]).put(&registry, "app", "1");
    *registry.state.grant.lock().expect("no panic") = Some("repository:other:pull".to_owned());
    Lab::new().pull(&registry.name("app:1")).expect("a pull");
    assert_eq!(registry.requests("GET", "/token").len(), 2);
}

#[test]
fn rc_027_a_token_that_ends_in_the_middle_is_replaced() {
    let registry = Registry::start();
    registry.set_access(Access::Token(None));
    let image = image(&[2 << 20]);
    image.put(&registry, "app", "1");
    let layer = Digest::sha256(&image.layers[0]).to_string();
    registry.rule("GET", &layer, 1, Fault::Cut(1_000_000));
    let lab = Lab::new();
    std::thread::scope(|scope| {
        let pulling = scope.spawn(|| lab.pull(&registry.name("app:1")));
        while registry.requests("GET", &layer).is_empty() {
            std::thread::yield_now();
        }
        registry.revoke_tokens();
        pulling.join().expect("no panic").expect("a pull");
    });
    assert!(registry.requests("GET", "/token").len() >= 2);
}

#[test]
fn rc_029_authorization_does_not_cross_an_origin() {
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    registry.set_access(Access::Basic(USER.0, USER.1));
    let image = image(&[1000]);
    image.put(&registry, "app", "1");
    image.put(&elsewhere, "cdn", "1");
    for blob in image.layers.iter().chain([&image.config]) {
        let digest = Digest::sha256(blob);
        let location = format!("http://{}/v2/cdn/blobs/{digest}?signed=1", elsewhere.host());
        registry.rule(
            "GET",
            format!("/blobs/{digest}"),
            2,
            Fault::Answer(307, vec![("Location", location)], vec![]),
        );
    }
    let lab = Lab::new().with_auths(&auths(&registry.host(), USER.0, USER.1));
    lab.pull(&registry.name("app:1")).expect("a pull");
    let there = elsewhere.requests("GET", "/v2/cdn/");
    assert_eq!(there.len(), 2);
    assert!(
        there
            .iter()
            .all(|request| request.header("authorization").is_none() && request.header("cookie").is_none())
    );
}

#[test]
fn rc_052_redirects_that_do_not_end_do() {
    let registry = Registry::start();
    image(&[10]).put(&registry, "app", "1");
    let circle = Fault::Answer(302, vec![("Location", "/v2/app/manifests/1".to_owned())], vec![]);
    registry.rule("GET", "/manifests/", usize::MAX, circle);
    let error = Lab::new().pull(&registry.name("app:1")).expect_err("a circle");
    assert!(error.to_string().contains("circles"), "{error}");
}

#[test]
fn rc_035_two_repositories_two_users() {
    let registry = Registry::start();
    registry.set_access(Access::Basic("bob", "b"));
    image(&[10]).put(&registry, "team/b", "1");
    let host = registry.host();
    let lab = Lab::new().with_auths(&json!({"auths": {
        host.clone(): {"auth": encoded(USER.0, USER.1)},
        format!("{host}/team"): {"auth": encoded("bob", "b")},
    }}));
    lab.pull(&registry.name("team/b:1")).expect("a pull");
    registry.set_access(Access::Basic(USER.0, USER.1));
    image(&[10]).put(&registry, "other", "1");
    lab.pull(&registry.name("other:1")).expect("a pull");
}

#[test]
fn rc_033_helpers_are_asked_and_their_failures_told() {
    let registry = Registry::start();
    registry.set_access(Access::Basic(USER.0, USER.1));
    image(&[10]).put(&registry, "app", "1");
    let lab = Lab::new().with_auths(&json!({"credHelpers": {registry.host(): "not-installed-anywhere"}}));
    let error = lab.pull(&registry.name("app:1")).expect_err("no helper");
    assert_eq!(
        error.to_string(),
        "the credential helper docker-credential-not-installed-anywhere failed: it is not installed"
    );
}
