//! Writing a tar: entries in order → the one possible sequence of bytes (ST-050 … ST-057).
//!
//! What is written depends on the entries alone: ustar headers, PAX only where needed, numeric owners, whole
//! seconds, no access or change times. [`crate::Packer`] adds the table and the digests.

pub(crate) mod header;
mod order;
mod output;
#[cfg(test)]
mod tests;

use std::io::{Read, Write};

use crate::packer::{Meta, PackOptions, Special};
use crate::{LayerError, Result};
use header::{BLOCK, Header, padding};
use order::Order;
use output::Output;

/// The beginning of the names that mean removals (image-spec, layer.md).
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// The entry that makes its directory opaque.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";

/// Sees the bytes of a tar as they are written.
pub trait Observer {
    /// Bytes that are not contents.
    fn framing(&mut self, bytes: &[u8]) -> Result<()>;

    /// Contents of a file.
    fn content(&mut self, bytes: &[u8]);
}

/// Nobody looks.
pub struct Unobserved;

impl Observer for Unobserved {
    fn framing(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn content(&mut self, _: &[u8]) {}
}

/// Writes a tar. Entries must come in the order of a table: by path, component by component, each once, parents
/// before what is in them; paths are as in [`store::table::Entry`]. An entry with an empty path is the root, and is named `./`.
///
/// Output is buffered here; `out` sees large pieces.
pub struct TarWriter<W, O = Unobserved> {
    out: Output<W>,
    observer: O,
    order: Order,
    clamp: Option<i64>,
    /// The name of the entry being written, and its header; kept for their capacity.
    name: Vec<u8>,
    header: Vec<u8>,
}

impl<W: Write> TarWriter<W> {
    /// Begins.
    pub fn new(out: W, options: PackOptions) -> Self {
        Self::observed(out, options, Unobserved)
    }

    /// Ends the tar with two blocks of zeros, and gives back what it was written to.
    pub fn finish(self) -> Result<W> {
        Ok(self.into_parts()?.0)
    }
}

impl<W: Write, O: Observer> TarWriter<W, O> {
    /// Begins, and shows all bytes to `observer`.
    pub fn observed(out: W, options: PackOptions, observer: O) -> Self {
        Self {
            out: Output::new(out),
            observer,
            order: Order::default(),
            clamp: options.clamp,
            name: Vec::new(),
            header: Vec::new(),
        }
    }

    /// How many bytes the tar has so far.
    pub fn position(&self) -> u64 {
        self.out.position()
    }

    /// Who looks.
    pub fn observer(&mut self) -> &mut O {
        &mut self.observer
    }

    /// A directory.
    pub fn directory(&mut self, path: &[u8], meta: &Meta, opaque: bool) -> Result<()> {
        self.order.check(path, true)?;
        let flag = b'5';
        self.entry(path, b"/", Header { flag, ..self.header_of(meta) }, meta)?;
        if opaque {
            self.name.clear();
            self.name.extend_from_slice(path);
            if !path.is_empty() {
                self.name.push(b'/');
            }
            self.name.extend_from_slice(OPAQUE);
            self.marker()?;
        }
        Ok(())
    }

    /// A regular file of exactly `size` bytes; fewer or more are an error. Gives the place where its contents begin in the tar.
    pub fn file(&mut self, path: &[u8], meta: &Meta, size: u64, content: &mut dyn Read) -> Result<u64> {
        self.order.check(path, false)?;
        self.entry(path, b"", Header { flag: b'0', size, ..self.header_of(meta) }, meta)?;
        let offset = self.position();
        self.copy(path, size, content)?;
        self.framing(&[0; BLOCK], padding(size))?;
        Ok(offset)
    }

    /// Another name of a file.
    pub fn hardlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> Result<()> {
        self.order.check(path, false)?;
        self.entry(path, b"", Header { flag: b'1', link: target, ..self.header_of(meta) }, meta)
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> Result<()> {
        self.order.check(path, false)?;
        self.entry(path, b"", Header { flag: b'2', link: target, ..self.header_of(meta) }, meta)
    }

    /// A device or a named pipe.
    pub fn special(&mut self, path: &[u8], meta: &Meta, special: Special) -> Result<()> {
        self.order.check(path, false)?;
        let (flag, device) = match special {
            Special::CharacterDevice { major, minor } => (b'3', (major, minor)),
            Special::BlockDevice { major, minor } => (b'4', (major, minor)),
            Special::Fifo => (b'6', (0, 0)),
        };
        if !header::holds_device(device) {
            let reason = "its device number does not fit into a tar";
            return Err(LayerError::Unwritable { path: path.to_vec(), reason });
        }
        self.entry(path, b"", Header { flag, device, ..self.header_of(meta) }, meta)
    }

    /// Removes what lies below: an empty file `.wh.NAME`, of mode and time 0.
    pub fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        self.order.check(path, false)?;
        let slash = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (directory, name) = path.split_at(slash);
        if name.is_empty() {
            return Err(LayerError::Unwritable { path: path.to_vec(), reason: "the root cannot be removed" });
        }
        self.name.clear();
        for part in [directory, WHITEOUT, name] {
            self.name.extend_from_slice(part);
        }
        self.marker()
    }

    /// Ends the tar with two blocks of zeros, and gives back what it was written to, and who looked.
    pub fn into_parts(mut self) -> Result<(W, O)> {
        self.framing(&[0; 2 * BLOCK], 2 * BLOCK)?;
        Ok((self.out.finish()?, self.observer))
    }

    fn header_of(&self, meta: &Meta) -> Header<'static> {
        Header {
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime: self.clamped(meta.mtime),
            ..Header::default()
        }
    }

    /// A time, as it is written.
    pub(crate) fn clamped(&self, mtime: i64) -> i64 {
        self.clamp.map_or(mtime, |clamp| mtime.min(clamp))
    }

    fn entry(&mut self, path: &[u8], suffix: &[u8], header: Header<'_>, meta: &Meta) -> Result<()> {
        let xattrs = kept_xattrs(&meta.xattrs);
        if xattrs.iter().any(|(name, _)| name.contains(&b'=')) {
            let reason = "the name of one of its extended attributes holds a `=`";
            return Err(LayerError::Unwritable { path: path.to_vec(), reason });
        }
        self.name.clear();
        self.name.extend_from_slice(if path.is_empty() { b"." } else { path });
        self.name.extend_from_slice(suffix);
        self.write_header(Header { xattrs: &xattrs, ..header })
    }

    /// An empty file of mode and time 0, under the name that is prepared.
    fn marker(&mut self) -> Result<()> {
        self.write_header(Header { flag: b'0', ..Header::default() })
    }

    fn write_header(&mut self, header: Header<'_>) -> Result<()> {
        self.header.clear();
        Header { name: &self.name, ..header }.encode(&mut self.header);
        self.observer.framing(&self.header)?;
        self.out.write(&self.header)
    }

    fn framing(&mut self, bytes: &[u8], count: usize) -> Result<()> {
        let bytes = bytes.get(..count).unwrap_or(bytes);
        self.observer.framing(bytes)?;
        self.out.write(bytes)
    }

    /// Copies contents, straight from the reader into the output's buffer.
    fn copy(&mut self, path: &[u8], size: u64, content: &mut dyn Read) -> Result<()> {
        let mut remaining = size;
        loop {
            // One byte more than there should be: nothing must come behind the end.
            let space = self.out.space(remaining.saturating_add(1))?;
            let count = match content.read(space) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(LayerError::Stream {
                        action: "read",
                        what: base::text::bytes(path).into_owned(),
                        source,
                    });
                }
            };
            if count == 0 && remaining == 0 {
                return Ok(());
            }
            let read = space.get(..count).unwrap_or_default();
            if count == 0 || count as u64 > remaining {
                return Err(LayerError::Changed { path: path.to_vec(), size });
            }
            self.observer.content(read);
            self.out.advance(count)?;
            remaining -= count as u64;
        }
    }
}

/// The extended attributes that a layer holds, in order of their names: capabilities and the user's own, nothing of a filesystem's or a host's (ST-052).
pub(crate) fn kept_xattrs(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Vec<(&[u8], &[u8])> {
    let mut kept: Vec<_> = xattrs
        .iter()
        .filter(|(name, _)| keeps_xattr(name))
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
        .collect();
    kept.sort_unstable();
    kept.dedup_by(|later, earlier| later.0 == earlier.0);
    kept
}

/// Whether a layer holds an extended attribute of this name (ST-052).
pub(crate) fn keeps_xattr(name: &[u8]) -> bool {
    name == b"security.capability" || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
}
