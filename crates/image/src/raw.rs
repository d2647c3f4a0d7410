//! A document and the bytes that it was read from.

use std::sync::Arc;

use base::{Classified, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json::{self, Refusal};
use crate::{Descriptor, Digest, MediaType};

/// A parsed view, and the bytes it was parsed from (or written to): only the bytes have a digest.
///
/// Cheap to clone.
#[derive(Debug)]
pub struct Raw<T> {
    bytes: Arc<[u8]>,
    digest: Digest,
    value: Arc<T>,
}

/// Bytes that are not the document that they should be.
#[derive(Debug, thiserror::Error)]
#[error("the {what} is not valid")]
pub struct ParseError {
    /// What it should be: "manifest", "config", "index".
    pub what: &'static str,
    /// Why it is not.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Classified for ParseError {
    fn kind(&self) -> Kind {
        self.source.downcast_ref::<Refusal>().map_or(Kind::Invalid, Classified::kind)
    }

    fn hint(&self) -> Option<String> {
        self.source.downcast_ref::<Refusal>().and_then(Classified::hint)
    }
}

impl<T> Clone for Raw<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), digest: self.digest, value: self.value.clone() }
    }
}

impl<T> Raw<T> {
    /// The parsed view.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// A descriptor of the bytes.
    pub fn descriptor(&self, media_type: MediaType) -> Descriptor {
        Descriptor::new(media_type, self.digest, self.bytes.len() as u64)
    }
}

impl<T: DeserializeOwned> Raw<T> {
    /// Reads a JSON document; `what` names it in the error.
    ///
    /// Documents that other readers could understand differently are refused: keys that are there twice, or twice
    /// in letters of different case.
    pub fn parse(what: &'static str, bytes: impl Into<Arc<[u8]>>) -> Result<Self, ParseError> {
        let bytes = bytes.into();
        let value = json::check(&bytes)
            .and_then(|_| serde_json::from_slice(&bytes))
            .map_err(|source| ParseError { what, source: source.into() })?;
        Ok(Self { digest: Digest::sha256(&bytes), bytes, value: Arc::new(value) })
    }
}

impl<T: Serialize> Raw<T> {
    /// Writes a JSON document: compactly, keys sorted, escaped as Go's encoder does it. The bytes are what is digested
    /// and stored.
    pub fn write(value: T) -> Result<Self, ParseError> {
        let bytes: Arc<[u8]> = json::write(&value)
            .map_err(|source| ParseError { what: "document", source: source.into() })?
            .into();
        Ok(Self { digest: Digest::sha256(&bytes), bytes, value: Arc::new(value) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn rc_083_the_bytes_are_kept() {
        let bytes = b"{ \"a\" :\t1 }\n";
        let raw = Raw::<BTreeMap<String, u8>>::parse("thing", &bytes[..]).expect("JSON");
        assert_eq!(raw.bytes(), bytes);
        assert_eq!(raw.digest(), Digest::sha256(bytes));
        assert_eq!(raw.value().get("a"), Some(&1));
        let descriptor = raw.clone().descriptor(MediaType::OCTET_STREAM);
        assert_eq!(descriptor, Descriptor::new(MediaType::OCTET_STREAM, raw.digest(), 12));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let value = BTreeMap::from([("b".to_owned(), 2), ("a&".to_owned(), 1)]);
        let written = Raw::write(value).expect("JSON");
        assert_eq!(written.bytes(), br#"{"a\u0026":1,"b":2}"#);
        let read = Raw::<BTreeMap<String, u8>>::parse("thing", written.bytes()).expect("JSON");
        assert_eq!((read.value(), read.digest()), (written.value(), written.digest()));
    }

    /// Found by fuzzing: read inexactly, such a number is another one each time it is written.
    #[test]
    fn numbers_that_nobody_knows_stay_what_they_are() {
        for digits in [17, 40, 75, 300] {
            let text = format!("{{\"x\":[{}]}}", "9".repeat(digits));
            let read = Raw::<serde_json::Value>::parse("thing", text.as_bytes()).expect("JSON");
            let written = Raw::write(read.value().clone()).expect("JSON");
            let again = Raw::<serde_json::Value>::parse("thing", written.bytes()).expect("JSON");
            assert_eq!(again.value(), read.value(), "{digits} digits");
        }
    }

    #[test]
    fn an_error_says_what_is_not_valid_and_where() {
        let error = Raw::<BTreeMap<String, u8>>::parse("thing", &b"{\"a\":\n1,\"a\":2}"[..])
            .expect_err("a key twice");
        assert_eq!(error.to_string(), "the thing is not valid");
        assert_eq!(error.source.to_string(), "the key a is there twice at line 2 column 5");
        assert_eq!((error.kind(), error.hint()), (Kind::Invalid, None));
    }
}
