//! The files of a commit, as ADD copies them (DF-141).

use base::Cancel;
use dockerfile::Span;

use super::CopyError;
use super::collect::Collector;
use super::item::{Group, Shape};
use crate::context::{Below, Context};

/// What is known of a repository that is copied from.
#[derive(Clone)]
pub struct CheckedOut {
    /// The commit, and what of it: equal ones are equal files.
    pub identity: String,
    /// The files; `None` when nothing was fetched: the identity is enough for the content key.
    pub files: Option<Context>,
}

impl Collector<'_> {
    /// Everything of a commit that is not excluded.
    pub fn checkout(
        &mut self,
        found: &CheckedOut,
        exclude: Below<'_>,
        span: Span,
        cancel: &Cancel,
    ) -> Result<(), CopyError> {
        let place = self.checkouts.len();
        self.checkouts.push(found.clone());
        let mut items = Vec::new();
        if let Some(context) = &found.files {
            self.checkout = Some(place);
            let walked = context.walk(b"", exclude, cancel, |walked| items.extend(self.of_walked(walked)));
            self.checkout = None;
            walked?;
        }
        self.add(Group { shape: Shape::Checkout(place), name: Vec::new(), source: Vec::new(), items, span });
        Ok(())
    }
}
