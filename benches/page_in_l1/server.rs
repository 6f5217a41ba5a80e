//! A server under load: this program again, as a child with one worker. It ends with its handle.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdin, Stdio},
};

use super::{Outcome, cores::Cores, worker::WorkerTime};

/// How the child says where it listens.
const LISTENING: &str = "listening on ";

pub struct Server {
    /// `127.0.0.1:<port>`.
    pub address: String,
    child: Child,
    /// The child serves as long as this is open.
    alive: Option<ChildStdin>,
}

impl Server {
    pub fn start(cores: &Cores, arguments: &[String]) -> Outcome<Self> {
        let program = env::current_exe()?;
        let mut child = cores
            .for_server(&program.display().to_string())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let alive = child.stdin.take();
        let mut line = String::new();
        if let Some(said) = child.stdout.take() {
            BufReader::new(said).read_line(&mut line)?;
        }
        let address = line.trim().strip_prefix(LISTENING).unwrap_or_default().to_owned();
        let server = Self { address, child, alive };
        if server.address.is_empty() {
            return Err(format!("{} did not start", arguments.join(" ")).into());
        }
        Ok(server)
    }

    /// What its worker has used so far.
    pub fn worker_time(&self) -> Outcome<WorkerTime> {
        WorkerTime::of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The service stops its redis-server before it ends.
        drop(self.alive.take());
        let _ = self.child.wait();
    }
}

/// The child's side: says where it listens, and serves until the parent goes.
pub fn announce(address: impl std::fmt::Display) {
    println!("{LISTENING}{address}");
}

/// Returns when the parent has gone. Blocks.
pub fn parent_gone() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
