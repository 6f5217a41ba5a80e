//! A page from L1 costs as many allocations however many items it has, plain or packed, and few.
//!
//! A binary of its own, for what it counts with is the allocator of all its threads. The service is the real one, with a Redis
//! of its own; the client allocates nothing.

use std::{
    alloc::System,
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use listcache::{
    app::{App, Role},
    config::Sources,
    engine::Shrink,
    listing::{Item, ItemId, ListingName, SortName},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Listings of an origin, chosen by name, variant and sort, and pushed ones.
const CONFIG: &str = r#"
[http]
listen = "127.0.0.1:0"
workers = 1
[redis]
url = "private"
[l1]
ttl = "5m"
[origins.bakery]
kind = "file"
path = "PATH"
[[listings]]
name = "loaves:{kind}"
origin = "bakery"
names = ["rye"]
fresh_for = "5m"
[listings.sorts]
id = { by = ["id"] }
[listings.variants]
currency = ["EUR", "USD"]
[pushed]
names = ["bread"]
"#;
const ITEMS: i64 = 1000;
const REQUESTS: usize = 200;
/// Of so many batches the one counts in which the rest of the service did least.
const BATCHES: usize = 8;
/// What may differ between pages: the cache tidies up now and then.
const NOISE: f64 = 0.5;
/// Recorded, so that another allocation a request is seen.
const MOST: f64 = 5.5;

/// A connection that asks for one page again and again.
struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(address: &str, url: &str, header: &str) -> Self {
        let request = format!("GET /v1/listings/{url} HTTP/1.1\r\nHost: x\r\n{header}\r\n");
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            request: request.into_bytes(),
            buffer: vec![0; 1 << 20],
        }
    }

    /// Asks once; the length of the body.
    fn ask(&mut self) -> usize {
        self.stream.write_all(&self.request).unwrap();
        let mut read = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[read..]).unwrap();
            assert!(count > 0, "the service closed the connection");
            read += count;
            let answer = &self.buffer[..read];
            let Some(head) = find(answer, b"\r\n\r\n") else {
                continue;
            };
            assert!(answer.starts_with(b"HTTP/1.1 200 "));
            let length = find(answer, b"content-length: ").unwrap() + 16;
            let digits = answer[length..].iter().take_while(|byte| byte.is_ascii_digit());
            let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
            if read == head + 4 + length {
                return length;
            }
        }
    }

    fn allocations_of_a_batch(&mut self) -> f64 {
        let count = || {
            let stats = INSTRUMENTED_SYSTEM.stats();
            stats.allocations + stats.reallocations
        };
        let before = count();
        for _ in 0..REQUESTS {
            self.ask();
        }
        (count() - before) as f64 / REQUESTS as f64
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|found| found == wanted)
}

fn allocations(address: &str, url: &str, header: &str) -> f64 {
    let mut client = Client::connect(address, url, header);
    // Until all fragments are there, if there are to be any, and buffers have grown.
    let mut length = client.ask();
    for _ in 0..100 {
        thread::yield_now();
        length = length.min(client.ask());
    }
    let least = (0..BATCHES)
        .map(|_| client.allocations_of_a_batch())
        .fold(f64::INFINITY, f64::min);
    println!("{least:6.2} allocations: {url}, {header:?}, {length} bytes");
    least
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_page_in_l1_costs_as_many_allocations_however_large_it_is() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("loaves.ndjson");
    let line =
        |number: i64| format!("{{\"id\":{number},\"kind\":\"rye\",\"currency\":\"USD\",\"name\":\"Loaf {number}\"}}\n");
    std::fs::write(&file, (1..=ITEMS).map(line).collect::<String>()).unwrap();
    let config = CONFIG.replace("PATH", file.to_str().unwrap());
    let app = App::start(Sources::default().load_text(&config).unwrap(), Role::Serve)
        .await
        .unwrap();
    let name = ListingName::parse("bread").unwrap();
    let mut push = app
        .engine
        .writes
        .push(&name, SortName::default_sort(), Shrink::Refused)
        .await
        .unwrap();
    for number in 1..=ITEMS {
        let json = format!("{{\"id\":{number},\"name\":\"Loaf {}\"}}", number * number);
        push.append(Item {
            id: ItemId::from_integer(number),
            json: json.into(),
        })
        .await
        .unwrap();
    }
    push.finish().await.unwrap();
    let bound = app.bind(None).unwrap();
    let address = bound.addresses()[0].to_string();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(bound.run(shutdown.clone()));

    let counted = tokio::task::spawn_blocking(move || {
        for header in ["", "Accept-Encoding: gzip\r\n"] {
            for listing in [
                "bread?order=asc",
                "bread?order=desc",
                "loaves:rye?sort=id&currency=USD&order=desc",
            ] {
                let [small, middle, large] =
                    [12, 24, 240].map(|size| allocations(&address, &format!("{listing}&size={size}"), header));
                for other in [middle, large] {
                    assert!(
                        (other - small).abs() < NOISE,
                        "{listing} {header:?}: {small}, then {other}"
                    );
                }
                assert!(large < MOST, "{listing} {header:?}: {large}");
            }
        }
    });
    let counted = counted.await;
    shutdown.cancel();
    serving.await.unwrap().unwrap();
    app.stop().await;
    counted.unwrap();
}
