//! JSON output.

use serde::Serialize;
use serde_json::ser::PrettyFormatter;

/// Indented by four blanks, as `docker inspect` prints it, with a line feed at the end.
pub fn pretty(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(b"    "));
    // Values are made by this program, from strings and numbers; they can always be written.
    if value.serialize(&mut serializer).is_err() {
        return String::new();
    }
    bytes.push(b'\n');
    base::text::json(&String::from_utf8(bytes).unwrap_or_default()).into_owned()
}

/// In one line.
pub fn line(value: &serde_json::Value) -> String {
    base::text::json(&value.to_string()).into_owned()
}
