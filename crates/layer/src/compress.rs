//! Compression: deterministic and parallel.
//!
//! The stream is cut into pieces whose boundaries depend on the content alone: behind entries when a piece has grown to [`SMALL`], and inside of large
//! entries at multiples of [`LARGE`] from their beginnings. Pieces are compressed independently of each other, so the same bytes come out at any number
//! of threads, and a piece of an unchanged file is the same again.
//!
//! gzip: one member, its deflate blocks made piece by piece and joined by sync flushes, as pigz does it. Several members would let libdeflate work, but readers
//! exist that stop behind the first (Python's tarfile when it streams, simple loops around zlib). zstd: a frame for each piece.

mod codec;
mod pool;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use image::MediaType;

use crate::{LayerError, Result};
use codec::Codec;
use pool::Pool;

/// A piece of this size ends with the entry.
const SMALL: usize = 256 << 10;
/// Inside of an entry, pieces end at multiples of this.
const LARGE: usize = 1 << 20;
/// Changes whenever the bytes of an encoding change; part of its name.
const VERSION: u32 = 1;

/// How a layer is compressed: encoder, level and version are pinned by its name, and by golden bytes in the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Not at all.
    Plain,
    /// gzip, at a level from 0 to 9.
    Gzip(u8),
    /// zstd, at a level from 1 to 22.
    Zstd(u8),
}

impl Encoding {
    /// What layers get when nothing was asked for.
    pub const DEFAULT: Encoding = Encoding::Gzip(2);

    /// Under which name blobs of it are remembered; changes whenever the bytes change.
    pub fn name(self) -> String {
        match self {
            Encoding::Plain => "plain".to_owned(),
            Encoding::Gzip(level) => format!("gzip-{level}.v{VERSION}"),
            Encoding::Zstd(level) => format!("zstd-{level}.v{VERSION}"),
        }
    }

    fn check(self) -> Result<()> {
        let (format, level, lowest, highest) = match self {
            Encoding::Plain => return Ok(()),
            Encoding::Gzip(level) => ("gzip", level, 0, 9),
            Encoding::Zstd(level) => ("zstd", level, 1, 22),
        };
        if (lowest..=highest).contains(&level) {
            return Ok(());
        }
        Err(LayerError::Level { format, level, lowest, highest })
    }

    /// The media type of an OCI layer in it.
    pub fn oci_media_type(self) -> MediaType {
        match self {
            Encoding::Plain => MediaType::OCI_LAYER,
            Encoding::Gzip(_) => MediaType::OCI_LAYER_GZIP,
            Encoding::Zstd(_) => MediaType::OCI_LAYER_ZSTD,
        }
    }
}

/// A stream that compresses what is written to it, on `threads` threads, in bounded memory.
pub struct Compressor<W: Write> {
    out: W,
    codec: Codec,
    pool: Pool,
    /// What comes next, not yet compressed.
    piece: Vec<u8>,
    /// How far it is to the next multiple of [`LARGE`] in this entry.
    until_cut: usize,
}

impl<W: Write> Compressor<W> {
    /// Begins. With one thread (or none) the work is done where it is written.
    pub fn new(mut out: W, encoding: Encoding, threads: usize) -> Result<Self> {
        encoding.check()?;
        let failed = |source| LayerError::Stream { action: "compress", what: "the layer".to_owned(), source };
        let codec = Codec::new(encoding);
        out.write_all(codec.header()).map_err(failed)?;
        let pool = Pool::new(encoding, threads).map_err(failed)?;
        Ok(Self { out, codec, pool, piece: Vec::new(), until_cut: LARGE })
    }

    /// Says that a new entry begins here: a good place to cut.
    ///
    /// A failure of the writer shows at the next write, or at the end.
    pub fn entry_boundary(&mut self) {
        self.until_cut = if self.piece.len() >= SMALL { 0 } else { LARGE };
    }

    /// Ends the stream and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.piece.is_empty() {
            self.cut()?;
        }
        while let Some(piece) = self.pool.next() {
            self.codec.take(&piece?, &mut self.out)?;
        }
        self.codec.finish(&mut self.out)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Gives the piece away to be compressed, and writes what is ready.
    fn cut(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, self.pool.spare());
        if let Some(ready) = self.pool.compress(piece) {
            self.codec.take(&ready?, &mut self.out)?;
        }
        self.until_cut = LARGE;
        Ok(())
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.until_cut == 0 {
            self.cut()?;
        }
        let taken = bytes.get(..self.until_cut).unwrap_or(bytes);
        self.piece.extend_from_slice(taken);
        self.until_cut -= taken.len();
        Ok(taken.len())
    }

    /// Does nothing: where pieces end depends on the content alone.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
