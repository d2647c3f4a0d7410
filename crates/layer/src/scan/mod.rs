//! Reading a tar: any tar → its table, in one pass (ST-050 … ST-058).
//!
//! ```text
//! input    bytes: counted, hashed, handed on as framing or contents
//! header   a block            pax, sparse   what extends it
//! archive  entries            name          what their names mean
//! tree     what all entries together make of a layer → the table
//! ```
//!
//! An archive can hold contents that do not count, since a later entry takes the place of theirs. That is known too late to put
//! them into the framing: such an archive (a rare thing) is read a second time.

mod archive;
mod header;
mod input;
mod name;
mod pax;
mod sparse;
#[cfg(test)]
mod tests;
mod tree;
mod warnings;

use std::io::Read;

use base::Cancel;
use image::DiffId;
use store::table::{ContentDigest, NewTable, TableBuilder};

use crate::digest_reader::DigestReader;
use crate::limits::MAX_HOLES;
use crate::packer::Meta;
use crate::{LayerError, Result};
use archive::{Archive, Member, MemberKind};
use header::Block;
pub(crate) use input::Collector;
use input::Input;
use name::Name;
use tree::{Contents, File, Tree};

/// What a tar turned out to be.
pub struct Scanned {
    /// The digest of the whole stream, bytes behind the end mark included.
    pub diff_id: DiffId,
    /// How many bytes it has.
    pub size: u64,
    /// Its table.
    pub table: NewTable,
    /// What was left out or deserves a word (entries of unknown types …), a line each.
    pub warnings: Vec<String>,
}

/// Reads a plain tar to the end of the stream. Every name is checked here (ST-070 … ST-075): what comes out of a scan can be applied.
///
/// An archive in which a later entry replaces a file must be read twice, and is refused here;
/// [`crate::ingest`] takes it.
pub fn scan(tar: &mut dyn Read, cancel: &Cancel) -> Result<Scanned> {
    let mut tar = DigestReader::new(tar);
    let pass = FirstPass::read(&mut tar, Holds::Layer, cancel)?;
    match pass.finish(DiffId(tar.finish()))? {
        Scan::Whole(scanned) => Ok(scanned),
        Scan::Again(_) => Err(LayerError::Entry {
            entry: Vec::new(),
            reason: "later entries replace files, and this stream cannot be read a second time".to_owned(),
        }),
    }
}

/// A tar that was read once.
pub(crate) struct FirstPass(Pass<TableBuilder>);

/// What the first reading gives.
pub(crate) enum Scan {
    /// All that there is.
    Whole(Scanned),
    /// The tar must be read again.
    Again(SecondPass),
}

/// A tar that must be read again: which bytes are contents is known now.
pub(crate) struct SecondPass {
    tree: Tree,
    contents: Vec<(u64, u64)>,
    diff_id: DiffId,
    warnings: Vec<String>,
}

/// What an archive is to those who read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// A layer: names that begin with `.wh.` are removals.
    Layer,
    /// Files: such names are refused, since the files would be removals in the layer that they come into.
    Files,
}

impl FirstPass {
    /// Reads a tar to the end of the stream. Its digest is computed by whoever gives it.
    pub(crate) fn read(tar: &mut dyn Read, holds: Holds, cancel: &Cancel) -> Result<Self> {
        Ok(Self(read(tar, TableBuilder::new()?, holds, cancel)?))
    }

    /// The table, if one pass was enough.
    pub(crate) fn finish(self, diff_id: DiffId) -> Result<Scan> {
        let Pass { tree, collector: mut builder, size, warnings } = self.0;
        let (contents, others) = tree.contents();
        if others {
            return Ok(Scan::Again(SecondPass { tree, contents, diff_id, warnings }));
        }
        tree.emit(&mut builder);
        Ok(Scan::Whole(Scanned { diff_id, size, table: builder.finish(diff_id, size)?, warnings }))
    }
}

impl SecondPass {
    /// Reads the same tar again.
    pub(crate) fn read(self, tar: &mut dyn Read, cancel: &Cancel) -> Result<Scanned> {
        let mut tar = DigestReader::new(tar);
        let (mut builder, size) = read_framing(&mut tar, &self.contents, TableBuilder::new()?, cancel)?;
        let found = DiffId(tar.finish());
        if found != self.diff_id {
            return Err(LayerError::Mismatch { expected: Box::new(self.diff_id), found: Box::new(found) });
        }
        self.tree.emit(&mut builder);
        let table = builder.finish(found, size)?;
        Ok(Scanned { diff_id: found, size, table, warnings: self.warnings })
    }
}

/// What one pass gives.
struct Pass<C> {
    tree: Tree,
    collector: C,
    size: u64,
    warnings: Vec<String>,
}

fn read<C: Collector>(tar: &mut dyn Read, collector: C, holds: Holds, cancel: &Cancel) -> Result<Pass<C>> {
    let archive = Archive::new(tar, collector, cancel);
    let mut reading = Reading { archive, holds, tree: Tree::default(), holes: 0 };
    while let Some(member) = reading.archive.next()? {
        reading.member(member)?;
    }
    let Reading { mut archive, tree, .. } = reading;
    archive.input.rest()?;
    let (collector, size) = archive.input.finish();
    Ok(Pass { tree, collector, size, warnings: archive.warnings.finish() })
}

/// Reads a tar of files to the end of the stream; what all entries together make is given to the collector then, in the order of a table. Gives what deserves a
/// word.
pub(crate) fn read_files<C: Collector>(
    tar: &mut dyn Read,
    collector: C,
    cancel: &Cancel,
) -> Result<(C, Vec<String>)> {
    let Pass { tree, mut collector, warnings, .. } = read(tar, collector, Holds::Files, cancel)?;
    tree.emit(&mut collector);
    Ok((collector, warnings))
}

/// Whether something begins with the header of an entry: its checksum is right.
pub(crate) fn begins_with_header(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|block| block.iter().any(|byte| *byte != 0) && Block::new(block).is_ok())
}

/// Gives all but some contents to the framing.
fn read_framing<C: Collector>(
    tar: &mut dyn Read,
    contents: &[(u64, u64)],
    collector: C,
    cancel: &Cancel,
) -> Result<(C, u64)> {
    let mut input = Input::new(tar, collector, cancel);
    for (offset, length) in contents {
        input.until(*offset)?;
        input.content(0, *length, &mut |_| {})?;
    }
    input.rest()?;
    Ok(input.finish())
}

/// One pass on its way.
struct Reading<'a, C> {
    archive: Archive<'a, C>,
    holds: Holds,
    tree: Tree,
    /// How many bytes of holes there were.
    holes: u64,
}

impl<C: Collector> Reading<'_, C> {
    /// Takes an entry and its data.
    fn member(&mut self, member: Member) -> Result<()> {
        let name = name::interpret(&member.name).map_err(|reason| self.refuse(reason))?;
        if self.holds == Holds::Files && !matches!(name, Name::Entry(_)) {
            return Err(self.refuse("names that begin with .wh. mean removals in a layer"));
        }
        self.apply(|tree| tree.keep(member.size_in_memory()))?;
        match (name, member.kind) {
            (Name::Opaque(_) | Name::Whiteout(_), MemberKind::Directory) => {
                Err(self.refuse("it is a removal (.wh.), and a directory"))
            }
            (Name::Opaque(directory), _) => {
                self.apply(|tree| tree.opaque(&directory))?;
                self.archive.input.skip(member.stored)
            }
            (Name::Whiteout(path), _) => {
                self.apply(|tree| tree.whiteout(&path))?;
                self.archive.input.skip(member.stored)
            }
            (_, MemberKind::Other(flag)) => {
                let name = base::text::bytes(&member.name);
                let flag = base::text::bytes(&[flag]).into_owned();
                self.archive.warnings.add(format!("{name} is left out: it is of the unknown type {flag}"));
                self.archive.input.skip(member.stored)
            }
            (name, MemberKind::File { size, pieces }) => {
                let contents = self.contents(size, pieces, member.stored)?;
                let file = File::new(member.meta, contents);
                match name {
                    Name::Aufs(path) => self.apply(|tree| tree.aufs_file(path, file)),
                    Name::Entry(path) | Name::Whiteout(path) | Name::Opaque(path) => {
                        self.apply(|tree| tree.file(&path, file))
                    }
                }
            }
            (Name::Aufs(_), _) => self.archive.input.skip(member.stored),
            (Name::Entry(path), kind) => {
                self.entry(&path, kind, member.meta)?;
                self.archive.input.skip(member.stored)
            }
        }
    }

    /// Takes an entry without contents.
    fn entry(&mut self, path: &[u8], kind: MemberKind, meta: Meta) -> Result<()> {
        match kind {
            MemberKind::Directory => self.apply(|tree| tree.directory(path, meta)),
            MemberKind::Symlink(target) => self.apply(|tree| tree.symlink(path, meta, target)),
            MemberKind::Special(special) => self.apply(|tree| tree.special(path, meta, special)),
            MemberKind::Hardlink(target) => {
                let target = name::interpret(&target).map_err(|reason| {
                    self.refuse(format!("the target of its hardlink is refused: {reason}"))
                })?;
                match target {
                    Name::Entry(target) => self.apply(|tree| tree.hardlink(path, meta, &target)),
                    Name::Aufs(target) => self.apply(|tree| tree.aufs_hardlink(path, meta, &target)),
                    Name::Whiteout(_) | Name::Opaque(_) => {
                        Err(self.refuse("it is a hardlink to a removal (.wh.)"))
                    }
                }
            }
            // These were taken before.
            MemberKind::File { .. } | MemberKind::Other(_) => Ok(()),
        }
    }

    fn apply(&mut self, change: impl FnOnce(&mut Tree) -> Result<(), &'static str>) -> Result<()> {
        change(&mut self.tree).map_err(|reason| self.refuse(reason))
    }

    fn refuse(&self, reason: impl Into<String>) -> LayerError {
        self.archive.input.refuse(reason)
    }

    /// Takes the contents of a file; its holes are hashed as zeros.
    fn contents(&mut self, size: u64, pieces: Option<Vec<(u64, u64)>>, stored: u64) -> Result<Contents> {
        self.holes = self.holes.saturating_add(size.saturating_sub(stored));
        if self.holes > MAX_HOLES {
            return Err(LayerError::TooLarge {
                what: "the sum of the holes in sparse files".to_owned(),
                limit: MAX_HOLES,
            });
        }
        let input = &mut self.archive.input;
        let offset = input.position();
        input.collector.file(offset, size)?;
        let mut hasher = blake3::Hasher::new();
        match &pieces {
            None => input.content(0, stored, &mut |bytes| {
                hasher.update(bytes);
            })?,
            Some(pieces) => {
                let mut at = 0;
                for (place, length) in pieces {
                    input.zeros(place - at, &mut hasher)?;
                    input.content(*place, *length, &mut |bytes| {
                        hasher.update(bytes);
                    })?;
                    at = place + length;
                }
                input.zeros(size - at, &mut hasher)?;
            }
        }
        input.padding(stored)?;
        let digest = ContentDigest(*hasher.finalize().as_bytes());
        Ok(Contents { size, digest, offset, stored, pieces })
    }
}
