//! Public keys, in a JSON Web Key Set (RFC 7517), and signatures made with them (RFC 7518).

use std::fs;
use std::path::Path;

use base::IoContext;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

use crate::ServeError;

/// The keys of an issuer.
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    material: Material,
}

enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    pub fn load(path: &Path) -> Result<Self, ServeError> {
        let bytes = fs::read(path).context("read", path)?;
        Self::parse(&bytes).map_err(|reason| ServeError::File { path: path.to_owned(), reason })
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let set: Set = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is not a JSON Web Key Set: {error}"))?;
        let keys = set.keys.into_iter().enumerate().map(|(number, jwk)| {
            let id = jwk.kid.clone();
            let material = jwk
                .material()
                .ok_or_else(|| format!("its key {number} is not an RSA, P-256, P-384 or Ed25519 key"))?;
            Ok(Key { id, material })
        });
        let keys: Vec<Key> = keys.collect::<Result<_, String>>()?;
        if keys.is_empty() {
            return Err("there is no key in it".to_owned());
        }
        Ok(Self(keys))
    }

    /// Verifies a signature, with the key that is named, or with any when none is.
    pub fn verify(
        &self,
        algorithm: &str,
        id: Option<&str>,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), &'static str> {
        const ALGORITHMS: [&str; 6] = ["RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"];
        if !ALGORITHMS.contains(&algorithm) {
            return Err("its algorithm is not taken");
        }
        let fits = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        let mut keys = self.0.iter().filter(fits).peekable();
        if keys.peek().is_none() {
            return Err("it is signed with an unknown key");
        }
        if keys.any(|key| key.material.verifies(algorithm, signed, signature)) {
            return Ok(());
        }
        Err("its signature is not right")
    }
}

impl Jwk {
    fn material(&self) -> Option<Material> {
        let bytes =
            |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?.trim_end_matches('=')).ok();
        let point = || Some([&[4], bytes(&self.x)?.as_slice(), bytes(&self.y)?.as_slice()].concat());
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Some(Material::Rsa { n: bytes(&self.n)?, e: bytes(&self.e)? }),
            ("EC", Some("P-256")) => point().map(Material::P256),
            ("EC", Some("P-384")) => point().map(Material::P384),
            ("OKP", Some("Ed25519")) => bytes(&self.x).map(Material::Ed25519),
            _ => None,
        }
    }
}

impl Material {
    /// A key is used with its own algorithms only.
    fn verifies(&self, algorithm: &str, signed: &[u8], signature: &[u8]) -> bool {
        let unparsed = |kind: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(kind, key).verify(signed, signature).is_ok()
        };
        match (self, algorithm) {
            (Material::P256(point), "ES256") => unparsed(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Material::P384(point), "ES384") => unparsed(&signature::ECDSA_P384_SHA384_FIXED, point),
            (Material::Ed25519(key), "EdDSA") => unparsed(&signature::ED25519, key),
            (Material::Rsa { n, e }, _) => {
                let kind = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(kind, signed, signature).is_ok()
            }
            _ => false,
        }
    }
}
