//! Reading an archive: its entries one after the other, from a stream that cannot seek, or from a file, of which contents are passed over.
//!
//! This is about the outer tar alone, of which names, kinds, sizes and link targets matter; layers are read by [`layer::scan`].

use std::fs::File;
use std::io::{self, BufReader, Read};

use tar_core::{EntryType, HEADER_SIZE, Header, PaxExtensions};

use crate::ArchiveError;

/// Bytes of a long name, or of the PAX records of one entry (ST-075).
const MAX_EXTENSION: u64 = 1 << 20;
/// Bytes of a name or of a link's target: what Linux takes in one call. All are kept in memory.
const MAX_NAME: usize = 4095;
/// Extensions in front of one entry: a name, a link target, PAX records, and some to spare.
const MAX_EXTENSIONS: usize = 16;

/// An entry's name and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As it stands in the archive.
    pub(crate) name: Vec<u8>,
    /// What it is.
    pub(crate) kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A file, whose contents are read from [`Entries`] next.
    File(u64),
    /// Another name of an entry.
    Hardlink(Vec<u8>),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A directory.
    Directory,
    /// Something that no archive of images needs.
    Other(u8),
}

/// Where entries are read from.
pub(crate) trait Stream: Read {
    /// Passes over bytes, as far as there are any. Says how many there were.
    fn skip(&mut self, count: u64) -> io::Result<u64>;
}

/// A stream that goes forward only: what is passed over is read.
pub(crate) struct Forward<R>(BufReader<R>);

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Stream for Forward<R> {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        io::copy(&mut (&mut self.0).take(count), &mut io::sink())
    }
}

/// A file: what is passed over is not read.
pub(crate) struct Seekable {
    file: BufReader<File>,
    size: u64,
    position: u64,
}

impl Read for Seekable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Stream for Seekable {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let count = count.min(self.size.saturating_sub(self.position));
        self.file.seek_relative(i64::try_from(count).map_err(io::Error::other)?)?;
        self.position += count;
        Ok(count)
    }
}

/// The entries of a tar.
pub(crate) struct Entries<S> {
    stream: S,
    /// The file whose contents are being read, how many of them are left, and how many bytes of padding follow.
    name: Vec<u8>,
    contents: u64,
    padding: u64,
    is_first: bool,
}

/// What stands in front of an entry and changes it (ST-057: PAX wins over GNU, and its size over the header's).
#[derive(Default)]
struct Extensions {
    gnu_name: Option<Vec<u8>>,
    gnu_link: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
    count: usize,
}

impl<R: Read> Entries<Forward<R>> {
    pub(crate) fn new(stream: R) -> Self {
        Self::of(Forward(BufReader::with_capacity(128 << 10, stream)))
    }
}

impl Entries<Seekable> {
    /// The entries of a file that is read from its beginning.
    pub(crate) fn seekable(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        // Between contents there are some headers: not much is read ahead.
        Ok(Self::of(Seekable { file: BufReader::with_capacity(8 << 10, file), size, position: 0 }))
    }

    /// Where the next byte of the current file's contents lies.
    pub(crate) fn position(&self) -> u64 {
        self.stream.position
    }
}

impl<S: Stream> Entries<S> {
    fn of(stream: S) -> Self {
        Self { stream, name: Vec::new(), contents: 0, padding: 0, is_first: true }
    }

    /// The next entry; what was not read of the one before is skipped.
    ///
    /// After the last one the stream is read to its end: a decompressor checks what it gave only there, and whoever
    /// writes into a pipe wants to be heard out.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.skip()?;
        let mut extensions = Extensions::default();
        loop {
            let Some(header) = self.header()? else {
                return self.end(&extensions).map(|()| None);
            };
            let size = header.entry_size().map_err(|error| unreadable(&error))?;
            match header.entry_type() {
                EntryType::XGlobalHeader => drop(self.extension(size)?),
                EntryType::XHeader => extensions.put(2, self.extension(size)?)?,
                EntryType::GnuLongName => extensions.put(0, self.extension(size)?)?,
                EntryType::GnuLongLink => extensions.put(1, self.extension(size)?)?,
                kind => return self.entry(&header, kind, size, extensions).map(Some),
            }
        }
    }

    fn end(&mut self, extensions: &Extensions) -> Result<(), ArchiveError> {
        if extensions.count > 0 {
            return Err(ArchiveError::Damaged("it ends behind the header of an entry".to_owned()));
        }
        self.stream.skip(u64::MAX).map_err(read_error)?;
        Ok(())
    }

    /// The next header; `None` at the end mark, and where the stream ends without one.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut zeros = 0;
        loop {
            let mut block = [0; HEADER_SIZE];
            match self.fill(&mut block)? {
                0 if self.is_first => return Err(ArchiveError::Refused("it is empty".to_owned())),
                0 => return Ok(None),
                HEADER_SIZE => {}
                _ if self.is_first => return Err(not_a_tar()),
                _ => return Err(ArchiveError::Damaged("it ends in the middle of a header".to_owned())),
            }
            let header = *Header::from_bytes(&block);
            if block.iter().all(|byte| *byte == 0) {
                self.is_first = false;
                zeros += 1;
                if zeros == 2 {
                    return Ok(None);
                }
                continue;
            }
            // Some readers end here, others go on: one archive, two contents.
            if zeros > 0 {
                return Err(ArchiveError::Refused(
                    "a single block of zeros is in it and then more, which readers understand differently"
                        .to_owned(),
                ));
            }
            match header.verify_checksum() {
                Err(_) if self.is_first => return Err(not_a_tar()),
                Err(error) => return Err(unreadable(&error)),
                Ok(()) => self.is_first = false,
            }
            return Ok(Some(header));
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        kind: EntryType,
        size: u64,
        extensions: Extensions,
    ) -> Result<Entry, ArchiveError> {
        let mut resolved = Resolved::new(header, size, &extensions);
        if let Some(pax) = &extensions.pax {
            resolved.apply(pax)?;
        }
        let Resolved { name, link, size, is_sparse } = resolved;
        let refused = |reason: &str| {
            let name = base::text::bytes(name.get(..MAX_NAME).unwrap_or(&name));
            Err(ArchiveError::Refused(format!("its entry {name} {reason}")))
        };
        if name.len() > MAX_NAME || link.len() > MAX_NAME {
            return refused("has a name or a target of more than 4095 bytes");
        }
        if is_sparse || kind == EntryType::GnuSparse {
            return refused("is stored as a sparse file, which tools read differently");
        }
        let may_have_contents = matches!(kind, EntryType::Other(_));
        let kind = match kind {
            EntryType::Regular if name.ends_with(b"/") => EntryKind::Directory,
            EntryType::Regular | EntryType::Continuous => EntryKind::File(size),
            EntryType::Link => EntryKind::Hardlink(link),
            EntryType::Symlink => EntryKind::Symlink(link),
            EntryType::Directory => EntryKind::Directory,
            other => EntryKind::Other(other.to_byte()),
        };
        // Some readers skip such contents, others take them for the next header.
        if size > 0 && !may_have_contents && !matches!(kind, EntryKind::File(_)) {
            return refused("is not a file, and has contents");
        }
        self.contents = size;
        self.padding = padding(size);
        self.name.clone_from(&name);
        Ok(Entry { name, kind })
    }

    /// The data of an extension, with its padding.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > MAX_EXTENSION {
            return Err(ArchiveError::Refused(format!("a header in it has {size} bytes")));
        }
        let mut data = vec![0; usize::try_from(size + padding(size)).unwrap_or(usize::MAX)];
        if self.fill(&mut data)? < data.len() {
            return Err(ArchiveError::Damaged("it ends in the middle of a header".to_owned()));
        }
        data.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(data)
    }

    fn skip(&mut self) -> Result<(), ArchiveError> {
        let contents = std::mem::take(&mut self.contents);
        if self.stream.skip(contents).map_err(read_error)? < contents {
            return Err(read_error(self.ends_early()));
        }
        // An archive that ends in the padding of its last entry has lost nothing.
        self.stream.skip(std::mem::take(&mut self.padding)).map_err(read_error)?;
        Ok(())
    }

    fn ends_early(&self) -> io::Error {
        let reason = format!("the archive ends in the middle of {}", base::text::bytes(&self.name));
        io::Error::new(io::ErrorKind::UnexpectedEof, reason)
    }

    /// Fills the buffer as far as the stream goes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        read_full(&mut self.stream, buffer).map_err(read_error)
    }
}

/// The contents of the current file.
impl<S: Stream> Read for Entries<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.contents).unwrap_or(usize::MAX).min(buffer.len());
        let Some(part) = buffer.get_mut(..most).filter(|part| !part.is_empty()) else { return Ok(0) };
        let count = self.stream.read(part)?;
        if count == 0 {
            return Err(self.ends_early());
        }
        self.contents -= count as u64;
        Ok(count)
    }
}

impl Extensions {
    fn put(&mut self, which: usize, data: Vec<u8>) -> Result<(), ArchiveError> {
        let slot = match which {
            0 => &mut self.gnu_name,
            1 => &mut self.gnu_link,
            _ => &mut self.pax,
        };
        self.count += 1;
        if slot.replace(data).is_some() || self.count > MAX_EXTENSIONS {
            return Err(ArchiveError::Refused("an entry in it has the same header twice".to_owned()));
        }
        Ok(())
    }
}

/// An entry's fields, from its header and what changes them.
struct Resolved {
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    is_sparse: bool,
}

impl Resolved {
    fn new(header: &Header, size: u64, extensions: &Extensions) -> Self {
        let mut name = Vec::new();
        if let Some(prefix) = header.prefix().filter(|prefix| !prefix.is_empty()) {
            name.extend_from_slice(prefix);
            name.push(b'/');
        }
        name.extend_from_slice(header.path_bytes());
        let without_end = |name: &Vec<u8>| name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        Self {
            name: extensions.gnu_name.as_ref().map_or(name, without_end),
            link: extensions.gnu_link.as_ref().map_or_else(|| header.link_name_bytes().to_vec(), without_end),
            size,
            is_sparse: false,
        }
    }

    fn apply(&mut self, pax: &[u8]) -> Result<(), ArchiveError> {
        for record in PaxExtensions::new(pax) {
            let record = record.map_err(|error| unreadable(&error))?;
            match record.key_bytes() {
                b"path" => self.name = record.value_bytes().to_vec(),
                b"linkpath" => self.link = record.value_bytes().to_vec(),
                b"size" => {
                    self.size = record
                        .value()
                        .ok()
                        .filter(|value| value.bytes().all(|digit| digit.is_ascii_digit()))
                        .and_then(|value| value.parse().ok())
                        .ok_or_else(|| unreadable(&"a size in it is not a number"))?;
                }
                key if key.starts_with(b"GNU.sparse.") => self.is_sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

fn padding(size: u64) -> u64 {
    (HEADER_SIZE as u64 - size % HEADER_SIZE as u64) % HEADER_SIZE as u64
}

/// Reads until the buffer is full or the stream ends.
pub(crate) fn read_full(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

pub(crate) fn read_error(source: io::Error) -> ArchiveError {
    ArchiveError::Stream { action: "read", source }
}

fn unreadable(error: &dyn std::fmt::Display) -> ArchiveError {
    ArchiveError::Damaged(format!("a header in it cannot be read: {error}"))
}

fn not_a_tar() -> ArchiveError {
    ArchiveError::Refused("it is not a tar".to_owned())
}

#[cfg(test)]
mod tests;
