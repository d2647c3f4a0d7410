//! Becoming root of a user namespace, where lap is not run by root.

use std::path::Path;

use sandbox::identity::{self, Identity};

use crate::cli::Context;
use crate::failure::Outcome;

/// Enters a user namespace when this process is not root: with the ids of the store at `root`, or all that the user has.
///
/// To be called before there is a second thread.
pub fn enter(root: Option<&Path>) -> Outcome<Identity> {
    let recorded = root.map(store::ids::recorded).transpose()?.flatten();
    Ok(identity::enter(recorded.as_ref())?)
}

/// Says what a single user id means, to who is about to run a command with it.
pub fn say_what_is_given_up(context: &Context) {
    if let Some(Identity::Single(shortage)) = &context.identity {
        context.printer.note(format_args!(
            "note: one user id ({shortage}): owners and users of the image are recorded, not real; device nodes cannot be made\n\
             hint: {}",
            shortage.remedy()
        ));
    }
}
