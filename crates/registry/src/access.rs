//! Who may do what: passwords (RS-100), tokens (RS-101), and rules for repositories (RS-104).

mod htpasswd;
mod jwk;
mod rules;
mod token;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderMap};
use hyper::{Method, StatusCode};
use store::RepositoryName;

use self::htpasswd::Passwords;
use self::rules::Rules;
pub use self::token::TokenOptions;
use self::token::{Grant, Tokens};
use crate::reply::{Answer, Code, Refusal};
use crate::route::Route;
use crate::{Options, ServeError};

/// What somebody wants to do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Read.
    Pull,
    /// Add what is not there.
    Push,
    /// Give a tag that is there another meaning.
    Overwrite,
    /// Delete.
    Delete,
}

impl Action {
    /// What a request wants to do.
    pub fn of(method: &Method, route: &Route) -> Self {
        match *method {
            Method::GET | Method::HEAD if !matches!(route, Route::Upload(..)) => Action::Pull,
            Method::DELETE if !matches!(route, Route::Upload(..)) => Action::Delete,
            _ => Action::Push,
        }
    }

    /// How tokens and challenges call it.
    fn scope(self) -> &'static str {
        match self {
            Action::Pull => "pull",
            Action::Push | Action::Overwrite => "push",
            Action::Delete => "delete",
        }
    }
}

/// Who sent a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct User {
    name: Option<String>,
    /// What a token lets its bearer do.
    grants: Option<Vec<Grant>>,
}

impl User {
    /// The name, if there is one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// Who is let in.
pub(crate) struct Access {
    way: Way,
    rules: Option<Rules>,
}

/// How somebody shows who they are.
enum Way {
    /// Nobody has to.
    Open,
    Passwords(Passwords),
    Tokens(Tokens),
}

impl Access {
    /// Reads what the options name.
    pub fn load(options: &Options) -> Result<Self, ServeError> {
        let way = match (&options.htpasswd, &options.token) {
            (Some(path), _) => Way::Passwords(Passwords::load(path)?),
            (None, Some(options)) => Way::Tokens(Tokens::load(options)?),
            (None, None) => Way::Open,
        };
        let rules = options.rules.as_deref().map(Rules::load).transpose()?;
        Ok(Self { way, rules })
    }

    /// Finds out who sent a request, and whether that user may do what it asks for.
    pub async fn check(&self, headers: &HeaderMap, action: Action, route: &Route) -> Answer<User> {
        let repository = route.repository().map(|name| &name.name);
        let credentials = Credentials::of(headers)?;
        let user = match (&self.way, credentials) {
            (Way::Open, _) | (_, None) => User::default(),
            (Way::Passwords(passwords), Some(Credentials::Basic(name, password))) => {
                if !passwords.verify(&name, password).await? {
                    let text = format!("the password of {} is not right", base::text::bytes(name.as_bytes()));
                    return Err(self.challenge(text, action, repository, None));
                }
                User { name: Some(name), grants: None }
            }
            (Way::Tokens(tokens), Some(Credentials::Bearer(token))) => match tokens.verify(&token) {
                Ok((name, grants)) => User { name, grants: Some(grants) },
                Err(reason) => {
                    let text = format!("the token is not valid: {reason}");
                    return Err(self.challenge(text, action, repository, Some("invalid_token")));
                }
            },
            (Way::Passwords(_), Some(Credentials::Bearer(_))) => {
                return Err(self.challenge(
                    "this registry takes a password, not a token".to_owned(),
                    action,
                    repository,
                    None,
                ));
            }
            (Way::Tokens(_), Some(Credentials::Basic(..))) => {
                return Err(self.challenge(
                    "this registry takes a token, not a password".to_owned(),
                    action,
                    repository,
                    None,
                ));
            }
        };
        let is_allowed = match (route, repository) {
            (_, Some(repository)) => self.may(&user, action, repository),
            // What can be seen there is chosen by what the user may read.
            (Route::Catalog, None) => self.may_list(&user),
            (Route::Page(Some(name)), None) => self.may(&user, action, name),
            _ => self.may_enter(&user),
        };
        if is_allowed {
            return Ok(user);
        }
        // Who has not said who they are may do so; who has, is not allowed. (A token can be exchanged for a better one.)
        if user.name.is_none() && !matches!(self.way, Way::Open) || matches!(self.way, Way::Tokens(_)) {
            let error = user.grants.is_some().then_some("insufficient_scope");
            return Err(self.challenge("you have to log in for this".to_owned(), action, repository, error));
        }
        let who = user
            .name
            .as_deref()
            .map_or("nobody in particular".into(), |name| base::text::bytes(name.as_bytes()));
        let what = repository.map_or(String::new(), |name| format!(" in {name}"));
        Err(Refusal::new(Code::Denied, format!("{who} may not {}{what}", action.scope())))
    }

    /// Whether a user may do something with a repository.
    pub fn may(&self, user: &User, action: Action, repository: &RepositoryName) -> bool {
        if let Some(grants) = &user.grants {
            return grants.iter().any(|grant| grant.allows(action, repository));
        }
        match (&self.way, &self.rules) {
            (Way::Tokens(_), _) => false,
            (_, Some(rules)) => rules.allow(user.name(), action, repository),
            (Way::Open, None) => true,
            (Way::Passwords(_), None) => user.name.is_some(),
        }
    }

    fn may_list(&self, user: &User) -> bool {
        match &user.grants {
            Some(grants) => grants.iter().any(Grant::allows_catalog),
            None => self.may_enter(user),
        }
    }

    /// Whether there is anything for this user here.
    fn may_enter(&self, user: &User) -> bool {
        match (&self.way, &self.rules) {
            (Way::Open, _) => true,
            (Way::Tokens(_), _) => user.grants.is_some(),
            (Way::Passwords(_), Some(rules)) => user.name.is_some() || rules.know_nobody(),
            (Way::Passwords(_), None) => user.name.is_some(),
        }
    }

    /// What a client that has not logged in is told beside the reply, so that it can.
    pub fn invitation(&self, user: &User) -> Option<String> {
        let is_stranger = user.name.is_none() && user.grants.is_none();
        match &self.way {
            Way::Passwords(_) if is_stranger => Some(self.challenge_text(Action::Pull, None, None)),
            _ => None,
        }
    }

    fn challenge(
        &self,
        text: String,
        action: Action,
        repository: Option<&RepositoryName>,
        error: Option<&str>,
    ) -> Refusal {
        Refusal::new(Code::Unauthorized, text)
            .status(StatusCode::UNAUTHORIZED)
            .header(header::WWW_AUTHENTICATE, self.challenge_text(action, repository, error))
    }

    fn challenge_text(
        &self,
        action: Action,
        repository: Option<&RepositoryName>,
        error: Option<&str>,
    ) -> String {
        let Way::Tokens(tokens) = &self.way else {
            return "Basic realm=\"lapstrake\", charset=\"UTF-8\"".to_owned();
        };
        let actions = match action {
            Action::Pull => "pull",
            Action::Push | Action::Overwrite => "pull,push",
            Action::Delete => "delete",
        };
        tokens.challenge(repository.map(|name| format!("repository:{name}:{actions}")), error)
    }
}

/// What a client says of itself.
enum Credentials {
    Basic(String, String),
    Bearer(String),
}

impl Credentials {
    /// Reads the `Authorization` header. What it holds is never repeated.
    fn of(headers: &HeaderMap) -> Answer<Option<Self>> {
        let wrong = || {
            Refusal::new(Code::Unauthorized, "the Authorization header is not understood: Basic or Bearer is")
                .status(StatusCode::BAD_REQUEST)
        };
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
        let (scheme, rest) =
            value.to_str().ok().and_then(|text| text.trim().split_once(' ')).ok_or_else(wrong)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Some(Self::Bearer(rest.trim().to_owned())));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(wrong());
        }
        let bytes = STANDARD.decode(rest.trim()).map_err(|_| wrong())?;
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        let (name, password) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Some(Self::Basic(name.to_owned(), password.to_owned())))
    }
}
