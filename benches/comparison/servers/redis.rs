//! A redis-server on loopback and on a Unix socket, and `redis-benchmark` on it.

use std::path::PathBuf;

use redis::{Client, Connection};
use tempfile::TempDir;

use crate::{
    Outcome,
    machine::Machine,
    process::{Process, free_address},
};

pub struct Redis {
    process: Process,
    port: String,
}

/// How it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By TCP, as everything else here is.
    Loopback,
    Socket,
}

impl Redis {
    /// On both cores; it keeps nothing on disk.
    pub fn start(machine: &Machine) -> Outcome<Self> {
        let directory = TempDir::new()?;
        let mut command = machine.anywhere("redis-server");
        let address = free_address()?;
        let (host, port) = address.rsplit_once(':').ok_or("an address without a port")?;
        command.args(["--bind", host, "--port", port, "--save", "", "--appendonly", "no"]);
        for event in ["eviction", "expire", "server-del", "user-del", "user-flush"] {
            command.args([&format!("--lazyfree-lazy-{event}"), "yes"]);
        }
        command.arg("--dir").arg(directory.path());
        command.arg("--unixsocket").arg(directory.path().join("redis.sock"));
        let mut process = Process::start(command, directory)?;
        process.wait_until(|_| {
            let mut connection = Client::open(format!("redis://{address}")).ok()?.get_connection().ok()?;
            redis::cmd("PING").query::<String>(&mut connection).ok()
        })?;
        let port = port.to_owned();
        Ok(Self { process, port })
    }

    fn socket(&self) -> PathBuf {
        self.process.directory().join("redis.sock")
    }

    pub fn url(&self, way: Way) -> String {
        match way {
            Way::Loopback => format!("redis://127.0.0.1:{}", self.port),
            Way::Socket => format!("unix://{}", self.socket().display()),
        }
    }

    pub fn connect(&self) -> Outcome<Connection> {
        Ok(Client::open(self.url(Way::Loopback))?.get_connection()?)
    }

    pub fn used_memory(&self) -> Outcome<u64> {
        let info: String = redis::cmd("INFO").arg("memory").query(&mut self.connect()?)?;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.ok_or("INFO without used_memory")?.trim().parse()?)
    }

    /// What a key takes, all of it counted.
    pub fn memory_of(&self, connection: &mut Connection, key: &str) -> Outcome<u64> {
        let usage: Option<u64> = redis::cmd("MEMORY")
            .arg("USAGE")
            .arg(key)
            .arg("SAMPLES")
            .arg(0)
            .query(connection)?;
        Ok(usage.ok_or_else(|| format!("no key {key}"))?)
    }

    /// Runs a command so often from 50 connections and returns commands a second. `__rand_int__` is a number below `random`, of 12 digits.
    pub fn benchmark(
        &self,
        machine: &Machine,
        way: Way,
        requests: u64,
        random: u64,
        command: &[String],
    ) -> Outcome<f64> {
        let mut benchmark = machine.anywhere("redis-benchmark");
        match way {
            Way::Loopback => benchmark.args(["-h", "127.0.0.1", "-p", &self.port]),
            Way::Socket => benchmark.arg("-s").arg(self.socket()),
        };
        benchmark.args([
            "-c",
            "50",
            "-r",
            &random.max(1).to_string(),
            "-n",
            &requests.to_string(),
        ]);
        let output = benchmark.arg("--csv").args(command).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        // The command, quoted, then requests a second.
        let last = said.lines().last().unwrap_or_default();
        let mut numbers = last.split("\",\"").skip(1).filter_map(|field| field.parse().ok());
        match numbers.next() {
            Some(rate) if !last.starts_with("ERR") => Ok(rate),
            _ => Err(format!(
                "redis-benchmark said:\n{said}{}",
                String::from_utf8_lossy(&output.stderr)
            )
            .into()),
        }
    }
}
