//! `lap serve`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::ArchiveError;
use archive::layout::{self, Layout};
use base::{Cancel, Events, IoContext, Kind};
use registry::{Access, Options, Server, TlsFiles, TokenOptions};
use store::Store;

use crate::cli::Context;
use crate::failure::{Failure, Outcome};
use crate::printer::Printer;
use crate::{command, environment, signals};

/// Serve the images of the store as a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What `lap build -t app` made can be pulled as ADDRESS/app at once, and what is pushed to ADDRESS/app is `app` for lap.
The first SIGINT or SIGTERM stops it gracefully. /healthz, /metrics and a page at / say how it is.

Examples:
  lap serve
  lap serve --addr 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem --htpasswd users
  lap serve --read-only --addr '[::]:5000'
  lap serve ./layout             an OCI image layout, or an archive, as it is: read-only, from a copy that goes with the process
  lap serve --ephemeral          an empty store that goes with the process; prints its address

Rules (--rules): lines of USERS ACTIONS REPOSITORIES, what no line allows is denied:
  *        read          public/**      everybody, also without a password
  ci       read,create   team/*         adds tags, and never moves one
  ann,ben  all           **")]
pub struct Args {
    /// An OCI image layout (a directory), or an archive of images, to be served instead of the store
    #[arg(value_name = "LAYOUT", conflicts_with = "ephemeral")]
    layout: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:5000; with --ephemeral any free port]
    #[arg(long, value_name = "ADDRESS:PORT")]
    addr: Option<SocketAddr>,
    /// Speak HTTPS with this certificate (PEM, with those that lead to its root); read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Ask for the passwords in this file (of `htpasswd -B`); read again when it changes
    #[arg(long, value_name = "FILE", conflicts_with = "token_realm")]
    htpasswd: Option<PathBuf>,
    /// Ask for tokens, which clients get from this address
    #[arg(long, value_name = "URL", requires_all = ["token_service", "token_issuer", "token_keys"])]
    token_realm: Option<String>,
    /// The name of this registry in tokens
    #[arg(long, value_name = "NAME", requires = "token_realm")]
    token_service: Option<String>,
    /// Who issues the tokens
    #[arg(long, value_name = "NAME", requires = "token_realm")]
    token_issuer: Option<String>,
    /// The keys that tokens are signed with: a JSON Web Key Set
    #[arg(long, value_name = "FILE", requires = "token_realm")]
    token_keys: Option<PathBuf>,
    /// Who may do what in which repositories
    #[arg(long, value_name = "FILE", conflicts_with = "token_realm")]
    rules: Option<PathBuf>,
    /// Nothing can be pushed or deleted
    #[arg(long)]
    read_only: bool,
    /// Nothing can be deleted
    #[arg(long)]
    no_delete: bool,
    /// Take indexes that name manifests which the repository does not have
    #[arg(long)]
    sparse_indexes: bool,
    /// Tell every client this, in a Warning header
    #[arg(long, value_name = "TEXT")]
    warning: Option<String>,
    /// Serve an empty store that is removed at the end; prints the address to standard output, and ends with the process that started it
    #[arg(long)]
    ephemeral: bool,
    /// How requests are logged to standard error
    #[arg(long, value_parser = ["plain", "json", "off"], default_value = "plain", value_name = "FORMAT")]
    access_log: String,
}

pub fn run(context: &Context, args: &Args) -> Outcome<u8> {
    let printer = context.printer;
    let cancel = signals::cancel_on_signal()?;
    if args.ephemeral {
        end_with_parent()?;
    }
    let is_temporary = args.ephemeral || args.layout.is_some();
    let temporary = if is_temporary { Some(Temporary::make()?) } else { None };
    let store = match &temporary {
        Some(temporary) => Store::open(&temporary.0)?,
        None => context.store()?,
    };
    if let Some(layout) = &args.layout {
        take(&store, layout, printer, &cancel)?;
    }
    let served = args.layout.clone().unwrap_or_else(|| store.root().to_owned());
    let server = Server::bind(store, options(args, printer))?;
    let address = server.address()?;
    let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
    if args.ephemeral {
        printer.line(format!("{scheme}://{address}"))?;
    } else {
        printer.note(format!("serving {} at {scheme}://{address}", base::text::path(&served)));
    }
    let is_read_only = args.read_only || args.layout.is_some();
    let is_open = args.htpasswd.is_none() && args.token_realm.is_none() && args.rules.is_none();
    if is_open && !address.ip().is_loopback() && !is_read_only {
        printer.warning(format!(
            "whoever reaches {address} may push and delete: --read-only, --htpasswd or --rules prevents that"
        ));
    }
    server.run(&cancel)?;
    Ok(0)
}

fn options(args: &Args, printer: Printer) -> Options {
    let port = if args.ephemeral { 0 } else { 5000 };
    let mut options = Options::new(args.addr.unwrap_or(SocketAddr::from(([127, 0, 0, 1], port))));
    options.tls = args
        .tls_cert
        .clone()
        .zip(args.tls_key.clone())
        .map(|(certificate, key)| TlsFiles { certificate, key });
    options.htpasswd = args.htpasswd.clone();
    options.token = token(args);
    options.rules = args.rules.clone();
    options.read_only = args.read_only || args.layout.is_some();
    options.delete = !args.no_delete;
    options.sparse_indexes = args.sparse_indexes;
    options.warning = args.warning.clone();
    options.tell = Arc::new(move |text| printer.note(base::text::line(text)));
    let format = args.access_log.clone();
    options.log = Arc::new(move |access| match format.as_str() {
        "json" => printer.note(serde_json::to_string(access).unwrap_or_default()),
        "plain" => printer.note(plain(access)),
        _ => {}
    });
    options
}

fn token(args: &Args) -> Option<TokenOptions> {
    Some(TokenOptions {
        realm: args.token_realm.clone()?,
        service: args.token_service.clone()?,
        issuer: args.token_issuer.clone()?,
        keys: args.token_keys.clone()?,
    })
}

/// `127.0.0.1:40000 ann GET /v2/ 200 2 bytes 0.3 ms docker/28`
fn plain(access: &Access) -> String {
    let user = access.user.as_deref().unwrap_or("-");
    let milliseconds = access.micros as f64 / 1000.0;
    let error = access.error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    let line = format!(
        "{} {user} {} {} {} {} bytes {milliseconds:.1} ms {}{error}",
        access.peer, access.method, access.path, access.status, access.bytes, access.agent
    );
    base::text::line(line.trim_end()).into_owned()
}

/// Whoever started this is the only one who knows the address: nobody is left to stop it when that process has ended.
fn end_with_parent() -> Outcome {
    let signal = Some(rustix::process::Signal::TERM);
    rustix::process::set_parent_process_death_signal(signal).map_err(|error| {
        Failure::new(Kind::Internal, format!("cannot watch the process that started this: {error}"))
    })
}

/// Copies a layout, or loads an archive of docker's, into a store.
fn take(store: &Store, path: &Path, printer: Printer, cancel: &Cancel) -> Outcome {
    if let Some(layout) = layout(path, cancel)? {
        return Ok(registry::take_layout(store, &layout, path, cancel)?);
    }
    let lease = store.lease("serve an archive")?;
    let archive = command::load::open(Some(path))?;
    let loaded = archive::load::load(store, &lease, archive, None, &Events::none(), cancel)?;
    for image in loaded.iter().filter(|image| image.names.is_empty()) {
        printer.warning(format!("image {} has no name, and is not served", image.image.0.short()));
    }
    Ok(())
}

/// A layout that can be read as it lies there. Archives that docker reads, and streams, are loaded instead.
fn layout(path: &Path, cancel: &Cancel) -> Outcome<Option<Layout>> {
    if path.is_dir() {
        return Ok(Some(Layout::directory(path)?));
    }
    let opened = layout::open_file(path).and_then(|file| Layout::archive(path, file, cancel));
    match opened {
        Ok(layout) if layout.is_docker_s()? => Ok(None),
        Ok(layout) => Ok(Some(layout)),
        Err(ArchiveError::NoFile(_) | ArchiveError::Compressed(_) | ArchiveError::NoLayout { .. }) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// A directory that goes at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn make() -> Outcome<Self> {
        let path = environment::temporary_directory().join(format!("lap-serve-{}", std::process::id()));
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .create(&path)
            .context("create the directory", &path)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What stays of it lies among the other temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
