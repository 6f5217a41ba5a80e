//! Warming up, as a shop does: the real command, on a real Redis and an origin that counts what it is asked.

mod on_start;
mod plan;
mod popular_first;
mod sharing;
mod stopping;
mod throttled;
mod variants;
mod verified;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer, ApiRequest},
};

/// A shop with an API that has so many categories, and the configuration of it.
struct Shop {
    redis: RedisServer,
    api: Api,
    directory: TempDir,
}

/// `C000`, `C001`, …: 1 to 30 items each.
fn category(number: usize) -> String {
    format!("C{number:03}")
}

fn number_of(request: &ApiRequest) -> usize {
    let category = request.path.rsplit('/').next().unwrap();
    category[1..].parse().unwrap()
}

fn items(count: usize, json_bytes: usize) -> String {
    let mut body = String::from("[");
    for id in 0..count {
        let separator = if id == 0 { "" } else { "," };
        let price = (id * 7919) % 1000;
        let id = 100_000 + id;
        let fill = "x".repeat(json_bytes.saturating_sub(45));
        let _ = write!(body, r#"{separator}{{"id":{id},"price":{price},"name":"{fill}"}}"#);
    }
    body.push(']');
    body
}

/// Some items, a little later.
fn answer(request: &ApiRequest) -> ApiAnswer {
    ApiAnswer::json(items(1 + number_of(request) % 30, 100)).after(Duration::from_millis(10))
}

impl Shop {
    fn start(categories: usize, script: impl Fn(&ApiRequest) -> ApiAnswer + Send + Sync + 'static) -> Self {
        Self::start_with(categories, "", script)
    }

    /// `extra` goes first.
    fn start_with(
        categories: usize,
        extra: &str,
        script: impl Fn(&ApiRequest) -> ApiAnswer + Send + Sync + 'static,
    ) -> Self {
        let shop = Self {
            redis: RedisServer::start(),
            api: Api::start(script),
            directory: TempDir::new().unwrap(),
        };
        fs::write(shop.file(), shop.config(categories, extra)).unwrap();
        shop
    }

    fn config(&self, categories: usize, extra: &str) -> String {
        let names: Vec<String> = (0..categories).map(category).collect();
        format!(
            r#"
            {extra}

            [redis]
            url = "{}"
            read_timeout = "2s"

            # Nothing falls due while a test counts reads: the first due time lies anywhere in `fresh_for`.
            [defaults]
            # A plan counts plain chunks: how they pack is not known before.
            compress = "off"
            fresh_for = "300d"
            keep_for = "301d"
            pin_for = "302d"

            [origins.shop]
            kind = "http"
            url = "{}"
            paging = "none"
            retries = 0

            [[listings]]
            name = "category:{{category}}"
            origin = "shop"
            names = {names:?}
            query = "GET /categories/:category"
            [listings.sorts]
            price = {{ by = ["price"] }}
            name = {{ by = ["name"] }}
            number = {{ by = ["id desc"] }}
            "#,
            self.redis.url(),
            self.api.url,
        )
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("listcache.toml")
    }

    /// `listcache warm` in its own process.
    fn begin(&self, flags: &[&str]) -> Warmer {
        let mut child = Command::new(env!("CARGO_BIN_EXE_listcache"))
            .args(["warm", "--progress", "json", "--config"])
            .arg(self.file())
            .args(flags)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Warmer {
            lines: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// `listcache warm` with a bar, whose terminal takes nothing. Gives its exit code.
    fn warm_unseen(&self) -> Option<i32> {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        // It must end by itself.
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "20", env!("CARGO_BIN_EXE_listcache")]);
        command.args(["warm", "--progress", "bar", "--config"]).arg(self.file());
        command.stderr(full).status().unwrap().code()
    }

    /// `listcache warm` to its end.
    fn warm(&self, flags: &[&str]) -> Warmed {
        self.begin(flags).end()
    }

    /// How often each category was read.
    fn reads(&self) -> BTreeMap<String, usize> {
        let mut reads = BTreeMap::new();
        for request in self.api.requests() {
            *reads.entry(request.path).or_default() += 1;
        }
        reads
    }

    /// How often each listing was published, as the logs tell.
    fn publishes(&self) -> BTreeMap<String, usize> {
        let mut publishes = BTreeMap::new();
        for log in self.redis.cli_lines(&["KEYS", "listcache:2:*:log"]) {
            for line in self.redis.cli_lines(&["XRANGE", &log, "-", "+"]) {
                if let Ok(body) = serde_json::from_str::<Value>(&line)
                    && let Some(listing) = body["listing"].as_str()
                {
                    *publishes.entry(listing.to_owned()).or_default() += 1;
                }
            }
        }
        publishes
    }
}

/// A running warm-up. Killed when dropped.
struct Warmer {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Warmer {
    /// The next line; `None` at the end.
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line).unwrap() {
            0 => None,
            _ => Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"))),
        }
    }

    /// Reads until so many are done.
    fn until_done(&mut self, count: u64) {
        while let Some(line) = self.next() {
            if line["done"].as_u64().is_some_and(|done| done >= count) {
                return;
            }
        }
        panic!("it ended before {count} were done");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &id])
                .status()
                .unwrap()
                .success()
        );
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(mut self) -> Warmed {
        let mut lines = Vec::new();
        while let Some(line) = self.next() {
            lines.push(line);
        }
        Warmed {
            code: self.child.wait().unwrap().code(),
            lines,
        }
    }
}

impl Drop for Warmer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a warm-up said.
#[derive(Debug)]
struct Warmed {
    code: Option<i32>,
    lines: Vec<Value>,
}

impl Warmed {
    fn last(&self) -> &Value {
        self.lines.last().expect("it said nothing")
    }

    fn count(&self, what: &str) -> u64 {
        self.last()[what]
            .as_u64()
            .unwrap_or_else(|| panic!("no {what} in {}", self.last()))
    }
}
