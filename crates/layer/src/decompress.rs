//! Decompression: recognised by the first bytes, never by a name; any number of members, to the end of the stream.
//!
//! What stands behind the last member and is not one is an error: readers differ there, and a layer must not mean two things.

use std::io::{self, BufReader, Cursor, Read};

use crate::limits::{MAX_XZ_MEMORY, MAX_ZSTD_WINDOW_LOG};

#[cfg(test)]
mod tests;

/// How many bytes tell what a stream is compressed with.
pub(crate) const BEGINNING: usize = 10;
/// How much of a compressed stream is read at a time.
const BUFFER: usize = 128 << 10;

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
    /// Recognises it by the first bytes of a stream (10 are wanted).
    pub fn sniff(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or one of those that are to be skipped.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // The name of a first entry may begin with BZh as well: the magic of a block, or of the end, follows.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Self::Bzip2,
            _ => Self::Plain,
        }
    }
}

/// A reader of the plain bytes. Limits (windows, memory) are those of [`crate::limits`]; memory is bounded, and time by the size of the
/// stream and of what comes out of it, which whoever reads has to limit.
pub fn reader<'a>(
    mut stream: Box<dyn Read + Send + 'a>,
) -> io::Result<(Compression, Box<dyn Read + Send + 'a>)> {
    let mut beginning = Vec::with_capacity(BEGINNING);
    stream.by_ref().take(BEGINNING as u64).read_to_end(&mut beginning)?;
    let compression = Compression::sniff(&beginning);
    let stream = Cursor::new(beginning).chain(stream);
    Ok((compression, decoder(compression, stream)?))
}

/// A reader of the plain bytes of a stream whose compression is known.
pub(crate) fn decoder<'a>(
    compression: Compression,
    stream: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    if compression == Compression::Plain {
        return Ok(Box::new(stream));
    }
    let stream = BufReader::with_capacity(BUFFER, stream);
    Ok(match compression {
        Compression::Plain => Box::new(stream),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(stream)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(stream)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(stream)),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(stream, true, MAX_XZ_MEMORY >> 10)),
    })
}
