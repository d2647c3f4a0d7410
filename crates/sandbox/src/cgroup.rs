//! Control groups: limits that hold for a contained process and all that it starts.
//!
//! A group is made only where a limit is asked for. [`Plan::find`] looks for the places where groups can be made, and says what is in the way before
//! anything runs; the runner makes the group, and the command enters it before it is executed. The group stays when the
//! process has ended: whoever gave it its name removes [`Group::directories`], also those of a process that was killed.

mod limits;
mod machine;
mod plan;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use limits::{Limits, MemorySwap};
pub(crate) use machine::Hierarchy;
pub use plan::Plan;
pub(crate) use plan::{Place, Setting};

/// The group of one process: where, with which limits, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Where, and with which limits.
    pub plan: Plan,
    /// Its name: new, without a slash.
    pub name: String,
}

impl Group {
    /// The directories that it consists of, one in each hierarchy.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.plan.directories(&self.name)
    }
}
