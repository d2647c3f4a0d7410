//! Digests: the names of content (OCI image-spec, descriptor.md; RC-008).

use std::fmt;
use std::str::FromStr;

use base::{Classified, Kind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

/// The algorithms that content can be verified with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, what everybody uses.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

    /// The name before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// How many bytes a digest has.
    pub fn size(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }
}

/// The digest of some bytes: an algorithm, and as many bytes as it gives.
///
/// A value of this type has been parsed or computed: it can name a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    /// The first `algorithm.size()` bytes count, the rest is zero.
    bytes: [u8; 64],
}

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a digest: {reason}", base::text::bytes(.text.as_bytes()))]
pub struct DigestError {
    /// What was given, at most 200 characters of it.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Classified for DigestError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        Some("a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits".to_owned())
    }
}

impl Digest {
    /// A digest from the bytes that the algorithm gave; `None` when there are too few or too many.
    pub fn new(algorithm: Algorithm, digest: &[u8]) -> Option<Self> {
        if digest.len() != algorithm.size() {
            return None;
        }
        let mut bytes = [0; 64];
        bytes.get_mut(..digest.len())?.copy_from_slice(digest);
        Some(Self { algorithm, bytes })
    }

    /// The SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut digester = Digester::new(Algorithm::Sha256);
        digester.update(bytes);
        digester.finish()
    }

    /// Reads `algorithm:hex`.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let wrong = |reason| DigestError { text: text.chars().take(200).collect(), reason };
        let (name, hex) = text.split_once(':').ok_or_else(|| wrong("there is no colon in it"))?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| wrong("its algorithm is not one that can be verified here"))?;
        Self::from_hex(algorithm, hex).map_err(wrong)
    }

    /// Reads the part behind the colon.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Self, &'static str> {
        if hex.len() != algorithm.size() * 2 {
            return Err("its length is wrong");
        }
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return Err("its length is wrong") };
            *byte = nibble(*high)
                .zip(nibble(*low))
                .map(|(high, low)| high << 4 | low)
                .ok_or("it holds something that is not a lower-case hexadecimal digit")?;
        }
        Ok(Self { algorithm, bytes })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The bytes that the algorithm gave.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.size()]
    }

    /// The part behind the colon.
    pub fn hex(&self) -> String {
        hex(self.as_bytes())
    }

    /// The first twelve hexadecimal digits, as docker prints IDs.
    pub fn short(&self) -> String {
        hex(&self.bytes[..6])
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::parse(text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Computes a digest piece by piece.
#[derive(Clone)]
pub struct Digester(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Digester {
    /// Begins.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(Sha512::new())),
        })
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all that was taken.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 64];
        let algorithm = match self.0 {
            State::Sha256(state) => {
                bytes[..32].copy_from_slice(&state.finalize());
                Algorithm::Sha256
            }
            State::Sha512(state) => {
                bytes.copy_from_slice(&state.finalize());
                Algorithm::Sha512
            }
        };
        Digest { algorithm, bytes }
    }
}

macro_rules! named_digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

named_digest! {
    /// The digest of a layer's whole uncompressed tar stream, bytes behind its end mark included (ST-058).
    DiffId
}
named_digest! {
    /// The digest of a stack of layers: of its DiffIDs, folded from the lowest (image-spec, config.md).
    ChainId
}
named_digest! {
    /// The digest of an image's config: what docker calls the image ID.
    ImageId
}

impl ChainId {
    /// The identity of a stack, lowest layer first; `None` for an empty stack.
    pub fn of(layers: &[DiffId]) -> Option<Self> {
        let (first, rest) = layers.split_first()?;
        Some(
            rest.iter().fold(Self(first.0), |chain, layer| {
                Self(Digest::sha256(format!("{chain} {layer}").as_bytes()))
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn rc_008_digests() {
        assert_eq!(Digest::sha256(b"").to_string(), EMPTY);
        assert_eq!(Digest::parse(EMPTY).map(|digest| digest.short()), Ok("e3b0c44298fc".to_owned()));
        let sha512 = format!("sha512:{}", "0a".repeat(64));
        assert_eq!(Digest::parse(&sha512).map(|digest| digest.to_string()), Ok(sha512));
        for wrong in [
            "",
            "sha256",
            "sha256:",
            "sha256:../../x",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
            "sha256:é3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
        ] {
            assert!(Digest::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn st_065_chain_ids_fold_from_the_lowest() {
        let layer = |byte| DiffId(Digest::sha256(&[byte]));
        assert_eq!(ChainId::of(&[]), None);
        assert_eq!(ChainId::of(&[layer(1)]), Some(ChainId(layer(1).0)));
        let two = Digest::sha256(format!("{} {}", layer(1), layer(2)).as_bytes());
        assert_eq!(ChainId::of(&[layer(1), layer(2)]), Some(ChainId(two)));
    }

    #[test]
    fn an_error_repeats_the_text_harmlessly_and_not_all_of_it() {
        let error = Digest::parse(&"\u{1b}".repeat(1000)).expect_err("no digest");
        assert_eq!(error.text.len(), 200);
        assert!(error.to_string().contains("\\u{1b}") && !error.to_string().contains('\u{1b}'), "{error}");
        assert!(error.to_string().ends_with("is not a digest: there is no colon in it"), "{error}");
        assert_eq!(error.kind(), Kind::Invalid);
    }

    #[test]
    fn rc_008_bytes_make_a_digest_only_in_the_right_number() {
        assert_eq!(Digest::new(Algorithm::Sha256, &[0; 31]), None);
        assert_eq!(Digest::new(Algorithm::Sha256, &[0; 64]), None);
        assert_eq!(Digest::new(Algorithm::Sha512, &[0; 64]).map(|digest| digest.as_bytes().len()), Some(64));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(bytes in any::<[u8; 32]>(), more in any::<[u8; 32]>()) {
            let long = [bytes, more].concat();
            for (algorithm, bytes) in [(Algorithm::Sha256, &bytes[..]), (Algorithm::Sha512, &long[..])] {
                let digest = Digest::new(algorithm, bytes).expect("the right number of bytes");
                prop_assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
                prop_assert_eq!(digest.as_bytes(), bytes);
                let json = serde_json::to_string(&digest).expect("JSON");
                prop_assert_eq!(serde_json::from_str::<Digest>(&json).ok(), Some(digest));
            }
        }

        #[test]
        fn pieces_give_the_digest_of_the_whole(bytes in any::<Vec<u8>>(), cut in any::<prop::sample::Index>()) {
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let mut digester = Digester::new(Algorithm::Sha256);
            digester.update(first);
            digester.update(second);
            prop_assert_eq!(digester.finish(), Digest::sha256(&bytes));
        }
    }
}
