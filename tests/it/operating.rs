//! The states of Redis and of an origin that `docs/operating.md` lists: each is made with real servers, and what the service says
//! then is compared with the row of the table. A word in the table that is not there fails, and so does a state without a row.

use std::{process::Command, sync::Arc, time::Duration};

use parking_lot::Mutex;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::support::{
    Proxy, RedisServer,
    api::{Api, ApiAnswer},
    eventually,
    service::Service,
};

const KEPT: &str = "/v1/listings/category:BREAD";
const NOT_KEPT: &str = "/v1/listings/category:CAKE";
const PUSHED: &str = "/v1/listings/promo:a";

/// How many items each category has, and what else the origin does.
#[derive(Clone, Copy)]
struct Behaviour {
    status: u16,
    bread: usize,
    delay: Duration,
    /// Whether each read differs from the one before, so that each refresh publishes.
    changing: bool,
}

const WELL: Behaviour = Behaviour {
    status: 200,
    bread: 100,
    delay: Duration::ZERO,
    // A page is kept until its listing is published anew.
    changing: false,
};

/// A service with its servers, all of them well, and a page in its memory.
struct Installation {
    service: Service,
    redis: RedisServer,
    proxy: Proxy,
    api: Option<Api>,
    origin: Arc<Mutex<Behaviour>>,
}

impl Installation {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let rule = ["ACL", "SETUSER", "app", "on", ">pass", "~*", "&*", "+@all"];
        assert_eq!(redis.cli(&rule), "OK");
        let proxy = Proxy::start(&redis.url());
        let origin = Arc::new(Mutex::new(WELL));
        let behaves = origin.clone();
        let api = Api::start(move |request| {
            let Behaviour {
                status,
                bread,
                delay,
                changing,
            } = *behaves.lock();
            let count = if request.path.ends_with("BREAD") { bread } else { 3 };
            let read = if changing { request.number } else { 0 };
            let items: Vec<_> = (0..count)
                .map(|id| json!({"id": id, "price": id, "read": read}))
                .collect();
            match status {
                200 => ApiAnswer::json(serde_json::to_vec(&items).unwrap()),
                status => ApiAnswer::status(status),
            }
            .after(delay)
        });
        let config = format!(
            r#"
            [http]
            fill_wait = "500ms"
            [redis]
            reply_max = "1MiB"
            read_timeout = "100ms"
            [l1]
            ttl = "100ms"
            [origins.shop]
            kind = "http"
            url = "{}"
            paging = "none"
            retries = 0
            [[listings]]
            name = "category:{{category}}"
            origin = "shop"
            query = "GET /:category"
            fresh_for = "1s"
            sorts.price = {{ by = ["price"] }}
            [pushed]
            names = ["promo:*"]
            "#,
            api.url
        );
        let url = format!("{}?user=app&pass=pass", proxy.url().replace("unix://", "redis+unix://"));
        let environment = [
            ("LISTCACHE_TOKEN", crate::support::service::TOKEN),
            ("LISTCACHE_REDIS__URL", &url),
        ];
        let installed = Self {
            service: Service::start_with(&config, &environment),
            redis,
            proxy,
            api: Some(api),
            origin,
        };
        for request in [installed.service.request(Method::GET, KEPT), installed.push()] {
            assert!(request.send().await.unwrap().status().is_success());
        }
        eventually(
            async || match installed.service.metric("listcache_redis_subscribed").await {
                1.0 => Ok(()),
                deaf => Err(deaf),
            },
        )
        .await;
        installed
    }

    fn push(&self) -> RequestBuilder {
        self.service.admin(Method::PUT, PUSHED).json(&[json!({"id": 1})])
    }

    /// What the columns of a table stand for, by the words of its head.
    async fn seen(&self, column: &str) -> String {
        let explain = format!("{KEPT}/explain");
        let refresh = format!("{KEPT}/refresh?wait=true");
        match column {
            "kept" => told(self.service.request(Method::GET, KEPT)).await,
            "not kept" => told(self.service.request(Method::GET, NOT_KEPT)).await,
            "write" => told(self.push()).await,
            "refresh" => told(self.service.admin(Method::POST, &refresh)).await,
            "log" => self.service.log(),
            "`/health/ready`" => told(self.service.request(Method::GET, "/health/ready")).await,
            "metrics" => told(self.service.request(Method::GET, "/metrics")).await,
            "`explain`" => told(self.service.admin(Method::GET, &explain)).await,
            other => panic!("a column `{other}`"),
        }
    }

    fn origin_is(&self, behaviour: Behaviour) {
        *self.origin.lock() = behaviour;
    }

    /// Puts the service into a state of Redis.
    fn make_of_redis(&mut self, state: &str) {
        let set = |name: &str, value: &str| assert_eq!(self.redis.cli(&["CONFIG", "SET", name, value]), "OK");
        match state {
            "away" => {
                self.proxy.refuse(true);
                self.redis.kill();
            }
            "slow" => self.proxy.delay(Duration::from_millis(300)),
            "full" => {
                set("maxmemory-policy", "noeviction");
                set("maxmemory", "100kb");
            }
            "cannot save" => {
                // What is saved cannot take the place of a folder.
                std::fs::create_dir(self.redis.socket().with_file_name("dump.rdb")).unwrap();
                set("save", "1 1");
                self.redis.cli(&["SET", "x", "1"]);
                self.redis.cli(&["BGSAVE"]);
            }
            "replica" => assert_eq!(self.redis.cli(&["REPLICAOF", "127.0.0.1", "1"]), "OK"),
            "replica without its master" => {
                set("replica-serve-stale-data", "no");
                assert_eq!(self.redis.cli(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
            }
            "too few replicas" => set("min-replicas-to-write", "1"),
            "a right is missing" => {
                assert_eq!(self.redis.cli(&["ACL", "SETUSER", "app", "-publish"]), "OK");
                self.origin_is(Behaviour { changing: true, ..WELL });
            }
            "credentials" => {
                assert_eq!(self.redis.cli(&["ACL", "SETUSER", "app", "off"]), "OK");
                self.redis.cli(&["CLIENT", "KILL", "USER", "app"]);
            }
            "deaf" => {
                assert_eq!(self.redis.cli(&["ACL", "SETUSER", "app", "-subscribe"]), "OK");
                self.redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            }
            "sends too much" => {
                let heads = self.redis.cli_lines(&["--scan", "--pattern", "*:head:category:BREAD*"]);
                let large =
                    "redis.call('HSET', KEYS[1], 'total', string.rep('1', 2000000)) return redis.call('DEL', KEYS[2])";
                let due = format!("{}:due", heads[0].split(":head:").next().unwrap());
                self.redis.cli(&["EVAL", large, "2", &heads[0], &due]);
            }
            other => panic!("a state of redis `{other}`"),
        }
    }

    /// Puts the service into a state of its origin.
    fn make_of_origin(&mut self, state: &str) {
        match state {
            "away" => drop(self.api.take()),
            "slow" => self.origin_is(Behaviour {
                delay: Duration::from_secs(8),
                ..WELL
            }),
            "fails" => self.origin_is(Behaviour { status: 500, ..WELL }),
            "refuses" => self.origin_is(Behaviour { status: 403, ..WELL }),
            "not believed" => self.origin_is(Behaviour { bread: 1, ..WELL }),
            other => panic!("a state of an origin `{other}`"),
        }
    }
}

/// Status, headers and body of an answer.
async fn told(request: RequestBuilder) -> String {
    let answer = request.send().await.unwrap();
    let mut told = format!("{}\n", answer.status().as_u16());
    for (name, value) in answer.headers() {
        told += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    told + &answer.text().await.unwrap()
}

/// A cell by its column's head.
type Cells = Vec<(&'static str, &'static str)>;

/// The rows of a table, in its order: what a page says comes before the metrics that count it.
fn table(heading: &str) -> Vec<Cells> {
    let document = include_str!("../../docs/operating.md");
    let (_, section) = document.split_once(&format!("## {heading}\n")).unwrap();
    let mut lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let cells = |line: &'static str| -> Vec<&'static str> {
        let line = line.trim().trim_start_matches('|').trim_end_matches('|');
        line.split('|').map(str::trim).collect()
    };
    let head = cells(lines.next().unwrap());
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let row = cells(row);
        assert_eq!(row.len(), head.len(), "{row:?}");
        head.iter().copied().zip(row).collect()
    })
    .collect()
}

/// The words of a cell that must be there.
fn words(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What is not as a cell says.
fn differs(column: &str, cell: &str, seen: &str) -> Option<String> {
    let is_there = |word: &str| match column {
        "metrics" if !word.contains(' ') => seen.lines().any(|line| line.starts_with(word) && !line.ends_with(" 0")),
        "metrics" => seen.lines().any(|line| line == word),
        _ => seen.contains(word),
    };
    let mut missing: Vec<_> = words(cell).filter(|word| !is_there(word)).collect();
    // A state that is told of and that the table does not know.
    for mark in ["detail=", "\"redis\":"] {
        if matches!(column, "kept" | "not kept" | "`/health/ready`") && seen.contains(mark) && !cell.contains(mark) {
            missing.push(mark);
        }
    }
    let starts = words(cell)
        .next()
        .is_none_or(|status| column == "log" || column == "metrics" || seen.starts_with(status));
    (!missing.is_empty() || !starts).then(|| format!("{column}: {missing:?} of {cell} in\n{seen}"))
}

async fn compare(heading: &str, row: Cells) {
    let cell_of = |column: &str| row.iter().find(|(of, _)| *of == column).unwrap().1;
    let state = cell_of("state").split("**").nth(1).unwrap();
    assert!(cell_of("what to do").len() > 10, "{state}: what is to be done?");
    let mut installed = Installation::start().await;
    match heading {
        "Redis" => installed.make_of_redis(state),
        _ => installed.make_of_origin(state),
    }
    for (column, cell) in row
        .iter()
        .filter(|(column, _)| !matches!(*column, "state" | "what to do"))
    {
        if cell.is_empty() {
            continue;
        }
        // A slow Redis sometimes is one that is lost, for a moment.
        eventually(async || match differs(column, cell, &installed.seen(column).await) {
            None => Ok(()),
            Some(why) => Err(format!("{heading} {state}: {why}")),
        })
        .await;
    }
    let log = installed.service.log();
    assert!(!log.contains("panicked"), "{log}");
    let warned = log.matches("redis answers, but refuses commands").count();
    assert!(warned <= 2, "{state}: warned {warned} times");
}

async fn compare_all(heading: &str) {
    // A few at once: each has a service and servers of its own.
    let rows = table(heading);
    assert!(rows.len() >= 5, "{heading}");
    for some in rows.chunks(4) {
        futures_util::future::join_all(some.iter().map(|row| compare(heading, row.clone()))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_of_redis_is_as_the_table_says() {
    compare_all("Redis").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_of_an_origin_is_as_the_table_says() {
    compare_all("An origin").await;
}

#[test]
fn a_cluster_ends_the_start_in_redis_own_words() {
    let redis = RedisServer::start_with(&["--cluster-enabled", "yes", "--port", "0"]);
    let output = Command::new(env!("CARGO_BIN_EXE_listcache"))
        .args(["serve", "--listen", "127.0.0.1:0", "--redis", &redis.url()])
        .current_dir(redis.socket().parent().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("CLUSTERDOWN Hash slot not served"), "{said}");
}
