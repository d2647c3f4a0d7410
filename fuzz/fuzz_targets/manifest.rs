//! Any bytes as a manifest, an index or a config: read or refused; what is read keeps its bytes, and is the same when it is written and read again.
#![no_main]

use image::{Config, Document, Index, Manifest, ParseError, Platform, Raw};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Document::parse(bytes) {
        Ok(Document::Manifest(manifest)) => {
            assert_eq!(manifest.bytes(), bytes);
            let written = Raw::write(manifest.value().clone()).expect("written");
            let again = Raw::<Manifest>::parse("manifest", written.bytes()).expect("read again");
            assert_eq!(again.value(), manifest.value());
        }
        Ok(Document::Index(index)) => {
            assert_eq!(index.bytes(), bytes);
            image::choice::platforms(index.value());
            let _ = image::choose(index.value(), &Platform::new("linux", "amd64", None));
            let written = Raw::write(index.value().clone()).expect("written");
            let again = Raw::<Index>::parse("index", written.bytes()).expect("read again");
            assert_eq!(again.value(), index.value());
        }
        Err(error) => said(&error),
    }
    match Config::parse(bytes) {
        Ok(config) => {
            let written = Raw::write(config.value().clone()).expect("written");
            let again = Config::parse(written.bytes()).expect("read again");
            assert_eq!(again.value(), config.value());
        }
        Err(error) => said(&error),
    }
});

/// Whoever prints an error prints its cause too.
fn said(error: &ParseError) {
    for text in [error.to_string(), error.source.to_string()] {
        let text = base::text::line(&text);
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
