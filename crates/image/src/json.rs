//! JSON as it is accepted and as it is written.
//!
//! Accepted is only what every reader understands in the same way. Go, which most tools of this field are written
//! in, takes the last of two equal keys and does not care for the case of letters: a document with `layers` twice,
//! or with `layers` and `Layers`, would be one image here and another one there (CVE-2021-41190 was such a case).
//!
//! Written is one canonical form, so that the same meaning has the same digest whatever the order of the fields in
//! our types is: compact, keys sorted at every level (as BuildKit writes configs), and `<`, `>`, `&`, U+2028 and
//! U+2029 escaped as Go's encoder does it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;

use base::{Classified, Kind};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::ser::Formatter;

/// Why a document is refused before its fields are looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it has {size} bytes, at most {limit} are read")]
    TooLarge { size: usize, limit: u64 },
    #[error("it is of schema 1, the format of Docker before 2016, which registries and tools have dropped")]
    Schema1,
    #[error("it is of schema {0}, only schema 2 is known")]
    Schema(u64),
    #[error("its key {} is not how {expected} is written", base::text::bytes(.found.as_bytes()))]
    Spelling { found: String, expected: &'static str },
    #[error("it holds both manifests and {0}")]
    Both(&'static str),
    #[error("it is not an object")]
    NotAnObject,
    #[error("it holds neither manifests nor layers")]
    Neither,
    #[error("it holds {holds}, and says that it is {}", base::text::bytes(.says.as_bytes()))]
    Mismatch { holds: &'static str, says: String },
}

impl Classified for Refusal {
    fn kind(&self) -> Kind {
        match self {
            Refusal::TooLarge { .. } => Kind::TooLarge,
            Refusal::Schema1 | Refusal::Schema(_) => Kind::Unsupported,
            _ => Kind::Invalid,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Refusal::Schema1 => Some(
                "convert the image to schema 2 with a tool that still reads schema 1, or rebuild it"
                    .to_owned(),
            ),
            other => other.kind().hint().map(str::to_owned),
        }
    }
}

/// Refuses documents of more than `limit` bytes.
pub(crate) fn check_size(bytes: &[u8], limit: u64) -> Result<(), Refusal> {
    let size = bytes.len();
    if u64::try_from(size).is_ok_and(|size| size <= limit) {
        Ok(())
    } else {
        Err(Refusal::TooLarge { size, limit })
    }
}

/// Refuses documents that readers could understand differently, and too deep ones (serde_json stops at 128 levels);
/// gives the keys of the outermost object, if it is one.
pub(crate) fn check(bytes: &[u8]) -> serde_json::Result<Option<HashSet<String>>> {
    let mut keys = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Check { place: Place::Outermost, keys: Some(&mut keys) }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(keys)
}

/// Refuses keys that Go takes for one of `known` although they are written differently.
pub(crate) fn check_spelling<'a>(
    keys: impl IntoIterator<Item = &'a String>,
    known: &[&'static str],
) -> Result<(), Refusal> {
    for found in keys {
        let folded = fold(found);
        if let Some(expected) =
            known.iter().find(|known| known.eq_ignore_ascii_case(&folded) && *known != found)
        {
            return Err(Refusal::Spelling { found: found.clone(), expected });
        }
    }
    Ok(())
}

/// A key as Go compares it: two characters outside of ASCII fold to letters in it.
fn fold(key: &str) -> String {
    key.chars()
        .map(|letter| match letter {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

/// Where in a document a value stands, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is the document: an object with fields, or a list of such.
    Outermost,
    /// A list of objects with fields belongs here.
    List,
    /// An object with fields belongs here. (serde would take a list of their values too; nobody else does.)
    Object,
    /// Anything; the keys of objects are free text, as in labels and annotations.
    Free,
}

impl Place {
    /// The place of the value of `key`, in an object here.
    fn below(self, key: &str) -> Self {
        match key {
            _ if self == Place::Free => Place::Free,
            "layers" | "manifests" | "history" => Place::List,
            "config" | "subject" | "platform" | "rootfs" | "Healthcheck" | "container_config" => {
                Place::Object
            }
            _ => Place::Free,
        }
    }

    /// Whether the keys of an object here are names of fields, which Go compares without case.
    fn has_fields(self) -> bool {
        self != Place::Free
    }
}

/// Walks over a value and looks at the keys of all objects in it.
struct Check<'a> {
    place: Place,
    /// Where to put the keys of an object here.
    keys: Option<&'a mut Option<HashSet<String>>>,
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let place = match self.place {
            Place::Object => return Err(A::Error::custom("there is a list where an object belongs")),
            Place::Outermost | Place::List => Place::Object,
            Place::Free => Place::Free,
        };
        while sequence.next_element_seed(Check { place, keys: None })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        let mut exact = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let place = self.place.below(&key);
            if !seen.insert(if self.place.has_fields() { fold(&key) } else { key.clone() }) {
                let shown = base::text::bytes(key.as_bytes());
                return Err(A::Error::custom(match exact.contains(&key) {
                    true => format!("the key {shown} is there twice"),
                    false => format!("the key {shown} is there twice, in letters of different case"),
                }));
            }
            exact.insert(key);
            map.next_value_seed(Check { place, keys: None })?;
        }
        if let Some(keys) = self.keys {
            *keys = Some(exact);
        }
        Ok(())
    }
}

/// Go writes empty lists and maps as `null`.
pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Writes the canonical form.
pub(crate) fn write(document: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let value = serde_json::to_value(document)?;
    let mut bytes = Vec::new();
    Sorted(&value).serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Go))?;
    Ok(bytes)
}

/// A value whose objects are written in the order of their keys, also when some other crate of the program makes
/// serde_json keep another order.
struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(object) => {
                let sorted: BTreeMap<&String, Sorted<'_>> =
                    object.iter().map(|(key, value)| (key, Sorted(value))).collect();
                serializer.collect_map(sorted)
            }
            Value::Array(values) => serializer.collect_seq(values.iter().map(Sorted)),
            plain => plain.serialize(serializer),
        }
    }
}

/// Compact, with the escapes of Go's `json.Marshal`.
struct Go;

impl Formatter for Go {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((place, letter)) = rest.char_indices().find(|(_, letter)| is_escaped_by_go(*letter)) {
            let (before, behind) = rest.split_at(place);
            writer.write_all(before.as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(letter))?;
            rest = behind.get(letter.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

fn is_escaped_by_go(letter: char) -> bool {
    matches!(letter, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_2021_41190_what_readers_could_differ_on_is_refused() {
        for (json, reason) in [
            (r#"{"layers":[],"layers":[]}"#, "the key layers is there twice at"),
            (r#"{"layers":[],"Layers":[]}"#, "the key Layers is there twice, in letters of different case"),
            ("{\"layers\":[],\"layer\u{17f}\":[]}", "letters of different case"),
            (r#"{"layers":[{"digest":1,"DIGEST":2}]}"#, "the key DIGEST is there twice"),
            (r#"{"config":{"User":"a","user":"b"}}"#, "the key user is there twice"),
            (r#"{"config":{"Labels":{"a":"1","a":"2"}}}"#, "the key a is there twice at"),
            (r#"{"x":{"y":{"z":1,"z":1}}}"#, "the key z is there twice"),
            (r#"{"layers":[[1]]}"#, "there is a list where an object belongs"),
            (r#"{"rootfs":["layers"]}"#, "there is a list where an object belongs"),
            (r#"{"a":1} {"a":1}"#, "trailing characters"),
            (r#"[{"layers":[],"LAYERS":[]}]"#, "letters of different case"),
            (r#"{"a":"\ud800"}"#, "unexpected end of hex escape"),
            ("{\"a\":\"\u{1}\"}", "control character"),
            ("", "EOF"),
        ] {
            let error = check(json.as_bytes()).expect_err(json);
            assert!(error.to_string().contains(reason), "{json}: {error}");
        }
        assert!(check(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }

    #[test]
    fn keys_that_are_free_text_may_differ_in_case() {
        for json in [
            r#"{"annotations":{"a":[{"b":"","B":""}],"A":""}}"#,
            r#"{"config":{"Labels":{"a":"","A":""},"Volumes":{"/d":{},"/D":{}}}}"#,
            r#"{"config":{"config":1},"layers":[{"annotations":{"A":"","a":""}}],"a":1.5,"b":null,"c":true,"d":-1}"#,
        ] {
            let keys =
                check(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}")).expect("an object");
            assert!(keys.contains("annotations") || keys.contains("config"), "{json}");
        }
    }

    #[test]
    fn too_deep_documents_are_refused() {
        for (depth, is_right) in [(100, true), (200, false), (100_000, false)] {
            let lists = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
            for json in [lists, objects] {
                let result = check(json.as_bytes());
                assert_eq!(result.is_ok(), is_right, "{depth} levels");
                if let Err(error) = result {
                    assert!(error.to_string().contains("recursion limit"), "{error}");
                }
            }
        }
    }

    #[test]
    fn known_keys_have_one_spelling() {
        let keys = |key: &str| HashSet::from([key.to_owned()]);
        assert_eq!(check_spelling(&keys("rootfs"), &["rootfs"]), Ok(()));
        assert_eq!(check_spelling(&keys("other"), &["rootfs"]), Ok(()));
        let error = check_spelling(&keys("RootFS"), &["os", "rootfs"]).expect_err("another spelling");
        assert_eq!(error.to_string(), "its key RootFS is not how rootfs is written");
    }

    #[test]
    fn keys_are_sorted_and_strings_escaped_as_go_does_it() {
        let value = serde_json::json!({
            "z": {"b": 1, "a": [{"d": null, "c": "a && b > c < d"}]},
            "B": "\u{2028}é\u{8}\u{c}\u{1f}\u{7f}\"\\/\n",
            "a": -1.5,
            "<": true,
        });
        let expected = concat!(
            r#"{"\u003c":true,"B":"\u2028é\b\f\u001f"#,
            "\u{7f}",
            r#"\"\\/\n","a":-1.5,"#,
            r#""z":{"a":[{"c":"a \u0026\u0026 b \u003e c \u003c d","d":null}],"b":1}}"#,
        );
        let written = write(&value).expect("JSON");
        assert_eq!(String::from_utf8_lossy(&written), expected);
        assert_eq!(serde_json::from_slice::<Value>(&written).ok(), Some(value));
    }
}
