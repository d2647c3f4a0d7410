//! Tags, repositories, deletion, search (RC-110 … RC-112, RC-116).

use base::Cancel;
use distribution::DistributionError;
use distribution::delete::{Deleted, delete};
use distribution::host::Host;
use distribution::listing::{Part, catalog, tags};
use distribution::search::search;

use crate::lab::Lab;
use crate::support::{Fault, Registry, image};

fn answer(body: &str, next: Option<&str>) -> Fault {
    let link = next.map(|next| ("Link", format!("<{next}>; rel=\"next\"")));
    Fault::Answer(200, link.into_iter().collect(), body.as_bytes().to_vec())
}

fn host(registry: &Registry) -> Host {
    Host::parse(&registry.host()).expect("a host")
}

#[test]
fn rc_110_tags_come_page_by_page_until_there_are_enough() {
    let (registry, lab) = (Registry::start(), Lab::new());
    registry.rule("GET", "last=b", 2, answer(r#"{"name":"app","tags":["c"]}"#, None));
    registry.rule(
        "GET",
        "/tags/list",
        2,
        answer(r#"{"tags":["a","b"]}"#, Some("/v2/app/tags/list?n=2&last=b")),
    );
    let list = |part: &Part| tags(&lab.client(), &registry.name("app"), part, &Cancel::new());
    assert_eq!(list(&Part::default()).expect("tags"), ["a", "b", "c"]);
    assert_eq!(registry.requests("GET", "/tags/list")[0].query("n"), ["1000"]);
    registry.forget_requests();
    assert_eq!(list(&Part { limit: Some(2), after: Some("0".to_owned()) }).expect("tags"), ["a", "b"]);
    let asked = registry.requests("GET", "/tags/list");
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].query("n"), asked[0].query("last")), (vec!["2".to_owned()], vec!["0".to_owned()]));
}

#[test]
fn rc_110_no_tags_are_not_no_repository() {
    let (registry, lab) = (Registry::start(), Lab::new());
    registry.rule("GET", "/tags/list", 1, answer(r#"{"name":"app","tags":null}"#, None));
    let list = || tags(&lab.client(), &registry.name("app"), &Part::default(), &Cancel::new());
    assert_eq!(list().expect("no tags"), [""; 0]);
    assert!(matches!(list(), Err(DistributionError::NotFound { .. })));
}

#[test]
fn rc_025_rc_111_the_catalog_wants_a_right_of_its_own() {
    let (registry, lab) = (Registry::start(), Lab::new());
    registry.set_access(crate::support::Access::Token(None));
    registry.rule(
        "GET",
        "/v2/_catalog",
        1,
        Fault::Answer(
            401,
            vec![("WWW-Authenticate", format!("Bearer realm=\"http://{}/token\"", registry.host()))],
            vec![],
        ),
    );
    registry.rule("GET", "/v2/_catalog", 1, answer(r#"{"repositories":["app","team/app"]}"#, None));
    let listed = catalog(&lab.client(), &host(&registry), &Part::default(), &Cancel::new());
    assert_eq!(listed.expect("a catalog"), ["app", "team/app"]);
    assert_eq!(registry.requests("GET", "/token")[0].query("scope"), ["registry:catalog:*"]);
}

#[test]
fn rc_112_a_tag_is_deleted_alone_also_where_manifests_are_deleted_by_digest_only() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let digest = image(&[10]).put(&registry, "app", "1");
    image(&[10]).put(&registry, "app", "same");
    registry.rule("DELETE", "/manifests/1", 1, Fault::Answer(405, vec![], vec![]));
    registry.rule("DELETE", "/manifests/sha256:", 1, Fault::Answer(404, vec![], vec![]));
    registry.rule("DELETE", "/manifests/sha256:", 1, Fault::Answer(202, vec![], vec![]));
    let deleted = delete(&lab.client(), &registry.name("app:1"), &Cancel::new()).expect("a deletion");
    assert_eq!(deleted, Deleted::TagByReplacement);
    let put = registry.requests("PUT", "/manifests/1");
    assert_eq!(put.len(), 1);
    let last = registry.requests("DELETE", "/manifests/sha256:").pop().expect("a deletion");
    assert!(!last.target.contains(&digest.to_string()), "{}", last.target);
    // What was deleted is what the tag meant at last.
    let marked = image::Digest::sha256(&registry.manifest("app", "1").expect("the marked manifest"));
    assert!(last.target.ends_with(&marked.to_string()));
}

#[test]
fn rc_112_where_nothing_can_be_deleted_the_tag_stays_what_it_is() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let digest = image(&[10]).put(&registry, "app", "1");
    registry.rule("DELETE", "/manifests/", usize::MAX, Fault::Answer(405, vec![], vec![]));
    let error = delete(&lab.client(), &registry.name("app:1"), &Cancel::new()).expect_err("no deletion");
    assert!(matches!(error, DistributionError::Answer { code: 405, .. }), "{error}");
    assert_eq!(registry.requests("PUT", "/manifests/").len(), 0);
    assert_eq!(image::Digest::sha256(&registry.manifest("app", "1").expect("it")), digest);
}

#[test]
fn rc_116_a_search_or_the_list_of_repositories() {
    let (registry, lab) = (Registry::start(), Lab::new());
    let find = |term: &str, limit| search(&lab.client(), &host(&registry), term, limit, &Cancel::new());
    registry.rule(
        "GET",
        "/v1/search",
        1,
        answer(
            r#"{"results":[{"name":"team/app","description":null,"star_count":3,"is_official":true}]}"#,
            None,
        ),
    );
    let found = find("app", 5).expect("a search");
    assert_eq!(
        (found.len(), found[0].name.as_str(), found[0].stars, found[0].official),
        (1, format!("{}/team/app", registry.host()).as_str(), 3, true)
    );
    registry.rule(
        "GET",
        "/v2/_catalog",
        1,
        answer(r#"{"repositories":["app","other","team/app","app2"]}"#, None),
    );
    let names: Vec<_> = find("APP", 2).expect("a search").into_iter().map(|hit| hit.name).collect();
    assert_eq!(names, ["app", "team/app"].map(|name| format!("{}/{name}", registry.host())));
}
