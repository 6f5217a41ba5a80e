//! The load: `wrk` with one thread and 64 connections, one request after the other on each.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use super::{Outcome, cores::Cores, server::Server};

const CONNECTIONS: &str = "64";

/// The `wrk` of this machine.
pub struct Wrk(());

/// One run.
pub struct Load {
    pub requests: u64,
    pub requests_per_second: f64,
    /// As the clock on the wall counts it, the start of `wrk` with it.
    pub elapsed: Duration,
}

impl Wrk {
    pub fn find() -> Outcome<Self> {
        match Command::new("wrk").arg("--version").output() {
            Ok(_) => Ok(Self(())),
            Err(_) => Err("wrk is not installed. On Debian and Ubuntu: apt-get install wrk".into()),
        }
    }

    /// Loads one path of a server. Every answer must be a 2xx or 3xx.
    pub fn load(
        &self,
        cores: &Cores,
        server: &Server,
        path: &str,
        header: Option<&str>,
        duration: Duration,
    ) -> Outcome<Load> {
        let mut command = cores.for_load("wrk");
        command.args(["-t1", "-c", CONNECTIONS, "-d", &format!("{}s", duration.as_secs())]);
        if let Some(header) = header {
            command.args(["-H", header]);
        }
        command.arg(format!("http://{}{path}", server.address));
        let began = Instant::now();
        let output = command.output()?;
        let elapsed = began.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || said.contains("Non-2xx") || said.contains("Socket errors") {
            return Err(format!(
                "wrk failed on {path}:\n{said}{}",
                String::from_utf8_lossy(&output.stderr)
            )
            .into());
        }
        read(&said, elapsed).ok_or_else(|| format!("cannot read what wrk said:\n{said}").into())
    }
}

fn read(said: &str, elapsed: Duration) -> Option<Load> {
    let line = said.lines().find(|line| line.contains(" requests in "))?;
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?;
    Some(Load {
        requests: line.split_whitespace().next()?.parse().ok()?,
        requests_per_second: rate.trim().parse().ok()?,
        elapsed,
    })
}
