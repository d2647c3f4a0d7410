//! A store with a base image, a context, and builds in them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base::{Cancel, Event, Events, Sink};
use builder::{
    BuildContext, BuildError, ContextRequest, DockerfileText, Export, IgnoreText, LocalContext, NotBrought,
    Outcome, Request, Session, build,
};
use image::{Config, Descriptor, ImageId, Manifest, MediaType, Raw, Reference};
use layer::packer::PackOptions;
use layer::{Meta, Packer, View};
use libtest_mimic::{Failed, Trial};
use sandbox::Runner;
use store::{Layer, Origin, Store};
use tempfile::TempDir;

const BUSYBOX: &str = "/bin/busybox";

/// A test that fails with a message.
pub fn trial(name: &'static str, test: fn()) -> Trial {
    Trial::test(name, move || {
        if !rustix::process::geteuid().is_root() {
            return Err(Failed::from("builds are tested as root: run the tests as root"));
        }
        if !Path::new(BUSYBOX).exists() {
            return Err(Failed::from("builds are tested with busybox: apt-get install busybox-static"));
        }
        test();
        Ok(())
    })
}

/// A store and a context.
pub struct Lab {
    place: TempDir,
    pub store: Store,
}

/// What a build said.
#[derive(Default)]
pub struct Heard {
    pub events: Mutex<Vec<Event>>,
}

struct Listener(Arc<Heard>);

impl Sink for Listener {
    fn event(&self, event: Event) {
        self.0.events.lock().expect("no panic while listening").push(event);
    }
}

impl Heard {
    /// What all steps wrote.
    pub fn output(&self) -> String {
        let events = self.events.lock().expect("no panic while listening");
        let bytes = events.iter().filter_map(|event| match event {
            Event::Log(log) => Some(log.data.clone()),
            _ => None,
        });
        String::from_utf8(bytes.flatten().collect()).expect("text")
    }

    /// Why steps were executed: the beginning of the step's instruction, and the reasons.
    pub fn reasons(&self) -> Vec<(String, Vec<String>)> {
        let events = self.events.lock().expect("no panic while listening");
        let name_of = |id| {
            events.iter().find_map(|event| match event {
                Event::Vertex(vertex) if vertex.id == id => {
                    vertex.name.rsplit("] ").next().map(str::to_owned)
                }
                _ => None,
            })
        };
        let explained = events.iter().filter_map(|event| match event {
            Event::Explanation(explanation) => {
                let name = name_of(explanation.vertex).expect("a vertex that was announced");
                Some((name, explanation.reasons.clone()))
            }
            _ => None,
        });
        explained.collect()
    }

    /// Whether a step said that another build executes it.
    pub fn has_waited(&self) -> bool {
        let events = self.events.lock().expect("no panic while listening");
        events
            .iter()
            .any(|event| matches!(event, Event::Status(status) if status.name.contains("waiting for another build")))
    }

    /// The names of the steps that were executed, in the order of their ends.
    pub fn executed(&self) -> Vec<String> {
        let events = self.events.lock().expect("no panic while listening");
        let ended = events.iter().filter_map(|event| match event {
            Event::Vertex(vertex) if vertex.completed.is_some() && !vertex.cached => {
                Some(vertex.name.clone())
            }
            _ => None,
        });
        ended.filter(|name| !name.contains("] FROM")).collect()
    }
}

/// The lab as a session.
struct LabSession {
    context: PathBuf,
    ignore: Option<IgnoreText>,
    outputs: PathBuf,
}

impl Session for LabSession {
    fn context(&self, request: &ContextRequest<'_>) -> Result<Option<BuildContext>, NotBrought> {
        let (root, ignore) = (self.context.clone(), self.ignore.clone());
        let context = BuildContext::Files(LocalContext { root, origin: None, ignore });
        Ok(request.name.is_empty().then_some(context))
    }

    fn output(&self, export: usize) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(fs::File::create(self.outputs.join(export.to_string()))?))
    }
}

impl Lab {
    /// With the image `busybox`, and with `placed`: the same, with a working directory that it does not have.
    pub fn new() -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(place.path().join("context")).expect("a context");
        fs::create_dir(place.path().join("outputs")).expect("outputs");
        let store = Store::open(place.path().join("store")).expect("a store");
        import_busybox(&store);
        Self { place, store }
    }

    pub fn context(&self) -> PathBuf {
        self.place.path().join("context")
    }

    /// What the export at this place wrote.
    pub fn output(&self, export: usize) -> PathBuf {
        self.place.path().join("outputs").join(export.to_string())
    }

    /// Puts a file into the context, with a fixed time.
    pub fn file(&self, path: &str, content: &str) {
        let path = self.context().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(&path, content).expect("a file");
        set_time(&path, 1_000_000_000);
    }

    pub fn link(&self, path: &str, target: &str) {
        symlink(target, self.context().join(path)).expect("a link");
    }

    /// Builds, and expects success.
    pub fn build(&self, dockerfile: &str) -> (Outcome, Arc<Heard>) {
        self.build_with(request(dockerfile))
    }

    pub fn build_with(&self, request: Request) -> (Outcome, Arc<Heard>) {
        let (result, heard) = self.attempt(&request, &Cancel::new());
        match result {
            Ok(outcome) => (outcome, heard),
            Err(error) => panic!("{}\n{}", chain(&error), heard.output()),
        }
    }

    /// Builds, and expects failure.
    pub fn fail(&self, dockerfile: &str) -> (BuildError, Arc<Heard>) {
        let (result, heard) = self.attempt(&request(dockerfile), &Cancel::new());
        (result.expect_err(dockerfile), heard)
    }

    pub fn attempt(&self, request: &Request, cancel: &Cancel) -> (Result<Outcome, BuildError>, Arc<Heard>) {
        let ignore = fs::read(self.context().join(".dockerignore")).ok();
        let session = LabSession {
            context: self.context(),
            ignore: ignore.map(|bytes| IgnoreText { name: ".dockerignore".to_owned(), bytes }),
            outputs: self.place.path().join("outputs"),
        };
        let heard = Arc::new(Heard::default());
        let events = Events::new(Listener(heard.clone()));
        (build(&self.store, request, &session, &Runner::default(), &events, cancel), heard)
    }

    /// The config of an image.
    pub fn config(&self, image: ImageId) -> Config {
        self.store.images().config(&image).expect("a config").value().clone()
    }

    /// The filesystem of an image.
    pub fn view(&self, image: ImageId) -> View {
        let layer = |id: &image::DiffId| self.store.layers().get(id).expect("the store").expect("a layer");
        let layers: Vec<Layer> = self.config(image).rootfs.diff_ids.iter().map(layer).collect();
        View::new(&layers)
    }

    /// The contents of a file of an image.
    pub fn read(&self, image: ImageId, path: &str) -> Option<String> {
        let lease = self.store.lease("test").expect("a lease");
        let bytes = self.view(image).read(&self.store, &lease, path.as_bytes(), 1 << 20).expect("a view");
        bytes.map(|bytes| String::from_utf8(bytes).expect("text"))
    }
}

/// A request for a Dockerfile, tagged `app`, on two threads.
pub fn request(dockerfile: &str) -> Request {
    let dockerfile = DockerfileText { name: "Dockerfile".to_owned(), bytes: dockerfile.as_bytes().to_vec() };
    Request {
        tags: vec![Reference::parse("app").expect("a name")],
        exports: vec![Export::Store],
        threads: 2,
        ..Request::new(dockerfile)
    }
}

/// An error with all its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

pub fn set_time(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    fs::File::open(path).expect("a file").set_modified(time).expect("a time");
}

/// A shell, a user and a few directories as the image `busybox`; the same bytes in every store.
fn import_busybox(store: &Store) {
    let lease = store.lease("test").expect("a lease");
    let mut packer = Packer::to_store(store, &lease, PackOptions::default()).expect("a packer");
    let meta = |mode| Meta { mode, mtime: 500_000_000, ..Meta::default() };
    packer.directory(b"bin", &meta(0o755), false).expect("bin");
    let mut busybox = fs::File::open(BUSYBOX).expect("busybox");
    let size = busybox.metadata().expect("its size").len();
    packer.file(b"bin/busybox", &meta(0o755), size, &mut busybox).expect("busybox");
    for name in [
        "cat", "chmod", "date", "env", "id", "ls", "mkdir", "pwd", "rm", "sh", "sleep", "test", "touch",
        "true", "wget",
    ] {
        packer.symlink(format!("bin/{name}").as_bytes(), &meta(0o777), b"busybox").expect(name);
    }
    packer.directory(b"etc", &meta(0o755), false).expect("etc");
    let group = "root:x:0:\nme:x:1000:\nextra:x:2000:me\n";
    packer.file(b"etc/group", &meta(0o644), group.len() as u64, &mut group.as_bytes()).expect("group");
    let passwd = "root:x:0:0::/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n";
    packer.file(b"etc/passwd", &meta(0o644), passwd.len() as u64, &mut passwd.as_bytes()).expect("passwd");
    packer.directory(b"tmp", &meta(0o1777), false).expect("tmp");
    let layer = packer.finish(None).expect("a layer");
    add_image(store, &lease, &layer, "busybox:latest", "");
    add_image(store, &lease, &layer, "placed:latest", "/etc/not/there");
}

fn add_image(store: &Store, lease: &store::Lease, layer: &Layer, name: &str, working_directory: &str) {
    let mut config = Config {
        architecture: image::Platform::host().architecture,
        os: "linux".to_owned(),
        ..Config::default()
    };
    config.config.env = vec!["PATH=/bin".to_owned()];
    working_directory.clone_into(&mut config.config.working_dir);
    config.rootfs.diff_ids = vec![layer.diff_id()];
    config.created = Some(image::Timestamp::from_unix(500_000_000));
    let config = Raw::write(config).expect("a config");
    let layers = vec![Descriptor::new(MediaType::OCI_LAYER, layer.diff_id().0, layer.table().tar_size())];
    let manifest =
        Raw::write(Manifest::oci(config.descriptor(MediaType::OCI_CONFIG), layers)).expect("a manifest");
    let id = ImageId(store.blobs().put(lease, config.bytes()).expect("the config's blob"));
    store.blobs().put(lease, manifest.bytes()).expect("the manifest's blob");
    let descriptor = manifest.descriptor(MediaType::OCI_MANIFEST);
    store.images().add(lease, id, descriptor.clone(), Origin::Imported).expect("an image");
    let name = Reference::parse(name).expect("a name");
    store.names().set(lease, &name, id, &descriptor).expect("a name");
}
