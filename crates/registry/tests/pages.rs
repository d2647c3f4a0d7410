//! The pages at `/`, read by a parser: what is in them, and what makes them accessible.

mod common;

use common::images::{built, push};
use common::*;
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::json;

/// A page that is what every page has to be.
struct Page(String);

impl Page {
    #[track_caller]
    fn read(target: &Target, path: &str, status: u16) -> Self {
        let accept = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
        let response = target.request("GET", path).header("Accept", accept).send().expect(&[status]);
        assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = response.header("content-security-policy").expect("a policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'unsafe-inline'; img-src data:; "),
            "{policy}"
        );
        let page = Self(String::from_utf8(response.body).expect("UTF-8"));
        page.assert_accessible(target, path);
        page
    }

    #[track_caller]
    fn assert_accessible(&self, target: &Target, path: &str) {
        let document = self.document();
        assert_eq!(document.root_element().attribute("lang"), Some("en"));
        for (name, count) in [("title", 1), ("main", 1), ("h1", 1), ("script", 0)] {
            assert_eq!(all(&document, &[name]).len(), count, "{path}: {name}");
        }
        assert!(all(&document, &["meta"]).iter().any(|meta| meta.attribute("name") == Some("viewport")));
        assert!(!self.text("title").concat().is_empty());
        // Headings go down one step at a time.
        let headings = all(&document, &["h1", "h2", "h3", "h4", "h5", "h6"]);
        let levels: Vec<&str> = headings.iter().map(|heading| heading.tag_name().name()).collect();
        assert!(levels[0] == "h1" && levels[1..].iter().all(|level| *level == "h2"), "{path}: {levels:?}");
        assert!(all(&document, &["th"]).iter().all(|cell| cell.attribute("scope") == Some("col")));
        let mut ids = std::collections::HashSet::new();
        for element in document.descendants().filter(Node::is_element) {
            for attribute in element.attributes() {
                let (name, value) = (attribute.name(), attribute.value());
                assert!(!name.starts_with("on"), "{path}: {name}");
                assert!(name != "id" || ids.insert(value), "{path}: the id {value} stands twice");
                let is_elsewhere = ["src", "href", "action"].contains(&name)
                    && !(value.starts_with('/') || value.starts_with("data:image/svg+xml,"));
                assert!(!is_elsewhere, "{path}: {name}={value}");
            }
        }
        for link in all(&document, &["a"]) {
            assert!(!text_of(&link).is_empty());
            target.get(link.attribute("href").expect("a place")).expect(&[200]);
        }
    }

    fn document(&self) -> Document<'_> {
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        Document::parse_with_options(&self.0, options).unwrap_or_else(|error| panic!("{error}: {}", self.0))
    }

    /// The texts of elements.
    fn text(&self, name: &str) -> Vec<String> {
        all(&self.document(), &[name]).iter().map(text_of).collect()
    }

    /// An attribute of the first element that has it.
    fn attribute(&self, element: &str, name: &str) -> String {
        let document = self.document();
        let found =
            all(&document, &[element]).iter().find_map(|element| element.attribute(name).map(str::to_owned));
        found.unwrap_or_else(|| panic!("no {element} has {name}"))
    }
}

fn all<'a>(document: &'a Document<'a>, names: &[&str]) -> Vec<Node<'a, 'a>> {
    document
        .descendants()
        .filter(|node| node.is_element() && names.contains(&node.tag_name().name()))
        .collect()
}

fn text_of(element: &Node<'_, '_>) -> String {
    element.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
}

#[test]
fn rs_180_the_page_of_a_registry_without_anything() {
    let target = ours();
    let page = Page::read(&target, "/", 200);
    assert!(page.text("p").concat().contains("Nothing is here yet"));
    let address = target.address;
    assert_eq!(
        page.text("pre"),
        [
            format!("docker tag app {address}/app && docker push {address}/app"),
            format!("podman push --tls-verify=false app {address}/app")
        ]
    );
    let target = ours_in(target.stop(), |options| options.read_only = true);
    assert_eq!(Page::read(&target, "/", 200).text("pre"), [] as [&str; 0]);
}

#[test]
fn rs_180_the_page_of_all_repositories() {
    let target = ours();
    built(&target.store(), "app");
    for tag in ["1", "2", "3"] {
        push(&target, "team", tag, tag);
        // What is newer is told by the clock of the filesystem.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let page = Page::read(&target, "/", 200);
    assert_eq!(page.text("a"), ["app", "team"]);
    let cells = page.text("td");
    assert_eq!(cells, ["app", "latest", "just now", "team", "3, 2, 1", "just now"]);
    let time = page.attribute("time", "datetime");
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
}

#[test]
fn rs_180_the_page_of_a_repository() {
    let target = ours();
    built(&target.store(), "app");
    let page = Page::read(&target, "/r/app", 200);
    let address = target.address;
    assert_eq!(
        page.text("pre"),
        ["docker pull", "podman pull --tls-verify=false", "lap pull"]
            .map(|pull| format!("{pull} {address}/app:latest"))
    );
    assert_eq!(page.text("h2"), ["latest"]);
    let summary = &page.text("summary")[0];
    assert!(summary.starts_with("linux/amd64 · ") && summary.ends_with(" · 1 layer"), "{summary}");
    // What outsiders wrote is text.
    assert_eq!(page.text("td")[0], "COPY <b>&file");
    assert_eq!(page.text("th"), ["Made by", "Size", "Layer"]);
    let digest = page.attribute("code", "title");
    target.head(&format!("/v2/app/blobs/{digest}")).expect(&[200]);
}

#[test]
fn rs_180_platforms_and_what_is_attached() {
    let target = ours();
    let mut parts = Vec::new();
    for platform in [
        json!({"os": "linux", "architecture": "arm64", "variant": "v8"}),
        json!({"os": "plan9", "architecture": "mips"}),
    ] {
        let (_, _, manifest) = push(&target, "multi", "part", &platform.to_string());
        let mut part = descriptor(MANIFEST, manifest.to_string());
        part["platform"] = platform;
        parts.push(part);
    }
    target.delete("/v2/multi/manifests/part").expect(&[202]);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": parts});
    target.put_manifest("multi", "all", INDEX, &index).expect(&[201]);
    target.push_blob("multi", "{}");
    let about = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.<list>",
        "config": descriptor("application/vnd.oci.empty.v1+json", "{}"), "layers": [],
        "subject": descriptor(INDEX, index.to_string())});
    target.put_manifest("multi", "about", MANIFEST, &about).expect(&[201]);
    let page = Page::read(&target, "/r/multi", 200);
    assert_eq!(page.text("h2"), ["about", "all"]);
    let summaries: Vec<String> = page
        .text("summary")
        .iter()
        .map(|text| text.split(" · ").next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(summaries, ["artifact application/vnd.example.<list>", "linux/arm64/v8", "plan9/mips"]);
    let attached = page.text("li");
    assert!(
        attached.len() == 1 && attached[0].starts_with("application/vnd.example.<list> "),
        "{attached:?}"
    );
    // What is no image is pulled by another program.
    assert_eq!(page.text("pre")[0], format!("oras pull --plain-http {}/multi:about", target.address));
}

#[test]
fn rs_180_what_readers_of_pages_are_told_when_there_is_none() {
    let target = ours_with_login_and_tls();
    assert_eq!(Page::read(&target, "/r/nothing", 404).text("h1"), ["Not found"]);
    assert_eq!(Page::read(&target, "/r/..", 404).text("h1"), ["Not found"]);
    let stranger = target.request("GET", "/").header("Accept", "text/html").without("Authorization");
    let response = stranger.send().expect(&[401]);
    assert!(response.header("www-authenticate").is_some_and(|text| text.starts_with("Basic ")));
    assert!(String::from_utf8_lossy(&response.body).contains("<h1>Not logged in</h1>"));
    // Programs get what programs read, and so does whoever asks the API.
    assert_eq!(target.get("/r/nothing").expect(&[404]).code(), "NAME_UNKNOWN");
    let get = target.request("GET", "/v2/nothing/tags/list").header("Accept", "text/html");
    assert_eq!(get.send().expect(&[404]).code(), "NAME_UNKNOWN");
}
