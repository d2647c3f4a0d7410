//! Who `--chown` means (DF-124): numbers, or names that the base knows.

use dockerfile::Span;
use engine::users::Users;
use layer::View;
use store::{Lease, Store};

use super::CopyError;

/// A numeric owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// The base, as far as it knows names.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub store: &'a Store,
    pub lease: &'a Lease,
    pub base: &'a View,
}

impl Names<'_> {
    /// The owner that `user[:group]` means.
    pub fn owner(&self, text: &str, span: Span) -> Result<Owner, CopyError> {
        let owner = Users::read(self.store, self.lease, self.base).owner(text);
        let (uid, gid) = owner.map_err(|error| CopyError::Owner {
            text: text.to_owned(),
            reason: error.to_string(),
            span,
        })?;
        Ok(Owner { uid, gid })
    }
}
