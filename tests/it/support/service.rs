//! The real binary, serving on a port of its own.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;

/// The admin token of every service under test.
pub const TOKEN: &str = "a-token-for-tests";
const PROGRAM: &str = env!("CARGO_BIN_EXE_listcache");
const PATIENCE: Duration = Duration::from_secs(20);

/// A running `listcache serve`. Killed when dropped; says what it logged where a test fails.
pub struct Service {
    child: Child,
    /// `http` or `https`.
    pub scheme: String,
    /// `127.0.0.1:<port>`.
    pub address: String,
    directory: TempDir,
    client: Client,
}

/// Sends a request that must succeed, and gives the JSON of the answer.
pub async fn json_of(request: RequestBuilder) -> Value {
    let answer = request.send().await.unwrap().error_for_status().unwrap();
    answer.json().await.unwrap()
}

impl Service {
    /// Starts the service with a configuration.
    pub fn start(config: &str) -> Self {
        Self::start_with(config, &[("LISTCACHE_TOKEN", TOKEN)])
    }

    /// Starts the service with a configuration and an environment.
    pub fn start_with(config: &str, environment: &[(&str, &str)]) -> Self {
        Self::spawn(config, environment, Command::new(PROGRAM), None)
    }

    /// Starts the service by a shell, after a command of it such as `ulimit`.
    pub fn start_by(shell: &str, config: &str) -> Self {
        let mut command = Command::new("sh");
        let script = format!("{shell} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, PROGRAM]);
        Self::spawn(config, &[("LISTCACHE_TOKEN", TOKEN)], command, None)
    }

    /// Starts the service with a configuration and another standard error than the file that [`Service::log`] reads.
    pub fn start_logging_to(stderr: impl Into<Stdio>, config: &str) -> Self {
        let environment = [("LISTCACHE_TOKEN", TOKEN)];
        Self::spawn(config, &environment, Command::new(PROGRAM), Some(stderr.into()))
    }

    fn spawn(config: &str, environment: &[(&str, &str)], mut command: Command, stderr: Option<Stdio>) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("listcache.toml");
        fs::write(&file, config).unwrap();
        // Where Redis is late because the machine does much else, most tests wait.
        let patient = (!config.contains("read_timeout")).then_some(("LISTCACHE_REDIS__READ_TIMEOUT", "2s"));
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .envs(environment.iter().copied().chain(patient))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr.unwrap_or_else(|| File::create(directory.path().join("log")).unwrap().into()))
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.trim().strip_prefix("listening on ");
        let Some((scheme, address)) = url.and_then(|url| url.split_once("://")) else {
            let _ = child.kill();
            let log = fs::read_to_string(directory.path().join("log"));
            panic!("the service did not start; it said {line:?} and logged\n{log:?}");
        };
        Self {
            scheme: scheme.to_owned(),
            address: address.to_owned(),
            child,
            client: Client::builder().timeout(PATIENCE).build().unwrap(),
            directory,
        }
    }

    /// The same, asked by another client: one that trusts its certificate.
    pub fn asked_by(mut self, client: reqwest::ClientBuilder) -> Self {
        self.client = client.timeout(PATIENCE).build().unwrap();
        self
    }

    /// The sum of a metric's series whose lines begin so; 0 while there are none.
    pub async fn metric(&self, beginning: &str) -> f64 {
        let metrics = self.request(Method::GET, "/metrics").send().await.unwrap();
        let text = metrics.text().await.unwrap();
        let lines = text.lines().filter(|line| line.starts_with(beginning));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// A request without a token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// A request with the token.
    pub fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(TOKEN)
    }

    /// What the service logged so far. Lines are written by a thread of their own: one that is under way is waited for.
    pub fn log(&self) -> String {
        let read = || fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let mut log = read();
        // A log that grows without end is as good as any.
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(20));
            let later = read();
            if later.len() == log.len() {
                break;
            }
            log = later;
        }
        log
    }

    /// Whether the log has a text, which may be on its way.
    pub fn logs(&self, text: &str) -> bool {
        let began = Instant::now();
        loop {
            if self.log().contains(text) {
                return true;
            }
            if began.elapsed() > PATIENCE {
                return false;
            }
        }
    }

    /// A connection of one's own, for requests that no client would send.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes as they are and reads until the service closes. They should say `Connection: close`.
    pub fn raw(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The raw answer to a GET of a request target that no client would leave as it is.
    pub fn raw_get(&self, target: &str) -> String {
        let head = "HTTP/1.1\r\nHost: x\r\nConnection: close";
        self.raw(&format!("GET {target} {head}\r\n\r\n"))
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same, while others use it.
    pub fn kill_under_load(&self) {
        self.signal("KILL");
    }

    /// Writes another configuration and says so by SIGHUP.
    pub fn reconfigure(&self, config: &str) {
        fs::write(self.file("listcache.toml"), config).unwrap();
        self.hang_up();
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    /// A file in its directory, where its configuration is `listcache.toml`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// SIGSTOP: the process is there, and does nothing.
    pub fn stop(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn cont(&self) {
        self.signal("CONT");
    }

    /// What it keeps in memory now.
    pub fn resident_bytes(&self) -> u64 {
        self.status("VmRSS") * 1024
    }

    /// A number that the kernel says of the process: proc_pid_status(5).
    pub fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let number = line.trim_start_matches(':').split_whitespace().next();
        number.unwrap().parse().unwrap()
    }

    /// How long it has had a processor so far, in user mode and the kernel's: proc_pid_stat(5), whose ticks are of 10 ms.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields = stat.rsplit(") ").next().unwrap().split(' ');
        let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// Its soft limit of open files.
    pub fn open_files_max(&self) -> u64 {
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))
            .unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Files that it has open, sockets among them.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Whether the process is there, and is no zombie.
    pub fn runs(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the process to end.
    pub fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the service does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the service\n{}---", self.log());
        }
    }
}

/// A shop whose database a test fills, and the configuration of a service on it.
pub struct Shop {
    directory: TempDir,
}

impl Shop {
    /// 30 loaves in euros, of which every third is ACME's and every tenth is sold out; one in dollars.
    pub async fn new() -> Self {
        let shop = Self {
            directory: TempDir::new().unwrap(),
        };
        shop.sql(
            "create table products (id integer primary key, category text, currency text, brand text, price_cents integer, sold_out integer);
             with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < 30)
             insert into products
             select n, 'BREAD', 'EUR', iif(n % 3 = 0, 'ACME & Co', 'Other'), 1000 - n * 10, n % 10 = 0 from numbers;
             insert into products values (31, 'BREAD', 'USD', 'Other', 100, 0);",
        )
        .await;
        shop
    }

    /// Where a test may put files beside the database.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("shop.db")
    }

    /// Changes the database.
    pub async fn sql(&self, statements: &'static str) {
        use sqlx::{Connection, sqlite::SqliteConnectOptions};
        let options = SqliteConnectOptions::new()
            .filename(self.database())
            .create_if_missing(true);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Takes the origin away.
    pub fn close(&self) {
        fs::rename(self.database(), self.directory.path().join("away")).unwrap();
    }

    /// Brings it back.
    pub fn reopen(&self) {
        fs::rename(self.directory.path().join("away"), self.database()).unwrap();
    }

    /// A configuration: category listings of the database, and `promo:*` for pushes. `extra` goes first, for `[http]`.
    pub fn config(&self, redis_url: &str, extra: &str) -> String {
        config(&self.database(), redis_url, extra)
    }
}

fn config(database: &Path, redis_url: &str, extra: &str) -> String {
    format!(
        r#"{extra}

[redis]
url = "{redis_url}"

[origins.shop]
kind = "sql"
url = "sqlite:{}"

[[listings]]
name = "category:{{category}}"
origin = "shop"
names = ["BREAD", "EMPTY"]
query = "select id, brand, price_cents, sold_out from products where category = :category and currency = :currency"
[listings.sorts]
price = {{ by = ["price_cents"] }}
number = {{ by = ["id"], desc = false }}
in_stock = {{ by = ["sold_out", "price_cents"], desc_by = ["sold_out", "price_cents desc"] }}
[listings.variants]
currency = ["EUR", "USD"]
[listings.filters]
brand = {{}}

[[listings]]
name = "plain:{{category}}"
origin = "shop"
query = "select id, price_cents from products where category = :category"
links = "plain"
[listings.sorts]
price = {{ by = ["price_cents"] }}

[[listings]]
name = "short:{{category}}"
origin = "shop"
query = "select id, price_cents from products where category = :category"
fresh_for = "1s"
stale_while_revalidate = "1s"
[listings.sorts]
price = {{ by = ["price_cents"] }}

[pushed]
names = ["promo:*"]
"#,
        database.display(),
    )
}
