//! Varnish in front of another server.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use super::Server;
use crate::{
    Outcome,
    process::{Process, free_address},
};

/// What its cache holds at most, and what it does with codings.
pub struct Storage {
    pub memory: &'static str,
    /// Packs what comes plain and keeps one copy; else it keeps what comes, a copy a coding.
    pub packs: bool,
    /// Threads that are there from the start.
    pub threads: u32,
}

/// Under this VCL, `BACKEND` being the other server.
pub fn start(command: impl FnOnce(&str) -> Command, upstream: &str, storage: &Storage, vcl: &str) -> Outcome<Server> {
    // Its log is a mapped file, which belongs into memory.
    let in_memory = Path::new("/dev/shm");
    let directory = if in_memory.is_dir() {
        TempDir::new_in(in_memory)?
    } else {
        TempDir::new()?
    };
    let address = free_address()?;
    let (host, port) = upstream.split_once(':').ok_or("an address without a port")?;
    let backend = format!("backend origin {{ .host = \"{host}\"; .port = \"{port}\"; }}");
    fs::write(directory.path().join("bench.vcl"), vcl.replace("BACKEND", &backend))?;
    let system = "/usr/sbin/varnishd";
    let mut command = command(if Path::new(system).exists() { system } else { "varnishd" });
    command.args(["-F", "-j", "none", "-T", "none", "-a", &address]);
    command.args(["-s", &format!("malloc,{}", storage.memory)]);
    command.args(["-p", "thread_pools=1"]);
    command.args(["-p", &format!("thread_pool_min={}", storage.threads)]);
    command.args([
        "-p",
        if storage.packs {
            "http_gzip_support=on"
        } else {
            "http_gzip_support=off"
        },
    ]);
    command.arg("-n").arg(directory.path().join("work"));
    command.arg("-f").arg(directory.path().join("bench.vcl"));
    let mut process = Process::start(command, directory)?;
    process.wait_until_it_listens(&address)?;
    Ok(Server { address, process })
}

/// Keeps whatever comes, by its URL.
pub const KEEPS_ALL: &str = r#"
vcl 4.1;
BACKEND
sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}
sub vcl_backend_response {
    set beresp.ttl = 1h;
}
"#;
