//! Replies, and errors as the distribution specification has them (RS-004).

use base::{Classified, Kind};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::body::Body;

/// What is sent.
pub type Reply = Response<Body>;
/// What handlers give.
pub type Answer<T = Reply> = Result<T, Refusal>;

/// The digest of what is sent.
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The name of an upload.
pub const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// What a manifest that was pushed is about.
pub const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// A tag that a manifest got.
pub const TAG: HeaderName = HeaderName::from_static("oci-tag");
/// Which filters were applied to referrers.
pub const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Why something is refused: an error code of the specification, with the status that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PaginationNumberInvalid,
    SizeInvalid,
    TagInvalid,
    Unauthorized,
    Unsupported,
    Unknown,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Code::BlobUnknown => "BLOB_UNKNOWN",
            Code::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Code::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Code::Denied => "DENIED",
            Code::DigestInvalid => "DIGEST_INVALID",
            Code::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Code::ManifestInvalid => "MANIFEST_INVALID",
            Code::ManifestUnknown => "MANIFEST_UNKNOWN",
            Code::NameInvalid => "NAME_INVALID",
            Code::NameUnknown => "NAME_UNKNOWN",
            Code::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Code::SizeInvalid => "SIZE_INVALID",
            Code::TagInvalid => "TAG_INVALID",
            Code::Unauthorized => "UNAUTHORIZED",
            Code::Unsupported => "UNSUPPORTED",
            Code::Unknown => "UNKNOWN",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Code::BlobUnknown | Code::BlobUploadUnknown | Code::ManifestUnknown | Code::NameUnknown => {
                StatusCode::NOT_FOUND
            }
            Code::Denied => StatusCode::FORBIDDEN,
            Code::Unauthorized => StatusCode::UNAUTHORIZED,
            Code::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Code::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A request that is refused, or failed.
#[derive(Debug)]
pub struct Refusal {
    pub(crate) status: StatusCode,
    code: Code,
    message: String,
    detail: Option<Value>,
    headers: Vec<(HeaderName, String)>,
    /// What the server's log says, and the client need not know.
    pub(crate) cause: Option<String>,
}

impl Refusal {
    /// With the status that belongs to the code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            code,
            message: message.into(),
            detail: None,
            headers: Vec::new(),
            cause: None,
        }
    }

    /// With another status.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With details.
    pub fn detail(mut self, detail: Value) -> Self {
        self.detail = Some(detail);
        self
    }

    /// With a header.
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The reply.
    pub fn reply(self) -> Reply {
        let mut error = json!({"code": self.code.text(), "message": self.message});
        if let (Some(detail), Some(object)) = (self.detail, error.as_object_mut()) {
            object.insert("detail".to_owned(), detail);
        }
        let mut reply = json_reply(self.status, &json!({"errors": [error]}));
        for (name, value) in self.headers {
            set(&mut reply, name, &value);
        }
        reply
    }
}

/// An error of the store is the registry's own matter: the client learns the sort, the log the rest.
impl<E: Classified> From<E> for Refusal {
    fn from(error: E) -> Self {
        let kind = error.kind();
        let message = match kind {
            Kind::NoSpace => "the registry has no room left",
            Kind::ReadOnly => "the registry's store cannot be written",
            Kind::Busy => "somebody else is working on this",
            Kind::Cancelled => "the registry is being stopped",
            _ => "the registry failed; its log says why",
        };
        let status = StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // What is missing or invalid inside the store is no fault of the request.
        let status = match kind {
            Kind::NoSpace | Kind::Busy => status,
            Kind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            Kind::ReadOnly => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut refusal = Self::new(Code::Unknown, message).status(status);
        let mut cause = error.to_string();
        let mut next = error.source();
        while let Some(source) = next {
            cause.push_str(": ");
            cause.push_str(&source.to_string());
            next = source.source();
        }
        refusal.cause = Some(cause);
        refusal
    }
}

/// A reply without a body.
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        set(&mut reply, header::CONTENT_LENGTH, "0");
    }
    reply
}

/// A JSON document.
pub fn json_reply(status: StatusCode, value: &Value) -> Reply {
    bytes(status, "application/json", value.to_string())
}

/// Some bytes.
pub fn bytes(status: StatusCode, media_type: &str, bytes: impl Into<Vec<u8>>) -> Reply {
    let bytes = bytes.into();
    let length = bytes.len();
    let mut reply = Response::new(Body::bytes(bytes));
    *reply.status_mut() = status;
    set(&mut reply, header::CONTENT_TYPE, media_type);
    set(&mut reply, header::CONTENT_LENGTH, &length.to_string());
    reply
}

/// Sets a header. A value that cannot stand in one is left out: none of ours is such, and what came from outside was parsed.
pub fn set(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}

/// Adds a header that may be there several times.
pub fn add(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().append(name, value);
    }
}
