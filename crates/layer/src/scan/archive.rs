//! A tar, entry by entry: headers of every dialect, with what extends them (ST-056, ST-057).

use std::io::Read;

use base::Cancel;

use super::header::{Block, sparse_extension};
use super::input::{Collector, Input};
use super::pax::{Extensions, gives_sizes, has_meaning};
use super::sparse;
use super::warnings::Warnings;
use crate::limits::{MAX_ENTRIES, MAX_PATH, MAX_PAX, MAX_XATTRS};
use crate::packer::{Meta, Special};
use crate::tar_writer::{header::BLOCK, keeps_xattr};
use crate::{LayerError, Result};

/// One entry of an archive; its data is the next in the stream.
pub(super) struct Member {
    /// The name as it stands there.
    pub name: Vec<u8>,
    pub kind: MemberKind,
    pub meta: Meta,
    /// How many bytes of data are stored.
    pub stored: u64,
}

impl Member {
    /// What its attributes and its map of pieces take.
    pub(super) fn size_in_memory(&self) -> usize {
        let xattrs: usize = self.meta.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        match &self.kind {
            MemberKind::File { pieces: Some(pieces), .. } => xattrs + std::mem::size_of_val(&pieces[..]),
            _ => xattrs,
        }
    }
}

/// What an entry is.
pub(super) enum MemberKind {
    /// A regular file: its size, and its pieces when it is sparse.
    File {
        size: u64,
        pieces: Option<Vec<(u64, u64)>>,
    },
    Hardlink(Vec<u8>),
    Symlink(Vec<u8>),
    Directory,
    Special(Special),
    /// Something that a layer does not hold.
    Other(u8),
}

/// The headers before an entry.
#[derive(Default)]
struct Before {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Option<Extensions>,
}

/// Reads an archive.
pub(super) struct Archive<'a, C> {
    pub(super) input: Input<'a, C>,
    pub(super) warnings: Warnings,
    count: u64,
}

impl<'a, C: Collector> Archive<'a, C> {
    pub(super) fn new(stream: &'a mut dyn Read, collector: C, cancel: &'a Cancel) -> Self {
        Self { input: Input::new(stream, collector, cancel), warnings: Warnings::default(), count: 0 }
    }

    /// The next entry; its data must be taken before the one after it is asked for. `None` at the end mark, or at the end of the stream.
    pub(super) fn next(&mut self) -> Result<Option<Member>> {
        let mut before = Before::default();
        loop {
            let Some(bytes) = self.header_block()? else {
                return if before.is_empty() {
                    Ok(None)
                } else {
                    Err(self.input.refuse("nothing follows it"))
                };
            };
            let block = Block::new(&bytes).map_err(|reason| self.behind(reason))?;
            let size = block.size().map_err(|reason| self.input.refuse(reason))?;
            match block.flag() {
                b'x' | b'X' => {
                    let records = self.extension(&block, size)?;
                    let records = Extensions::parse(&records).map_err(|reason| self.input.refuse(reason))?;
                    self.once(&mut before.pax, records)?;
                }
                b'g' => {
                    let records = self.extension(&block, size)?;
                    if gives_sizes(&records) {
                        return Err(self.input.refuse(
                            "it is a global header with sizes, which some readers apply and others do not",
                        ));
                    }
                    if has_meaning(&records) {
                        self.warnings
                            .add("a global header is left out, as all readers of layers do".to_owned());
                    }
                }
                b'L' => {
                    let name = self.extension(&block, size)?;
                    self.once(&mut before.long_name, without_nul(name))?;
                }
                b'K' => {
                    let link = self.extension(&block, size)?;
                    self.once(&mut before.long_link, without_nul(link))?;
                }
                _ => return self.member(&block, size, before).map(Some),
            }
        }
    }

    /// The next block that is a header; `None` at the end.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let Some(block) = self.input.block()? else { return Ok(None) };
        if block != [0; BLOCK] {
            return Ok(Some(block));
        }
        match self.input.block()? {
            None => Ok(None),
            Some(second) if second == [0; BLOCK] => Ok(None),
            // Some readers end here, others go on: one archive, two contents.
            Some(_) => Err(self.behind("it is followed by a single block of zeros and then more, which readers understand differently")),
        }
    }

    /// An error about a place where no entry is known yet.
    fn behind(&self, reason: &str) -> LayerError {
        let at = self.input.position() - BLOCK as u64;
        if at == 0 {
            return self.input.refuse("the stream is not a tar archive");
        }
        self.input.refuse(format!("behind it, at byte {at}: {reason}"))
    }

    /// The data of a header that extends the next.
    fn extension(&mut self, block: &Block<'_>, size: u64) -> Result<Vec<u8>> {
        self.input.entry = block.name();
        self.input.metadata(size, MAX_PAX)
    }

    fn once<T>(&self, place: &mut Option<T>, value: T) -> Result<()> {
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(self.input.refuse("two headers of one kind come before one entry")),
        }
    }

    fn member(&mut self, block: &Block<'_>, size: u64, before: Before) -> Result<Member> {
        self.count += 1;
        if self.count > MAX_ENTRIES {
            return Err(LayerError::TooLarge {
                what: "the number of entries".to_owned(),
                limit: MAX_ENTRIES,
            });
        }
        let mut pax = before.pax.unwrap_or_default();
        let name = pax.sparse.name.take().or(pax.path.take()).or(before.long_name);
        let name = name.unwrap_or_else(|| block.name());
        // Longer ones are refused, and need not be repeated whole.
        self.input.entry = name.get(..MAX_PATH).unwrap_or(&name).to_vec();
        let link = pax.link.take().or(before.long_link).unwrap_or_else(|| block.link().to_vec());
        let size = pax.size.unwrap_or(size);
        let meta = self.meta(block, &mut pax)?;
        let (kind, stored) = self.kind(block, &name, link, size, pax)?;
        Ok(Member { name, kind, meta, stored })
    }

    fn meta(&mut self, block: &Block<'_>, pax: &mut Extensions) -> Result<Meta> {
        let refuse = |reason: &'static str| self.input.refuse(reason);
        let identity = |from_pax: Option<i128>, from_header: Result<i128, &'static str>, wrong| {
            let number = from_pax.map_or(from_header, Ok).map_err(refuse)?;
            // The last number says "unchanged" to the kernel: such a file would become root's.
            u32::try_from(number).ok().filter(|number| *number != u32::MAX).ok_or_else(|| refuse(wrong))
        };
        let uid = identity(pax.uid, block.uid(), "its owner is not a number from 0 to 4294967294")?;
        let gid = identity(pax.gid, block.gid(), "its group is not a number from 0 to 4294967294")?;
        let mtime = pax.mtime.map_or_else(|| block.mtime(), Ok).map_err(refuse)?;
        let mode = block.mode().map_err(refuse)?;
        let xattrs: Vec<_> = std::mem::take(&mut pax.xattrs).into_iter().collect();
        if xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_XATTRS {
            return Err(refuse("its extended attributes have more than 64 KiB"));
        }
        let (kept, dropped): (Vec<_>, Vec<_>) = xattrs.into_iter().partition(|(name, _)| keeps_xattr(name));
        if kept.iter().any(|(name, _)| name.contains(&0) || name.len() > 255) {
            return Err(refuse("the name of one of its extended attributes is not valid"));
        }
        for (name, _) in dropped {
            let name = base::text::bytes(&name);
            self.warnings
                .add(format!("extended attributes named {name} are left out: they belong to a host"));
        }
        Ok(Meta { mode, uid, gid, mtime, xattrs: kept })
    }

    fn kind(
        &mut self,
        block: &Block<'_>,
        name: &[u8],
        link: Vec<u8>,
        size: u64,
        pax: Extensions,
    ) -> Result<(MemberKind, u64)> {
        let kind = match block.flag() {
            // Old archives have no type for directories.
            b'0' | 0 | b'7' if name.ends_with(b"/") => return Ok((MemberKind::Directory, size)),
            b'0' | 0 | b'7' => return self.pax_file(size, pax),
            b'S' => return self.old_sparse_file(block, size, pax),
            b'1' => return Ok((MemberKind::Hardlink(link), 0)),
            // A directory of an incremental backup: its data are names.
            b'D' => return Ok((MemberKind::Directory, size)),
            b'2' => MemberKind::Symlink(link),
            b'3' | b'4' => {
                let (major, minor) = block.device().map_err(|reason| self.input.refuse(reason))?;
                MemberKind::Special(match block.flag() {
                    b'3' => Special::CharacterDevice { major, minor },
                    _ => Special::BlockDevice { major, minor },
                })
            }
            b'5' => MemberKind::Directory,
            b'6' => MemberKind::Special(Special::Fifo),
            flag => return Ok((MemberKind::Other(flag), size)),
        };
        if size > 0 {
            // Some readers pass over data there, others take it for the next header.
            return Err(self.input.refuse("it is of a kind that has no data, and claims to have some"));
        }
        Ok((kind, 0))
    }

    /// A regular file, sparse if its records say so.
    fn pax_file(&mut self, size: u64, pax: Extensions) -> Result<(MemberKind, u64)> {
        let is_1_0 = match (pax.sparse.major, pax.sparse.minor) {
            (None, None) | (Some(0), Some(0 | 1)) => false,
            (Some(1), Some(0)) => true,
            _ => return Err(self.input.refuse("it is a sparse file of an unknown version")),
        };
        let (map, stored) = match pax.sparse.map {
            _ if is_1_0 => {
                let (map, used) = sparse::map_in_data(&mut self.input, size)?;
                (map, size - used)
            }
            Some(map) => (map, size),
            None => return Ok((MemberKind::File { size, pieces: None }, size)),
        };
        let size = pax.sparse.size.ok_or_else(|| self.input.refuse("it is a sparse file without a size"))?;
        self.sparse_file(size, map, stored)
    }

    fn old_sparse_file(
        &mut self,
        block: &Block<'_>,
        stored: u64,
        pax: Extensions,
    ) -> Result<(MemberKind, u64)> {
        let (mut map, mut more, size) = block.sparse().map_err(|reason| self.input.refuse(reason))?;
        while more {
            let bytes = self.input.block()?.ok_or_else(|| self.input.refuse("the archive ends within it"))?;
            let pieces;
            (pieces, more) = sparse_extension(&bytes).map_err(|reason| self.input.refuse(reason))?;
            map.extend(pieces);
            sparse::check_count(&self.input, map.len() as u64)?;
        }
        self.sparse_file(pax.sparse.size.unwrap_or(size), map, stored)
    }

    fn sparse_file(&self, size: u64, map: Vec<(u64, u64)>, stored: u64) -> Result<(MemberKind, u64)> {
        let pieces = sparse::normal(size, map, stored).map_err(|reason| self.input.refuse(reason))?;
        Ok((MemberKind::File { size, pieces }, stored))
    }
}

impl Before {
    fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.long_link.is_none() && self.pax.is_none()
    }
}

/// Names in GNU's headers end with a NUL.
fn without_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|byte| *byte == 0) {
        name.truncate(end);
    }
    name
}
