//! Archives in and out, against real stores and real tools.

mod import;
mod interop;
mod load;
mod refuse;
mod save;
mod support;
