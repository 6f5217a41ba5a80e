//! A private redis-server: for the demo, and for `redis.url = "private"`.
//!
//! It listens on a Unix socket in a directory of its own, on no port, and keeps nothing on disk. It ends with the process
//! that started it, however that ends: `Drop` kills it, and where nothing drops it (SIGKILL, abort) a small shell, which
//! waits for the end of a pipe that only the process holds open, does the same and removes the directory.

use std::{
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::server::Server;

/// Until it must answer PING.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Valkey's server where there is no Redis.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
/// Kills `$1` and removes `$2` once standard input ends.
const WATCHDOG: &str = "cat >/dev/null; kill -9 \"$1\" 2>/dev/null; rm -rf \"$2\"";

/// A running private server. Dropping it kills it.
#[derive(Debug)]
pub struct PrivateServer {
    server: Child,
    /// Holds the pipe's other end in its `stdin`.
    watchdog: Child,
    directory: TempDir,
}

/// Why there is no private server.
#[derive(Debug, thiserror::Error)]
pub enum PrivateServerError {
    /// The program is not installed, or not in the path.
    #[error("neither redis-server nor valkey-server is installed")]
    NotInstalled,
    /// A process or the directory could not be made.
    #[error("the private redis-server could not be started")]
    NotStarted(#[source] io::Error),
    /// It ended by itself.
    #[error("the private redis-server ended at once ({status}): {log}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// It runs, but does not answer.
    #[error("the private redis-server does not answer")]
    Silent,
}

impl PrivateServer {
    /// Starts a server and waits until it answers.
    pub async fn start() -> Result<Self, PrivateServerError> {
        let directory = tempfile::Builder::new()
            .prefix("listcache-redis-")
            .tempdir()
            .map_err(PrivateServerError::NotStarted)?;
        let server = spawn_server(directory.path())?;
        let watchdog = match spawn_watchdog(server.id(), directory.path()) {
            Ok(watchdog) => watchdog,
            Err(error) => {
                end(server);
                return Err(PrivateServerError::NotStarted(error));
            }
        };
        let mut started = Self {
            server,
            watchdog,
            directory,
        };
        started.wait_until_ready().await?;
        Ok(started)
    }

    /// For [`StoreOptions::url`](super::StoreOptions).
    pub fn url(&self) -> String {
        format!("unix://{}", socket_in(self.directory.path()))
    }

    /// The server's process.
    pub fn process_id(&self) -> u32 {
        self.server.id()
    }

    async fn wait_until_ready(&mut self) -> Result<(), PrivateServerError> {
        let server = Server::parse(&self.url())
            .map_err(|error| PrivateServerError::NotStarted(io::Error::other(error.to_string())))?;
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.server.try_wait().map_err(PrivateServerError::NotStarted)? {
                let log = std::fs::read_to_string(self.directory.path().join("redis.log")).unwrap_or_default();
                return Err(PrivateServerError::Ended {
                    status,
                    log: log.lines().last().unwrap_or_default().to_owned(),
                });
            }
            let ping = async {
                let mut connection = server.open(|_| {}).await.ok()?;
                connection.send_packed_command(&redis::cmd("PING")).await.ok()
            };
            if let Ok(Some(redis::Value::SimpleString(pong))) = timeout(Duration::from_secs(1), ping).await
                && pong == "PONG"
            {
                return Ok(());
            }
            sleep(Duration::from_millis(5)).await;
        }
        Err(PrivateServerError::Silent)
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // First the watchdog: after the server has been waited for, its process id may be another's.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn socket_in(directory: &Path) -> String {
    directory.join("redis.sock").display().to_string()
}

fn spawn_server(directory: &Path) -> Result<Child, PrivateServerError> {
    for program in PROGRAMS {
        let mut command = Command::new(program);
        command
            .args([
                "--port",
                "0",
                "--unixsocketperm",
                "700",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args([
                "--maxmemory-policy",
                "volatile-lfu",
                "--databases",
                "1",
                "--daemonize",
                "no",
            ])
            .args(["--logfile", "redis.log", "--loglevel", "notice"])
            .arg("--unixsocket")
            .arg(socket_in(directory))
            .arg("--dir")
            .arg(directory);
        for lazily in ["eviction", "expire", "server-del", "user-del", "user-flush"] {
            command.args([&format!("--lazyfree-lazy-{lazily}"), "yes"]);
        }
        let spawned = command
            // Not in the terminal's group: Ctrl-C must not end it while requests are being drained.
            .process_group(0)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match spawned {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            spawned => return spawned.map_err(PrivateServerError::NotStarted),
        }
    }
    Err(PrivateServerError::NotInstalled)
}

fn spawn_watchdog(server: u32, directory: &Path) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", WATCHDOG, "sh", &server.to_string()])
        .arg(directory)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
