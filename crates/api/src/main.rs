//! The `clarity` binary.

use std::process::ExitCode;

/// Gives back what hashing a password took. glibc keeps it: after 64 people had signed up, a gigabyte.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    api::cli::run()
}
