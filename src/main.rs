//! The `listcache` program.

use std::process::ExitCode;

use listcache::{cli, config::Environment};

fn main() -> ExitCode {
    cli::run(std::env::args_os(), Environment::of_the_process())
}
