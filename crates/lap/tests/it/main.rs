//! The command from outside: every test runs the real `lap` on a store of its own.

mod archives;
mod bad_input;
mod build;
mod chance;
mod clock;
mod concurrency;
mod disk;
mod dockerfiles;
mod environment;
mod faults;
mod filesystems;
mod house;
mod images;
mod interface;
mod kill;
mod left;
mod ordinary;
mod real;
mod reproducible;
mod run;
mod runtime;
mod versions;
