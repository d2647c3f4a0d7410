//! lap build: ADD of what a web server has (DF-138 … DF-142).

use std::net::TcpListener;

use crate::environment::{Environment, Ran};
use crate::web::{Page, Web};

const DATE: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// Whether the ADD of a build was taken from the cache.
fn is_cached(ran: &Ran) -> bool {
    let add = ran.stderr.lines().find(|line| line.contains("] ADD")).expect("an ADD");
    let number = add.split(' ').next().expect("a number");
    ran.stderr.lines().any(|line| line == format!("{number} CACHED"))
}

/// Nothing is left of a download.
fn check_clean(lap: &Environment) {
    let left: Vec<_> = std::fs::read_dir(lap.store().join("tmp")).expect("tmp").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    lap.check();
}

#[test]
fn df_138_files_of_the_web() {
    let (lap, web) = (Environment::with_base(), Web::new());
    web.put("/a/tool%20x", Page { last_modified: Some(DATE), ..Page::of("one\n") });
    web.put("/moved?token=1", Page { redirect: Some("/a/tool%20x"), ..Page::default() });
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header(3), "member", &b"abc"[..]).expect("a member");
    let archive = archive.into_inner().expect("an archive");
    web.put("/a.tar", Page::of(&archive));
    let root = &web.address;
    lap.built(&format!(
        "FROM base:1\nENV at={root}/a\nADD $at/tool%20x /opt/\nADD --chown=7:8 --chmod=750 {root}/moved?token=1 /usr/local/bin/it\nADD {root}/a.tar /opt/\n"
    ));
    let seen = lap.sh(
        "app",
        "stat -c '%u:%g %a %Y' '/opt/tool x' /usr/local/bin/it; cat /usr/local/bin/it; stat -c %s /opt/a.tar",
    );
    assert_eq!(seen, format!("0:0 600 1445412480\n7:8 750 1445412480\none\n{}\n", archive.len()));
    check_clean(&lap);
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header
}

#[test]
fn df_139_a_file_that_has_not_changed_is_not_downloaded() {
    let (lap, web) = (Environment::with_base(), Web::new());
    web.put("/f", Page { etag: Some("\"1\""), last_modified: Some(DATE), ..Page::of("one\n") });
    let add = format!("ADD {} /f\n", web.url("/f"));
    let dockerfile = format!("FROM base:1\n{add}");
    assert!(!is_cached(&lap.build(&dockerfile).success()));
    assert_eq!(web.requests(), ["/f 200"]);
    assert!(is_cached(&lap.build(&dockerfile).success()));
    assert_eq!(web.requests(), ["/f 304 if-none-match=\"1\""]);
    // On something else, the file is needed after all.
    assert!(!is_cached(&lap.build(&format!("FROM base:1\nRUN echo 2 >/two\n{add}")).success()));
    assert_eq!(web.requests(), ["/f 304 if-none-match=\"1\"", "/f 200"]);
    assert_eq!(lap.sh("app", "cat /f"), "one\n");
    // Another version with the same contents is the same step.
    web.put("/f", Page { last_modified: Some(DATE), ..Page::of("one\n") });
    assert!(is_cached(&lap.build(&dockerfile).success()));
    assert_eq!(web.requests(), ["/f 200 if-none-match=\"1\""]);
    assert!(is_cached(&lap.build(&dockerfile).success()));
    assert_eq!(web.requests(), [format!("/f 304 if-modified-since={DATE}")]);
    web.put("/f", Page::of("two\n"));
    assert!(!is_cached(&lap.build(&dockerfile).success()));
    assert_eq!(lap.sh("app", "cat /f"), "two\n");
    check_clean(&lap);
}

#[test]
fn df_139_checksums() {
    let (lap, web) = (Environment::with_base(), Web::new());
    // What sha256sum prints for "one\n".
    let right = "sha256:2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806";
    let wrong = right.replace("2c8b", "0000");
    let url = web.url("/f");
    web.put("/f", Page { etag: Some("\"1\""), ..Page::of("one\n") });
    let place = "Dockerfile:2:";
    let refused = |sum: &str| lap.build(&format!("FROM base:1\nADD --checksum={sum} {url} /f\n"));
    let mismatch = refused(&wrong);
    mismatch.failure(1, &[&wrong, right, place, "--checksum"]);
    lap.built(&format!("FROM base:1\nARG sum={right}\nADD --checksum=$sum {url} /f\n"));
    // A file that is known to be another one is refused, too.
    refused(&wrong).failure(1, &[&wrong, right]);
    refused("sha256:12").failure(1, &[place, "sha256sum"]);
    lap.write("context/local", "x");
    lap.build(&format!("FROM base:1\nADD --checksum={right} local /f\n")).failure(1, &[place, "URLs"]);
    check_clean(&lap);
}

#[test]
fn df_138_a_download_goes_on_where_it_broke() {
    let (lap, web) = (Environment::with_base(), Web::new());
    let body: Vec<u8> = (0..1_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    let whole = Page { etag: Some("\"1\""), ranges: true, ..Page::of(&body) };
    let broken = |next: Page| Page { cut: Some((300_000, Box::new(next))), ..whole.clone() };
    let other = Page { etag: Some("\"2\""), ranges: true, ..Page::of("other\n") };
    let no_ranges = Page { ranges: false, ..whole.clone() };
    web.put("/resumed", broken(whole.clone()));
    web.put("/changed", broken(other));
    web.put("/anew", broken(no_ranges));
    let root = &web.address;
    lap.built(&format!("FROM base:1\nADD {root}/resumed {root}/changed {root}/anew /d/\n"));
    let requests = web.requests();
    let statuses: Vec<&str> =
        requests.iter().map(|request| request.split(" range=").next().unwrap_or_default()).collect();
    assert_eq!(
        statuses,
        ["/resumed 200", "/resumed 206", "/changed 200", "/changed 200", "/anew 200", "/anew 200"],
        "{requests:?}"
    );
    assert!(requests.iter().any(|request| request.contains("range=bytes=")), "{requests:?}");
    let sums = lap.sh("app", "cd /d; sha256sum <resumed; cat changed; sha256sum <anew");
    let digest = image::Digest::sha256(&body).hex();
    assert_eq!(sums, format!("{digest}  -\nother\n{digest}  -\n"));
    check_clean(&lap);
}

#[test]
fn df_138_what_can_not_be_downloaded() {
    let (lap, web) = (Environment::with_base(), Web::new());
    web.put("/", Page::of("index\n"));
    web.put("/round", Page { redirect: Some("/round"), ..Page::default() });
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let secret = web.address.replace("http://", "http://user:word@");
    for (url, said) in [
        (
            format!("{secret}/none?token=s3cret"),
            &["/none", "does not exist", "not here", "check the address"][..],
        ),
        ("http://nobody.invalid/f".to_owned(), &["nobody.invalid", "no host of this name", "resolver"]),
        (format!("http://{free}/f"), &["connection failed", "check the port"]),
        (web.url("/round"), &["it leads in circles"]),
        (web.url("/"), &["no name that a file could have"]),
        ("http://".to_owned(), &["not an address of HTTP"]),
    ] {
        let ran = lap.build(&format!("FROM base:1\nENV at={url}\nADD $at /d/\n"));
        let errors: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("error:")).collect();
        assert!(
            !errors.is_empty()
                && errors.iter().all(|line| !line.contains("word") && !line.contains("s3cret"))
        );
        assert_ne!(ran.code, 0, "{url}");
        for words in said.iter().chain(&["Dockerfile:3:"]) {
            assert!(ran.stderr.contains(words), "{words:?} is not in:\n{}", ran.stderr);
        }
    }
    check_clean(&lap);
}

#[test]
fn df_142_files_and_urls_in_one_add() {
    let (lap, web) = (Environment::with_base(), Web::new());
    web.put("/same", Page::of("web\n"));
    web.put("/other", Page::of("other\n"));
    lap.write("context/same", "context\n");
    lap.write("context/d/other", "context\n");
    let root = &web.address;
    lap.built(&format!("FROM base:1\nADD same {root}/same {root}/other d /n/\n"));
    assert_eq!(lap.sh("app", "cat /n/same /n/other"), "web\ncontext\n");
    // What is on the web needs no context.
    let dockerfile = format!("FROM base:1\nADD {root}/same /f\n");
    lap.lap_with_input(["build", "-t", "app", "-"], dockerfile.as_bytes()).success();
    assert_eq!(lap.sh("app", "cat /f"), "web\n");
    check_clean(&lap);
}
