//! nginx with one worker, set for throughput: what its servers here have in common.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::Server;
use crate::{
    Outcome,
    machine::Machine,
    process::{Process, free_address},
};

/// Where a machine's daemons lie, which is not on everybody's path.
fn program() -> &'static str {
    let system = "/usr/sbin/nginx";
    if Path::new(system).exists() { system } else { "nginx" }
}

/// With what is to stand in the block `http` and in its one `server`, made of the directory in which it runs.
pub fn start(machine: &Machine, http: &str, server: impl FnOnce(&Path) -> Outcome<String>) -> Outcome<Server> {
    let directory = TempDir::new()?;
    let at = directory.path().display();
    let address = free_address()?;
    let server = server(directory.path())?;
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
        .concat();
    let config = format!(
        "daemon off;\nworker_processes 1;\npid {at}/pid;\nerror_log stderr;\nworker_rlimit_nofile 20000;\n\
         events {{ worker_connections 8192; }}\n\
         http {{\naccess_log off;\n{temporary}keepalive_requests 1000000000;\nsendfile on;\ntcp_nopush on;\n\
         open_file_cache max=64 inactive=1h;\nopen_file_cache_valid 1h;\n{}\n\
         server {{\nlisten {address} backlog=4096;\n{server}\n}}\n}}\n",
        http.replace("DIRECTORY", &at.to_string()),
    );
    fs::write(directory.path().join("nginx.conf"), config)?;
    let mut command = machine.for_server(program());
    command.arg("-p").arg(directory.path());
    command
        .arg("-c")
        .arg(directory.path().join("nginx.conf"))
        .args(["-e", "stderr"]);
    let mut process = Process::start(command, directory)?;
    process.wait_until_it_listens(&address)?;
    Ok(Server { address, process })
}

/// Lets the worker, which may not run as who started it, read what lies in a directory.
pub fn let_all_read(directory: &Path) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?)
}
