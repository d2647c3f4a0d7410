//! Exit codes, documented in `lap help exit-codes`.

/// What each exit code means: the text of `lap help exit-codes`.
pub const HELP: &str = "\
0    success
1    the command failed: bad input, something is missing, a step of a build failed
2    the arguments are wrong
70   a fault of lap itself (please report it)
125  lap run: lap itself failed before the command ran
126  lap run: the command cannot be executed
127  lap run: the command was not found
128+N  lap run: the command was ended by signal N
130  cancelled (Ctrl-C, SIGTERM)
other  lap run: the exit code of the command";

/// Wrong arguments.
pub const USAGE: u8 = 2;
/// `lap run` failed before the command ran (CT-1).
pub const RUN_FAILED: u8 = 125;
