//! The `oci-client` crate drives `lap serve`: a client that shares no code with ours pushes, pulls, lists, mounts, reads parts of blobs and finds referrers.
//! It cannot delete, so that is a request of our own, and the crate sees what comes of it.
//!
//! The program is the one that cargo has built beside this test: `cargo test --workspace` always has, for the tests of the command.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use futures_util::{TryStreamExt as _, stream};
use oci_client::client::{
    BlobResponse, Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol, Config, ImageLayer,
    SizedStream,
};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{
    IMAGE_LAYER_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest, OciManifest,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};

/// Larger than two of its chunks, which have 4 MiB.
const LARGE: usize = (9 << 20) + 17;

/// `lap serve`, over a store that goes with it.
struct Served {
    child: Child,
    address: String,
    directory: tempfile::TempDir,
}

impl Served {
    /// Starts it, with arguments for which files in its directory are made.
    fn start<S: AsRef<OsStr>>(arguments: impl FnOnce(&Path) -> Vec<S>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(lap())
            .args(["serve", "--ephemeral", "--access-log", "off"])
            .args(arguments(directory.path()))
            .env("TMPDIR", directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("lap runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let (_, address) = line.trim().split_once("://").unwrap_or_else(|| panic!("{line:?} is no address"));
        Self { child, address: address.to_owned(), directory }
    }

    fn name(&self, rest: &str) -> Reference {
        format!("{}/{rest}", self.address).parse().expect("a name")
    }

    fn delete(&self, path: &str) {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        write!(stream, "DELETE {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("send");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        assert!(reply.starts_with("HTTP/1.1 202 "), "{reply}");
    }

    /// It ends well, although the client has connections open.
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        assert!(self.child.wait().expect("an end").success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Only where a test failed does it still run.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lap() -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let lap = this.parent().and_then(Path::parent).expect("where cargo builds").join("lap");
    assert!(lap.is_file(), "{} is not there: cargo build -p lap", lap.display());
    lap
}

fn client(change: impl FnOnce(&mut ClientConfig)) -> Client {
    // The crate takes the provider of the process. Whoever comes first has set it, for all tests alike.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    change(&mut config);
    config.try_into().expect("a client")
}

fn layer() -> ImageLayer {
    let bytes: Vec<u8> = (0..LARGE).map(|place| (place % 251) as u8).collect();
    ImageLayer::oci_v1(bytes, None)
}

async fn push(client: &Client, name: &Reference, auth: &RegistryAuth) -> Result<(), OciDistributionError> {
    let config = Config::new("{}", "application/vnd.example.config.v1+json".to_owned(), None);
    client.push(name, &[layer()], config, auth, None).await.map(|_| ())
}

/// All of a stream; whose digest is right when it is the whole blob, as the crate checks.
async fn read(stream: SizedStream) -> Vec<u8> {
    stream.stream.map_ok(|piece| piece.to_vec()).try_concat().await.expect("bytes")
}

/// Pushes, and gets all of it back in every way that the client knows.
async fn there_and_back(client: &Client, served: &Served, auth: &RegistryAuth) {
    let app = served.name("team/app:1");
    push(client, &app, auth).await.expect("a push");
    let (manifest, digest) = client.pull_image_manifest(&app, auth).await.expect("a manifest");
    assert_eq!(client.fetch_manifest_digest(&app, auth).await.expect("a digest"), digest);
    let by_digest = served.name(&format!("team/app@{digest}"));
    assert_eq!(client.pull_image_manifest(&by_digest, auth).await.expect("a manifest").1, digest);
    let pulled = client.pull(&app, auth, vec![IMAGE_LAYER_MEDIA_TYPE]).await.expect("an image");
    assert!(pulled.layers.iter().map(|layer| &layer.data).eq([&layer().data]));
    let blob = &manifest.layers[0];
    parts(client, &app, blob).await;
    tags(client, served, auth, &manifest).await;
    mount(client, served, auth, blob).await;
    let attached = attach(client, served, &manifest, &digest).await;
    assert_eq!(attached.len(), 1);
    let catalog = client.catalog(&app, auth, None, None).await.expect("a catalog");
    // The other one has a blob, and nothing that a name could mean.
    assert_eq!(catalog.repositories, ["team/app"]);
}

/// A download that broke off in the middle of a blob goes on there; one of the beginning only ends where it was told to.
async fn parts(client: &Client, app: &Reference, blob: &OciDescriptor) {
    const AT: u64 = 5 << 20;
    let part = async |from, length| {
        let part = client.pull_blob_stream_partial(app, blob, from, length).await.expect("a part");
        let BlobResponse::Partial(part) = part else { panic!("all of it instead of a part") };
        read(part).await
    };
    let (begin, rest) = (part(0, Some(AT)).await, part(AT, None).await);
    assert_eq!((begin.len() as u64, rest.len() as u64), (AT, LARGE as u64 - AT));
    assert!([begin, rest].concat() == layer().data);
    let beyond = client.pull_blob_stream_partial(app, blob, LARGE as u64, None).await;
    assert!(beyond.is_err(), "there is nothing behind the end");
}

/// A second tag, and the list in pages.
async fn tags(client: &Client, served: &Served, auth: &RegistryAuth, manifest: &OciImageManifest) {
    let app = served.name("team/app:1");
    assert_eq!(client.list_tags(&app, auth, None, None).await.expect("tags").tags, ["1"]);
    let again = OciManifest::from(manifest.clone());
    client.push_manifest(&served.name("team/app:2"), &again).await.expect("a second tag");
    assert_eq!(client.list_tags(&app, auth, None, None).await.expect("tags").tags, ["1", "2"]);
    assert_eq!(client.list_tags(&app, auth, Some(1), None).await.expect("a page").tags, ["1"]);
    assert_eq!(client.list_tags(&app, auth, Some(1), Some("1")).await.expect("a page").tags, ["2"]);
}

/// Another repository takes a blob over; what is not there cannot be taken over.
async fn mount(client: &Client, served: &Served, auth: &RegistryAuth, blob: &OciDescriptor) {
    let (app, other) = (served.name("team/app:1"), served.name("team/other:1"));
    client.auth(&other, auth, RegistryOperation::Push).await.expect("a login");
    assert!(!client.blob_exists(&other, &blob.digest).await.expect("an answer"));
    client.mount_blob(&other, &app, &blob.digest).await.expect("a mount");
    assert!(client.blob_exists(&other, &blob.digest).await.expect("an answer"));
    let nowhere = format!("sha256:{}", "0".repeat(64));
    // It takes an upload that begins, which is the answer then, for an error.
    client.mount_blob(&other, &app, &nowhere).await.expect_err("there is no such blob");
}

/// Attaches a text to the image, and gives what the registry says is attached.
async fn attach(client: &Client, served: &Served, manifest: &OciImageManifest, digest: &str) -> Vec<String> {
    const TEXT: &[u8] = b"it is good";
    const KIND: &str = "application/vnd.example.about";
    let app = served.name(&format!("team/app@{digest}"));
    let text = ImageLayer::new(TEXT, "text/plain".to_owned(), None);
    let pieces = stream::iter(TEXT.chunks(3).map(|piece| Ok(piece.into())));
    client
        .push_blob_stream(&app, pieces, &text.sha256_digest(), Some(TEXT.len() as u64))
        .await
        .expect("a blob");
    let mut about = manifest.clone();
    let (media_type, size) = (text.media_type.clone(), TEXT.len() as i64);
    about.layers =
        vec![OciDescriptor { media_type, digest: text.sha256_digest(), size, ..Default::default() }];
    about.artifact_type = Some(KIND.to_owned());
    let media_type = OCI_IMAGE_MEDIA_TYPE.to_owned();
    // Who logged in before is remembered.
    let size = client.pull_manifest_raw(&app, &RegistryAuth::Anonymous, &[&media_type]).await;
    let size = size.expect("a manifest").0.len() as i64;
    about.subject = Some(OciDescriptor { media_type, digest: digest.to_owned(), size, ..Default::default() });
    client.push_manifest(&served.name("team/app:about"), &about.into()).await.expect("what is attached");
    let none = client.pull_referrers(&app, Some("application/vnd.example.other")).await.expect("an answer");
    assert_eq!(none.manifests.len(), 0);
    let index = client.pull_referrers(&app, Some(KIND)).await.expect("referrers");
    index.manifests.into_iter().map(|entry| entry.digest).collect()
}

/// It is not there, which the registry says in the way that the crate understands.
#[track_caller]
fn assert_unknown<T: std::fmt::Debug>(result: Result<T, OciDistributionError>) {
    match result.expect_err("it is deleted") {
        OciDistributionError::RegistryError { envelope, .. } => {
            assert_eq!(envelope.errors[0].code, OciErrorCode::ManifestUnknown);
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rs_022_in_chunks() {
    let served = Served::start(|_| Vec::<&str>::new());
    let client = client(|_| {});
    there_and_back(&client, &served, &RegistryAuth::Anonymous).await;
    let auth = RegistryAuth::Anonymous;
    let (app, again) = (served.name("team/app:1"), served.name("team/app:2"));
    let (manifest, digest) = client.pull_image_manifest(&again, &auth).await.expect("a manifest");
    served.delete("/v2/team/app/manifests/1");
    assert_unknown(client.pull_image_manifest(&app, &auth).await);
    assert_eq!(client.list_tags(&app, &auth, None, None).await.expect("tags").tags, ["2", "about"]);
    // With the manifest go its tags.
    served.delete(&format!("/v2/team/app/manifests/{digest}"));
    assert_unknown(client.pull_image_manifest(&again, &auth).await);
    let (other, blob) = (served.name("team/other:1"), &manifest.layers[0].digest);
    assert!(client.blob_exists(&other, blob).await.expect("an answer"));
    served.delete(&format!("/v2/team/other/blobs/{blob}"));
    assert!(!client.blob_exists(&other, blob).await.expect("an answer"));
    served.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn rs_023_in_one_piece() {
    let served = Served::start(|_| Vec::<&str>::new());
    let client = client(|config| config.use_monolithic_push = true);
    there_and_back(&client, &served, &RegistryAuth::Anonymous).await;
    served.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn rs_110_with_a_login_and_tls() {
    let served = Served::start(|directory| {
        let path = |name: &str| directory.join(name);
        run(Command::new("htpasswd")
            .args(["-c", "-b", "-B", "-C", "5"])
            .arg(path("users"))
            .args(["ann", "s3cret"]));
        // Without what openssl's own configuration adds: that it were an authority's.
        std::fs::write(path("openssl"), "[req]\ndistinguished_name=name\n[name]\n").expect("write");
        run(Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args([OsStr::new("-config"), path("openssl").as_os_str(), OsStr::new("-keyout")])
            .args([path("key").as_os_str(), OsStr::new("-out"), path("certificate").as_os_str()]));
        let files = [("--htpasswd", "users"), ("--tls-cert", "certificate"), ("--tls-key", "key")];
        files.into_iter().flat_map(|(option, file)| [PathBuf::from(option), path(file)]).collect()
    });
    let certificate = std::fs::read(served.directory.path().join("certificate")).expect("a certificate");
    let client = || {
        client(|config| {
            config.protocol = ClientProtocol::Https;
            let data = certificate.clone();
            config.tls_certs_only = vec![Certificate { encoding: CertificateEncoding::Pem, data }];
        })
    };
    let auth = |password: &str| RegistryAuth::Basic("ann".to_owned(), password.to_owned());
    let app = served.name("team/app:1");
    for wrong in [RegistryAuth::Anonymous, auth("wrong")] {
        let error = push(&client(), &app, &wrong).await.expect_err("who may not");
        assert!(error.to_string().to_lowercase().contains("authori"), "{wrong:?}: {error}");
    }
    there_and_back(&client(), &served, &auth("s3cret")).await;
    served.stop();
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
