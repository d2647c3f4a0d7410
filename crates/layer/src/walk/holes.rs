//! Reading a sparse file: its holes are found, not read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// The contents of a file, holes as zeros.
pub(crate) struct HoleReader {
    file: File,
    position: u64,
    size: u64,
    /// The piece of data at or after the position.
    data: std::ops::Range<u64>,
}

impl HoleReader {
    /// Reads a file from its beginning to the size that it has now.
    pub fn new(file: File, size: u64) -> Self {
        Self { file, position: 0, size, data: 0..0 }
    }

    fn find_data(&mut self) -> std::io::Result<()> {
        let start = match rustix::fs::seek(&self.file, SeekFrom::Data(self.position)) {
            Ok(start) => start,
            // No more data: the rest is a hole.
            Err(Errno::NXIO) => self.size,
            // A filesystem that knows nothing of holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                self.data = self.position..self.size;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let end = match rustix::fs::seek(&self.file, SeekFrom::Hole(start)) {
            Ok(end) => end,
            Err(Errno::NXIO) => self.size,
            Err(error) => return Err(error.into()),
        };
        self.data = start.min(self.size)..end.min(self.size);
        Ok(())
    }
}

impl Read for HoleReader {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if self.position >= self.size || bytes.is_empty() {
            return Ok(0);
        }
        if self.position >= self.data.end {
            self.find_data()?;
        }
        let hole = self.position < self.data.start;
        let end = if hole { self.data.start } else { self.data.end };
        let count = bytes.len().min(usize::try_from(end - self.position).unwrap_or(usize::MAX));
        let wanted = bytes.get_mut(..count).unwrap_or_default();
        let count = if hole {
            wanted.fill(0);
            count
        } else {
            self.file.read_at(wanted, self.position)?
        };
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_056_holes_are_zeros() {
        let file = tempfile::tempfile().expect("a file");
        let mut expected = vec![0; 3 << 20];
        for (place, piece) in [(0, b"begin".as_slice()), (1 << 20, b"middle"), ((3 << 20) - 3, b"end")] {
            file.write_all_at(piece, place as u64).expect("written");
            expected[place..place + piece.len()].copy_from_slice(piece);
        }
        for size in [3 << 20, (3 << 20) + 70_000, 10, 0] {
            file.set_len(size as u64).expect("resized");
            expected.resize(size, 0);
            let mut found = Vec::new();
            HoleReader::new(file.try_clone().expect("a clone"), size as u64)
                .read_to_end(&mut found)
                .expect("read");
            assert!(found == expected, "{size}");
        }
    }
}
