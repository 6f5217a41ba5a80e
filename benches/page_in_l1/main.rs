//! What a page in L1 costs above a fixed body: the real service beside a handler that sends the same bytes with the same
//! headers from the same framework, in one run.
//!
//! ```text
//! make bench                      cargo bench --bench page_in_l1 -- --rounds 5 --seconds 4
//! make bench BENCH=--gzip         cargo bench --bench page_in_l1 -- --gzip
//! ```
//! With `--gzip` pages of many kinds are compared with themselves: packed with plain.
//! Each server is a process of its own with one worker, pinned to one core; `wrk` loads them in turn from another core.
//! A row says how many requests a second the worker answered and its processor time for one; the ratio is the median of
//! the rounds' ratios, so that what else the machine does hits both sides. A row is void unless the worker was the
//! bottleneck: a worker that waits says nothing of its own speed.

mod cores;
mod fixed;
mod load;
mod sample;
mod server;
mod service;
mod table;
mod worker;

use std::{env, error::Error, process::ExitCode, time::Duration};

use cores::Cores;
use load::Wrk;
use sample::Sample;
use server::Server;
use table::{Round, Row, Rows};

/// Errors end the bench; only their text matters.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is asked for in the measured rows.
const ASCENDING: &str = "/v1/listings/category:BREAD?page=2";
const DESCENDING: &str = "/v1/listings/category:BREAD?order=desc&page=2";

/// Pages of many kinds; the listing's length is no multiple of the chunk's. The packed ones are measured by the plain ones.
const KINDS: [(&str, &str); 10] = [
    ("24", "/v1/listings/category:BREAD?page=2&size=24"),
    ("96", "/v1/listings/category:BREAD?page=2&size=96"),
    ("10", "/v1/listings/category:BREAD?page=2&size=10"),
    ("25", "/v1/listings/category:BREAD?page=2&size=25"),
    ("50", "/v1/listings/category:BREAD?page=2&size=50"),
    ("24 from 7", "/v1/listings/category:BREAD?offset=7&limit=24"),
    ("10, desc", "/v1/listings/category:BREAD?order=desc&page=2&size=10"),
    ("25, desc", "/v1/listings/category:BREAD?order=desc&page=2&size=25"),
    ("50, desc", "/v1/listings/category:BREAD?order=desc&page=2&size=50"),
    (
        "24 from 7, desc",
        "/v1/listings/category:BREAD?order=desc&offset=7&limit=24",
    ),
];
const TAKES_GZIP: &str = "Accept-Encoding: gzip, deflate, br, zstd";

struct Options {
    gzip: bool,
    rounds: usize,
    duration: Duration,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("serve-listing") => service::run(),
        Some("serve-fixed") => fixed::run(&arguments[1..]),
        _ => options(&arguments).and_then(|options| compare(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("page_in_l1: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options {
        gzip: false,
        rounds: 5,
        duration: Duration::from_secs(4),
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        // Cargo says so to every bench.
        if argument == "--bench" {
            continue;
        }
        if argument == "--gzip" {
            options.gzip = true;
            continue;
        }
        let number = arguments
            .next()
            .and_then(|value| value.parse().ok())
            .filter(|number| *number > 0);
        match (argument.as_str(), number) {
            ("--rounds", Some(rounds)) => options.rounds = rounds as usize,
            ("--seconds", Some(seconds)) => options.duration = Duration::from_secs(seconds),
            _ => return Err("usage: page_in_l1 [--gzip] [--rounds N] [--seconds N]".into()),
        }
    }
    Ok(options)
}

fn compare(options: &Options) -> Outcome<()> {
    let wrk = Wrk::find()?;
    let cores = Cores::of_the_machine();
    println!("{cores}");
    let service = Server::start(&cores, &["serve-listing".to_owned()])?;
    if options.gzip {
        return compare_codings(options, &wrk, &cores, &service);
    }
    let page = Sample::take(&service.address, ASCENDING, None)?;
    let known = Sample::take(&service.address, ASCENDING, Some(page.etag()?))?;
    let directory = tempfile::tempdir()?;
    let mut files = Vec::new();
    for (name, sample) in [("page", &page), ("known", &known)] {
        let file = directory.path().join(name);
        std::fs::write(&file, &sample.raw)?;
        files.push(file.display().to_string());
    }
    let fixed = Server::start(&cores, &[vec!["serve-fixed".to_owned()], files].concat())?;
    println!(
        "one page: {} items of {} bytes, {} bytes of head\n",
        24,
        page.body().len(),
        page.raw.len() - page.body().len()
    );

    let condition = format!("If-None-Match: {}", page.etag()?);
    let rows = [
        Row::new("fixed body", &fixed, "/0", None, None),
        Row::new("page, ascending", &service, ASCENDING, None, Some(0)),
        Row::new("page, descending", &service, DESCENDING, None, Some(0)),
        Row::new("fixed 304", &fixed, "/1", None, None),
        Row::new("304 of the page", &service, ASCENDING, Some(&condition), Some(3)),
    ];
    measure(options, &wrk, &cores, rows.into())
}

/// Packed pages beside the same pages plain.
fn compare_codings(options: &Options, wrk: &Wrk, cores: &Cores, service: &Server) -> Outcome<()> {
    let mut rows = Vec::new();
    for (name, path) in KINDS {
        let plain = rows.len();
        rows.push(Row::new(name, service, path, None, None));
        rows.push(Row::new("  packed", service, path, Some(TAKES_GZIP), Some(plain)));
    }
    measure(options, wrk, cores, rows)
}

fn measure(options: &Options, wrk: &Wrk, cores: &Cores, rows: Vec<Row<'_>>) -> Outcome<()> {
    let mut rows = Rows::new(rows);
    for row in rows.iter() {
        // Connections, branch predictors, caches; not counted.
        wrk.load(cores, row.server, row.path, row.header, Duration::from_secs(1))?;
    }
    for _ in 0..options.rounds {
        for row in rows.iter_mut() {
            let before = row.server.worker_time()?;
            let load = wrk.load(cores, row.server, row.path, row.header, options.duration)?;
            let spent = before.until(&row.server.worker_time()?);
            row.rounds.push(Round {
                requests_per_second: load.requests_per_second,
                busy: spent.as_secs_f64() / load.elapsed.as_secs_f64(),
                micros_per_request: spent.as_secs_f64() * 1e6 / load.requests as f64,
            });
        }
    }
    print!("{rows}");
    Ok(())
}
