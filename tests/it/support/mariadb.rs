//! A MariaDB of the tests' own: one server on a Unix socket and a TCP port, a database a test.

use std::{
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, ConnectOptions, MySqlConnection, mysql::MySqlConnectOptions};

use super::{redis_server::free_port, watched};

/// The server.
struct MariadbServer {
    socket: PathBuf,
    port: u16,
}

/// A database of a test's own, and a connection that writes to it.
pub struct MariadbDatabase {
    pub writer: MySqlConnection,
    name: String,
}

impl MariadbDatabase {
    pub async fn create(statements: &'static str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut writer = server().options().connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name}; use {name}")))
            .execute(&mut writer)
            .await
            .unwrap();
        let mut database = Self { writer, name };
        database.run(statements).await;
        database
    }

    pub async fn run(&mut self, statements: &'static str) {
        sqlx::raw_sql(statements).execute(&mut self.writer).await.unwrap();
    }

    /// A number that the server knows.
    pub async fn number(&mut self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.writer).await.unwrap()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> String {
        let socket = server().socket.display();
        format!("mariadb://root@localhost/{}?socket={socket}", self.name)
    }

    pub fn tcp_url(&self) -> String {
        format!("mariadb://root@127.0.0.1:{}/{}", server().port, self.name)
    }
}

fn server() -> &'static MariadbServer {
    static SERVER: OnceLock<MariadbServer> = OnceLock::new();
    SERVER.get_or_init(MariadbServer::start)
}

impl MariadbServer {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("mariadb-").tempdir().unwrap().keep();
        let data = format!("--datadir={}", directory.join("data").display());
        let socket = directory.join("mariadb.sock");
        let port = free_port();
        // Without being told so it refuses to run as root.
        let user = watched::is_root().then_some("--user=root");
        let made = Command::new("mariadb-install-db")
            .args([
                "--no-defaults",
                &data,
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .args(user)
            .output()
            .expect("mariadb-server is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let program = ["/usr/sbin/mariadbd", "/usr/libexec/mariadbd"]
            .into_iter()
            .find(|path| PathBuf::from(path).exists());
        let mut command = Command::new(program.unwrap_or("mariadbd"));
        command
            .args([
                "--no-defaults",
                &data,
                "--bind-address=127.0.0.1",
                &format!("--port={port}"),
                "--innodb-flush-log-at-trx-commit=0",
            ])
            .args(["--innodb-buffer-pool-size=32M", "--character-set-server=utf8mb4"])
            .args(["--collation-server=utf8mb4_general_ci", "--max-connections=200"])
            .args(user)
            .arg(format!("--socket={}", socket.display()));
        // The socket answers as soon as the server is ready, and not before.
        watched::start(&mut command, &directory, "KILL", || {
            UnixStream::connect(&socket).is_ok()
        });
        Self { socket, port }
    }

    fn options(&self) -> MySqlConnectOptions {
        MySqlConnectOptions::new()
            .socket(&self.socket)
            .username("root")
            .disable_statement_logging()
    }
}
