//! The `listcache` program.

use std::process::ExitCode;

use listcache::{cli, config::Environment};

/// Chunks come and go by the thousand, made on one thread and dropped on another. The C library's allocator keeps several
/// times their size for that (docs/benchmarks.md, row (d)), and threads wait for each other in it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), Environment::of_the_process())
}
