//! Building: plan (Dockerfile → graph of steps) → solve (cache, parallel) → commit (image) → export.
//!
//! ```text
//! text ─▶ dockerfile::parse ─▶ plan::plan ─▶ Plan: stages of steps
//!                                              │ solve::solve: ready steps of all stages at the same time
//!                                              ▼
//!            record + key ─▶ store::Cache ─hit─▶ layer
//!                                  └─miss─▶ copy::execute (context → pack) or run::execute (sandbox → tree) ─▶ layer
//!                                              │
//!                                              ▼
//!                              commit::commit ─▶ config, history, manifest ─▶ names, exports
//! ```
//!
//! [`build()`] is that sequence; [`check()`] goes as far as the plan, and says what it noticed.

pub mod changes;
pub mod check;
pub mod checkout;
pub mod context;
pub mod copy;
pub mod entitlement;
pub mod error;
pub mod outcome;
pub mod outline;
pub mod plan;
pub mod request;
pub mod session;

mod build;
mod commit;
mod export;
mod images;
mod record;
mod run;
mod solve;
mod workdir;

pub use build::build;
pub use check::{Checked, check, outline};
pub use entitlement::Entitlement;
pub use error::{BuildError, ExportError, Place, StepError, StepFailure};
pub use outcome::{BuildWarning, Named, Outcome, StepCount};
pub use outline::{Outline, OutlineArgument, OutlineNeed, Target, targets};
pub use request::{DockerfileText, Epoch, Export, Network, Request, context_name};
pub use run::RunError;
pub use session::{
    BuildContext, ContextRequest, Download, DownloadRequest, IgnoreText, ImageRequest, LocalContext,
    MAX_DOWNLOAD, MAX_SECRET, NotBrought, Session,
};
