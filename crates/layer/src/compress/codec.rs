//! The formats: how one piece is compressed, and what stands before, between and behind the pieces.

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use zstd::zstd_safe::CParameter;

use super::Encoding;

/// A piece that was compressed.
pub(super) struct Compressed {
    pub bytes: Vec<u8>,
    /// Of the plain bytes, for gzip.
    checksum: Crc,
    /// The plain bytes, for their capacity.
    pub plain: Vec<u8>,
}

/// Compresses pieces, one after the other, each on its own.
pub(super) enum Encoder {
    Plain,
    Gzip(Box<Compress>),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Encoder {
    pub(super) fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Plain => Self::Plain,
            Encoding::Gzip(level) => {
                Self::Gzip(Box::new(Compress::new(Compression::new(level.into()), false)))
            }
            Encoding::Zstd(level) => {
                let mut compressor = zstd::bulk::Compressor::new(level.into())?;
                compressor.set_parameter(CParameter::ChecksumFlag(true))?;
                compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
                Self::Zstd(compressor)
            }
        })
    }

    /// Compresses a piece.
    pub(super) fn compress(&mut self, plain: Vec<u8>) -> io::Result<Compressed> {
        let mut checksum = Crc::new();
        let bytes = match self {
            Self::Plain => return Ok(Compressed { bytes: plain, checksum, plain: Vec::new() }),
            Self::Gzip(compress) => {
                checksum.update(&plain);
                deflate(compress, &plain)?
            }
            Self::Zstd(compressor) => compressor.compress(&plain)?,
        };
        Ok(Compressed { bytes, checksum, plain })
    }
}

/// Whole deflate blocks, none of them the last, ending at a byte.
fn deflate(compress: &mut Compress, plain: &[u8]) -> io::Result<Vec<u8>> {
    compress.reset();
    // More than any level makes of it, so that one call is enough and the bytes do not depend on the room.
    let mut bytes = Vec::with_capacity(plain.len() + plain.len() / 4 + 1024);
    let status = compress.compress_vec(plain, &mut bytes, FlushCompress::Sync)?;
    let is_whole = compress.total_in() == plain.len() as u64 && bytes.len() < bytes.capacity();
    if status != Status::Ok || !is_whole || !bytes.ends_with(&[0, 0, 0xff, 0xff]) {
        return Err(io::Error::other("deflate has not compressed a piece in one go"));
    }
    Ok(bytes)
}

/// What is between the pieces.
pub(super) struct Codec {
    encoding: Encoding,
    checksum: Crc,
    is_empty: bool,
}

impl Codec {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, checksum: Crc::new(), is_empty: true }
    }

    /// What stands at the beginning: no name, no time, no system (ST-067).
    pub(super) fn header(&self) -> &'static [u8] {
        match self.encoding {
            Encoding::Gzip(_) => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255],
            Encoding::Plain | Encoding::Zstd(_) => &[],
        }
    }

    /// Writes a piece, in order.
    pub(super) fn take(&mut self, piece: &Compressed, out: &mut impl Write) -> io::Result<()> {
        self.checksum.combine(&piece.checksum);
        self.is_empty = false;
        out.write_all(&piece.bytes)
    }

    /// Writes what stands at the end.
    pub(super) fn finish(&self, out: &mut impl Write) -> io::Result<()> {
        match self.encoding {
            Encoding::Plain => Ok(()),
            Encoding::Gzip(_) => {
                // An empty last block, the checksum, the size modulo 2^32.
                out.write_all(&[3, 0])?;
                out.write_all(&self.checksum.sum().to_le_bytes())?;
                out.write_all(&self.checksum.amount().to_le_bytes())
            }
            Encoding::Zstd(_) if self.is_empty => {
                let nothing = Encoder::new(self.encoding)?.compress(Vec::new())?;
                out.write_all(&nothing.bytes)
            }
            Encoding::Zstd(_) => Ok(()),
        }
    }
}
