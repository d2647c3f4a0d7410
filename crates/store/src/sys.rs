//! The two calls that no safe interface exists for.
#![expect(unsafe_code, reason = "memory maps of files, and sync_file_range, which rustix does not have")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use memmap2::Mmap;

/// Maps a file of the store that never changes.
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: only tables are mapped. They are written beside their place, renamed to it, and never changed or truncated
    // afterwards; removing one only unlinks it, and the map keeps the inode. The store belongs to one user (its root
    // has mode 0700), so nobody else can reach the file.
    unsafe { Mmap::map(file) }
}

/// Asks the kernel to begin writing a part of a file to the disk, without waiting. It is an optimisation: what it
/// answers does not matter, the sync at the end says whether all is well.
pub(crate) fn begin_writeback(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else { return };
    // SAFETY: takes numbers only; the descriptor is open while `file` is borrowed.
    unsafe {
        libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE);
    }
}
