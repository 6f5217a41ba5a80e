//! listcache beside what else could be used, in one run: pages in L1, pages from Redis, their cost by position and length, a trace
//! of shoppers, a crowd for a cold page, what listings take in memory, and filtered pages. `docs/benchmarks.md` tells what each row is, and what came of it.
//!
//! ```text
//! make bench                            all rows; writes docs/benchmarks.md and docs/benchmarks.png
//! make bench-quick                      all rows, once and briefly; writes nothing
//! make bench BENCH="--rows herd,trace"  some of them; writes nothing
//! make instructions                     instructions a page in L1 takes
//! ```
//! What is compared alternates, and ratios are medians of the rounds' ratios, so that what else the machine does hits both sides.

mod chart;
mod claims;
mod client;
mod effort;
mod instructions;
mod items;
mod lane;
mod load;
mod machine;
mod png;
mod process;
mod report;
mod rows;
mod sample;
mod section;
mod series;
mod servers;
mod table;
mod used;

// The database is that of the tests, which use more of it.
#[allow(dead_code)]
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;
#[allow(dead_code)]
#[path = "../../tests/it/support/redis_server.rs"]
mod redis_server;
#[allow(dead_code)]
#[path = "../../tests/it/support/server_program.rs"]
mod server_program;
#[path = "../../tests/it/support/watched.rs"]
mod watched;

use std::{env, error::Error, process::ExitCode, time::Duration};

use effort::Effort;
use machine::Machine;
use section::Section;

/// Errors end the bench; only their text matters.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// A row's name on the command line, and what measures it.
type Row = (&'static str, fn(&Machine, &Effort) -> Outcome<Section>);

const ROWS: [Row; 7] = [
    ("page_in_l1", rows::page_in_l1::run),
    ("from_redis", rows::from_redis::run),
    ("position_and_length", rows::position_and_length::run),
    ("trace", rows::trace::run),
    ("herd", rows::herd::run),
    ("memory", rows::memory::run),
    ("filters", rows::filters::run),
];

const USAGE: &str = "usage: comparison [--quick] [--rows NAME,…] [--rounds N] [--seconds N] [--write]";

struct Options {
    effort: Effort,
    rows: Vec<Row>,
    writes: bool,
}

fn main() -> ExitCode {
    // Cargo says so to every bench.
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let done = match arguments.first().map(String::as_str) {
        Some(servers::fixed::ARGUMENT) => servers::fixed::run(&arguments[1..]),
        Some(servers::origin::ARGUMENT) => servers::origin::run(),
        Some("--instructions") => Machine::take().and_then(|machine| instructions::count(&machine)),
        _ => options(&arguments).and_then(|options| compare(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("comparison: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[String]) -> Outcome<Options> {
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let mut options = Options {
        effort: if is_quick { Effort::QUICK } else { Effort::FULL },
        rows: ROWS.into(),
        writes: !is_quick,
    };
    let mut arguments = arguments.iter().filter(|argument| *argument != "--quick");
    while let Some(argument) = arguments.next() {
        if argument == "--write" {
            options.writes = true;
            continue;
        }
        let value = arguments.next().ok_or(USAGE)?;
        let number = value.parse().ok().filter(|number| *number > 0);
        match (argument.as_str(), number) {
            ("--rows", None) => {
                let named = |name: &str| ROWS.into_iter().find(|row| row.0 == name).ok_or(USAGE);
                options.rows = value.split(',').map(named).collect::<Result<_, _>>()?;
                options.writes = false;
            }
            ("--rounds", Some(rounds)) => options.effort.rounds = rounds as usize,
            ("--seconds", Some(seconds)) => options.effort.duration = Duration::from_secs(seconds),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}

fn compare(options: &Options) -> Outcome<()> {
    let machine = Machine::take()?;
    println!("{machine}\n");
    let (mut sections, mut failed) = (Vec::new(), Vec::new());
    for (name, run) in &options.rows {
        let begun = std::time::Instant::now();
        // What the others found is not lost with one.
        match run(&machine, &options.effort) {
            Ok(section) => {
                println!("{section}");
                sections.push(section);
            }
            Err(error) => failed.push(format!("{name}: {error}")),
        }
        eprintln!("{name}: {:.0} s", begun.elapsed().as_secs_f64());
    }
    if !failed.is_empty() {
        return Err(failed.join("\n").into());
    }
    let text = report::markdown(&machine, &options.effort, &sections)?;
    if options.writes {
        report::write(&text, &sections)?;
    }
    Ok(())
}
