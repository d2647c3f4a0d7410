//! lap build: ADD of what a web server has (DF-138 … DF-142).

use std::fmt::Write as _;
use std::net::TcpListener;

use crate::contexts::{compressed, gzip};
use crate::environment::Environment;
use crate::web::{Page, Web};

const DATE: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

#[test]
fn df_138_files_of_the_web() {
    let (lap, web) = (Environment::with_base(), Web::new());
    web.put("/a/tool%20x", Page { last_modified: Some(DATE), ..Page::of("one\n") });
    web.put("/moved?token=1", Page { redirect: Some("/a/tool%20x".to_owned()), ..Page::default() });
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
    lap.check_clean();
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
    assert!(!lap.build(&dockerfile).success().is_cached("ADD"));
    assert_eq!(web.requests(), ["/f 200"]);
    assert!(lap.build(&dockerfile).success().is_cached("ADD"));
    assert_eq!(web.requests(), ["/f 304 if-none-match=\"1\""]);
    // On something else, the file is needed after all.
    assert!(!lap.build(&format!("FROM base:1\nRUN echo 2 >/two\n{add}")).success().is_cached("ADD"));
    assert_eq!(web.requests(), ["/f 304 if-none-match=\"1\"", "/f 200"]);
    assert_eq!(lap.sh("app", "cat /f"), "one\n");
    // Another version with the same contents is the same step.
    web.put("/f", Page { last_modified: Some(DATE), ..Page::of("one\n") });
    assert!(lap.build(&dockerfile).success().is_cached("ADD"));
    assert_eq!(web.requests(), ["/f 200 if-none-match=\"1\""]);
    assert!(lap.build(&dockerfile).success().is_cached("ADD"));
    assert_eq!(web.requests(), [format!("/f 304 if-modified-since={DATE}")]);
    web.put("/f", Page::of("two\n"));
    assert!(!lap.build(&dockerfile).success().is_cached("ADD"));
    assert_eq!(lap.sh("app", "cat /f"), "two\n");
    lap.check_clean();
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
    lap.check_clean();
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
    let mut dockerfile = "FROM base:1\n".to_owned();
    // The digests are of what has come in the end.
    for (name, content) in [("resumed", body.as_slice()), ("changed", b"other\n"), ("anew", &body)] {
        let digest = image::Digest::sha256(content);
        writeln!(dockerfile, "ADD --checksum={digest} {root}/{name} /d/").expect("a string");
    }
    lap.built(&dockerfile);
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
    lap.check_clean();
}

#[test]
fn df_138_what_can_not_be_downloaded() {
    let (lap, web) = (Environment::with_base(), Web::new());
    web.put("/", Page::of("index\n"));
    web.put("/round", Page { redirect: Some("/round".to_owned()), ..Page::default() });
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
    lap.check_clean();
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
    lap.check_clean();
}

#[test]
fn df_137_archives_of_the_web_are_unpacked_when_that_is_asked_for() {
    let (lap, web) = (Environment::with_base(), Web::new());
    let mut archive = tar::Builder::new(Vec::new());
    let mut member = header(3);
    member.set_uid(7);
    member.set_mtime(1_000_000_000);
    archive.append_data(&mut member, "d/member", &b"abc"[..]).expect("a member");
    let archive = archive.into_inner().expect("an archive");
    web.put("/a.tar", Page { etag: Some("\"1\""), ..Page::of(&archive) });
    web.put("/text", Page::of("text\n"));
    let root = &web.address;
    let dockerfile = format!("FROM base:1\nADD --unpack=true --chmod=700 {root}/a.tar {root}/text /x/\n");
    lap.built(&dockerfile);
    let seen = "stat -c '%u:%g %a %Y' /x/d/member; cat /x/d/member; stat -c %a /x/text; ls /x";
    assert_eq!(lap.sh("app", seen), "7:0 644 1000000000\nabc700\nd\ntext\n");
    assert!(lap.build(&dockerfile).success().is_cached("ADD"));
    // Whether it is unpacked is part of what the step is.
    assert!(!lap.build(&dockerfile.replace("=true", "=false")).success().is_cached("ADD"));
    assert_eq!(lap.sh("app", "ls /x"), "a.tar\ntext\n");
    assert!(lap.build(&dockerfile).success().is_cached("ADD"));
    assert_eq!(lap.sh("app", seen), "7:0 644 1000000000\nabc700\nd\ntext\n");
    web.put("/cut.tar", Page::of(&archive[..514]));
    let cut = format!("FROM base:1\nADD --unpack {root}/cut.tar /x/\n");
    lap.build(&cut).failure(1, &["Dockerfile:2:", "/cut.tar", "the archive ends within it"]);
    lap.check_clean();
}

#[test]
fn df_137_archives_of_the_web_are_what_local_ones_are() {
    let (lap, web) = (Environment::with_base(), Web::new());
    let link = |kind, name: &str, target: &str| {
        let mut header = header(0);
        header.set_entry_type(kind);
        (header, name.to_owned(), target.to_owned())
    };
    let archive = |(mut linked, name, target): (tar::Header, String, String), inside: &str| {
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_link(&mut linked, name, target).expect("a link");
        let mut header = header(3);
        header.as_old_mut().name[..inside.len()].copy_from_slice(inside.as_bytes());
        header.set_cksum();
        archive.append(&header, &b"abc"[..]).expect("a member");
        archive.into_inner().expect("an archive")
    };
    // A link is followed inside of the archive, and nowhere else.
    let plain = archive(link(tar::EntryType::Symlink, "out", "/etc"), "out/passwd");
    let packed = [
        ("gzip", gzip(&plain)),
        ("xz", compressed("xz", "xz-utils", &plain)),
        ("bzip2", compressed("bzip2", "bzip2", &plain)),
        ("zstd", compressed("zstd", "zstd", &plain)),
    ];
    let root = &web.address;
    let mut dockerfile = "FROM base:1\n".to_owned();
    for (name, bytes) in packed {
        web.put(&format!("/{name}"), Page::of(bytes));
        writeln!(dockerfile, "ADD --unpack {root}/{name} /{name}").expect("a string");
    }
    // What is compressed, and no archive, is copied.
    web.put("/text.gz", Page::of(gzip(b"text\n")));
    writeln!(dockerfile, "ADD --unpack {root}/text.gz /text").expect("a string");
    lap.built(&dockerfile);
    let seen = "cat /gzip/etc/passwd /xz/etc/passwd /bzip2/etc/passwd /zstd/etc/passwd; gunzip </text";
    assert_eq!(lap.sh("app", seen), "abcabcabcabctext\n");
    for (name, link, inside, said) in [
        ("up", link(tar::EntryType::Symlink, "a", "b"), "../x", "its name leads out of the layer"),
        ("removal", link(tar::EntryType::Symlink, "a", "b"), "etc/.wh.passwd", "names that begin with .wh."),
        ("hard", link(tar::EntryType::Link, "a", "etc/passwd"), "b", "it is a hardlink to etc/passwd, which"),
    ] {
        web.put(&format!("/{name}?token=s3cret"), Page::of(archive(link, inside)));
        let ran = lap.build(&format!("FROM base:1\nADD --unpack {root}/{name}?token=s3cret /\n"));
        let ran = ran.failure(1, &["Dockerfile:2:", &format!("cannot unpack {root}/{name}: "), said]);
        let told = ran.stderr.lines().filter(|line| !line.contains("ADD --unpack"));
        assert!(!told.collect::<String>().contains("s3cret"), "{}", ran.stderr);
    }
    lap.check_clean();
}

#[test]
fn df_140_secrets_of_hosts_are_shown_to_these_hosts_alone() {
    let (lap, web, other) = (Environment::with_base(), Web::new(), Web::new());
    web.put("/private", Page { authorization: Some("Bearer s3cret"), ..Page::of("one\n") });
    let elsewhere = Page { redirect: Some(other.url("/public")), ..Page::default() };
    web.put("/moved", Page { authorization: Some("Bearer s3cret"), ..elsewhere });
    let back = Page { redirect: Some(web.url("/private")), ..Page::default() };
    other.put("/public", Page::of("two\n"));
    other.put("/back", back);
    let host = web.address.trim_start_matches("http://");
    lap.write("token", "s3cret\n");
    lap.write("header", "Bearer s3cret");
    let build = |files: &str, secrets: &[&str]| {
        lap.write("context/Dockerfile", format!("FROM base:1\nADD {files} /d/\n"));
        let arguments = ["build", "-t", "app", "--progress", "plain", "context"].iter().chain(secrets);
        let ran = lap.lap(arguments);
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
        ran
    };
    let private = web.url("/private");
    let says =
        ["Dockerfile:2:", "does not give it to anybody (401", "--secret id=HTTP_AUTH_TOKEN_127.0.0.1,"];
    build(&private, &[]).failure(1, &says);
    let token = format!("id=HTTP_AUTH_TOKEN_{host},src=token");
    build(&private, &["--secret", &token]).success();
    // To another origin, and then back to its own.
    let files = format!("{} {private}", web.url("/moved"));
    other.requests();
    build(&files, &["--secret", &token]).success();
    assert_eq!(lap.sh("app", "cat /d/moved /d/private"), "two\none\n");
    assert_eq!(other.requests(), ["/public 200"]);
    build(&other.url("/back"), &["--secret", &token]).failure(1, &["401", "leads to another"]);
    // Nor does it come back: who leads there would decide what is asked for.
    web.put("/astray", Page { redirect: Some(other.url("/back")), ..Page::default() });
    web.requests();
    build(&web.url("/astray"), &["--secret", &token]).failure(1, &["401", "leads to another"]);
    assert_eq!(web.requests(), ["/astray 302 authorization=Bearer s3cret", "/private 401"]);
    let header = "id=HTTP_AUTH_HEADER_127.0.0.1,src=header";
    build(&format!("{private} {files}"), &["--secret", header]).success();
    // A context is downloaded with them as well.
    web.put("/Dockerfile", Page { authorization: Some("Bearer s3cret"), ..Page::of("FROM base:1\n") });
    lap.lap(["build", "--secret", &token, &web.url("/Dockerfile")]).success();
    lap.check_clean();
}

#[test]
fn df_140_secrets_that_can_not_be_sent() {
    let (lap, web) = (Environment::with_base(), Web::new());
    web.put("/private", Page { authorization: Some("Bearer s3cret"), ..Page::of("one\n") });
    let private = web.url("/private");
    lap.write("context/Dockerfile", format!("FROM base:1\nADD {private} /d/\n"));
    let id = "HTTP_AUTH_HEADER_127.0.0.1";
    let secret = format!("id={id},src=header");
    for (content, said) in [
        ("a\nb: wr0ng", [id, "is not one line of text"]),
        ("\n", [id, "is not one line of text"]),
        ("Bearer wr0ng", ["for the secret that was shown (401", "HTTP_AUTH_HEADER_host"]),
    ] {
        lap.write("header", content);
        for context in ["context", &private] {
            let ran = lap.lap(["build", "--progress", "plain", "--secret", &secret, context]);
            let ran = ran.failure(1, &said);
            assert!(!ran.stderr.contains("wr0ng"), "{}", ran.stderr);
        }
    }
    lap.check_clean();
}

#[test]
fn df_138_a_server_that_asks_for_a_pause_gets_it() {
    let (lap, web) = (Environment::with_base(), Web::new());
    web.put("/f", Page { busy: Some(("1", Box::new(Page::of("one\n")))), ..Page::default() });
    web.put("/late", Page { busy: Some(("86400", Box::default())), ..Page::default() });
    let began = std::time::Instant::now();
    lap.built(&format!("FROM base:1\nADD {} /f\n", web.url("/f")));
    assert!(began.elapsed() >= std::time::Duration::from_secs(1));
    assert_eq!(web.requests(), ["/f 503", "/f 200"]);
    let late = lap.build(&format!("FROM base:1\nADD {} /f\n", web.url("/late")));
    late.failure(1, &["Dockerfile:2:", "asks for a pause of 86400 seconds"]);
    assert_eq!(web.requests(), ["/late 503"]);
    lap.check_clean();
}
