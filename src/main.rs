//! The `listcache` program.

use std::process::ExitCode;

use listcache::{cli, config::Environment};

/// Chunks come and go by the thousand, made on one thread and dropped on another. The C library's allocator keeps several
/// times their size for that (docs/benchmarks.md, row (d)), and threads wait for each other in it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The memory of connections is scattered over many huge pages, each of which the kernel clears whole. A kernel without them says so.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
    cli::run(std::env::args_os(), Environment::of_the_process())
}
