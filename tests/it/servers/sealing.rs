//! Facts on which the sealing of small listings rests. The last node of a stream takes 4 KB, however little it holds; a node that was
//! copied, or that another node once followed, takes the size of its content.
//!
//! `cargo test --locked --test it -- a_stream_of_one_node --nocapture` shows the figures.

use std::{collections::HashMap, ops::RangeInclusive};

use redis::{Pipeline, Value, aio::MultiplexedConnection};

use crate::support::{RedisServer, ServerProgram};

/// Listings of 1 to 5 items have one entry in one node.
const ITEMS: RangeInclusive<usize> = 1..=5;
const ITEM_BYTES: usize = 300;
/// The mean of a stream with its key and expiry: 1,220 to 1,315 were measured, and 4,345 to 4,395 without sealing.
const BYTES_SEALED: usize = 1350;
/// So many streams of each length are weighed together.
const STREAMS_EACH: usize = 400;

/// What is done to a stream in the transaction that writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sealing {
    None,
    /// `COPY` to another key, and `RENAME` back.
    Copy,
    /// A further entry as large as a node, and its `XDEL`.
    LargeEntry,
}

pub async fn a_stream_of_one_node_is_small_once_it_is_sealed(program: ServerProgram) {
    let redis = RedisServer::of(program);
    let client = redis::Client::open(redis.url()).unwrap();
    let mut streams = Streams(client.get_multiplexed_async_connection().await.unwrap());
    for items in ITEMS {
        let [open, copied, trimmed] = [
            streams.seal(items, Sealing::None).await,
            streams.seal(items, Sealing::Copy).await,
            streams.seal(items, Sealing::LargeEntry).await,
        ];
        println!("{program:?}, {items} items, bytes by MEMORY USAGE: {open}, copied {copied}, trimmed {trimmed}");
        assert!(open > 4096);
        for sealed in [copied, trimmed] {
            assert!(sealed < items * ITEM_BYTES + 1000, "{items} items: {sealed} bytes");
        }
    }
    let [open, copied, trimmed] = [
        streams.weigh(Sealing::None).await,
        streams.weigh(Sealing::Copy).await,
        streams.weigh(Sealing::LargeEntry).await,
    ];
    println!("{program:?}, bytes a stream by used_memory: {open}, copied {copied}, trimmed {trimmed}");
    assert!(open > 4200);
    assert!(copied < BYTES_SEALED && trimmed < BYTES_SEALED);
}

struct Streams(MultiplexedConnection);

impl Streams {
    async fn ask<T: redis::FromRedisValue>(&mut self, command: &[&str]) -> T {
        let (name, args) = command.split_first().unwrap();
        redis::cmd(name).arg(args).query_async(&mut self.0).await.unwrap()
    }

    /// Writes a stream and checks that it is what was written; its bytes by `MEMORY USAGE`.
    async fn seal(&mut self, items: usize, sealing: Sealing) -> usize {
        let (key, entry) = (&format!("{sealing:?}:{items}"), entry(items));
        write(key, &entry, sealing).exec_async(&mut self.0).await.unwrap();
        assert_eq!(self.ask::<u64>(&["XLEN", key]).await, 1);
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = entry.iter().map(|field| text(field));
        let only = Value::Array(vec![text("0-1"), Value::Array(fields.collect())]);
        for read in [
            &["XRANGE", key, "-", "+"][..],
            &["XRANGE", key, "0-1", "+", "COUNT", "2"],
            &["XREVRANGE", key, "+", "-", "COUNT", "1"],
        ] {
            assert_eq!(
                self.ask::<Vec<Value>>(read).await,
                std::slice::from_ref(&only),
                "{sealing:?} {read:?}"
            );
        }
        assert_eq!(self.ask::<Vec<Value>>(&["XRANGE", key, "0-2", "+"]).await, []);
        let info: HashMap<String, Value> = self.ask(&["XINFO", "STREAM", key]).await;
        assert_eq!([&info["first-entry"], &info["last-entry"]], [&only; 2]);
        // An entry that was deleted is still the last one that was generated.
        let last = if sealing == Sealing::LargeEntry { "0-2" } else { "0-1" };
        assert_eq!(info["last-generated-id"], text(last), "{sealing:?}");
        let left: i64 = self.ask(&["PTTL", key]).await;
        assert!((1..=60_000).contains(&left), "{sealing:?}: {left}");
        assert_eq!(self.ask::<u64>(&["EXISTS", &aside(key)]).await, 0);
        self.ask(&["MEMORY", "USAGE", key]).await
    }

    /// The mean bytes of many streams, by what the server says it uses.
    async fn weigh(&mut self, sealing: Sealing) -> usize {
        self.ask::<()>(&["FLUSHALL", "SYNC"]).await;
        let before = self.used_memory().await;
        for items in ITEMS {
            let entry = entry(items);
            for number in 0..STREAMS_EACH {
                let transaction = write(&format!("{items}:{number}"), &entry, sealing);
                transaction.exec_async(&mut self.0).await.unwrap();
            }
        }
        (self.used_memory().await - before) / (STREAMS_EACH * ITEMS.count())
    }

    async fn used_memory(&mut self) -> usize {
        let info: String = self.ask(&["INFO", "memory"]).await;
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        used.unwrap().parse().unwrap()
    }
}

fn aside(key: &str) -> String {
    format!("{key}:aside")
}

/// Ids and JSON of a listing's items, and the field without a name.
fn entry(items: usize) -> Vec<String> {
    let json = |number| format!("{{\"id\":{number},\"name\":\"{}\"}}", "x".repeat(ITEM_BYTES - 22));
    let items = (1000..)
        .take(items)
        .flat_map(|number| [number.to_string(), json(number)]);
    items.chain([String::new(), "checksum".to_owned()]).collect()
}

/// Writes a stream of one entry and seals it, in one transaction.
fn write(key: &str, entry: &[String], sealing: Sealing) -> Pipeline {
    let mut transaction = redis::pipe();
    transaction.atomic();
    transaction.cmd("XADD").arg(key).arg("0-1").arg(entry);
    match sealing {
        Sealing::None => {}
        Sealing::Copy => {
            transaction.cmd("COPY").arg(key).arg(aside(key));
            transaction.cmd("RENAME").arg(aside(key)).arg(key);
        }
        Sealing::LargeEntry => {
            transaction
                .cmd("XADD")
                .arg(key)
                .arg("0-2")
                .arg("large")
                .arg("x".repeat(4000));
            transaction.cmd("XDEL").arg(key).arg("0-2");
        }
    }
    transaction.cmd("PEXPIRE").arg(key).arg(60_000);
    transaction
}
