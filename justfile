# Lists the recipes
default:
    @just --list

# Builds lap, makes an image with it, runs it
quickstart:
    scripts/quickstart

# The whole test suite: format, lints, tests, documentation
test *ARGUMENTS:
    scripts/test {{ARGUMENTS}}

# Tests under other kernels and versions of cgroups, and power cuts, in QEMU
test-vm *ARGUMENTS:
    scripts/test-vm {{ARGUMENTS}}

# Compiles without building: the fastest feedback
check:
    cargo check --workspace --all-targets

# The tests of one crate: just crate store
crate NAME:
    cargo test --package lapstrake-{{NAME}}

# Formats everything
format:
    cargo fmt --all

# Lints, as CI runs them
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Micro-benchmarks
bench *ARGUMENTS:
    cargo bench --workspace {{ARGUMENTS}}

# Fuzzes what reads input from outside: just fuzz tar 600
fuzz *ARGUMENTS:
    scripts/fuzz {{ARGUMENTS}}

# The documentation of the crates, in a browser
docs:
    cargo doc --workspace --no-deps --document-private-items --open

# Licences, advisories and sources of dependencies (needs cargo-deny)
deny:
    cargo deny check

# Accepts changed snapshots (needs cargo-insta)
review:
    cargo insta review
