//! Any bytes as a table of contents in a store: refused, or everything that can be asked of it has an answer.
//!
//! Magic, version, checksum and the lengths of sections are put right first: else everything would be refused.
#![no_main]

use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use base::Cancel;
use image::{DiffId, Digest};
use layer::{View, forms};
use libfuzzer_sys::fuzz_target;
use store::Store;

const HEADER: usize = 256;
const RECORD: u64 = 104;
/// How much of the framing is read: its length is checked elsewhere.
const READ: u64 = 1 << 20;

struct Place {
    directory: tempfile::TempDir,
    store: Store,
    diff_id: DiffId,
}

/// In memory where that is possible.
static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let directory = directory.expect("a directory");
    let store = Store::open(directory.path().join("inside/store")).expect("a store");
    let diff_id = DiffId(Digest::sha256(b"fuzz"));
    std::fs::create_dir_all(store.root().join("layers").join(diff_id.0.hex())).expect("a layer");
    Place { directory, store, diff_id }
});

fuzz_target!(|input: &[u8]| {
    let Place { directory, store, diff_id } = &*PLACE;
    let place = store.root().join("layers").join(diff_id.0.hex());
    // Another file each time: a store remembers tables by their inodes.
    let unfinished = place.join("unfinished");
    std::fs::write(&unfinished, table(input, diff_id)).expect("written");
    std::fs::rename(&unfinished, place.join("table")).expect("renamed");
    let layer = match store.layers().get(diff_id) {
        Ok(layer) => layer.expect("a layer"),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.chars().any(char::is_control), "{text:?}");
            return;
        }
    };
    let table = layer.table();
    for entry in table.entries() {
        table.below(entry.path);
        table.floor(entry.path);
        table.find(entry.path);
    }
    if let Ok(framing) = table.framing() {
        let _ = framing.take(READ).read_to_end(&mut Vec::new());
    }
    let view = View::new(&[layer.clone(), layer.clone()]);
    for entry in table.entries() {
        let _ = view.resolve(entry.path, true);
        if let Some(node) = view.find(entry.path) {
            view.entry(view.file(node));
        }
    }
    let lease = store.lease("fuzz").expect("a lease");
    let _ = forms::trees(store, &lease, &[layer], &Cancel::new());
    let outside: Vec<_> = std::fs::read_dir(directory.path()).expect("the place").collect();
    assert_eq!(outside.len(), 1, "{outside:?}");
    drop(lease);
    let _ = std::fs::remove_dir_all(place.join("tree"));
});

/// The bytes with what makes a table out of them.
fn table(input: &[u8], diff_id: &DiffId) -> Vec<u8> {
    let mut bytes = input.to_vec();
    if bytes.len() < HEADER {
        return bytes;
    }
    bytes[..16].copy_from_slice(b"LAPTABLE\x01\0\0\0\0\0\0\0");
    bytes[52..56].copy_from_slice(&1u32.to_le_bytes());
    bytes[144..176].copy_from_slice(diff_id.0.as_bytes());
    let number = |bytes: &[u8], at: usize| {
        bytes[at..at + 8].iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let room = (bytes.len() - HEADER) as u64;
    let records = number(&bytes, 56).saturating_mul(RECORD);
    if let Some(rest) = room.checked_sub(records) {
        let heap = number(&bytes, 64).min(rest);
        bytes[64..72].copy_from_slice(&heap.to_le_bytes());
        bytes[72..80].copy_from_slice(&(rest - heap).to_le_bytes());
    }
    let checksum = blake3::hash(&bytes[48..]);
    bytes[16..48].copy_from_slice(checksum.as_bytes());
    bytes
}
