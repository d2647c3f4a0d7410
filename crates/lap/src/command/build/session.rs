//! The session of a command: its contexts, the images it fetches, its secrets, its outputs.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use archive::layout::{Layout, Which};
use base::Kind;
use builder::{
    BuildContext, BuildWarning, ContextRequest, Download, DownloadRequest, ImageRequest, LocalContext,
    NotBrought, Session,
};
use distribution::web;
use image::ImageId;
use store::Store;
use store::downloads::Incoming;

use super::Stream;
use super::bring::{Bringer, Brought, Found};
use super::inputs;
use super::outputs::Outputs;
use super::secrets::Secrets;
use super::source::Named;
use super::ssh::Agents;
use crate::command::copy::place::Located;
use crate::failure::{Failure, Outcome};
use crate::network::Fetcher;

/// What docker takes of a layout when nothing is said.
const LATEST: &str = "latest";

/// A named context that was asked for: its name; of a layout the platform, too, since its images differ.
type Key = (String, Option<String>);

/// What a build asks for.
pub struct CommandSession {
    store: Store,
    context: Option<LocalContext>,
    named: BTreeMap<String, Named>,
    /// Named contexts that were asked for, and what was brought for them.
    contexts: Mutex<BTreeMap<Key, (BuildContext, Option<Brought>)>>,
    fetcher: Fetcher,
    outputs: Mutex<Outputs>,
    warnings: Mutex<Vec<BuildWarning>>,
    secrets: Secrets,
    agents: Agents,
}

/// What was asked for on the command line.
pub struct Asked {
    /// The main context.
    pub context: Option<LocalContext>,
    /// The named ones.
    pub named: BTreeMap<String, Named>,
    /// Where results go.
    pub outputs: Outputs,
    /// What steps may know.
    pub secrets: Secrets,
    /// SSH agents that steps may use.
    pub agents: Agents,
}

impl CommandSession {
    /// From what was read and asked for.
    pub fn new(store: &Store, fetcher: Fetcher, asked: Asked) -> Self {
        Self {
            store: store.clone(),
            context: asked.context,
            named: asked.named,
            contexts: Mutex::default(),
            fetcher,
            outputs: Mutex::new(asked.outputs),
            warnings: Mutex::default(),
            secrets: asked.secrets,
            agents: asked.agents,
        }
    }

    /// What the build looked askance at.
    pub fn take_warnings(&self) -> Vec<BuildWarning> {
        std::mem::take(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The build has succeeded: the outputs get their names.
    pub fn commit(self) -> Outcome {
        self.outputs.into_inner().unwrap_or_else(PoisonError::into_inner).commit()
    }

    /// The ID of an image of a layout. Without a name it is the one that is called `latest`, as in docker, or else the only one.
    fn of_layout(&self, located: &Located, request: &ContextRequest<'_>) -> Outcome<String> {
        let layout = Layout::directory(&located.path)?;
        let latest = match located.which {
            Which::Sole => layout.with_ref_name(LATEST).next().cloned(),
            _ => None,
        };
        let root = latest.map_or_else(|| layout.find(&located.which), Ok)?;
        let image = self.fetcher.take((&layout, &root), request.platform, request.events, request.cancel)?;
        Ok(image.to_string())
    }

    fn bring(&self, named: &Named, request: &ContextRequest<'_>) -> Outcome<(BuildContext, Option<Brought>)> {
        let remote = match named {
            Named::Directory(root) => {
                let ignore = inputs::ignore_file(root, None)?;
                let context = LocalContext { root: root.clone(), origin: None, ignore };
                return Ok((BuildContext::Files(context), None));
            }
            Named::Image(image) => return Ok((BuildContext::Image(image.clone()), None)),
            Named::Layout(located) => {
                return Ok((BuildContext::Image(self.of_layout(located, request)?), None));
            }
            Named::Scratch => return Ok((BuildContext::Scratch, None)),
            Named::Remote(remote) => remote,
        };
        let (events, cancel) = (request.events, request.cancel);
        let bringer = Bringer {
            store: &self.store,
            fetcher: &self.fetcher,
            secrets: &self.secrets,
            agents: &self.agents,
            events,
            cancel,
        };
        match bringer.remote(remote)? {
            Found::Files(brought) => {
                Ok((BuildContext::Files(inputs::context_of(&brought, None)?), Some(brought)))
            }
            Found::Dockerfile(file) => Err(Failure::new(
                Kind::Invalid,
                format!("what is at {} is not an archive", base::text::line(&file.name)),
            )
            .hint("a named context on the web is a tar, plain or compressed; ADD takes single files")),
        }
    }
}

/// What a build is told of a failure of the command.
fn refused(failure: Failure) -> NotBrought {
    NotBrought { kind: failure.kind(), hint: failure.first_hint(), reason: failure.message() }
}

impl Session for CommandSession {
    fn context(&self, request: &ContextRequest<'_>) -> Result<Option<BuildContext>, NotBrought> {
        if request.name.is_empty() {
            return Ok(self.context.clone().map(BuildContext::Files));
        }
        let Some(named) = self.named.get(request.name) else { return Ok(None) };
        let platform = matches!(named, Named::Layout(_)).then(|| request.platform.to_string());
        let key = (request.name.to_owned(), platform);
        // Whoever asks for one while another is brought waits: this is before anything is executed.
        let mut contexts = self.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((context, _)) = contexts.get(&key) {
            return Ok(Some(context.clone()));
        }
        let brought = self.bring(named, request).map_err(refused)?;
        let context = brought.0.clone();
        contexts.insert(key, brought);
        Ok(Some(context))
    }

    fn image(&self, request: &ImageRequest<'_>) -> Result<Option<ImageId>, NotBrought> {
        self.fetcher.fetch_beside(request).map_err(|error| refused(error.into()))
    }

    fn download(&self, request: &DownloadRequest<'_>, into: &mut Incoming) -> Result<Download, NotBrought> {
        let DownloadRequest { url, known, limit, progress, cancel } = *request;
        let authorization = self.secrets.authorization(url).map_err(refused)?;
        let authorization = authorization.as_ref();
        let wanted = web::Wanted { url, known, authorization, limit, progress, cancel };
        match self.fetcher.download(&wanted, into) {
            Ok(web::Fetched::Unchanged) => Ok(Download::Unchanged),
            Ok(web::Fetched::Whole(version)) => {
                let mtime = web::time(&version);
                Ok(Download::Whole { version, mtime })
            }
            Err(error) => Err(refused(error.into())),
        }
    }

    fn warned(&self, warnings: &[BuildWarning]) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(warnings);
    }

    fn secret(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        self.secrets.read(id)
    }

    fn git(&self) -> Option<git::Outside> {
        Some(crate::environment::git())
    }

    fn ssh(&self, id: &str) -> io::Result<Option<PathBuf>> {
        self.agents.socket(id)
    }

    fn output(&self, export: usize) -> io::Result<Stream> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).stream(export)
    }
}
