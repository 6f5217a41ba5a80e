//! Servers that are this program again: how they are started, and how they say where they listen.

use std::{env, process::Command};

use tempfile::TempDir;

use super::Server;
use crate::{Outcome, process::Process};

/// How the child says where it listens.
const LISTENING: &str = "listening on ";

/// Starts this program with arguments; `command` says where it runs.
pub fn start(command: impl FnOnce(&str) -> Command, arguments: &[String]) -> Outcome<Server> {
    let mut command = command(&env::current_exe()?.display().to_string());
    command.args(arguments);
    let mut process = Process::start(command, TempDir::new()?)?;
    let address = process.wait_until(|process| {
        let said = process.said();
        let line = said.lines().find_map(|line| line.strip_prefix(LISTENING))?;
        said.ends_with('\n').then(|| line.to_owned())
    })?;
    Ok(Server { address, process })
}

/// The child's side.
pub fn announce(address: impl std::fmt::Display) {
    println!("{LISTENING}{address}");
}
