//! Any tar, taken in as a layer: refused in words that do nothing to a terminal, or unpacked (nothing outside of the tree), and made again to the byte.
//!
//! Checksums of headers are put right first: else nearly nothing would be read.
#![no_main]

use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use base::Cancel;
use layer::ingest::{Expected, ingest};
use layer::{forms, scan};
use libfuzzer_sys::fuzz_target;
use store::Store;

struct Place {
    directory: tempfile::TempDir,
    store: Store,
}

/// In memory where that is possible: nothing here has to outlast the process.
static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let directory = directory.expect("a directory");
    let store = Store::open(directory.path().join("inside/store")).expect("a store");
    Place { directory, store }
});

fuzz_target!(|input: &[u8]| {
    let tar = with_checksums(input);
    let cancel = Cancel::new();
    if let Err(error) = scan::scan(&mut &tar[..], &cancel) {
        said(&error);
        return;
    }
    let Place { directory, store } = &*PLACE;
    let lease = store.lease("fuzz").expect("a lease");
    let taken = match ingest(store, &lease, &mut &tar[..], Expected::default(), &cancel) {
        Ok(taken) => taken,
        Err(error) => return said(&error),
    };
    for warning in &taken.warnings {
        assert!(!warning.chars().any(char::is_control), "{warning:?}");
    }
    let stack = [taken.layer];
    match forms::trees(store, &lease, &stack, &cancel) {
        Err(error) => said(&error),
        Ok(_) => {
            // Without the pack, the tar is made of the table and the tree.
            let digest = stack[0].diff_id().0;
            let pack = directory.path().join("inside/store/blobs/sha256").join(digest.hex());
            std::fs::remove_file(&pack).expect("a pack");
            forms::pack(store, &lease, &stack[0], &cancel).expect("the tar again");
            let mut again = Vec::new();
            std::fs::File::open(&pack).expect("a pack").read_to_end(&mut again).expect("read");
            assert!(again == tar, "another tar");
        }
    }
    let outside: Vec<_> = std::fs::read_dir(directory.path()).expect("the place").collect();
    assert_eq!(outside.len(), 1, "{outside:?}");
    drop((stack, lease));
    for kind in ["layers", "blobs/sha256", "chains", "trash", "tmp"] {
        let place = directory.path().join("inside/store").join(kind);
        if place.exists() {
            std::fs::remove_dir_all(&place).expect("emptied");
            std::fs::create_dir(&place).expect("a directory");
        }
    }
});

fn said(error: &dyn std::error::Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
}

/// Puts the checksums of all blocks right that say they are headers.
fn with_checksums(input: &[u8]) -> Vec<u8> {
    let mut tar = input.to_vec();
    for block in tar.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}
