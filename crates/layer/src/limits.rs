//! Limits on what comes from outside, each with its reason.

/// Entries in one layer: the largest public images have some 500,000; a table of ten million takes about 2 GB of memory.
pub const MAX_ENTRIES: u64 = 10_000_000;
/// Bytes of one layer's tar: far above any image, far below what a bomb can claim.
pub const MAX_TAR_SIZE: u64 = 2 << 40;
/// Bytes of a path: what Linux takes in one call.
pub const MAX_PATH: usize = 4095;
/// Components of a path (ST-075).
pub const MAX_DEPTH: usize = 2047;
/// Bytes of one component.
pub const MAX_NAME: usize = 255;
/// Bytes of the PAX records of one entry (ST-075).
pub const MAX_PAX: u64 = 1 << 20;
/// Bytes of all extended attributes of one entry: what ext4 takes.
pub const MAX_XATTRS: usize = 64 << 10;
/// Bytes of all names, targets, attributes and maps of pieces of one layer, implied directories included: they are kept in memory while a layer is read.
/// Those of the largest public images take some 50 MB; a bomb makes one of 4 MB out of an entry of 5 KB.
pub const MAX_NAMES: u64 = 512 << 20;
/// What is looked at while parents are resolved: bytes of names, the beginning of a name once for each of its components, and 512 for each of these: some
/// ten seconds. Three million names in directories of their own, eight levels down, come through; a bomb has names that lead through forty links to names of 4095 bytes, or of a thousand
/// components.
pub const MAX_LOOKUPS: u64 = 16 << 30;
/// The largest zstd window (ST-075): `--long=27`.
pub const MAX_ZSTD_WINDOW_LOG: u32 = 27;
/// Stored pieces of one sparse file: a map of this many takes 16 MB of memory.
pub const MAX_PIECES: u64 = 1 << 20;
/// Bytes of all holes of one layer's sparse files: they take no room in the archive, but their zeros are hashed (some minutes for these).
pub const MAX_HOLES: u64 = 512 << 30;
/// Memory of an xz decoder: twice what `xz -9` asks for.
pub const MAX_XZ_MEMORY: u32 = 128 << 20;
