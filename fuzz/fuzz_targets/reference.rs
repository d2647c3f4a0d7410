//! Any text as a reference, a digest or a platform: what is read is the same when it is written and read again, and can be a path in a store.
#![no_main]

use image::{Digest, Platform, Reference};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Reference::parse(text) {
        Ok(reference) => {
            for again in [reference.to_string(), reference.familiar()] {
                assert_eq!(Reference::parse(&again).as_ref(), Ok(&reference), "{again}");
            }
            let parts = std::iter::once(reference.host()).chain(reference.path().split('/')).chain(reference.tag());
            for part in parts {
                assert!(!matches!(part, "" | "." | "..") && !part.contains(['/', '\0']), "{reference:?}");
            }
        }
        Err(error) => plain(&error.to_string()),
    }
    match Digest::parse(text) {
        Ok(digest) => assert_eq!(digest.to_string(), text),
        Err(error) => plain(&error.to_string()),
    }
    match Platform::parse(text) {
        Ok(platform) => assert_eq!(Platform::parse(&platform.to_string()), Ok(platform)),
        Err(error) => plain(&error.to_string()),
    }
});

fn plain(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
