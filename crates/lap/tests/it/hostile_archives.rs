//! Archives that want too much: time, memory, the terminal, somebody else's names. Each is refused with a sentence, or taken for what it is, and what it
//! costs is measured.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::environment::{Environment, Ran};

/// What a command may use at most: the largest windows of decompressors (128 MiB), what is kept of an archive (512 MiB and what manages it).
const MOST_MEMORY: u64 = 1_500 << 20;
/// What ordinary input may use, however large it is.
const LITTLE_MEMORY: u64 = 200 << 20;
/// Far more than it takes: only what hangs does not end.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs a command, and says how much memory it had at most.
const MEASURE: &str = "import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)";

/// Whether all tests were asked for.
fn all() -> bool {
    std::env::var_os("LAP_TEST_ALL").is_some()
}

/// Runs `lap` with something on its standard input, that may be endless; it may not use more than so much memory.
fn measured(
    lap: &Environment,
    arguments: &[&str],
    memory: u64,
    input: impl FnOnce(&mut dyn Write) -> std::io::Result<()> + Send,
) -> Ran {
    let peak = lap.path("peak");
    let command = lap.command(arguments);
    let began = Instant::now();
    let mut child = Command::new("python3")
        .args(["-c", MEASURE])
        .arg(&peak)
        .arg(command.get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs python3");
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = std::thread::scope(|scope| {
        // Whoever refuses an archive does not read it to its end.
        scope.spawn(move || input(&mut stdin));
        child.wait_with_output().expect("lap ends")
    });
    assert!(began.elapsed() < PATIENCE, "{arguments:?} took {:?}", began.elapsed());
    let text = std::fs::read_to_string(&peak).expect("a measurement");
    let used: u64 = text.trim().parse::<u64>().expect("a number") << 10;
    assert!(used < memory, "{arguments:?} used {} MiB", used >> 20);
    let ran = Ran::of(output);
    assert!(ran.stderr.len() < 20_000, "a message of {} bytes", ran.stderr.len());
    plain(&ran);
    ran
}

/// Nothing in it does anything to a terminal.
#[track_caller]
fn plain(ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        let wrong =
            text.chars().find(|character| character.is_control() && !matches!(character, '\n' | '\t'));
        assert_eq!(wrong, None, "{text:?}");
    }
}

/// A header in the ustar format.
fn header(name: &[u8], flag: u8, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(tar::EntryType::new(flag));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    match size {
        0..0o100_0000_0000 => header.set_size(size),
        _ => {
            header.as_old_mut().size = [0; 12];
            header.as_old_mut().size[4..].copy_from_slice(&size.to_be_bytes());
            header.as_old_mut().size[0] = 0x80;
        }
    }
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn member(name: &[u8], flag: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, flag, data.len() as u64);
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A PAX header with one record.
fn pax(key: &str, value: &[u8]) -> Vec<u8> {
    let mut length = key.len() + value.len() + 3;
    length += (length + length.to_string().len()).to_string().len();
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    assert_eq!(record.len(), length);
    member(b"pax", b'x', &record)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

/// Zeros, as many MiB, in gzip: members, each a MiB.
fn zeros(output: &mut dyn Write, mebibytes: usize) -> std::io::Result<()> {
    let member = gzip(&vec![0; 1 << 20]);
    (0..mebibytes).try_for_each(|_| output.write_all(&member))
}

#[test]
fn st_075_what_a_bomb_unpacks_to_takes_no_memory() {
    let lap = Environment::new();
    let mebibytes = if all() { 8 << 10 } else { 256 };
    // One file of zeros: an archive of 1:1000, for what it is.
    let import = ["import", "-", "zeros"];
    measured(&lap, &import, LITTLE_MEMORY, |output| {
        output.write_all(&gzip(&header(b"zeros", b'0', (mebibytes as u64) << 20)))?;
        zeros(output, mebibytes)?;
        output.write_all(&gzip(&[0; 1024]))
    })
    .success();
    // Members of gzip, and frames of zstd, with nothing in them.
    let nothing = gzip(b"").repeat(1000);
    let count = if all() { 1000 } else { 50 };
    measured(&lap, &["import", "-", "members"], LITTLE_MEMORY, |output| {
        (0..count).try_for_each(|_| output.write_all(&nothing))
    })
    .failure(1, &["the two blocks of zeros"]);
    let skippable = b"\x50\x2a\x4d\x18\0\0\0\0".repeat(1000);
    measured(&lap, &["import", "-", "frames"], LITTLE_MEMORY, |output| {
        (0..count).try_for_each(|_| output.write_all(&skippable))
    })
    .failure(1, &["the two blocks of zeros"]);
    lap.check();
}

/// What wants more than there is to have: name, limit that is told, how the archive is made.
type Greedy = (&'static str, &'static str, fn(&mut dyn Write) -> std::io::Result<()>);

const GREEDY: [Greedy; 11] = [
    ("a name of 1 GB", "has 1073741824 bytes, more than 1048576", |output| {
        output.write_all(&header(b"././@LongLink", b'L', 1 << 30))?;
        (0..1024).try_for_each(|_| output.write_all(&vec![b'a'; 1 << 20]))
    }),
    ("a PAX header of 1 GB", "has 1073741824 bytes, more than 1048576", |output| {
        output.write_all(&header(b"pax", b'x', 1 << 30))?;
        (0..1024).try_for_each(|_| output.write_all(&vec![b'a'; 1 << 20]))
    }),
    ("a global header of 8 EB", "bytes, more than 1048576", |output| {
        output.write_all(&header(b"pax", b'g', i64::MAX as u64))
    }),
    ("a size below zero", "its size is not a number", |output| {
        let mut bytes = header(b"negative", b'0', 0);
        bytes[124..136].fill(0xff);
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        output.write_all(&bytes)
    }),
    ("a name of a megabyte", "longer than", |output| {
        output.write_all(&pax("path", &b"x/".repeat(500_000)))?;
        output.write_all(&member(b"x", b'0', b""))
    }),
    ("attributes of a megabyte", "more than 64 KiB", |output| {
        output.write_all(&pax("SCHILY.xattr.user.a", &vec![b'x'; 1_000_000]))?;
        output.write_all(&member(b"x", b'0', b""))
    }),
    ("a record that is longer than its header", "malformed", |output| {
        output.write_all(&member(b"pax", b'x', b"99999999999999999999 path=a\n"))?;
        output.write_all(&member(b"x", b'0', b""))
    }),
    ("a hole of 8 EB", "sparse files", |output| {
        let records = [
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.realsize", "9223372036854775807"),
        ];
        let records: Vec<u8> = records
            .iter()
            .flat_map(|(key, value)| {
                let length = key.len() + value.len() + 3;
                format!("{} {key}={value}\n", length + 2).into_bytes()
            })
            .collect();
        output.write_all(&member(b"pax", b'x', &records))?;
        let mut map = b"0\n".to_vec();
        map.resize(512, 0);
        output.write_all(&member(b"x", b'0', &map))
    }),
    ("directories without end", "take more than 512 MiB", |output| {
        // Every entry of 5 KB implies two thousand directories, whose names have 4 MB.
        (0..100_000).try_for_each(|number| {
            let name = format!("{number:07}/{}x", "a/".repeat(2040));
            output.write_all(&pax("path", name.as_bytes()))?;
            output.write_all(&member(b"x", b'0', b""))
        })
    }),
    ("a name in gzip without an end", "", |output| {
        output.write_all(b"\x1f\x8b\x08\x08\0\0\0\0\0\xff")?;
        (0..1024).try_for_each(|_| output.write_all(&vec![b'a'; 1 << 20]))
    }),
    ("a window of 2 GB", "", |output| {
        // A frame of zstd: no single segment, window descriptor 31 - 10 = 21, a raw block.
        output.write_all(b"\x28\xb5\x2f\xfd\x00\xa8\x01\0\0")?;
        (0..64).try_for_each(|_| output.write_all(&vec![0; 1 << 20]))
    }),
];

#[test]
fn st_075_greedy_archives_are_refused() {
    let lap = Environment::new();
    for (what, said, write) in GREEDY {
        let ran = measured(&lap, &["import", "-", "greedy"], MOST_MEMORY, write);
        assert_eq!(ran.code, 1, "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{what}: {}", ran.stderr);
    }
    assert_eq!(lap.lap(["images", "-aq"]).success().stdout, "");
    lap.check();
}

/// These take minutes: left out unless all tests are asked for.
#[test]
fn st_075_greedy_archives_that_are_large_are_refused() {
    if !all() {
        return;
    }
    let lap = Environment::new();
    let cases: [Greedy; 3] = [
        ("ten million entries and one", "the number of entries", |output| {
            let many = member(b"x", b'5', b"").repeat(1000);
            (0..10_001).try_for_each(|_| output.write_all(&many))
        }),
        ("attributes of each of many", "take more than 512 MiB", |output| {
            let value = vec![b'x'; 65_000];
            (0..100_000).try_for_each(|number| {
                output.write_all(&pax("SCHILY.xattr.user.a", &value))?;
                output.write_all(&member(format!("{number}").as_bytes(), b'0', b""))
            })
        }),
        ("links through links", "too many symbolic links", |output| {
            let link = |name: String, target: String| {
                [pax("linkpath", target.as_bytes()), member(name.as_bytes(), b'2', b"")].concat()
            };
            for number in 0..39 {
                let target = format!("{}l{}", "d/../".repeat(800), number + 1);
                output.write_all(&link(format!("l{number}"), target.clone()))?;
                output.write_all(&link(format!("m{number}"), target.replace('l', "m")))?;
            }
            (0..1_000_000).try_for_each(|number| {
                output.write_all(&member(format!("l0/{number}").as_bytes(), b'0', b""))?;
                output.write_all(&member(format!("m0/{number}").as_bytes(), b'0', b""))
            })
        }),
    ];
    for (what, said, write) in cases {
        let ran = measured(&lap, &["import", "-", "greedy"], 4 << 30, write);
        assert_eq!(ran.code, 1, "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{what}: {}", ran.stderr);
    }
    lap.check();
}

/// An archive of docker's kind.
fn docker_archive(manifest: &str) -> Vec<u8> {
    let layer = [member(b"file", b'0', b"x"), vec![0; 1024]].concat();
    let diff_id = image::Digest::sha256(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    );
    let members = [
        member(b"layer", b'0', &layer),
        member(b"config", b'0', config.as_bytes()),
        member(b"manifest.json", b'0', manifest.as_bytes()),
    ];
    [members.concat(), vec![0; 1024]].concat()
}

#[test]
fn st_012_documents_that_are_no_documents() {
    let lap = Environment::new();
    let entry = r#""Config":"config","Layers":["layer"]"#;
    let cases = [
        ("deep", "[".repeat(100_000), "manifest.json"),
        ("deep objects", r#"{"a":"#.repeat(100_000), "manifest.json"),
        ("deep in a field", format!(r#"[{{{entry},"x":{}"#, "[".repeat(100_000)), "manifest.json"),
        ("twice", format!(r#"[{{{entry},"Layers":["layer"]}}]"#), "twice"),
        ("twice in letters of another case", format!(r#"[{{{entry},"layers":["layer"]}}]"#), "case"),
        ("something behind it", format!("[{{{entry}}}] []"), "trailing"),
        ("a number that is none", format!(r#"[{{{entry},"x":1e999999}}]"#), "manifest.json"),
        ("half a surrogate", format!(r#"[{{{entry},"x":"\ud800"}}]"#), "manifest.json"),
        ("a tag that is none", format!(r#"[{{{entry},"RepoTags":["\u001b[2J:\u001b"]}}]"#), "manifest.json"),
        ("a path upwards", r#"[{"Config":"../../etc/passwd","Layers":["layer"]}]"#.to_owned(), "upwards"),
        (
            "a control character in a path",
            r#"[{"Config":"\u001b]0;x\u0007","Layers":["layer"]}]"#.to_owned(),
            "is not in the archive",
        ),
    ];
    for (what, manifest, said) in cases {
        let archive = docker_archive(&manifest);
        let ran = measured(&lap, &["load"], LITTLE_MEMORY, |output| output.write_all(&archive));
        assert_eq!(ran.code, 1, "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{what}: {}", ran.stderr);
    }
    let good = docker_archive(&format!("[{{{entry}}}]"));
    measured(&lap, &["load"], LITTLE_MEMORY, |output| output.write_all(&good)).success();
    // Entries that are no documents, and large.
    let cases: [Greedy; 3] = [
        ("names of a megabyte", "more than 4095 bytes", |output| {
            (0..100_000).try_for_each(|_| {
                output.write_all(&pax("path", &vec![b'x'; 1_000_000]))?;
                output.write_all(&member(b"x", b'0', b""))
            })
        }),
        ("many entries", "more than 200000 entries", |output| {
            (0..300_000)
                .try_for_each(|number| output.write_all(&member(format!("{number}").as_bytes(), b'5', b"")))
        }),
        ("a header of 1 GB", "has 1073741824 bytes", |output| output.write_all(&header(b"x", b'L', 1 << 30))),
    ];
    for (what, said, write) in cases {
        let ran = measured(&lap, &["load"], LITTLE_MEMORY, write);
        assert_eq!(ran.code, 1, "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{what}: {}", ran.stderr);
    }
    lap.check();
}

/// CVE-2026-50195: an archive can name what somebody else has named. It is said.
#[test]
fn names_that_an_archive_takes_are_told() {
    let lap = Environment::with_base();
    let before = lap.inspect("base:1", ".Id");
    let archive = docker_archive(
        r#"[{"Config":"config","Layers":["layer"],"RepoTags":["base:1","docker.io/library/debian:latest"]}]"#,
    );
    let ran = lap.lap_with_input(["load"], &archive).success();
    assert!(ran.stderr.contains("base:1 meant "), "{}", ran.stderr);
    assert_eq!(ran.stdout, "Loaded image: base:1\nLoaded image: debian:latest\n");
    assert_ne!(lap.inspect("base:1", ".Id"), before);
    lap.lap(["inspect", before.as_str().expect("an ID")]).success();
}

/// What is in an image says nothing to a terminal.
#[test]
fn nothing_of_an_image_reaches_the_terminal_as_it_is() {
    let lap = Environment::new();
    let evil = "\\u001b[31m\\u0007\\u009b2J\\u202ex";
    let raw = "\u{1b}[31m\u{7}\u{9b}2J";
    let layer = [
        member(format!("{raw}.txt").as_bytes(), b'0', b"x"),
        member(format!("{raw}odd").as_bytes(), b'Z', b""),
        vec![0; 1024],
    ]
    .concat();
    let diff_id = image::Digest::sha256(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","author":"{evil}","comment":"{evil}","config":{{"Labels":{{"{evil}":"{evil}"}},"Env":["A={evil}"],
        "Cmd":["{evil}"],"User":"{evil}","WorkingDir":"/{evil}","StopSignal":"{evil}"}},"history":[{{"created_by":"{evil}","comment":"{evil}","author":"{evil}"}}],
        "rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    );
    let manifest = r#"[{"Config":"config","Layers":["layer"],"RepoTags":["evil:1"]}]"#;
    let archive = [
        member(b"layer", b'0', &layer),
        member(b"config", b'0', config.as_bytes()),
        member(b"manifest.json", b'0', manifest.as_bytes()),
        member(raw.as_bytes(), b'0', b"x"),
        vec![0; 1024],
    ]
    .concat();
    plain(&lap.lap_with_input(["load"], &archive).success());
    for arguments in [
        &["images"][..],
        &["history", "--no-trunc", "evil:1"],
        &["inspect", "evil:1"],
        &["run", "--rm", "evil:1"],
        &["run", "--rm", "--user", "0", "-w", "/", "evil:1", "true"],
        &["images", raw],
        &["rmi", raw],
        &["tag", "evil:1", raw],
        &["inspect", raw],
        &["load", "-i", raw],
        &["import", raw, "x"],
        &["build", raw],
        &["run", "--rm", "-u", raw, "evil:1", "true"],
        &["run", "--rm", "-e", raw, "evil:1", "true"],
    ] {
        plain(&lap.lap(arguments));
    }
    lap.write("context/file", "x");
    lap.write(&format!("context/{}", raw.replace('/', "")), "x");
    for dockerfile in [
        "FROM evil:1\nRUN true\n".to_owned(),
        "FROM evil:1\nCOPY *.txt /x/\n".to_owned(),
        "FROM evil:1\nCOPY --from=evil:1 / /x/\nCOPY --from=evil:1 /none /\n".to_owned(),
        format!("FROM evil:1\nCOPY {raw} /{raw}/\nCOPY none /\n"),
        format!("FROM evil:1\nUSER {raw}\nCOPY --chown={raw} file /\n"),
        format!("FROM evil:1 AS {raw}\n"),
        format!("FROM {raw}\n"),
        format!("{raw}\n"),
        format!("FROM evil:1\nENV A=${{B?{raw}}}\n"),
        format!("FROM evil:1\nENV A=${{B:{raw}}}\n"),
        format!("# syntax={raw}\nFROM evil:1\n"),
        format!("FROM evil:1\nRUN --mount=type={raw} true\n"),
        format!("FROM evil:1\nLABEL {raw}={raw}\nWORKDIR /{raw}\nHEALTHCHECK --interval={raw} CMD x\n"),
    ] {
        plain(&lap.build(&dockerfile));
    }
    let lines = Path::new("context").join(raw);
    plain(&lap.lap(["build", "-f", lines.to_str().expect("text"), "context"]));
}

/// A root filesystem that wants out of its place in every way, with a shell; `into` is a directory of the host.
fn crafted_rootfs(into: &str) -> Vec<u8> {
    let link = |name: &str, target: &str, flag: u8| {
        [pax("linkpath", target.as_bytes()), member(name.as_bytes(), flag, b"")].concat()
    };
    let base = crate::environment::base_tar();
    let entries = [
        // The base ends with zeros.
        base.strip_suffix(&[0; 1024][..]).expect("the end of the base").to_vec(),
        link("out", into, b'2'),
        member(b"out/made", b'0', b"evil"),
        link("up", &format!("../../../../../../../..{into}"), b'2'),
        member(b"up/made", b'0', b"evil"),
        link("chain", "out/../up", b'2'),
        member(b"chain/made", b'0', b"evil"),
        // A mode, a file, and another name for what a link leads to.
        link("precious", &format!("{into}/precious"), b'2'),
        link("again", "precious", b'1'),
        member(b"again", b'0', b"evil"),
        link("directory", into, b'2'),
        member(b"directory/", b'5', b""),
        link("through", "etc/group", b'1'),
        // Pipes and devices, and files where they were.
        member(b"pipe", b'6', b""),
        member(b"zero", b'3', b""),
        member(b"disk", b'4', b""),
        member(b"disk", b'0', b"a file after all"),
        // What an upper layer would remove.
        member(b"deep/er/.wh.file", b'0', b""),
        member(b"deep/er/.wh..wh..opq", b'0', b""),
        member(b"deep/er/file", b'0', b"stays"),
        vec![0; 1024],
    ];
    entries.concat()
}

/// Everything that can be told of a directory.
fn listing(directory: &Path) -> String {
    let listed = Command::new("find")
        .arg(directory)
        .args(["-printf", "%P %y %m %U %s %T@ %C@ %n\n"])
        .output()
        .expect("find runs");
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

/// ST-070 … ST-076: the same crafted layers are taken in, unpacked and written out by several processes at the same time, into one store. Nothing outside is
/// touched, all agree about what is in them, and nothing unfinished stays.
#[test]
fn st_076_crafted_layers_that_several_processes_unpack_at_once() {
    let lap = Environment::with_base();
    let outside = lap.path("outside");
    lap.write("outside/precious", "precious");
    lap.write("outside/made", "mine");
    let before = listing(&outside);
    let into = outside.to_str().expect("text");
    // Devices 0:0 would be overlayfs' own sign.
    let mut good = crafted_rootfs(into);
    let evil: Vec<Vec<u8>> = [
        vec![member(b"../made", b'0', b"evil")],
        vec![pax("linkpath", into.as_bytes()), member(b"./", b'2', b""), member(b"made", b'0', b"evil")],
        vec![member(b"d/.wh...", b'0', b"")],
        vec![member(b"d/.wh..wh..opq/x", b'0', b"")],
    ]
    .into_iter()
    .map(|members| [members.concat(), vec![0; 1024]].concat())
    .collect();
    set_device(&mut good, b"zero", 1, 5);
    set_device(&mut good, b"disk", 8, 0);
    std::fs::write(lap.path("good.tar"), &good).expect("a file");
    for (number, bytes) in evil.iter().enumerate() {
        std::fs::write(lap.path(&format!("evil-{number}.tar")), bytes).expect("a file");
    }
    lap.write(
        "context/Dockerfile",
        "FROM crafted\nARG WHO\nRUN echo x >/out/step; ln -sf /again /step; echo $WHO >/who; cat deep/er/file\nCOPY Dockerfile /up/\n",
    );
    let rounds = if all() { 20 } else { 3 };
    for round in 0..rounds {
        std::thread::scope(|threads| {
            for process in 0..3 {
                let (lap, evil) = (&lap, &evil);
                threads.spawn(move || {
                    lap.lap(["import", "good.tar", "crafted"]).success();
                    let refused = (round + process) % evil.len();
                    let tar = format!("evil-{refused}.tar");
                    let ran = lap.lap(["import", &tar, "evil"]);
                    assert_eq!(ran.code, 1, "{tar}: {}", ran.stderr);
                    let who = format!("WHO={round}");
                    let target = format!("rootfs-{process}");
                    // One and the same step of all, and one of each.
                    lap.lap(["build", "-q", "--build-arg", &who, "context"]).success();
                    lap.lap(["build", "-q", "--no-cache", "-o", &target, "context"]).success();
                });
            }
        });
        assert_eq!(listing(&outside), before);
        let first = std::fs::read(lap.path("rootfs-0/deep/er/file")).expect("a file");
        assert_eq!(first, b"stays");
        // As in a chroot: the links lead to the same names inside.
        let inside = lap.path("rootfs-0").join(into.trim_start_matches('/'));
        assert_eq!(std::fs::read(inside.join("made")).expect("a file"), b"evil");
        assert_eq!(std::fs::read(inside.join("step")).expect("a file"), b"x\n");
        let seen = |process: usize| {
            let place = lap.path(&format!("rootfs-{process}"));
            let listed = Command::new("find").arg(place).args(["-printf", "%P %y %m %s %l\n"]).output();
            let listed = String::from_utf8_lossy(&listed.expect("find runs").stdout).into_owned();
            let mut lines: Vec<String> = listed.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert!((1..3).all(|process| seen(process) == seen(0)));
        for process in 0..3 {
            std::fs::remove_dir_all(lap.path(&format!("rootfs-{process}"))).expect("removed");
        }
        if round % 2 == 0 {
            // The trees are unpacked anew in the next round.
            lap.lap(["system", "prune", "-af"]).success();
        }
    }
    lap.check_clean();
}

/// Gives the device of this name its numbers.
fn set_device(tar: &mut [u8], name: &[u8], major: u32, minor: u32) {
    let is_device = |header: &[u8]| {
        header.starts_with(name) && header.get(name.len()) == Some(&0) && matches!(header[156], b'3' | b'4')
    };
    let place = (0..tar.len()).step_by(512).find(|place| is_device(&tar[*place..*place + 512]));
    let place = place.expect("the device");
    let mut header = tar::Header::from_byte_slice(&tar[place..place + 512]).clone();
    header.set_device_major(major).expect("a number");
    header.set_device_minor(minor).expect("a number");
    header.set_cksum();
    tar[place..place + 512].copy_from_slice(header.as_bytes());
}
