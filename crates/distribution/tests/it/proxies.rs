//! Proxies (RC-047): real ones, that lead to a registry which has no address of its own.

use base::{Classified, Kind};
use distribution::config::Proxies;

use crate::lab::{Lab, chain};
use crate::support::{Proxy, Registry, TestImage, image};

/// A host that nobody but a proxy knows.
const HOST: &str = "registry.invalid:5000";

fn name() -> image::Reference {
    image::Reference::parse(&format!("{HOST}/app:1")).expect("a name")
}

/// A registry with an image, and a lab that may speak plain HTTP with the host that stands for it.
fn lab() -> (Registry, Lab, TestImage) {
    let (registry, mut lab) = (Registry::start(), Lab::new());
    let image = image(&[1000]);
    image.put(&registry, "app", "1");
    lab.config.insecure = vec![HOST.to_owned()];
    (registry, lab, image)
}

fn both(address: &str) -> Proxies {
    Proxies { http: Some(address.to_owned()), https: Some(address.to_owned()), no_proxy: None }
}

#[test]
fn rc_047_tls_goes_through_connect_and_plain_http_with_whole_addresses() {
    let (registry, mut lab, _) = lab();
    let proxy = Proxy::start(&registry.host(), None);
    lab.config.proxies = both(&proxy.host());
    lab.pull(&name()).expect("a pull through the proxy");
    let trace = proxy.trace();
    // First TLS is tried, and what answers does not speak it.
    assert_eq!(trace[0], format!("CONNECT {HOST}"), "{trace:?}");
    assert!(trace.contains(&format!("GET http://{HOST}/v2/app/manifests/1")), "{trace:?}");
    assert!(registry.requests("GET", "/blobs/").len() >= 2);
}

#[test]
fn rc_047_a_login_is_for_the_proxy_and_is_never_told() {
    let (registry, mut lab, _) = lab();
    let proxy = Proxy::start(&registry.host(), Some(("anna", "s3:cr/et")));
    lab.config.proxies = both(&format!("http://anna:s3%3Acr%2Fet@{}", proxy.host()));
    lab.pull(&name()).expect("a pull through the proxy");
    assert!(proxy.trace().iter().all(|line| !line.ends_with("refused")), "{:?}", proxy.trace());
    assert!(
        registry.requests("GET", "").iter().all(|request| request.header("proxy-authorization").is_none())
    );

    lab.config.proxies = both(&format!("http://anna:wr0ng@{}", proxy.host()));
    // TLS, as with every host that is not named as insecure.
    lab.config.insecure.clear();
    let error = lab.pull(&name()).expect_err("another password");
    let text = format!("{} {:?} {:?}", chain(&error), error.hint(), error);
    assert!(!text.contains("wr0ng") && !text.contains("anna"), "{text}");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot reach https://{HOST} through the proxy http://{}: the proxy wants another user and password, or one at all",
            proxy.host()
        )
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("HTTPS_PROXY")));
    assert_eq!(error.kind(), Kind::Io);
}

#[test]
fn rc_047_a_proxy_that_is_not_there_is_named() {
    let (_registry, mut lab, _) = lab();
    lab.config.insecure.clear();
    lab.config.proxies = both("http://anna:s3cret@127.0.0.1:1");
    let error = lab.pull(&name()).expect_err("no proxy");
    let text = chain(&error);
    assert!(text.contains(&format!("https://{HOST} through the proxy http://127.0.0.1:1: ")), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    assert!(error.hint().is_some_and(|hint| hint.contains("that the proxy runs")), "{:?}", error.hint());
    // One that cannot get there: what it stands before is not there.
    let proxy = Proxy::start("127.0.0.1:1", None);
    lab.config.proxies = both(&proxy.host());
    let error = lab.pull(&name()).expect_err("nothing behind the proxy");
    assert!(chain(&error).ends_with("the proxy does not connect to it"), "{}", chain(&error));
}

#[test]
fn rc_047_loopback_is_reached_directly_and_so_is_what_no_proxy_excepts() {
    let (registry, mut lab, _) = lab();
    let proxy = Proxy::start(&registry.host(), None);
    lab.config.proxies = both(&proxy.host());
    lab.pull(&registry.name("app:1")).expect("a pull");
    lab.config.proxies.no_proxy = Some("10.0.0.0/8, .invalid:5000".to_owned());
    let error = lab.pull(&name()).expect_err("nobody knows the host");
    assert!(chain(&error).contains("there is no host of this name"), "{}", chain(&error));
    assert_eq!(proxy.trace(), Vec::<String>::new());
    // An exception for another port is none.
    lab.config.proxies.no_proxy = Some("registry.invalid:5001".to_owned());
    lab.pull(&name()).expect("a pull through the proxy");
    assert!(!proxy.trace().is_empty());
}

#[test]
fn rc_047_pushes_go_through_a_proxy_whole() {
    let (registry, mut lab, image) = lab();
    let pulled = lab.pull(&registry.name("app:1")).expect("a pull");
    let other = Registry::start();
    let proxy = Proxy::start(&other.host(), None);
    lab.config.proxies = both(&proxy.host());
    lab.push(&pulled, &[name()]).expect("a push through the proxy");
    assert_eq!(other.manifest("app", "1"), Some(image.manifest));
}

#[test]
fn rc_047_socks_proxies_find_out_the_address_themselves() {
    let (registry, mut lab, _) = lab();
    let proxy = Proxy::start_socks(&registry.host());
    lab.config.proxies = both(&format!("socks5h://{}", proxy.host()));
    lab.pull(&name()).expect("a pull through the proxy");
    assert!(proxy.trace().iter().all(|line| line == &format!("SOCKS {HOST}")), "{:?}", proxy.trace());
}
