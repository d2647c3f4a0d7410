//! The command from outside: every test runs the real `lap` on a store of its own.

mod archives;
mod bad_input;
mod build;
mod concurrency;
mod dockerfiles;
mod environment;
mod hostile_archives;
mod hostile_rootfs;
mod house;
mod images;
mod interface;
mod kill;
mod ordinary;
mod real;
mod reproducible;
mod run;
