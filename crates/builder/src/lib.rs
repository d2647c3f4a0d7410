//! Building: plan (Dockerfile → graph of steps) → solve (cache, parallel) → commit (image) → export.
//!
//! ```text
//! text ─▶ dockerfile::parse ─▶ plan::plan ─▶ Graph of steps
//!                                              │ solve::solve: ready steps of all stages at the same time
//!                                              ▼
//!            record + key ─▶ store::Cache ─hit─▶ layer
//!                                  └─miss─▶ copy::execute (context → pack) or run::execute (sandbox → tree) ─▶ layer
//!                                              │
//!                                              ▼
//!                              commit::commit ─▶ config, history, manifest ─▶ names, exports
//! ```

pub mod context;
pub mod copy;
