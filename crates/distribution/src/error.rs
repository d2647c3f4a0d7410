//! What can go wrong between here and a registry.

use std::path::PathBuf;
use std::time::Duration;

use base::{Cancelled, Classified, IoError, Kind};
use image::{NoSuchPlatform, ParseError};
use layer::LayerError;
use store::StoreError;

pub use crate::http::{Fault, TransportError};
use crate::limits::Limits;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistributionError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The store refused something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A layer cannot be read or written.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// An image is not ready to travel.
    #[error(transparent)]
    Image(#[from] archive::ArchiveError),
    /// The work was cancelled.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A server cannot be reached, or the connection does not last.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The client cannot be set up.
    #[error("cannot set up network connections")]
    Start {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The address of a proxy is none.
    #[error("the proxy for {scheme} is not the address of one")]
    Proxy {
        /// For what it is.
        scheme: &'static str,
    },
    /// None of the places where something may be had gives it.
    #[error("none of the places for {host} gives it: {}", .mirrors.join("; "))]
    Mirrors {
        /// The registry that the name says.
        host: String,
        /// The other places, where each was named, and why it did not.
        mirrors: Vec<String>,
        /// Why the last one does not.
        #[source]
        source: Box<DistributionError>,
    },
    /// All places that are configured for a registry are for something else.
    #[error("no place {what} of those that are configured for {host} ({named_by})")]
    NoPlace {
        /// The registry that the name says.
        host: String,
        /// What one is needed for: "takes images".
        what: &'static str,
        /// Which line of which file names one of them.
        named_by: String,
    },
    /// The user's settings forbid it.
    #[error("{what} is blocked by {named_by}")]
    Blocked {
        /// What was named.
        what: String,
        /// Which line of which file blocks it.
        named_by: String,
    },
    /// What was to be sent cannot be read.
    #[error("cannot read what was to be sent")]
    Body {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of certificates or credentials cannot be used.
    #[error("{} cannot be used: {reason}", base::text::path(.path))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A credential helper failed.
    #[error("the credential helper {program} failed: {reason}")]
    Helper {
        /// The program.
        program: String,
        /// What it said.
        reason: String,
    },
    /// The registry, or its token server, does not accept who one says to be.
    #[error("{host} does not accept the login as {user}, which comes from {source_of}{}", behind(.said))]
    Login {
        /// The registry.
        host: String,
        /// As whom.
        user: String,
        /// Where the credentials come from.
        source_of: String,
        /// What the server said.
        said: String,
    },
    /// The registry does not permit it.
    #[error("{host} does not permit {who} to {action}{}", behind(.said))]
    Denied {
        /// The registry.
        host: String,
        /// As whom: "USER (from FILE)", "anybody without a login".
        who: String,
        /// What was wanted.
        action: String,
        /// Whether it was asked with credentials.
        anonymous: bool,
        /// What the server said.
        said: String,
    },
    /// What was named is not there.
    #[error("{what} does not exist{}", behind(.said))]
    NotFound {
        /// What: `the image localhost:5000/app:1`.
        what: String,
        /// What the server said.
        said: String,
    },
    /// The registry has given enough for now, and was asked as often as makes sense (RC-062, RC-063).
    #[error("{host} gives no more for now{}{}{}", of_limits(.limits.as_deref()), of_pause(.pause.as_ref()), behind(.said))]
    Throttled {
        /// The registry.
        host: String,
        /// For how long, when that is longer than anybody wants to wait.
        pause: Option<Duration>,
        /// What it says of its limits.
        limits: Option<Box<Limits>>,
        /// Whether it was asked without credentials.
        anonymous: bool,
        /// What the server said.
        said: String,
    },
    /// The registry answered with an error.
    #[error("{host} cannot {action}: it answers {status}{}", behind(.said))]
    Answer {
        /// The registry.
        host: String,
        /// What was wanted.
        action: String,
        /// Number and name of the status.
        status: String,
        /// The number alone.
        code: u16,
        /// What the server said.
        said: String,
    },
    /// The registry does not keep to the protocol.
    #[error("{host} cannot {action}: {reason}")]
    Protocol {
        /// The registry.
        host: String,
        /// What was wanted.
        action: String,
        /// What it did.
        reason: String,
    },
    /// Bytes are not what they were said to be.
    #[error("what {host} gives for {what} is not what it should be: expected {expected}, got {found}")]
    Mismatch {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// Digest or size.
        expected: String,
        /// What came.
        found: String,
    },
    /// What lies on this machine is not what it is said to be.
    #[error("{place} is damaged: {what} is not what it should be: expected {expected}, got {found}")]
    Damaged {
        /// What it lies in: `the OCI image layout /x`.
        place: String,
        /// What was read.
        what: String,
        /// Digest or size.
        expected: String,
        /// What was there.
        found: String,
    },
    /// Something is larger than what is read of its sort.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// A document is not valid.
    #[error("{what}")]
    Document {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: ParseError,
    },
    /// The image is not there for a platform.
    #[error("{what}")]
    Platform {
        /// Which image.
        what: String,
        /// What was wanted, and what there is.
        source: NoSuchPlatform,
    },
    /// A layer that comes from a registry is not acceptable.
    #[error("cannot pull layer {digest}")]
    PulledLayer {
        /// Its digest.
        digest: Box<image::Digest>,
        /// Why.
        #[source]
        source: Box<LayerError>,
    },
    /// What was named is something that this version cannot handle.
    #[error("{what} cannot be {action}: {reason}")]
    Unsupported {
        /// What.
        what: String,
        /// "pulled", "pushed".
        action: &'static str,
        /// Why.
        reason: String,
    },
    /// A layer that registries need not have cannot be got from where its manifest says that it is.
    #[error("the layer {digest} cannot be got from the addresses in its manifest: {reason}")]
    Foreign {
        /// Its digest.
        digest: Box<image::Digest>,
        /// Why.
        reason: String,
    },
    /// What was to be copied is not what the destination says that it should be.
    #[error("{what} is {is}, and the name that it is copied to wants {wanted}")]
    OtherDigest {
        /// The image.
        what: String,
        /// Its digest.
        is: Box<image::Digest>,
        /// The one in the name.
        wanted: Box<image::Digest>,
    },
    /// A name is that of a registry, and names no image in it.
    #[error("{0} is a registry, and no image in it is named")]
    NoImage(String),
    /// A text is not a registry.
    #[error("{} is not the name of a registry", base::text::bytes(.0.as_bytes()))]
    NoHost(String),
    /// A file of the web is not there.
    #[error("{what} does not exist{}", behind(.said))]
    NoFile {
        /// The file, or the address that it has moved to.
        what: String,
        /// What the server said.
        said: String,
    },
    /// A file of the web is not for everybody.
    #[error("the server does not give it to anybody ({status}){}", behind(.said))]
    NoFileForAnybody {
        /// The name of the secret that it may want; `None` when it would not be shown one.
        secret: Option<String>,
        /// Number and name of the status.
        status: String,
        /// What the server said.
        said: String,
    },
    /// A file of the web is not for whoever has this secret.
    #[error("the server does not give it for the secret that was shown ({status}){}", behind(.said))]
    NoFileForSecret {
        /// Number and name of the status.
        status: String,
        /// What the server said.
        said: String,
    },
    /// A text is not the address of a file on the web.
    #[error("it is not an address of HTTP")]
    NoAddress,
}

/// What a server said, behind a colon.
fn behind(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": it says {text}") }
}

/// What a registry says of its limits, in brackets.
fn of_limits(limits: Option<&Limits>) -> String {
    limits.map_or_else(String::new, |limits| format!(" ({limits})"))
}

fn of_pause(pause: Option<&Duration>) -> String {
    pause.map_or_else(String::new, |pause| format!(", and asks for a pause of {} seconds", pause.as_secs()))
}

/// An error with its reasons.
pub(crate) fn in_one_line(error: &DistributionError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(reason) = next {
        text.push_str(&format!(": {reason}"));
        next = reason.source();
    }
    text
}

impl Classified for DistributionError {
    fn kind(&self) -> Kind {
        match self {
            DistributionError::Io(error) => error.kind(),
            DistributionError::Store(error) => error.kind(),
            DistributionError::Layer(error) => error.kind(),
            DistributionError::Image(error) => error.kind(),
            DistributionError::Cancelled(error) => error.kind(),
            DistributionError::Transport(error) => error.kind(),
            DistributionError::Start { source } | DistributionError::Body { source } => Kind::of_io(source),
            DistributionError::Mirrors { source, .. } => source.kind(),
            DistributionError::Document { source, .. } => source.kind(),
            DistributionError::Platform { source, .. } => source.kind(),
            DistributionError::PulledLayer { source, .. } => source.kind(),
            DistributionError::Proxy { .. }
            | DistributionError::NoPlace { .. }
            | DistributionError::File { .. }
            | DistributionError::OtherDigest { .. }
            | DistributionError::NoAddress
            | DistributionError::NoImage(_)
            | DistributionError::NoHost(_) => Kind::Invalid,
            DistributionError::Blocked { .. }
            | DistributionError::Login { .. }
            | DistributionError::Denied { .. }
            | DistributionError::NoFileForAnybody { .. }
            | DistributionError::NoFileForSecret { .. } => Kind::Denied,
            DistributionError::NotFound { .. }
            | DistributionError::NoFile { .. }
            | DistributionError::Foreign { .. } => Kind::NotFound,
            DistributionError::Throttled { .. } => Kind::Busy,
            DistributionError::Helper { .. } => Kind::Failed,
            DistributionError::Answer { code: 507 | 413, .. } => Kind::NoSpace,
            // Of a token server, or of one of the web.
            DistributionError::Answer { code: 429, .. } => Kind::Busy,
            DistributionError::Answer { .. } | DistributionError::Protocol { .. } => Kind::Io,
            DistributionError::Mismatch { .. } | DistributionError::Damaged { .. } => Kind::Corrupt,
            DistributionError::TooLarge { .. } => Kind::TooLarge,
            DistributionError::Unsupported { .. } => Kind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            DistributionError::Store(error) => error.hint(),
            DistributionError::Layer(error) => error.hint(),
            DistributionError::Image(error) => error.hint(),
            DistributionError::Transport(error) => error.hint(),
            DistributionError::Proxy { scheme } => {
                let name = scheme.to_uppercase();
                Some(format!("set {name}_PROXY to http://[USER:PASSWORD@]HOST:PORT, or socks5h://HOST:PORT"))
            }
            DistributionError::Blocked { .. } => Some("take `blocked` out of that entry if it is to be used".to_owned()),
            DistributionError::NoPlace { .. } => Some("add the capability that is missing to that file".to_owned()),
            DistributionError::Mirrors { source, .. } => source.hint(),
            DistributionError::Document { source, .. } => source.hint(),
            DistributionError::Platform { source, .. } => source.hint(),
            DistributionError::Login { source_of, .. } if source_of == crate::credentials::TYPED => Some(
                "check user and password; some registries want a token instead of the password".to_owned(),
            ),
            DistributionError::Login { host, .. } => {
                Some(format!("`lap login {host}` replaces the credentials, `lap logout {host}` removes them"))
            }
            DistributionError::Denied { host, anonymous: true, .. } => {
                Some(format!("check the name; if the repository is private, `lap login {host}` first"))
            }
            DistributionError::Denied { .. } => {
                Some("check the name, and that this user has the right to it".to_owned())
            }
            DistributionError::OtherDigest { .. } => {
                Some("leave out the digest behind the @, or name a tag".to_owned())
            }
            DistributionError::Foreign { .. } => Some(
                "only https addresses are asked, without credentials; ask whoever publishes the image for the layer"
                    .to_owned(),
            ),
            DistributionError::NoImage(host) => {
                Some(format!("write {host}/NAME[:TAG]; `lap registry catalog {host}` lists what there is"))
            }
            DistributionError::NoHost(_) => {
                Some("a registry is written HOST[:PORT], as in registry.example.com:5000".to_owned())
            }
            DistributionError::NotFound { .. } => Some("check the name and the tag".to_owned()),
            DistributionError::NoFile { .. } => {
                Some("check the address, or put the file into the build context".to_owned())
            }
            DistributionError::NoFileForAnybody { secret: Some(id), .. } => Some(format!(
                "give a token for it: --secret id={id},src=FILE; or put the file into the build context"
            )),
            DistributionError::NoFileForAnybody { secret: None, .. } => Some(
                "who asks is told to the server of the address alone, and this one leads to another: \
                 put the file into the build context"
                    .to_owned(),
            ),
            DistributionError::NoFileForSecret { .. } => Some(
                "check HTTP_AUTH_HEADER_host and HTTP_AUTH_TOKEN_host among the secrets: it may be wrong, or too old".to_owned(),
            ),
            DistributionError::Throttled { host, limits: Some(_), anonymous: true, .. } => Some(format!(
                "users have more: `lap login {host}`; or set up a mirror; what has come of layers is kept"
            )),
            DistributionError::Throttled { .. } => {
                Some("repeat the command later; what has come of layers is kept".to_owned())
            }
            DistributionError::Answer { code: 507 | 413, .. } => Some(
                "the registry has no room for it, or a proxy before it limits sizes: ask whoever runs it"
                    .to_owned(),
            ),
            DistributionError::Answer { code: 405, .. } => Some(
                "the registry is read-only, or set up so that nothing is deleted: ask whoever runs it"
                    .to_owned(),
            ),
            DistributionError::Answer { code: 500.., .. } => Some(
                "the fault is the server's: repeat the command later; what was transferred of layers is kept"
                    .to_owned(),
            ),
            DistributionError::Damaged { .. } => Some(
                "remove what is damaged, and copy the image there again from where it is whole".to_owned(),
            ),
            DistributionError::Mismatch { .. } | DistributionError::PulledLayer { .. }
                if self.kind() == Kind::Corrupt =>
            {
                Some(
                    "the registry, or a proxy on the way, gives wrong bytes; what was verified before is kept"
                        .to_owned(),
                )
            }
            // What a layer's own error proposes is about the store, and here the registry is at fault.
            _ => self.kind().hint().map(str::to_owned),
        }
    }
}
