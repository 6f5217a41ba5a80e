//! A PostgreSQL of the tests' own: one server on a Unix socket and a TCP port, a database a test.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

use super::{redis_server::free_port, watched};

/// The server.
struct PostgresServer {
    directory: PathBuf,
    port: u16,
}

/// A database of a test's own, and a connection that writes to it.
pub struct PostgresDatabase {
    pub writer: PgConnection,
    name: String,
}

impl PostgresDatabase {
    pub async fn create(statements: &'static str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut maintenance = options("postgres").connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name}")))
            .execute(&mut maintenance)
            .await
            .unwrap();
        maintenance.close().await.unwrap();
        let mut database = Self {
            writer: options(&name).connect().await.unwrap(),
            name,
        };
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

    pub fn url(&self) -> String {
        let PostgresServer { directory, port } = server();
        format!(
            "postgres://postgres@localhost:{port}/{}?host={}",
            self.name,
            directory.display()
        )
    }

    /// The same by way of TCP.
    pub fn tcp_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", server().port, self.name)
    }
}

fn options(database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(&server().directory)
        .port(server().port)
        .username("postgres")
        .database(database)
        .disable_statement_logging()
}

fn server() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(PostgresServer::start)
}

impl PostgresServer {
    fn start() -> Self {
        let programs = programs();
        let directory = tempfile::Builder::new().prefix("postgres-").tempdir().unwrap().keep();
        if watched::is_root() {
            let given = Command::new("chown").arg("postgres").arg(&directory).status();
            assert!(given.unwrap().success());
        }
        let data = directory.join("data");
        let made = as_postgres(&programs.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let mut command = as_postgres(&programs.join("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(&directory);
        command.arg("-p").arg(port.to_string()).args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "fsync=off",
            "-c",
            "max_connections=200",
        ]);
        // SIGQUIT: at once, without cleaning up.
        watched::start(&mut command, &directory, "QUIT", || {
            let mut ready = Command::new(programs.join("pg_isready"));
            ready
                .arg("-q")
                .arg("-h")
                .arg(&directory)
                .arg("-p")
                .arg(port.to_string());
            ready.status().unwrap().success()
        });
        Self { directory, port }
    }
}

/// The newest version's programs: where Debian puts them, nothing is on the path.
fn programs() -> PathBuf {
    let version = |path: &PathBuf| -> u32 {
        let version = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        version.parse().unwrap_or_default()
    };
    let installed = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let newest = installed.map(|entry| entry.unwrap().path()).max_by_key(version);
    newest.expect("PostgreSQL is installed").join("bin")
}

/// PostgreSQL does not run as root.
fn as_postgres(program: &Path) -> Command {
    if !watched::is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"])
        .arg(program)
        .current_dir("/");
    command
}
