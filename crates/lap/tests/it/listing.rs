//! Entries of tars as lines of text, to be compared.

use std::fmt::Write;
use std::io::Read;

use sha2::{Digest, Sha256};

/// What an entry is, without its name and its time.
pub fn describe<R: Read>(entry: &mut tar::Entry<'_, R>, target: Option<&str>) -> String {
    use tar::EntryType::{Block, Char, Directory, Fifo, Symlink};
    let mut content = Vec::new();
    entry.read_to_end(&mut content).expect("the content is read");
    let attributes: Vec<String> = entry
        .pax_extensions()
        .expect("a pax header")
        .into_iter()
        .flatten()
        .map(|extension| extension.expect("an extension"))
        .filter(|extension| extension.key_bytes().starts_with(b"SCHILY.xattr."))
        .map(|extension| format!(" {}={}", text(extension.key_bytes()), text(extension.value_bytes())))
        .collect();
    let header = entry.header();
    let device = || {
        let number = |part: std::io::Result<Option<u32>>| part.expect("a number").unwrap_or_default();
        format!("{},{}", number(header.device_major()), number(header.device_minor()))
    };
    let (kind, detail) = match header.entry_type() {
        Directory => ('d', String::new()),
        Symlink => ('l', format!(" -> {}", target.unwrap_or_default())),
        Fifo => ('p', String::new()),
        Char => ('c', format!(" {}", device())),
        Block => ('b', format!(" {}", device())),
        _ if content.len() > 300 => ('f', format!(" {}", hex(&Sha256::digest(&content)))),
        _ => ('f', format!(" \"{}\"", text(&content))),
    };
    let number = |part: std::io::Result<u64>| part.expect("a number");
    let (user, group) = (number(header.uid()), number(header.gid()));
    let mode = header.mode().expect("a mode");
    format!("{kind} {mode:04o} {user}:{group}{detail}{}", attributes.concat())
}

/// Bytes as one line of text.
pub fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("text");
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
