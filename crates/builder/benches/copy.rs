//! COPY: what a rebuild costs when nothing changed, and what a first build costs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::{Cancel, Events};
use builder::context::Context;
use builder::copy::{CopySource, CopyStep, Input, Selection, execute};
use builder::{BuildContext, ContextRequest, DockerfileText, LocalContext, NotBrought, Request, Session};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use dockerfile::Span;
use layer::View;
use layer::packer::PackOptions;
use sandbox::Runner;
use store::Store;
use tempfile::TempDir;

/// As large as a usual source file.
const FILE_SIZE: usize = 8 << 10;
/// Files in a directory.
const PER_DIRECTORY: usize = 50;

fn main() {
    divan::main();
}

/// Writes files of different contents, old enough for their digests to be remembered.
fn make_files(root: &Path, count: usize) {
    for number in 0..count {
        let directory = root.join(format!("src/{}/{}", number / 2500, number / PER_DIRECTORY));
        if number % PER_DIRECTORY == 0 {
            fs::create_dir_all(&directory).expect("a directory");
        }
        let mut contents = vec![b'x'; FILE_SIZE];
        contents[..8].copy_from_slice(&(number as u64).to_le_bytes());
        fs::write(directory.join(format!("file-{number}.txt")), contents).expect("a file");
    }
}

fn step() -> CopyStep {
    CopyStep {
        sources: vec![CopySource::Path { pattern: ".".to_owned(), span: Span::default() }],
        destination: "/app/".to_owned(),
        destination_span: Span::default(),
        working_directory: "/".to_owned(),
        chown: None,
        chmod: None,
        parents: false,
        link: false,
        exclude: Vec::new(),
        add: false,
        unpack: false,
        span: Span::default(),
    }
}

struct World {
    directory: TempDir,
    store: Store,
}

impl World {
    fn new(count: usize) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let root = directory.path().join("context");
        fs::create_dir(&root).expect("a directory");
        make_files(&root, count);
        let store = Store::open(directory.path().join("store")).expect("a store");
        Self { directory, store }
    }

    fn context(&self) -> Context {
        Context::new(&self.store, &self.directory.path().join("context"), None).expect("a context")
    }

    fn key(&self, context: &Context) -> [u8; 32] {
        let cancel = Cancel::new();
        let selection = Selection::find(Input::Context(context), &step(), &cancel).expect("sources");
        selection.content_key(&cancel).expect("a key").0
    }
}

/// A rebuild with nothing changed: the context is opened, walked, and its key computed from remembered digests.
#[divan::bench(sample_count = 10)]
fn unchanged_key_of_50_000_files(bencher: Bencher<'_, '_>) {
    const FILES: usize = 50_000;
    let world = World::new(FILES);
    // What changed within the last two seconds is not remembered.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let context = world.context();
    let key = world.key(&context);
    context.save().expect("saved");
    bencher.counter(ItemsCount::new(FILES)).bench(|| assert_eq!(world.key(&world.context()), key));
}

struct Local(PathBuf);

impl Session for Local {
    fn context(&self, _: &ContextRequest<'_>) -> Result<Option<BuildContext>, NotBrought> {
        Ok(Some(BuildContext::Files(LocalContext { root: self.0.clone(), origin: None, ignore: None })))
    }

    fn output(&self, _: usize) -> io::Result<Box<dyn io::Write + Send>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A whole build in which nothing changed: plan, lookup, commit.
#[divan::bench(sample_count = 10)]
fn unchanged_build_of_50_000_files(bencher: Bencher<'_, '_>) {
    const FILES: usize = 50_000;
    let world = World::new(FILES);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let text =
        DockerfileText { name: "Dockerfile".to_owned(), bytes: b"FROM scratch\nCOPY . /app/\n".to_vec() };
    let request = Request::new(text);
    let session = Local(world.directory.path().join("context"));
    let runner = Runner::default();
    let (events, cancel) = (Events::none(), Cancel::new());
    let build =
        || builder::build(&world.store, &request, &session, &runner, &events, &cancel).expect("an image");
    build();
    bencher.counter(ItemsCount::new(FILES)).bench(|| assert_eq!(build().steps.executed, 0));
}

/// A first build: everything is read once, into a pack.
#[divan::bench(sample_count = 5)]
fn cold_copy_of_10_000_files(bencher: Bencher<'_, '_>) {
    const FILES: usize = 10_000;
    let world = World::new(FILES);
    let fresh = || {
        let store = TempDir::new_in(world.directory.path()).expect("a temporary directory");
        let opened = Store::open(store.path().join("store")).expect("a store");
        (store, opened)
    };
    bencher.counter(BytesCount::new(FILES * FILE_SIZE)).with_inputs(fresh).bench_values(
        |(directory, store)| {
            let cancel = Cancel::new();
            let lease = store.lease("bench").expect("a lease");
            let context =
                Context::new(&store, &world.directory.path().join("context"), None).expect("a context");
            let selection = Selection::find(Input::Context(&context), &step(), &cancel).expect("sources");
            let base = View::new(&[]);
            let made = execute(&store, &lease, &step(), &selection, &base, PackOptions::default(), &cancel);
            made.expect("a layer");
            directory
        },
    );
}
