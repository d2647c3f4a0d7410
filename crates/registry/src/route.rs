//! Which thing a path means. Names of repositories hold slashes, and may hold the very words that stand behind them; so a path is read from its
//! end (RS-002).

use store::RepositoryName;

use crate::query::decode;

/// A repository as the client named it, and as it is called here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// As it stands in the path: replies point to the same.
    pub asked: String,
    /// Its name.
    pub name: RepositoryName,
}

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`: is this a registry, and may I?
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/_oci/ext/discover`
    Extensions,
    /// `/v2/<name>/tags/list`
    Tags(Name),
    /// `/v2/<name>/manifests/<tag or digest>`
    Manifest(Name, String),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(Name, String),
    /// `/v2/<name>/blobs/<digest>`
    Blob(Name, String),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(Name),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(Name, String),
    /// `/healthz`
    Health,
    /// `/metrics`
    Metrics,
    /// `/`, and the pages of repositories
    Page(Option<RepositoryName>),
    /// A name that is not one.
    BadName(String),
    /// Nothing.
    Unknown,
}

impl Route {
    /// Reads a path.
    pub fn parse(path: &str) -> Self {
        match path {
            "/" => return Route::Page(None),
            "/healthz" => return Route::Health,
            "/metrics" => return Route::Metrics,
            "/v2" | "/v2/" => return Route::Base,
            "/v2/_catalog" => return Route::Catalog,
            "/v2/_oci/ext/discover" => return Route::Extensions,
            _ => {}
        }
        if let Some(name) = path.strip_prefix("/r/") {
            return RepositoryName::parse(name).map_or(Route::Unknown, |name| Route::Page(Some(name)));
        }
        let Some(rest) = path.strip_prefix("/v2/") else { return Route::Unknown };
        // A slash that was encoded is a part of nothing here.
        let parts: Option<Vec<String>> =
            rest.split('/').map(|part| decode(part).filter(|part| !part.contains('/'))).collect();
        let Some(parts) = parts else { return Route::BadName(rest.to_owned()) };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [name @ .., "tags", "list"] => with(name, Route::Tags),
            [name @ .., "blobs", "uploads", ""] | [name @ .., "blobs", "uploads"] => {
                with(name, Route::Uploads)
            }
            [name @ .., "blobs", "uploads", id] => with(name, |name| Route::Upload(name, (*id).to_owned())),
            [name @ .., "blobs", digest] => with(name, |name| Route::Blob(name, (*digest).to_owned())),
            [name @ .., "manifests", reference] => {
                with(name, |name| Route::Manifest(name, (*reference).to_owned()))
            }
            [name @ .., "referrers", digest] => {
                with(name, |name| Route::Referrers(name, (*digest).to_owned()))
            }
            _ => Route::Unknown,
        }
    }

    /// The repository that it is about.
    pub fn repository(&self) -> Option<&Name> {
        match self {
            Route::Tags(name)
            | Route::Manifest(name, _)
            | Route::Referrers(name, _)
            | Route::Blob(name, _)
            | Route::Uploads(name)
            | Route::Upload(name, _) => Some(name),
            _ => None,
        }
    }

    /// The methods that make sense there.
    pub fn methods(&self) -> &'static str {
        match self {
            Route::Manifest(..) => "GET, HEAD, PUT, DELETE",
            Route::Blob(..) => "GET, HEAD, DELETE",
            Route::Uploads(_) => "POST",
            Route::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
            _ => "GET, HEAD",
        }
    }
}

fn with(name: &[&str], route: impl FnOnce(Name) -> Route) -> Route {
    let asked = name.join("/");
    match RepositoryName::parse(&asked) {
        Some(name) => route(Name { asked, name }),
        None => Route::BadName(asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(asked: &str) -> Name {
        Name { asked: asked.to_owned(), name: RepositoryName::parse(asked).expect("a name") }
    }

    #[test]
    fn rs_002_paths_are_read_from_their_end() {
        let text = str::to_owned;
        for (path, expected) in [
            ("/v2/", Route::Base),
            ("/v2", Route::Base),
            ("/v2/_catalog", Route::Catalog),
            ("/v2/app/tags/list", Route::Tags(name("app"))),
            ("/v2/library/app/tags/list", Route::Tags(name("library/app"))),
            ("/v2/x/manifests/tags/list", Route::Tags(name("x/manifests"))),
            ("/v2/a/blobs/b/manifests/1", Route::Manifest(name("a/blobs/b"), text("1"))),
            ("/v2/a/manifests/manifests/manifests", Route::Manifest(name("a/manifests"), text("manifests"))),
            ("/v2/tags/manifests/list", Route::Manifest(name("tags"), text("list"))),
            ("/v2/a/blobs/sha256:0", Route::Blob(name("a"), text("sha256:0"))),
            ("/v2/a/blobs/sha256%3A0", Route::Blob(name("a"), text("sha256:0"))),
            ("/v2/a/blobs/uploads/", Route::Uploads(name("a"))),
            ("/v2/a/blobs/uploads", Route::Uploads(name("a"))),
            ("/v2/a/blobs/uploads/blobs/uploads/", Route::Uploads(name("a/blobs/uploads"))),
            ("/v2/a/blobs/uploads/0", Route::Upload(name("a"), text("0"))),
            ("/v2/a/blobs/uploads/blobs/sha256:0", Route::Blob(name("a/blobs/uploads"), text("sha256:0"))),
            ("/v2/a/referrers/sha256:0", Route::Referrers(name("a"), text("sha256:0"))),
            ("/v2/A/tags/list", Route::BadName(text("A"))),
            ("/v2/a%2Fb/tags/list", Route::BadName(text("a%2Fb/tags/list"))),
            ("/v2/../manifests/1", Route::BadName(text(".."))),
            ("/v2//manifests/1", Route::BadName(text(""))),
            ("/v2/manifests/1", Route::BadName(text(""))),
            ("/v2/a", Route::Unknown),
            ("/v1/", Route::Unknown),
            ("/", Route::Page(None)),
            ("/r/user/app", Route::Page(RepositoryName::parse("user/app"))),
            ("/r/..", Route::Unknown),
        ] {
            assert_eq!(Route::parse(path), expected, "{path}");
        }
    }
}
