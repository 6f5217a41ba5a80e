//! A private redis-server: for the demo, and for `redis.url = "private"`.
//!
//! It listens on a Unix socket in a directory of its own, on no port, and keeps nothing on disk. Where it ends by itself (the kernel
//! was out of memory, somebody killed it) it is started again. It ends with the process
//! that started it, however that ends: `Drop` kills it, and where nothing drops it (SIGKILL, abort) a small shell, which
//! waits for the end of a pipe that only the process holds open, does the same and removes the directory.

use std::{
    io::{self, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::wire::address::Server;

/// Until it must answer PING.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of its answers until then.
const READY_REPLY_MAX: usize = 64 * 1024;
/// Valkey's server where there is no Redis.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
/// Between two looks whether the server still runs.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Between two starts.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Reads process ids, a line each. Once its standard input ends, it kills the last one and removes `$1`.
const WATCHDOG: &str = "while read -r id; do last=$id; done; kill -9 \"$last\" 2>/dev/null; rm -rf \"$1\"";

/// A running private server. It is started again when it ends by itself. Dropping this kills it.
#[derive(Debug)]
pub struct PrivateServer {
    url: String,
    /// Taken when it is dropped.
    running: Arc<Mutex<Option<Running>>>,
}

#[derive(Debug)]
struct Running {
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
        let watchdog = match spawn_watchdog(directory.path()) {
            Ok(watchdog) => watchdog,
            Err(error) => {
                end(server);
                return Err(PrivateServerError::NotStarted(error));
            }
        };
        let url = format!("unix://{}", socket_in(directory.path()));
        let mut running = Running {
            server,
            watchdog,
            directory,
        };
        running.tell_watchdog();
        let started = Self {
            url,
            running: Arc::new(Mutex::new(Some(running))),
        };
        started.wait_until_ready().await?;
        tokio::spawn(keep_running(started.running.clone()));
        Ok(started)
    }

    /// For [`StoreOptions::url`](crate::store::StoreOptions).
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The server's process, as long as it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.running.lock().as_ref().map(|running| running.server.id())
    }

    async fn wait_until_ready(&self) -> Result<(), PrivateServerError> {
        let server = Server::parse(&self.url, READY_REPLY_MAX)
            .map_err(|error| PrivateServerError::NotStarted(io::Error::other(error.to_string())))?;
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(running) = &mut *self.running.lock()
                && let Some(status) = running.server.try_wait().map_err(PrivateServerError::NotStarted)?
            {
                let log = running.last_line();
                return Err(PrivateServerError::Ended { status, log });
            }
            let ping = async {
                let (mut connection, _) = server.open(|_| {}).await.ok()?;
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
        let Some(mut running) = self.running.lock().take() else {
            return;
        };
        // First the watchdog: after the server has been waited for, its process id may be another's.
        let _ = running.watchdog.kill();
        let _ = running.watchdog.wait();
        let _ = running.server.kill();
        let _ = running.server.wait();
    }
}

/// Starts the server again each time that it has ended, until the handle is dropped. Connections try again by themselves, and see
/// by its run id that it is another. One that ends at once is started about once a second.
async fn keep_running(running: Arc<Mutex<Option<Running>>>) {
    loop {
        let pause = match &mut *running.lock() {
            None => return,
            Some(running) => running.look(),
        };
        sleep(pause).await;
    }
}

impl Running {
    /// Starts the server again if it has ended. Returns when to look again.
    fn look(&mut self) -> Duration {
        if let Ok(Some(_)) = self.server.try_wait() {
            self.start_again();
            START_AGAIN_AFTER
        } else {
            LOOK_EVERY
        }
    }

    fn start_again(&mut self) {
        let log = self.last_line();
        match spawn_server(self.directory.path()) {
            Ok(server) => {
                self.server = server;
                self.tell_watchdog();
                tracing::error!(
                    log,
                    "the private redis-server ended and is started again: pushed listings are lost, the others are filled again"
                );
            }
            Err(error) => {
                tracing::error!(%error, log, "the private redis-server ended and cannot be started again: trying again");
            }
        }
    }

    /// From here on the watchdog kills this server, and none before it.
    fn tell_watchdog(&mut self) {
        let id = self.server.id();
        let told = self.watchdog.stdin.as_mut().map(|pipe| writeln!(pipe, "{id}"));
        if let Some(Err(error)) = told {
            tracing::debug!(%error, "the private redis-server is not watched: it may outlive a killed process");
        }
    }

    /// The end of its log.
    fn last_line(&self) -> String {
        let log = std::fs::read_to_string(self.directory.path().join("redis.log")).unwrap_or_default();
        log.lines().last().unwrap_or_default().to_owned()
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

fn spawn_watchdog(directory: &Path) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", WATCHDOG, "sh"])
        .arg(directory)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
