//! The load: `wrk` with one thread.

use std::{path::Path, process::Command, time::Duration};

use super::{Outcome, used};

/// What is asked for, and by how many at once, one request after the other on each connection.
pub struct Asked<'a> {
    pub address: &'a str,
    pub path: &'a str,
    pub header: Option<&'a str>,
    /// A script that makes the requests instead.
    pub script: Option<&'a Path>,
    pub connections: u32,
}

/// One run.
pub struct Load {
    pub requests: u64,
    pub requests_per_second: f64,
    /// As `wrk` counts it, without its own start.
    pub elapsed: Duration,
    /// The processor time of `wrk` itself by the time that went by.
    pub busy: f64,
}

/// Runs `wrk`; the command says where. Every answer must be a 2xx or 3xx.
pub fn run(mut wrk: Command, asked: &Asked<'_>, duration: Duration) -> Outcome<Load> {
    wrk.args(["-t1", "-c", &asked.connections.to_string()]);
    wrk.args(["-d", &format!("{}s", duration.as_secs().max(1))]);
    if let Some(header) = asked.header {
        wrk.args(["-H", header]);
    }
    if let Some(script) = asked.script {
        wrk.arg("-s").arg(script);
    }
    wrk.arg(format!("http://{}{}", asked.address, asked.path));
    let used_before = used::of_ended_children()?;
    let output = wrk.output()?;
    let used = used::of_ended_children()?.saturating_sub(used_before);
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || said.contains("Non-2xx") || said.contains("Socket errors") {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("wrk failed on {}:\n{said}{errors}", asked.path).into());
    }
    let read = || {
        let line = said.lines().find(|line| line.contains(" requests in "))?;
        let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?;
        let (_, elapsed) = line.split_once(" requests in ")?;
        let elapsed = seconds(elapsed.split(',').next()?)?;
        Some(Load {
            requests: line.split_whitespace().next()?.parse().ok()?,
            requests_per_second: rate.trim().parse().ok()?,
            elapsed: Duration::from_secs_f64(elapsed),
            busy: used.as_secs_f64() / elapsed,
        })
    };
    read().ok_or_else(|| format!("cannot read what wrk said:\n{said}").into())
}

/// `2.10s`, `1.05m`.
fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: f64 = number.parse().ok()?;
    match unit {
        "s" => Some(number),
        "m" => Some(number * 60.0),
        _ => None,
    }
}
