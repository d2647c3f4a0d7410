use std::io::Write as _;

use store::table::EntryKind;

use super::*;
use crate::packer::{Meta, PackOptions};
use crate::tar_writer::TarWriter;

struct Lab {
    directory: tempfile::TempDir,
    store: Store,
    lease: Lease,
}

fn lab() -> Lab {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path().join("store")).expect("a store");
    let lease = store.lease("test").expect("a lease");
    Lab { directory, store, lease }
}

impl Lab {
    fn ingest(&self, stream: &[u8], expected: Expected) -> Result<Ingested> {
        ingest(&self.store, &self.lease, &mut &*stream, expected, &Cancel::new())
    }

    /// Names of all files below `blobs`, `layers` and `tmp`.
    fn leftovers(&self) -> Vec<String> {
        let root = self.directory.path().join("store");
        let mut found = Vec::new();
        for place in ["blobs/sha256", "blobs/sha512", "layers"] {
            for entry in std::fs::read_dir(root.join(place)).into_iter().flatten() {
                found.push(format!("{place}/{}", entry.expect("an entry").file_name().to_string_lossy()));
            }
        }
        found
    }
}

fn tar() -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new(), PackOptions::default());
    let content: Vec<u8> = (0..800_000u32).map(|number| (number % 1009) as u8).collect();
    tar.directory(b"d", &Meta::default(), false).expect("a directory");
    tar.file(b"d/big", &Meta::default(), content.len() as u64, &mut &content[..]).expect("a file");
    tar.file(b"d/small", &Meta::default(), 5, &mut &b"hello"[..]).expect("a file");
    tar.finish().expect("a tar")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

fn sha512(bytes: &[u8]) -> Digest {
    let mut digester = Digester::new(Algorithm::Sha512);
    digester.update(bytes);
    digester.finish()
}

fn all_expected(stream: &[u8], tar: &[u8]) -> Expected {
    Expected {
        blob: Some((Digest::sha256(stream), stream.len() as u64)),
        diff_id: Some(DiffId(Digest::sha256(tar))),
    }
}

#[test]
fn st_065_streams_become_layers_and_blobs_as_they_came() {
    let tar = tar();
    let diff_id = DiffId(Digest::sha256(&tar));
    let two = [gzip(&tar[..1000]), gzip(&tar[1000..])].concat();
    let zstd = zstd::encode_all(&tar[..], 3).expect("compressed");
    let sha256 = |stream: &[u8]| Digest::sha256(stream);
    let cases = [
        (tar.clone(), MediaType::OCI_LAYER, sha256(&tar)),
        (gzip(&tar), MediaType::OCI_LAYER_GZIP, sha256(&gzip(&tar))),
        (two.clone(), MediaType::OCI_LAYER_GZIP, sha256(&two)),
        (zstd.clone(), MediaType::OCI_LAYER_ZSTD, sha256(&zstd)),
        (bzip2(&tar), MediaType::OCI_LAYER, sha256(&tar)),
    ];
    for (stream, media_type, digest) in cases {
        for expected in [Expected::default(), all_expected(&stream, &tar)] {
            let lab = lab();
            let ingested = lab.ingest(&stream, expected).expect("a layer");
            assert_eq!(ingested.layer.diff_id(), diff_id);
            assert_eq!((&ingested.blob.media_type, ingested.blob.digest), (&media_type, digest));
            assert_eq!(lab.store.blobs().size(&digest).expect("known"), Some(ingested.blob.size));
            assert_eq!(ingested.layer.has_pack().expect("known"), media_type == MediaType::OCI_LAYER);
            let table = ingested.layer.table();
            assert_eq!((table.len(), table.tar_size()), (4, tar.len() as u64));
            let again = ingest_blob(&lab.store, &lab.lease, &digest, Some(diff_id), &Cancel::new());
            assert_eq!(again.expect("a layer").blob.digest, digest);
        }
    }
}

#[test]
fn other_digests_of_streams() {
    let tar = tar();
    for stream in [tar.clone(), gzip(&tar), bzip2(&tar)] {
        let lab = lab();
        let digest = sha512(&stream);
        let expected = Expected { blob: Some((digest, stream.len() as u64)), diff_id: None };
        let ingested = lab.ingest(&stream, expected).expect("a layer");
        assert_eq!(ingested.layer.diff_id().0, Digest::sha256(&tar));
        let wrong = Expected { blob: Some((sha512(b""), stream.len() as u64)), diff_id: None };
        assert!(self::lab().ingest(&stream, wrong).is_err());
    }
}

#[test]
fn st_010_nothing_stays_when_something_is_wrong() {
    let tar = tar();
    let stream = gzip(&tar);
    let good = all_expected(&stream, &tar);
    let other = Digest::sha256(b"other");
    let size = stream.len() as u64;
    let mut damaged = stream.clone();
    damaged[size as usize / 2] ^= 1;
    let cases = [
        (&stream[..], Expected { blob: Some((other, size)), ..good }, "damaged"),
        (&stream[..], Expected { blob: Some((Digest::sha256(&stream), size - 1)), ..good }, "more"),
        (&stream[..], Expected { blob: Some((Digest::sha256(&stream), size + 1)), ..good }, "bytes, found"),
        (&stream[..], Expected { diff_id: Some(DiffId(other)), ..good }, "should have the digest"),
        (&stream[..stream.len() / 2], good, "bytes, found"),
        (&damaged[..], good, "is damaged"),
        (&damaged[..], Expected::default(), "the archive"),
        (&tar[..tar.len() / 2], Expected::default(), "d/big"),
        (&gzip(&tar[..tar.len() / 2]), Expected::default(), "d/big"),
        (&bzip2(&tar[..tar.len() / 2]), Expected::default(), "d/big"),
        (&[&stream[..], b"garbage behind it"].concat(), Expected::default(), "cannot read the archive"),
    ];
    for (stream, expected, reason) in cases {
        let lab = lab();
        let error = lab.ingest(stream, expected).map(|_| ()).expect_err("an error").to_string();
        assert!(error.contains(reason), "{reason}: {error}");
        assert_eq!(lab.leftovers(), Vec::<String>::new(), "{reason}");
    }
}

#[test]
fn a_stream_that_cannot_be_read_and_a_cancelled_one() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the line is cut"))
        }
    }
    let stream = gzip(&tar());
    let lab = lab();
    let cancel = Cancel::new();
    let mut broken = stream[..stream.len() / 2].chain(Broken);
    let result = ingest(&lab.store, &lab.lease, &mut broken, Expected::default(), &cancel);
    assert!(matches!(result.map(|_| ()), Err(LayerError::Stream { action: "read", .. })));
    cancel.cancel();
    let result = ingest(&lab.store, &lab.lease, &mut &stream[..], Expected::default(), &cancel);
    assert!(matches!(result.map(|_| ()), Err(LayerError::Cancelled(_))));
    assert_eq!(lab.leftovers(), Vec::<String>::new());
}

#[test]
fn st_071_an_archive_that_must_be_read_twice() {
    // The same file again: what was taken for contents of the first belongs to the framing.
    let member = |content: &[u8]| {
        let mut tar = TarWriter::new(Vec::new(), PackOptions::default());
        tar.file(b"a", &Meta::default(), content.len() as u64, &mut &*content).expect("a file");
        let mut bytes = tar.finish().expect("a tar");
        bytes.truncate(bytes.len() - 1024);
        bytes
    };
    let tar = [member(&[1; 700]), member(b"hello"), vec![0; 1024]].concat();
    for stream in [tar.clone(), gzip(&tar), bzip2(&tar)] {
        let lab = lab();
        let ingested = lab.ingest(&stream, Expected::default()).expect("a layer");
        let table = ingested.layer.table();
        let entry = table.find(b"a").and_then(|place| table.entry(place)).expect("an entry");
        assert!(matches!(entry.kind, EntryKind::File { size: 5, offset: 2048, .. }), "{entry:?}");
        let mut framing = Vec::new();
        ingested.layer.table().framing().expect("framing").read_to_end(&mut framing).expect("read");
        assert_eq!(framing, [&tar[..2048], &tar[2053..]].concat());
    }
    assert!(crate::scan::scan(&mut &tar[..], &Cancel::new()).is_err());
}
