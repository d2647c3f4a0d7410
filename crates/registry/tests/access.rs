//! Who is let in: passwords, tokens, rules.

mod common;

use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

fn status(target: &Target, method: &str, path: &str, authorization: Option<&str>) -> Response {
    let mut request = target.request(method, path);
    if let Some(authorization) = authorization {
        request = request.header("Authorization", authorization);
    }
    request.send()
}

#[test]
fn rs_100_passwords() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = htpasswd(directory.path(), &[("ann", "secret"), ("ben", "pass:word")]);
    let target = ours_with(|options| options.htpasswd = Some(path.clone()));
    let (ann, ben) = (basic("ann", "secret"), basic("ben", "pass:word"));
    for _ in 0..2 {
        status(&target, "GET", "/v2/", Some(&ann)).expect(&[200]);
    }
    status(&target, "GET", "/v2/", Some(&ben)).expect(&[200]);
    for wrong in
        [None, Some(basic("ann", "wrong")), Some(basic("nobody", "secret")), Some("Bearer x".to_owned())]
    {
        for (method, path) in [
            ("GET", "/v2/"),
            ("GET", "/v2/_catalog"),
            ("POST", "/v2/app/blobs/uploads/"),
            ("GET", "/metrics"),
            ("GET", "/"),
        ] {
            let response = status(&target, method, path, wrong.as_deref()).expect(&[401]);
            assert_eq!(response.code(), "UNAUTHORIZED");
            assert!(
                response.header("www-authenticate").is_some_and(|text| text.starts_with("Basic ")),
                "{response:?}"
            );
            assert!(!String::from_utf8_lossy(&response.body).contains("secret"));
        }
    }
    for strange in ["Basic", "Basic !!!", "Digest x=y"] {
        status(&target, "GET", "/v2/", Some(strange)).expect(&[400]);
    }
    // Health is for whoever looks after the process.
    status(&target, "GET", "/healthz", None).expect(&[200]);
    status(&target, "POST", "/v2/app/blobs/uploads/", Some(&ann)).expect(&[202]);

    // The file is read again when it changes.
    std::thread::sleep(Duration::from_millis(20));
    assert!(
        Command::new("htpasswd")
            .args(["-b", "-B", "-C", "5"])
            .arg(&path)
            .args(["ann", "changed"])
            .status()
            .expect("htpasswd")
            .success()
    );
    status(&target, "GET", "/v2/", Some(&ann)).expect(&[401]);
    status(&target, "GET", "/v2/", Some(&basic("ann", "changed"))).expect(&[200]);
}

#[test]
fn rs_100_other_hashes_are_refused_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("users");
    std::fs::write(&path, "ann:$apr1$salt$hash\n").expect("write");
    let store = store::Store::open(directory.path().join("store")).expect("a store");
    let mut options = registry::Options::new(loopback());
    options.htpasswd = Some(path);
    let error = registry::Server::bind(store, options).err().expect("an error").to_string();
    assert!(error.contains("ann in line 1 is not hashed with bcrypt"), "{error}");
}

#[test]
fn rs_104_rules() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = htpasswd(directory.path(), &[("ann", "a"), ("ci", "c")]);
    let rules = directory.path().join("rules");
    std::fs::write(&rules, "* read public/**\n* read base\nci read,create team/**\nann all **\n")
        .expect("write");
    let target = ours_with(|options| (options.htpasswd, options.rules) = (Some(path), Some(rules)));
    let (ann, ci) = (basic("ann", "a"), basic("ci", "c"));
    let push = |repository: &str, tag: &str, remark: &str, who: &str| {
        for bytes in ["{}", remark] {
            let path = format!("/v2/{repository}/blobs/uploads/?digest={}", sha256(bytes));
            let response = target.request("POST", &path).header("Authorization", who).body(bytes).send();
            if response.status != 201 {
                return response;
            }
        }
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor("application/x", "{}"),
            "layers": [descriptor("text/plain", remark)]});
        let put = target.request("PUT", &format!("/v2/{repository}/manifests/{tag}"));
        put.header("Authorization", who).header("Content-Type", MANIFEST).body(manifest.to_string()).send()
    };
    push("public/app", "1", "public", &ann).expect(&[201]);
    push("secret/app", "1", "secret", &ann).expect(&[201]);
    // GHSA-85jx-fm8m-x8c6: who may only add does not move what is there.
    push("team/app", "1", "first", &ci).expect(&[201]);
    push("team/app", "1", "first", &ci).expect(&[201]);
    assert_eq!(push("team/app", "1", "second", &ci).expect(&[412]).code(), "DENIED");
    push("team/app", "2", "second", &ci).expect(&[201]);
    push("team/app", "1", "second", &ann).expect(&[201]);
    assert_eq!(push("public/app", "2", "third", &ci).expect(&[403]).code(), "DENIED");
    status(&target, "DELETE", "/v2/team/app/manifests/2", Some(&ci)).expect(&[403]);

    status(&target, "GET", "/v2/public/app/manifests/1", None).expect(&[200]);
    // Who has not logged in may still do so; who has, learns that it is not allowed.
    status(&target, "GET", "/v2/secret/app/manifests/1", None).expect(&[401]);
    status(&target, "GET", "/v2/secret/app/manifests/1", Some(&ci)).expect(&[403]);
    status(&target, "GET", "/v2/secret/app/manifests/1", Some(&ann)).expect(&[200]);
    let catalog = |who: Option<&str>| status(&target, "GET", "/v2/_catalog", who).expect(&[200]).json();
    assert_eq!(catalog(None), json!({"repositories": ["public/app"]}));
    assert_eq!(catalog(Some(&ci)), json!({"repositories": ["public/app", "team/app"]}));
    assert_eq!(catalog(Some(&ann)), json!({"repositories": ["public/app", "secret/app", "team/app"]}));
    let base = status(&target, "GET", "/v2/", None).expect(&[200]);
    assert!(base.header("www-authenticate").is_some(), "an invitation to log in");

    // RS-028: what may not be read is not mounted either, whether it is named or found.
    for query in
        [format!("mount={}&from=secret/app", sha256("secret")), format!("mount={}", sha256("secret"))]
    {
        let path = format!("/v2/team/app/blobs/uploads/?{query}");
        status(&target, "POST", &path, Some(&ci)).expect(&[202]);
        status(&target, "POST", &path, Some(&ann)).expect(&[201]);
        status(&target, "DELETE", &format!("/v2/team/app/blobs/{}", sha256("secret")), Some(&ann))
            .expect(&[202]);
    }
    let path = format!("/v2/team/app/blobs/uploads/?mount={}&from=public/app", sha256("public"));
    status(&target, "POST", &path, Some(&ci)).expect(&[201]);
    // How far an upload has come is nobody's business who may not push.
    let location =
        status(&target, "POST", "/v2/team/app/blobs/uploads/", Some(&ci)).expect(&[202]).location();
    status(&target, "GET", &location, None).expect(&[401]);
}

struct Issuer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Self { pair: pair.expect("a key"), random }
    }

    fn keys(&self) -> String {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "one"}]}).to_string()
    }

    fn token(&self, access: Value) -> String {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a time").as_secs();
        let claims =
            json!({"iss": "auth", "sub": "ann", "aud": "registry", "exp": now + 300, "access": access});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "ES256", "kid": "one"})), part(&claims));
        let signature = self.pair.sign(&self.random, signed.as_bytes()).expect("a signature");
        format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

#[test]
fn rs_101_tokens() {
    let directory = tempfile::tempdir().expect("a directory");
    let issuer = Issuer::new();
    let keys = directory.path().join("keys.json");
    std::fs::write(&keys, issuer.keys()).expect("write");
    let target = ours_with(|options| {
        options.token = Some(registry::TokenOptions {
            realm: "https://auth.example.com/token".to_owned(),
            service: "registry".to_owned(),
            issuer: "auth".to_owned(),
            keys,
        });
    });
    let challenge = |method: &str, path: &str, token: Option<&str>| {
        let response = status(&target, method, path, token).expect(&[401]);
        response.header("www-authenticate").expect("a challenge").to_owned()
    };
    let head = "Bearer realm=\"https://auth.example.com/token\",service=\"registry\"";
    assert_eq!(challenge("GET", "/v2/", None), head);
    let expected = format!("{head},scope=\"repository:team/app:pull\"");
    assert_eq!(challenge("GET", "/v2/team/app/manifests/1", None), expected);
    let expected = format!("{head},scope=\"repository:team/app:pull,push\"");
    assert_eq!(challenge("POST", "/v2/team/app/blobs/uploads/", None), expected);
    let expected = format!("{head},scope=\"repository:team/app:delete\"");
    assert_eq!(challenge("DELETE", "/v2/team/app/manifests/1", None), expected);

    let pull = issuer.token(json!([{"type": "repository", "name": "team/app", "actions": ["pull"]}]));
    let push = issuer.token(json!([{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}]));
    status(&target, "GET", "/v2/", Some(&pull)).expect(&[200]);
    status(&target, "GET", "/v2/team/app/manifests/1", Some(&pull)).expect(&[404]);
    let text = challenge("POST", "/v2/team/app/blobs/uploads/", Some(&pull));
    assert!(
        text.ends_with(",scope=\"repository:team/app:pull,push\",error=\"insufficient_scope\""),
        "{text}"
    );
    status(&target, "POST", "/v2/team/app/blobs/uploads/", Some(&push)).expect(&[202]);
    challenge("GET", "/v2/other/manifests/1", Some(&push));
    challenge("GET", "/v2/_catalog", Some(&push));
    let all = issuer.token(json!([{"type": "registry", "name": "catalog", "actions": ["*"]}]));
    status(&target, "GET", "/v2/_catalog", Some(&all)).expect(&[200]);
    let text = challenge("GET", "/v2/", Some(&Issuer::new().token(json!([]))));
    assert!(text.ends_with(",error=\"invalid_token\""), "{text}");
}
