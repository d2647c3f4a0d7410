//! Credential helpers: programs that docker and podman use too (RC-033).

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base::Cancel;
use serde::{Deserialize, Serialize};

use super::Secret;
use crate::{DistributionError, Result};

/// A helper may ask a person to unlock something, but not for ever.
const LIMIT: Duration = Duration::from_secs(30);
/// What a helper says is short.
const MAX_OUTPUT: u64 = 1 << 20;
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);
/// What helpers say when they do not know a registry, whatever they are.
const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Spoken {
    #[serde(rename = "ServerURL", default)]
    server: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// The program of a helper.
pub(super) fn program(helper: &str) -> String {
    format!("docker-credential-{helper}")
}

/// Asks a helper; `None` when it does not know the registry.
pub(super) fn get(helper: &str, key: &str, cancel: &Cancel) -> Result<Option<Secret>> {
    get_from(Path::new(&program(helper)), key, cancel)
}

/// Asks a program.
pub(super) fn get_from(helper: &Path, key: &str, cancel: &Cancel) -> Result<Option<Secret>> {
    let output = run(helper, "get", key.as_bytes(), cancel)?;
    if !output.success {
        let said = output.said();
        if said.contains(NOT_FOUND) || said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(helper, said));
    }
    let Ok(spoken) = serde_json::from_slice::<Spoken>(&output.stdout) else {
        return Err(failed(helper, "it does not say user and secret in JSON".to_owned()));
    };
    Ok(match spoken.username.as_str() {
        "" if spoken.secret.is_empty() => None,
        "<token>" => Some(Secret::Identity { token: spoken.secret }),
        _ => Some(Secret::Password { user: spoken.username, password: spoken.secret }),
    })
}

/// Gives a helper something to keep.
pub(super) fn store(helper: &str, key: &str, secret: &Secret, cancel: &Cancel) -> Result<()> {
    let (username, secret) = match secret {
        Secret::Password { user, password } => (user.clone(), password.clone()),
        Secret::Identity { token } | Secret::Bearer { token } => ("<token>".to_owned(), token.clone()),
    };
    let spoken = Spoken { server: key.to_owned(), username, secret };
    let program = program(helper);
    let input =
        serde_json::to_vec(&spoken).map_err(|error| failed(Path::new(&program), error.to_string()))?;
    let output = run(Path::new(&program), "store", &input, cancel)?;
    if output.success { Ok(()) } else { Err(failed(Path::new(&program), output.said())) }
}

/// Has a helper forget something.
pub(super) fn erase(helper: &str, key: &str, cancel: &Cancel) -> Result<()> {
    let program = program(helper);
    let output = run(Path::new(&program), "erase", key.as_bytes(), cancel)?;
    let said = output.said();
    if output.success || said.contains("credentials not found") {
        return Ok(());
    }
    Err(failed(Path::new(&program), said))
}

fn failed(program: &Path, reason: String) -> DistributionError {
    let program = base::text::bytes(program.file_name().unwrap_or_default().as_encoded_bytes()).into_owned();
    DistributionError::Helper { program, reason }
}

struct Output {
    success: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    /// What it says about a failure. (Standard output of a success holds the secret, and is never shown.)
    fn said(&self) -> String {
        let all = [self.stdout.as_slice(), &self.stderr].map(String::from_utf8_lossy).join(" ");
        let short: String = all.trim().chars().take(300).collect();
        base::text::line(&short).into_owned()
    }
}

fn run(helper: &Path, action: &str, input: &[u8], cancel: &Cancel) -> Result<Output> {
    let cannot_run = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => failed(helper, "it is not installed".to_owned()),
        _ => failed(helper, error.to_string()),
    };
    let mut child = Command::new(helper)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot_run)?;
    let (to, from, complaints) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(from));
        let complaining = scope.spawn(|| read(complaints));
        if let Some(mut to) = to {
            // One that ends without reading has said why.
            let _ = to.write_all(input);
        }
        let success = wait(helper, &mut child, cancel);
        let (stdout, stderr) = (reading.join().unwrap_or_default(), complaining.join().unwrap_or_default());
        Ok(Output { success: success?, stdout, stderr })
    })
}

fn read(from: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What came before a failure is what there is.
        let _ = from.take(MAX_OUTPUT).read_to_end(&mut bytes);
    }
    bytes
}

fn wait(helper: &Path, child: &mut Child, cancel: &Cancel) -> Result<bool> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| failed(helper, error.to_string()))? {
            return Ok(status.success());
        }
        if cancel.is_cancelled() || Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            cancel.check()?;
            return Err(failed(helper, format!("it has not answered for {} seconds", LIMIT.as_secs())));
        }
        std::thread::sleep(LOOK);
    }
}
