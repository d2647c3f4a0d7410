//! What a registry answers.

use std::collections::HashSet;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::wire::{self, Request, Slowly};
use super::{Access, Fault, State, digest_of};

/// How much a slow answer gives at a time.
const SLOWLY: usize = 64 << 10;

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn plain(status: u16) -> Answer {
    Answer { status, headers: Vec::new(), body: Vec::new() }
}

fn error(status: u16, code: &str) -> Answer {
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"the test registry says so"}}]}}"#);
    Answer { status, headers: Vec::new(), body: body.into_bytes() }
}

impl Answer {
    fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

/// Answers one request; `false` when the connection is to be closed.
pub fn answer(
    state: &State,
    mut request: Request,
    fault: Option<Fault>,
    reader: &mut BufReader<&TcpStream>,
    stream: &TcpStream,
) -> bool {
    match &fault {
        Some(Fault::HangUp) => return false,
        Some(Fault::CutRequest(count) | Fault::StallRequest(count)) => {
            let body = wire::read_body(&request, reader, *count);
            if let Some(upload) = request.path().split("/blobs/uploads/").nth(1)
                && let Some(there) = state.uploads.lock().expect("no panic").get_mut(upload)
            {
                there.extend(body);
            }
            if matches!(fault, Some(Fault::StallRequest(_))) {
                std::thread::sleep(Duration::from_secs(30));
            }
            return false;
        }
        Some(Fault::IgnoreRange) => request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("range")),
        _ => {}
    }
    let body = match fault {
        Some(Fault::Slow(rate)) => wire::read_body(&request, &mut Slowly { inner: reader, rate }, usize::MAX),
        _ => wire::read_body(&request, reader, usize::MAX),
    };
    let mut answer = match &fault {
        Some(Fault::Answer(status, headers, body)) => Answer {
            status: *status,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            body: body.clone(),
        },
        _ => route(state, &request, body),
    };
    match &fault {
        Some(Fault::NoAnswer) => return false,
        Some(Fault::WrongBytes) => answer.body.iter_mut().for_each(|byte| *byte ^= 0x55),
        Some(Fault::WrongRange) => {
            answer.headers.retain(|(name, _)| name != "Content-Range");
            answer = answer.header("Content-Range", "bytes 0-10/11");
        }
        Some(Fault::Header(name, value)) => answer = answer.header(name, value),
        _ => {}
    }
    if !answer.headers.iter().any(|(name, _)| name == "Content-Length") {
        let length = if matches!(fault, Some(Fault::Endless)) { usize::MAX >> 1 } else { answer.body.len() };
        answer = answer.header("Content-Length", length);
    }
    if !wire::write_head(stream, answer.status, &answer.headers) {
        return false;
    }
    let mut out = stream;
    if request.method == "HEAD" {
        return true;
    }
    match fault {
        Some(Fault::Cut(count)) => {
            let _ = out.write_all(answer.body.get(..count).unwrap_or(&answer.body));
            false
        }
        Some(Fault::Stall(count)) => {
            let _ = out.write_all(answer.body.get(..count).unwrap_or(&answer.body));
            std::thread::sleep(Duration::from_secs(30));
            false
        }
        Some(Fault::Slow(rate)) => answer.body.chunks(SLOWLY).all(|piece| {
            std::thread::sleep(Duration::from_secs_f64(piece.len() as f64 / rate as f64));
            out.write_all(piece).is_ok()
        }),
        Some(Fault::Endless) => {
            while out.write_all(&[b' '; 65536]).is_ok() {}
            false
        }
        _ => out.write_all(&answer.body).is_ok(),
    }
}

fn route(state: &State, request: &Request, body: Vec<u8>) -> Answer {
    if request.path() == "/token" {
        return token(state, request, &body);
    }
    let Some(rest) = request.path().strip_prefix("/v2/") else { return plain(404) };
    if let Some(refusal) = refuse(state, request, rest) {
        return refusal;
    }
    if rest.is_empty() {
        return plain(200);
    }
    if let Some((repository, name)) = rest.split_once("/manifests/") {
        return manifest(state, request, (repository, name), body);
    }
    if let Some((repository, upload)) = rest.split_once("/blobs/uploads/") {
        return self::upload(state, request, (repository, upload), body);
    }
    if let Some((repository, subject)) = rest.split_once("/referrers/") {
        return referrers(state, (repository, subject));
    }
    match rest.split_once("/blobs/") {
        Some((repository, digest)) => blob(state, request, (repository, digest)),
        None => plain(404),
    }
}

/// The answer to whoever may not do it.
fn refuse(state: &State, request: &Request, rest: &str) -> Option<Answer> {
    let shown = request.header("authorization");
    let access = state.access.lock().expect("no panic").clone();
    match access {
        Access::Open => None,
        Access::Basic(user, password) => {
            let right = format!("Basic {}", base64(&format!("{user}:{password}")));
            let refusal = || error(401, "UNAUTHORIZED").header("WWW-Authenticate", r#"Basic realm="test""#);
            (shown != Some(right.as_str())).then(refusal)
        }
        Access::Token(_) => {
            let repository =
                ["/manifests/", "/blobs/"].iter().find_map(|part| Some(rest.split_once(part)?.0));
            let action = if matches!(request.method.as_str(), "GET" | "HEAD") && !rest.contains("/uploads/") {
                "pull"
            } else {
                "pull,push"
            };
            let needed = repository.map(|repository| format!("repository:{repository}:{action}"));
            let tokens = state.tokens.lock().expect("no panic");
            let good = shown.and_then(|shown| tokens.get(shown.strip_prefix("Bearer ")?));
            let enough = good.is_some_and(|scopes| {
                needed.as_ref().is_none_or(|needed| {
                    scopes.contains(needed) || scopes.contains(&needed.replace(":pull", ":pull,push"))
                })
            });
            if enough {
                return None;
            }
            let scope = needed.map_or_else(String::new, |needed| format!(r#",scope="{needed}""#));
            let problem = if good.is_some() { r#",error="insufficient_scope""# } else { "" };
            let realm = format!("http://{}/token", state.address);
            Some(error(401, "UNAUTHORIZED").header(
                "WWW-Authenticate",
                format!(r#"Bearer realm="{realm}",service="test"{scope}{problem}"#),
            ))
        }
    }
}

fn token(state: &State, request: &Request, body: &[u8]) -> Answer {
    let Access::Token(user) = state.access.lock().expect("no panic").clone() else { return plain(404) };
    let form = Request {
        method: String::new(),
        target: format!("?{}", String::from_utf8_lossy(body)),
        headers: Vec::new(),
    };
    let scopes: HashSet<String> = match request.method.as_str() {
        "POST" => {
            if form.query("refresh_token") != ["refresh"] {
                return error(401, "UNAUTHORIZED");
            }
            form.query("scope").iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect()
        }
        _ => {
            let right =
                user.map(|(user, password)| format!("Basic {}", base64(&format!("{user}:{password}"))));
            if right.is_some() && request.header("authorization") != right.as_deref() {
                return error(401, "UNAUTHORIZED");
            }
            request.query("scope").into_iter().collect()
        }
    };
    let mut tokens = state.tokens.lock().expect("no panic");
    let token = format!("token-{}-{}", tokens.len(), scopes.len());
    let granted = state.grant.lock().expect("no panic").take();
    tokens.insert(token.clone(), granted.map_or(scopes, |scope| HashSet::from([scope])));
    // An empty one beside the right one (RC-024).
    let mut reply = format!(r#"{{"access_token":"{token}","token":"","expires_in":300"#);
    if !request.query("offline_token").is_empty() {
        reply.push_str(r#","refresh_token":"refresh""#);
    }
    reply.push('}');
    Answer { status: 200, headers: Vec::new(), body: reply.into_bytes() }
}

fn manifest(state: &State, request: &Request, (repository, name): (&str, &str), body: Vec<u8>) -> Answer {
    let mut manifests = state.manifests.lock().expect("no panic");
    if request.method == "PUT" {
        let digest = image::Digest::sha256(&body);
        let media_type = request.header("content-type").unwrap_or_default().to_owned();
        for name in [name.to_owned(), digest.to_string()] {
            manifests.insert((repository.to_owned(), name), (media_type.clone(), body.clone()));
        }
        return plain(201).header("Docker-Content-Digest", digest);
    }
    match manifests.get(&(repository.to_owned(), name.to_owned())) {
        None => error(404, "MANIFEST_UNKNOWN"),
        Some((media_type, bytes)) => Answer { status: 200, headers: Vec::new(), body: bytes.clone() }
            .header("Content-Type", media_type)
            .header("Docker-Content-Digest", image::Digest::sha256(bytes)),
    }
}

/// All manifests of the repository that have the subject.
fn referrers(state: &State, (repository, subject): (&str, &str)) -> Answer {
    let manifests = state.manifests.lock().expect("no panic");
    let mut found = Vec::new();
    for ((_, name), (media_type, bytes)) in manifests.iter().filter(|((other, _), _)| other == repository) {
        let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        if name.starts_with("sha256:") && document["subject"]["digest"] == subject {
            found.push(serde_json::json!({
                "mediaType": media_type, "digest": name, "size": bytes.len(),
                "artifactType": document["artifactType"],
            }));
        }
    }
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": super::OCI_INDEX, "manifests": found,
    });
    Answer { status: 200, headers: Vec::new(), body: index.to_string().into_bytes() }
        .header("Content-Type", super::OCI_INDEX)
}

fn blob(state: &State, request: &Request, (repository, digest): (&str, &str)) -> Answer {
    let blobs = state.blobs.lock().expect("no panic");
    let Some(bytes) = blobs.get(&(repository.to_owned(), digest.to_owned())) else {
        return error(404, "BLOB_UNKNOWN");
    };
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let Some((Ok(from), to)) = range.map(|(from, to)| (from.parse::<usize>(), to.parse::<usize>())) else {
        return Answer { status: 200, headers: Vec::new(), body: bytes.clone() };
    };
    let end = to.map_or(bytes.len(), |last| bytes.len().min(last + 1));
    if from >= end {
        return plain(416);
    }
    Answer { status: 206, headers: Vec::new(), body: bytes[from..end].to_vec() }
        .header("Content-Range", format!("bytes {from}-{}/{}", end - 1, bytes.len()))
}

fn upload(state: &State, request: &Request, (repository, id): (&str, &str), body: Vec<u8>) -> Answer {
    let mut uploads = state.uploads.lock().expect("no panic");
    let at = |id: &str| format!("/v2/{repository}/blobs/uploads/{id}?_state=a%2Fb");
    if request.method == "POST" {
        let mut blobs = state.blobs.lock().expect("no panic");
        if let ([digest], [from]) = (request.query("mount").as_slice(), request.query("from").as_slice())
            && let Some(bytes) = blobs.get(&(from.clone(), digest.clone())).cloned()
        {
            blobs.insert((repository.to_owned(), digest.clone()), bytes);
            return plain(201);
        }
        let id = format!("u{}", state.sessions.fetch_add(1, Ordering::Relaxed));
        uploads.insert(id.clone(), Vec::new());
        return plain(202).header("Location", at(&id)).header("Range", "0-0");
    }
    let Some(there) = uploads.get_mut(id) else { return error(404, "BLOB_UPLOAD_UNKNOWN") };
    let range = |there: &[u8]| format!("0-{}", there.len().saturating_sub(1));
    match request.method.as_str() {
        "GET" => plain(204).header("Location", at(id)).header("Range", range(there)),
        "PATCH" => {
            let from =
                request.header("content-range").and_then(|range| range.split('-').next()?.parse().ok());
            if from.is_some_and(|from: usize| from != there.len()) {
                return plain(416).header("Location", at(id)).header("Range", range(there));
            }
            there.extend(body);
            plain(202).header("Location", at(id)).header("Range", range(there))
        }
        "PUT" => {
            there.extend(body);
            let wanted = request.query("digest").first().cloned().unwrap_or_default();
            let bytes = uploads.remove(id).unwrap_or_default();
            if digest_of(&wanted, &bytes).map(|found| found.to_string()).as_ref() != Some(&wanted) {
                return error(400, "DIGEST_INVALID");
            }
            state.blobs.lock().expect("no panic").insert((repository.to_owned(), wanted), bytes);
            plain(201)
        }
        "DELETE" => {
            uploads.remove(id);
            plain(204)
        }
        _ => plain(405),
    }
}

/// Base64, as far as it is needed: with padding.
pub fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    out
}
