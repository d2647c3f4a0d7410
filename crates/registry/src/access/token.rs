//! Tokens: what an authorization service says that its bearer may do (the Docker registry token specification).

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use store::RepositoryName;

use super::Action;
use super::jwk::Keys;
use crate::ServeError;

/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 60;
/// No token is longer: proxies and servers refuse longer headers.
const MAX_TOKEN: usize = 32 << 10;

/// Which tokens are taken.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// Where clients get tokens.
    pub realm: String,
    /// What this registry is called there: the audience of the tokens.
    pub service: String,
    /// Who issues them.
    pub issuer: String,
    /// The keys that they are signed with: a JSON Web Key Set.
    pub keys: PathBuf,
}

/// What tokens are checked with.
pub(super) struct Tokens {
    options: TokenOptions,
    keys: Keys,
}

/// What a token allows.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Grant {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    actions: Vec<String>,
}

impl Grant {
    pub fn allows(&self, action: Action, repository: &RepositoryName) -> bool {
        self.kind == "repository"
            && RepositoryName::parse(&self.name).as_ref() == Some(repository)
            && self.has(action.scope())
    }

    pub fn allows_catalog(&self) -> bool {
        self.kind == "registry" && self.name == "catalog" && self.has("*")
    }

    fn has(&self, action: &str) -> bool {
        self.actions.iter().any(|known| known == action || known == "*")
    }
}

/// The head of a token. Keys that it carries itself (`jwk`, `x5c`) are not even read: whoever made the token chose them (CVE-2025-24976).
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    exp: Option<f64>,
    nbf: Option<f64>,
    #[serde(default)]
    access: Option<Vec<Grant>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Tokens {
    pub fn load(options: &TokenOptions) -> Result<Self, ServeError> {
        Ok(Self { keys: Keys::load(&options.keys)?, options: options.clone() })
    }

    /// Who bears the token, and what it allows.
    pub fn verify(&self, token: &str) -> Result<(Option<String>, Vec<Grant>), &'static str> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.verify_at(token, now)
    }

    fn verify_at(&self, token: &str, now: u64) -> Result<(Option<String>, Vec<Grant>), &'static str> {
        const FORM: &str = "it is not a signed JSON Web Token";
        if token.len() > MAX_TOKEN {
            return Err("it is too long");
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(FORM)?;
        let (head, claims) = signed.split_once('.').ok_or(FORM)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| FORM);
        let head: Head = serde_json::from_slice(&decode(head)?).map_err(|_| FORM)?;
        self.keys.verify(&head.alg, head.kid.as_deref(), signed.as_bytes(), &decode(signature)?)?;
        let claims: Claims =
            serde_json::from_slice(&decode(claims)?).map_err(|_| "its claims are not understood")?;
        if claims.iss.as_deref() != Some(&self.options.issuer) {
            return Err("somebody else issued it");
        }
        let is_for_us = match &claims.aud {
            Some(Audience::One(audience)) => *audience == self.options.service,
            Some(Audience::Several(audiences)) => audiences.contains(&self.options.service),
            None => false,
        };
        if !is_for_us {
            return Err("it is for another service");
        }
        let expires = claims.exp.ok_or("it never expires")?;
        if expires + LEEWAY as f64 <= now as f64 {
            return Err("it has expired");
        }
        if claims.nbf.is_some_and(|begins| begins > (now + LEEWAY) as f64) {
            return Err("it is not valid yet");
        }
        Ok((claims.sub.filter(|name| !name.is_empty()), claims.access.unwrap_or_default()))
    }

    /// Where a client gets the token that it lacks.
    pub fn challenge(&self, scope: Option<String>, error: Option<&str>) -> String {
        let quote = |text: &str| text.replace(['\\', '"'], "");
        let mut text = format!(
            "Bearer realm=\"{}\",service=\"{}\"",
            quote(&self.options.realm),
            quote(&self.options.service)
        );
        if let Some(scope) = scope {
            text.push_str(&format!(",scope=\"{scope}\""));
        }
        if let Some(error) = error {
            text.push_str(&format!(",error=\"{error}\""));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    struct Issuer {
        pair: EcdsaKeyPair,
        random: ring::rand::SystemRandom,
    }

    impl Issuer {
        fn new() -> Self {
            let random = ring::rand::SystemRandom::new();
            let document =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random)
                .expect("a key");
            Self { pair, random }
        }

        fn jwk(&self) -> Value {
            let point = self.pair.public_key().as_ref();
            let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "one"})
        }

        fn sign(&self, head: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(head), part(claims));
            let signature = self.pair.sign(&self.random, signed.as_bytes()).expect("a signature");
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
        }
    }

    fn tokens(issuer: &Issuer) -> Tokens {
        let options = TokenOptions {
            realm: "https://auth.example.com/token".to_owned(),
            service: "registry".to_owned(),
            issuer: "auth".to_owned(),
            keys: PathBuf::new(),
        };
        let keys = Keys::parse(json!({"keys": [issuer.jwk()]}).to_string().as_bytes()).expect("keys");
        Tokens { options, keys }
    }

    fn claims() -> Value {
        json!({"iss": "auth", "sub": "ann", "aud": "registry", "exp": NOW + 300, "nbf": NOW,
            "access": [{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}]})
    }

    #[test]
    fn rs_101_a_token_says_who_may_do_what() {
        let issuer = Issuer::new();
        let token = issuer.sign(&json!({"alg": "ES256", "kid": "one", "typ": "JWT"}), &claims());
        let (name, grants) = tokens(&issuer).verify_at(&token, NOW).expect("a valid token");
        assert_eq!(name.as_deref(), Some("ann"));
        let app = RepositoryName::parse("team/app").expect("a name");
        let other = RepositoryName::parse("team/other").expect("a name");
        let may = |action, name: &RepositoryName| grants.iter().any(|grant| grant.allows(action, name));
        assert!(may(Action::Pull, &app) && may(Action::Overwrite, &app));
        assert!(!may(Action::Delete, &app) && !may(Action::Pull, &other));
    }

    #[test]
    fn rs_101_tokens_that_are_refused() {
        let issuer = Issuer::new();
        let head = json!({"alg": "ES256", "kid": "one"});
        let changed = |key: &str, value: Value| {
            let mut claims = claims();
            claims[key] = value;
            issuer.sign(&head, &claims)
        };
        let right = issuer.sign(&head, &claims());
        let mut cut = right.clone();
        cut.truncate(right.len() - 2);
        let foreign = Issuer::new();
        let with_own_key = json!({"alg": "ES256", "kid": "two", "jwk": foreign.jwk()});
        let (signed, _) = right.rsplit_once('.').expect("a token");
        for (token, reason) in [
            (changed("iss", json!("other")), "somebody else issued it"),
            (changed("aud", json!(["a", "b"])), "it is for another service"),
            (changed("aud", Value::Null), "it is for another service"),
            (changed("exp", json!(NOW - 61)), "it has expired"),
            (changed("exp", Value::Null), "it never expires"),
            (changed("nbf", json!(NOW + 61)), "it is not valid yet"),
            (changed("access", json!("all")), "its claims are not understood"),
            (cut, "its signature is not right"),
            (foreign.sign(&head, &claims()), "its signature is not right"),
            // CVE-2025-24976: a key in the token is nobody's key.
            (foreign.sign(&with_own_key, &claims()), "it is signed with an unknown key"),
            (issuer.sign(&json!({"alg": "none"}), &claims()), "its algorithm is not taken"),
            (issuer.sign(&json!({"alg": "HS256", "kid": "one"}), &claims()), "its algorithm is not taken"),
            (format!("{signed}."), "its signature is not right"),
            ("a.b".to_owned(), "it is not a signed JSON Web Token"),
            ("x".repeat(MAX_TOKEN + 1), "it is too long"),
        ] {
            assert_eq!(tokens(&issuer).verify_at(&token, NOW).err(), Some(reason), "{token:.80}");
        }
        assert!(tokens(&issuer).verify_at(&changed("aud", json!(["a", "registry"])), NOW).is_ok());
        assert!(tokens(&issuer).verify_at(&changed("exp", json!(NOW - 59)), NOW).is_ok());
    }

    #[test]
    fn rs_101_a_challenge_says_where_to_get_one() {
        let tokens = tokens(&Issuer::new());
        assert_eq!(
            tokens.challenge(Some("repository:a:pull".to_owned()), Some("invalid_token")),
            "Bearer realm=\"https://auth.example.com/token\",service=\"registry\",scope=\"repository:a:pull\",error=\"invalid_token\""
        );
    }
}
