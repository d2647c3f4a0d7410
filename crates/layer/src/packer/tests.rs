use store::table::Table;

use super::*;
use crate::LayerError;
use crate::scan;

struct Lab {
    _directory: tempfile::TempDir,
    store: Store,
    lease: Lease,
}

fn lab() -> Lab {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path().join("store")).expect("a store");
    let lease = store.lease("test").expect("a lease");
    Lab { _directory: directory, store, lease }
}

fn meta(mode: u32, mtime: i64) -> Meta {
    Meta { mode, uid: 1, gid: 2, mtime, xattrs: vec![(b"user.a".to_vec(), b"b".to_vec())] }
}

fn fill(packer: &mut Packer) -> Result<()> {
    let big = vec![7; 3_000_000];
    packer.directory(b"d", &meta(0o755, 100), true)?;
    packer.file(b"d/big", &meta(0o644, 200), big.len() as u64, &mut &big[..])?;
    packer.file(b"d/empty", &meta(0o4755, -5), 0, &mut std::io::empty())?;
    packer.hardlink(b"d/link", &meta(0o644, 200), b"d/big")?;
    packer.special(b"fifo", &meta(0o600, 0), Special::Fifo)?;
    packer.symlink(b"sym", &meta(0o777, 5_000_000_000), b"d/big")?;
    packer.whiteout(b"x")?;
    packer.special(b"zero", &meta(0o666, 0), Special::CharacterDevice { major: 1, minor: 5 })
}

fn same_entries(left: &Table, right: &Table) {
    assert_eq!(left.len(), right.len());
    for (left, right) in left.entries().zip(right.entries()) {
        assert_eq!(left, right);
    }
}

#[test]
fn the_table_of_a_packer_is_that_of_a_scan() {
    for clamp in [None, Some(150), Some(-100)] {
        let lab = lab();
        let options = PackOptions { clamp };
        let mut packer = Packer::to_store(&lab.store, &lab.lease, options).expect("a packer");
        fill(&mut packer).expect("entries");
        let layer = packer.finish(None).expect("a layer");
        let mut pack = lab.store.blobs().open(&lab.lease, &layer.diff_id().0).expect("the pack");
        let scanned = scan::scan(&mut pack.file, &base::Cancel::new()).expect("a scan");
        assert_eq!((scanned.diff_id, scanned.size), (layer.diff_id(), pack.size));
        assert_eq!(scanned.warnings, Vec::<String>::new());
        // Another store, so that the table is not the first one's.
        let other = self::lab();
        pack = lab.store.blobs().open(&lab.lease, &layer.diff_id().0).expect("the pack");
        std::io::copy(&mut pack.file, &mut CopyTo::new(&other)).expect("copied");
        let again = other.store.layers().add(&other.lease, scanned.table, None).expect("a layer");
        same_entries(layer.table(), again.table());
        assert_eq!(layer.table().content_id(), again.table().content_id());
    }
}

/// Makes a blob of what is written, when it is dropped.
struct CopyTo(Option<store::BlobWriter>);

impl CopyTo {
    fn new(lab: &Lab) -> Self {
        Self(Some(lab.store.blobs().writer(&lab.lease).expect("a writer")))
    }
}

impl std::io::Write for CopyTo {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.as_mut().expect("open").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for CopyTo {
    fn drop(&mut self) {
        self.0.take().expect("open").commit(None).expect("a blob");
    }
}

#[test]
fn hashing_alone_gives_the_same_layer() {
    let lab = lab();
    let mut stored = Packer::to_store(&lab.store, &lab.lease, PackOptions::default()).expect("a packer");
    fill(&mut stored).expect("entries");
    let stored = stored.finish(None).expect("a layer");
    let other = self::lab();
    let mut hashed = Packer::hash_only(&other.store, &other.lease, PackOptions::default()).expect("a packer");
    fill(&mut hashed).expect("entries");
    let tree = other.store.temp_dir("tree").expect("a directory");
    let hashed = hashed.finish(Some(tree)).expect("a layer");
    assert_eq!(stored.diff_id(), hashed.diff_id());
    same_entries(stored.table(), hashed.table());
    assert!(!hashed.has_pack().expect("known"));
}

#[test]
fn contents_are_known_by_their_blake3() {
    let lab = lab();
    let mut packer = Packer::to_store(&lab.store, &lab.lease, PackOptions::default()).expect("a packer");
    let digest = packer.file(b"a", &Meta::default(), 5, &mut &b"hello"[..]).expect("a file");
    assert_eq!(digest.0, *blake3::hash(b"hello").as_bytes());
    let digest = packer.file(b"b", &Meta::default(), 0, &mut std::io::empty()).expect("a file");
    assert_eq!(digest.0, *blake3::hash(b"").as_bytes());
    let result = packer.file(b"a", &Meta::default(), 0, &mut std::io::empty());
    assert!(matches!(result, Err(LayerError::Order { .. })), "{result:?}");
}
