//! Other ways to keep the same listing in the same Redis: what a page takes there, and how much memory an item.

use redis::{Connection, Pipeline};

use crate::{
    Effort, Outcome, items,
    machine::Machine,
    series::Series,
    servers::redis::{Redis, Way},
    table::Table,
};

/// Of the listing.
pub const ITEMS: u64 = 100_000;
/// Of a page, and of a chunk.
pub const SIZE: u64 = 24;
pub const CHUNK_LEN: u64 = 12;
/// Commands that are sent at once.
const BATCH: usize = 500;
/// A seek may depend on the place: it is measured at so many, evenly spread.
const PLACES: u64 = 5;
const PROBES: u64 = 2_000;

/// One way, and what reads a page of it.
struct Layout {
    name: &'static str,
    /// Alternatives, measured by turns: one command at several places, or one of random places.
    steps: Vec<Vec<Vec<String>>>,
    /// Of `__rand_int__`.
    random: u64,
    bytes: u64,
    micros: Series,
}

/// Fills Redis with each, and compares them with the stream that is there.
pub fn compare(machine: &Machine, effort: &Effort, redis: &Redis, stream: &str) -> Outcome<Table> {
    let mut connection = redis.connect()?;
    let chunks = (SIZE / CHUNK_LEN).to_string();
    let mut layouts = vec![
        Layout {
            name: "**a stream, 12 items an entry**",
            steps: vec![vec![words(&[
                "XRANGE",
                stream,
                "0-__rand_int__",
                "+",
                "COUNT",
                &chunks,
            ])]],
            random: ITEMS / CHUNK_LEN,
            bytes: redis.memory_of(&mut connection, stream)?,
            micros: Series::default(),
        },
        pages(redis, &mut connection)?,
        list(redis, &mut connection)?,
        sorted_set(redis, &mut connection)?,
    ];
    for _ in 0..effort.rounds {
        for layout in &mut layouts {
            let mut micros = 0.0;
            // A page that takes two commands takes the time of both.
            for places in &layout.steps {
                let mut of_step = 0.0;
                for command in places {
                    let rate = redis.benchmark(machine, Way::Loopback, PROBES, layout.random, command)?;
                    let seconds = effort.duration.as_secs_f64() / (2 * places.len()) as f64;
                    let requests = (rate * seconds) as u64;
                    of_step +=
                        1e6 / redis.benchmark(machine, Way::Loopback, requests.max(PROBES), layout.random, command)?;
                }
                micros += of_step / places.len() as f64;
            }
            layout.micros.push(micros);
        }
    }
    let mut table = Table::new(["kept as", "µs a page", "ratio", "bytes an item", "ratio"]);
    let first = &layouts[0];
    for layout in &layouts {
        table.row([
            layout.name.to_owned(),
            format!("{:.1}", layout.micros.median()),
            format!("{:.2}", layout.micros.ratio(&first.micros)),
            format!("{:.0}", layout.bytes as f64 / ITEMS as f64),
            format!("{:.2}", layout.bytes as f64 / first.bytes as f64),
        ]);
    }
    Ok(table)
}

/// A string a page: of one size and one order only.
fn pages(redis: &Redis, connection: &mut Connection) -> Outcome<Layout> {
    let count = ITEMS / SIZE;
    let key = |page: u64| format!("page:{page:012}");
    fill(connection, 0..count, |pipe, page| {
        let of_page: Vec<String> = (1..=SIZE).map(|at| items::item(page * SIZE + at)).collect();
        pipe.cmd("SET").arg(key(page)).arg(format!("[{}]", of_page.join(",")));
    })?;
    let mut bytes = 0;
    for page in 0..count {
        bytes += redis.memory_of(connection, &key(page))?;
    }
    Ok(Layout {
        name: "a string a page (one size, one order)",
        steps: vec![vec![words(&["GET", "page:__rand_int__"])]],
        random: count,
        bytes,
        micros: Series::default(),
    })
}

fn list(redis: &Redis, connection: &mut Connection) -> Outcome<Layout> {
    fill(connection, 1..ITEMS + 1, |pipe, number| {
        pipe.cmd("RPUSH").arg("list").arg(items::item(number));
    })?;
    Ok(Layout {
        name: "a LIST",
        steps: vec![slices("LRANGE", "list")],
        random: 1,
        bytes: redis.memory_of(connection, "list")?,
        micros: Series::default(),
    })
}

fn sorted_set(redis: &Redis, connection: &mut Connection) -> Outcome<Layout> {
    fill(connection, 0..ITEMS, |pipe, number| {
        let id = format!("{number:012}");
        pipe.cmd("ZADD").arg("order").arg(number).arg(&id);
        pipe.cmd("HSET").arg("items").arg(&id).arg(items::item(number));
    })?;
    let read = [vec!["HMGET", "items"], vec!["__rand_int__"; SIZE as usize]].concat();
    Ok(Layout {
        name: "a ZSET and a HASH, two turns",
        steps: vec![slices("ZRANGE", "order"), vec![words(&read)]],
        random: ITEMS,
        bytes: redis.memory_of(connection, "order")? + redis.memory_of(connection, "items")?,
        micros: Series::default(),
    })
}

/// A page by its positions, at several places: a command's two ends cannot be random together.
fn slices(command: &str, key: &str) -> Vec<Vec<String>> {
    let slice = |place: u64| {
        let start = ITEMS * (2 * place + 1) / (2 * PLACES);
        words(&[command, key, &start.to_string(), &(start + SIZE - 1).to_string()])
    };
    (0..PLACES).map(slice).collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn fill(connection: &mut Connection, numbers: std::ops::Range<u64>, add: impl Fn(&mut Pipeline, u64)) -> Outcome<()> {
    let numbers: Vec<u64> = numbers.collect();
    for batch in numbers.chunks(BATCH) {
        let mut pipe = redis::pipe();
        batch.iter().for_each(|number| add(&mut pipe, *number));
        pipe.exec(connection)?;
    }
    Ok(())
}
