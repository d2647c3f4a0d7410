//! One file per command: its help, its arguments, and the one function that does it.

pub mod build;
pub mod builder;
pub mod completions;
pub mod copy;
pub mod doctor;
pub mod elsewhere;
pub mod help;
pub mod history;
pub mod image;
pub mod images;
pub mod import;
pub mod inspect;
pub mod load;
pub mod login;
pub mod man;
pub mod prune;
pub mod pull;
pub mod push;
pub mod registry;
pub mod resources;
pub mod rmi;
pub mod run;
pub mod runtime;
pub mod save;
pub mod search;
pub mod serve;
pub mod system;
pub mod tag;
pub mod version;
pub mod ways;

/// How many threads work when nobody says: one for each processor.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}
