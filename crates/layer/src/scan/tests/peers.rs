//! Archives that others made.

use std::path::Path;
use std::process::Command;

use super::*;

/// Makes files, links and a sparse file in a directory.
fn make_tree(root: &Path) {
    let write = |name: &str, data: &[u8]| std::fs::write(root.join(name), data).expect("written");
    std::fs::create_dir_all(root.join("d/e")).expect("a directory");
    write("d/small", b"hello");
    write("d/empty", b"");
    write(&format!("d/{}", "n".repeat(90)), &[b'y'; 5000]);
    std::fs::hard_link(root.join("d/small"), root.join("d/hard")).expect("a link");
    std::os::unix::fs::symlink("small", root.join("d/sym")).expect("a link");
    let sparse = std::fs::File::create(root.join("sparse")).expect("a file");
    for piece in 0..30u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"piece", piece * 65536).expect("written");
    }
    sparse.set_len(40 * 65536).expect("resized");
}

#[test]
fn st_057_archives_of_gnu_tar() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root");
    make_tree(&root);
    let formats = [
        ("v7", vec![]),
        ("ustar", vec![]),
        ("oldgnu", vec![]),
        ("gnu", vec![]),
        ("posix", vec![]),
        ("oldgnu", vec!["--sparse"]),
        ("gnu", vec!["--sparse"]),
        ("posix", vec!["--sparse", "--sparse-version=0.0"]),
        ("posix", vec!["--sparse", "--sparse-version=0.1"]),
        ("posix", vec!["--sparse", "--sparse-version=1.0"]),
    ];
    let mut all = BTreeMap::new();
    for (format, options) in formats {
        let path = directory.path().join("out.tar");
        let status = Command::new("/bin/tar")
            .arg(format!("--format={format}"))
            .args(&options)
            .args(["--numeric-owner", "--mtime=@1700000000", "--sort=name", "--create", "--file"])
            .arg(&path)
            .arg("--directory")
            .arg(&root)
            .arg(".")
            .status()
            .unwrap_or_else(|error| panic!("this test needs GNU tar: {error}"));
        assert!(status.success());
        let lines: Vec<_> = entries(&std::fs::read(&path).expect("read"))
            .into_iter()
            .map(|(path, line)| (path, line.split(" pieces").next().map(str::to_owned).unwrap_or_default()))
            .map(|(path, line)| (path, line.replace(" @1700000000", "")))
            .collect();
        let sparse = lines.iter().any(|(path, _)| path == "sparse");
        assert!(sparse, "{format} {options:?}: {lines:?}");
        all.insert(lines, format!("{format} {options:?}"));
    }
    assert_eq!(all.len(), 1, "the formats mean different things: {all:#?}");
}

#[test]
fn st_057_archives_of_python() {
    let program = r"
import io, sys, tarfile
form = {'ustar': tarfile.USTAR_FORMAT, 'gnu': tarfile.GNU_FORMAT, 'pax': tarfile.PAX_FORMAT}[sys.argv[1]]
out = io.BytesIO()
with tarfile.open(fileobj=out, mode='w', format=form) as tar:
    def add(name, data=None, **fields):
        info = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        info.size = len(data or b'')
        tar.addfile(info, io.BytesIO(data or b''))
    add('d', type=tarfile.DIRTYPE, mode=0o755)
    add('d/file', b'hello', uid=1000, gid=1000, mtime=5)
    if form != tarfile.USTAR_FORMAT:
        add('d/' + 'long' * 50, b'x')
        add('z\u00fcrich', b'', uid=3000000)
    add('link', type=tarfile.LNKTYPE, linkname='d/file', uid=1000, gid=1000, mtime=5)
sys.stdout.buffer.write(out.getvalue())
";
    for format in ["ustar", "gnu", "pax"] {
        let output = Command::new("python3")
            .args(["-c", program, format])
            .output()
            .unwrap_or_else(|error| panic!("this test needs python3: {error}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = lines(&output.stdout);
        let always = ["d: dir\n", "d/file: file 5 ea8f @5 1000:1000\n", "link: link d/file @5 1000:1000\n"];
        assert!(always.iter().all(|line| found.contains(line)), "{found}");
        assert_eq!(found.contains("zürich: file 0 af13 3000000:0\n"), format != "ustar", "{found}");
    }
}
