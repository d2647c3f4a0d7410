//! Decompression: recognised by the first bytes, never by a name; any number of members, to the end of the stream.

use std::io::Read;

/// What a stream is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    Plain,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

impl Compression {
    /// Recognises it by the first bytes of a stream (at least 6 are wanted).
    pub fn sniff(beginning: &[u8]) -> Self {
        let _ = beginning;
        todo!()
    }
}

/// A reader of the plain bytes. Limits (windows, ratios, memory) are those of [`crate::limits`].
pub fn reader<'a>(
    stream: Box<dyn Read + Send + 'a>,
) -> std::io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let _ = stream;
    todo!()
}
