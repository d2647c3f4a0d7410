//! A JSON object whose fields keep their order, and whose values the bytes they were read from: what others have written stays as it is.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The fields of an object.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, Field)>);

/// The value of a field.
#[derive(Debug)]
pub(super) enum Field {
    /// As it was read.
    Raw(Box<RawValue>),
    /// An object that was taken apart, or is new.
    Object(Fields),
    /// A text.
    Text(String),
}

impl Fields {
    /// An object of texts.
    pub(super) fn of_texts(texts: &[(&str, &str)]) -> Self {
        let field = |(name, text): &(&str, &str)| ((*name).to_owned(), Field::Text((*text).to_owned()));
        Self(texts.iter().map(field).collect())
    }

    /// The object in a field, taken apart; what is there instead of an object is replaced by an empty one.
    pub(super) fn object(&mut self, name: &str) -> Option<&mut Fields> {
        let (_, field) = self.0.iter_mut().find(|(key, _)| key == name)?;
        if let Field::Raw(raw) = field {
            *field = Field::Object(serde_json::from_str(raw.get()).unwrap_or_default());
        }
        match field {
            Field::Object(fields) => Some(fields),
            Field::Raw(_) | Field::Text(_) => None,
        }
    }

    /// The object in a field, which is added at the end when it is missing.
    pub(super) fn object_or_new(&mut self, name: &str) -> Option<&mut Fields> {
        if !self.0.iter().any(|(key, _)| key == name) {
            self.push(name, Field::Object(Fields::default()));
        }
        self.object(name)
    }

    /// Adds a field.
    pub(super) fn push(&mut self, name: &str, field: Field) {
        self.0.push((name.to_owned(), field));
    }

    /// Removes fields; whether there were any.
    pub(super) fn remove(&mut self, goes: impl Fn(&str) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|(name, _)| !goes(name));
        self.0.len() < before
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, field)| (name, field)))
    }
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Field::Raw(raw) => raw.serialize(serializer),
            Field::Object(fields) => fields.serialize(serializer),
            Field::Text(text) => text.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields::default();
                while let Some((name, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.0.push((name, Field::Raw(raw)));
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}
