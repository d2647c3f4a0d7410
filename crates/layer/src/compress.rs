//! Compression: deterministic and parallel.
//!
//! The stream is cut into pieces whose boundaries depend on the content alone; the same bytes come out at any number of threads.

use std::io::Write;

use image::MediaType;

use crate::Result;

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
        todo!()
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
pub struct Compressor<W: Write>(std::marker::PhantomData<W>);

impl<W: Write> Compressor<W> {
    /// Begins.
    pub fn new(out: W, encoding: Encoding, threads: usize) -> Result<Self> {
        let _ = (out, encoding, threads);
        todo!()
    }

    /// Says that a new entry begins here: a good place to cut.
    pub fn entry_boundary(&mut self) {
        todo!()
    }

    /// Ends the stream and gives the writer back.
    pub fn finish(self) -> std::io::Result<W> {
        todo!()
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = bytes;
        todo!()
    }

    fn flush(&mut self) -> std::io::Result<()> {
        todo!()
    }
}
