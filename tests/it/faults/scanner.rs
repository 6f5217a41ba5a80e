//! A scanner: names that nobody has, parameters that mean nothing, in every order and padding, and values of filters and
//! variants that do not exist. Whatever it asks, memory and Redis stay within their limits, and hot pages stay where they are.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use super::{BREAD, get};
use crate::support::{
    RedisServer,
    service::{Service, Shop},
};

const CONNECTIONS: u64 = 4;
/// Requests that are sent together.
const BATCH: u64 = 20;
/// A scan of as many as `SCANNER_REQUESTS` says, or of these.
const REQUESTS: u64 = 30_000;
const HOT: usize = 20;

fn requests() -> u64 {
    std::env::var("SCANNER_REQUESTS").map_or(REQUESTS, |number| number.parse().unwrap())
}

fn hot(page: usize) -> String {
    format!("{BREAD}?offset={page}&limit=10")
}

/// What a scanner asks for, and whether there is such a page.
fn path(random: &mut fastrand::Rng) -> (String, bool) {
    let number = random.u64(..);
    match number % 6 {
        0 => (format!("/v1/listings/category:{number:x}"), false),
        1 => (
            format!("/v1/listings/promo:{number:x}?size={}", 1 + number % 200),
            false,
        ),
        2 => (
            format!("{BREAD}?utm_source={number:x}&size=24&utm_medium=%FF&page=1"),
            true,
        ),
        3 => {
            let mut parameters = ["offset=3", "limit=7", "order=desc", "currency=EUR"];
            random.shuffle(&mut parameters);
            let padding = "&".repeat(random.usize(1..20));
            (
                format!("{BREAD}?{}{padding}fbclid={number:x}", parameters.join("&")),
                true,
            )
        }
        4 => (format!("{BREAD}?f.brand={number:x}"), true),
        _ => (format!("{BREAD}?currency={number:x}&size=5"), false),
    }
}

/// Asks for as many, some at a time on one connection; how often each status came.
fn scan(address: &str, seed: u64, requests: u64) -> (u64, u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut stream = TcpStream::connect(address).unwrap();
    let (mut found, mut refused, mut there) = (0, 0, 0);
    for _ in 0..requests / BATCH {
        let mut batch = String::new();
        for _ in 0..BATCH {
            let (path, is_there) = path(&mut random);
            there += u64::from(is_there);
            // HEAD: answers are their heads.
            batch += &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        stream.write_all(batch.as_bytes()).unwrap();
        let mut answers = Vec::new();
        let mut ended = 0;
        while ended < BATCH as usize {
            let mut piece = [0; 64 * 1024];
            let read = stream.read(&mut piece).unwrap();
            assert_ne!(read, 0, "the connection was closed");
            // An end may lie across two pieces.
            let from = answers.len().saturating_sub(3);
            answers.extend_from_slice(&piece[..read]);
            ended += answers[from..].windows(4).filter(|end| end == b"\r\n\r\n").count();
        }
        let answers = String::from_utf8(answers).unwrap();
        for line in answers.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")) {
            match &line[..3] {
                "200" => found += 1,
                // Shed, where the machine is slow: nobody was to have that.
                "404" | "400" | "503" => refused += 1,
                other => panic!("{other}: {answers}"),
            }
        }
    }
    assert_eq!(found, there);
    (found, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_fills_nothing_and_evicts_no_hot_page() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let limits = r#"
        [l1]
        ttl = "5m"
        heads_max = 100
        absent_max = 500

        [defaults]
        fresh_for = "300d"
        keep_for = "301d"
        pin_for = "302d"
    "#;
    let node = Service::start(&shop.config(&redis.url(), limits));
    for page in 0..HOT {
        assert_eq!(get(&node, &hot(page)).await.status, 200);
    }
    // But for the records of what is read, which are bounded.
    let keys = |redis: &RedisServer| {
        let mut keys = redis.cli_lines(&["--scan"]);
        keys.retain(|key| !key.ends_with(":reads") && !key.ends_with(":popular") && !key.contains(":role:"));
        keys.sort();
        keys
    };
    let memory = |redis: &RedisServer| {
        let info = redis.cli(&["INFO", "memory"]);
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    // What a connection costs, and what is asked for at all.
    scan(&node.address, 0, 10 * BATCH);
    // A page that reads no chunk comes from memory.
    let from_redis = "listcache_pages_total{layer=\"redis\"}";
    let before = (
        keys(&redis),
        node.metric(from_redis).await,
        memory(&redis),
        node.resident_bytes(),
    );
    let began = Instant::now();
    let scanners: Vec<_> = (1..=CONNECTIONS)
        .map(|seed| {
            let address = node.address.clone();
            std::thread::spawn(move || scan(&address, seed, requests() / CONNECTIONS))
        })
        .collect();
    let (mut found, mut refused) = (0, 0);
    for scanner in scanners {
        let counts = tokio::task::spawn_blocking(|| scanner.join().unwrap()).await.unwrap();
        (found, refused) = (found + counts.0, refused + counts.1);
    }
    let heads = node.metric("listcache_l1_heads").await;
    let grown = node.resident_bytes().saturating_sub(before.3) >> 20;
    eprintln!(
        "{found} pages and {refused} refused in {:?}; {heads} heads known, {} bytes more in redis, {grown} MiB more here",
        began.elapsed(),
        memory(&redis).saturating_sub(before.2),
    );
    assert!(heads <= 600.0 + 2.0 * 32.0, "{heads}");
    // Nothing that was asked for has left anything.
    assert_eq!(keys(&redis), before.0);
    assert!(memory(&redis) < before.2 + (2 << 20));
    assert!(grown < 32, "{grown} MiB");
    for page in 0..HOT {
        let answer = get(&node, &hot(page)).await;
        assert_eq!(answer.status, 200);
        assert!(answer.cache_status.contains("hit"), "{answer:?}");
    }
    assert_eq!(node.metric(from_redis).await, before.1, "hot pages were evicted");
}
