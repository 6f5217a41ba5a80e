//! A redis-server of a test's own: on a Unix socket in a directory of its own, killed by `Drop`.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::server_program::ServerProgram;

/// What is freed beside the work, as the documents recommend: of a server that does not, each start would warn.
const LAZILY: [&str; 5] = ["eviction", "expire", "server-del", "user-del", "user-flush"];

/// A running server that keeps nothing on disk.
pub struct RedisServer {
    program: ServerProgram,
    process: Child,
    directory: TempDir,
    args: Vec<String>,
    port: u16,
    listen: Listen,
}

/// Where a server is reached, besides its socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listen {
    Socket,
    Tcp,
    Tls,
}

impl RedisServer {
    /// A server on a Unix socket.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with further arguments.
    pub fn start_with(args: &[&str]) -> Self {
        Self::launch(ServerProgram::Distribution, args, Listen::Socket)
    }

    /// A server of another program, on a Unix socket.
    pub fn of(program: ServerProgram) -> Self {
        Self::launch(program, &[], Listen::Socket)
    }

    /// A server that listens on a TCP port too.
    pub fn start_tcp() -> Self {
        Self::launch(ServerProgram::Distribution, &[], Listen::Tcp)
    }

    /// A server that listens on a port by TLS too, with the files of a certificate and its key, and further arguments.
    pub fn start_tls([certificate, key]: [&Path; 2], args: &[&str]) -> Self {
        let [certificate, key] = [certificate, key].map(|file| file.to_str().unwrap());
        let with = [
            "--tls-cert-file",
            certificate,
            "--tls-key-file",
            key,
            "--tls-auth-clients",
            "no",
        ];
        Self::launch(ServerProgram::Distribution, &[&with[..], args].concat(), Listen::Tls)
    }

    fn launch(program: ServerProgram, args: &[&str], listen: Listen) -> Self {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        // Another process may take the port between our asking for a free one and the server's binding it: then again.
        for _ in 0..20 {
            let port = free_port();
            let directory = tempfile::Builder::new().prefix("redis-").tempdir().unwrap();
            let process = spawn(program, &directory, &args, listen, port);
            let mut server = Self {
                program,
                process,
                directory,
                args: args.clone(),
                port,
                listen,
            };
            if server.becomes_ready() {
                return server;
            }
        }
        panic!("{program:?} does not start");
    }

    fn becomes_ready(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            let pong = self.cli(&["PING"]);
            if pong == "PONG" || pong.starts_with("NOAUTH") {
                return true;
            }
            sleep(Duration::from_millis(5));
        }
        false
    }

    /// For `StoreOptions::url`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The URL of the TCP port.
    pub fn tcp_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The URL of the TLS port, with what stands before the host and behind the port.
    pub fn tls_url(&self, user: &str, database: &str) -> String {
        format!("rediss://{user}127.0.0.1:{}{database}", self.port)
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// What redis-cli prints, trimmed: values as they are, one a line.
    pub fn cli(&self, args: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .arg("-s")
            .arg(self.socket())
            .args(args)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// The same as lines; none for an empty answer.
    pub fn cli_lines(&self, args: &[&str]) -> Vec<String> {
        let lines = self.cli(args);
        lines.lines().map(str::to_owned).collect()
    }

    /// Ends the server, as a crash would.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The same: it knows nothing.
    pub fn restart_empty(&mut self) {
        let _ = std::fs::remove_file(self.directory.path().join("dump.rdb"));
        self.restart();
    }

    /// A new server in the place of the old one, which is killed first. It knows what `SAVE` has kept.
    pub fn restart(&mut self) {
        self.kill();
        self.process = spawn(self.program, &self.directory, &self.args, self.listen, self.port);
        assert!(self.becomes_ready());
    }

    /// Stops the process: connections stay open, nobody answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.process.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(program: ServerProgram, directory: &TempDir, args: &[String], listen: Listen, port: u16) -> Child {
    // Builds without TLS refuse its options.
    let tls_port = (listen == Listen::Tls).then(|| ["--tls-port".to_owned(), port.to_string()]);
    let tcp_port = if listen == Listen::Tcp { port } else { 0 };
    let path = program.path();
    Command::new(&path)
        .args(["--port", &tcp_port.to_string()])
        .args(tls_port.iter().flatten())
        .args(["--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .args(
            LAZILY
                .iter()
                .flat_map(|what| [format!("--lazyfree-lazy-{what}"), "yes".to_owned()]),
        )
        .arg("--unixsocket")
        .arg(directory.path().join("redis.sock"))
        .arg("--dir")
        .arg(directory.path())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; .ci/install test installs it", path.display()))
}
