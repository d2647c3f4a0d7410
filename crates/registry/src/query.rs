//! Percent-encoding, in paths and queries.

/// The parameters of a query, in order; keys and values decoded (RS-006c: some clients encode the colon of a digest, some do not).
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the question mark. What is not valid UTF-8 or not encoded well is taken as it stands.
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let value = |text: &str| decode(&text.replace('+', " ")).unwrap_or_else(|| text.to_owned());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, text)| (value(key), value(text)))
                .collect(),
        )
    }

    /// The first value of a parameter.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        let key = key.to_owned();
        self.0.iter().filter(move |(known, _)| *known == key).map(|(_, value)| value.as_str())
    }
}

/// Decodes once; `None` when it is not UTF-8, or a percent sign stands alone.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

/// Encodes everything but letters, digits and `-._~`.
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rs_006c_values_are_decoded() {
        let query = Query::parse(Some(
            "digest=sha256%3Aab&mount=sha256:cd&from=a%2Fb&tag=1&tag=2&empty&x=a+b&bad=%zz",
        ));
        assert_eq!(query.get("digest"), Some("sha256:ab"));
        assert_eq!(query.get("mount"), Some("sha256:cd"));
        assert_eq!(query.get("from"), Some("a/b"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((query.get("empty"), query.get("x"), query.get("none")), (Some(""), Some("a b"), None));
        assert_eq!(query.get("bad"), Some("%zz"));
        assert!(Query::parse(None).get("a").is_none());
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        for text in ["sha256:ab", "a/b?c=d&e%", "ä\u{0}"] {
            assert_eq!(decode(&encode(text)).as_deref(), Some(text));
        }
        for wrong in ["%", "%4", "%+1", "%ff", "%é0"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
