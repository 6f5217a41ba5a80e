//! A real year of price changes, 30,000 times faster, three times: with changes told product by product, with refreshes
//! that are coalesced, and by a shop that flushes everything when anything has changed. What each costs, and how old its
//! pages are.
//!
//! ```text
//! make bench-churn               cargo bench --bench churn -- --days 365 --window 1000 --pages 300
//! ```
//! The year takes some 17.5 minutes for each of the three, one after the other, with the same changes.
//! `tests/it/support/churn/mod.rs` tells what is measured, and how. The data is not part of the project: it lies in `../shared/data`.
//!
//! The whole year on 2 cores of an AMD EPYC that other builds kept busy, Redis 7.0.15 (175,820 changes, 302 listings, two
//! nodes, 300 pages/s, `coalesce_for` 1 s):
//!
//! | | coalesced refreshes | flush everything |
//! |---|---|---|
//! | refreshes | 88,313 | 116,052 |
//! | of one listing within `coalesce_for`, most | 1 | 3 |
//! | a refresh takes (p50 / p99 / max) | 22 / 128 / 360 ms | 8 / 67 / 572 ms |
//! | a change is shown after | 372 / 1056 / 1662 ms | 373 / 987 / 1500 ms |
//! | a page is stale by | 0 / 934 / 1555 ms | 0 / 824 / 1098 ms |
//! | hits: not waiting for the origin | 100.00 % | 61.29 % |
//! | of them in the process | 46.29 % | 36.48 % |
//! | answers that were no page, of 310,000 | 0 | 240 |
//! | bytes to Redis a changed item | 65,522 | 73,238 |

// The servers are those of the tests, which use more of them.
#[allow(dead_code)]
#[path = "../../tests/it/support/churn/mod.rs"]
mod churn;
#[allow(dead_code)]
#[path = "../../tests/it/support/redis_server.rs"]
mod redis_server;
#[allow(dead_code)]
#[path = "../../tests/it/support/server_program.rs"]
mod server_program;
#[allow(dead_code)]
#[path = "../../tests/it/support/service.rs"]
mod service;

use std::{env, time::Duration};

use churn::{Figures, Replay, Strategy, changes::Year, percentile, setup::machine};

#[tokio::main]
async fn main() {
    let Some(year) = Year::read() else {
        println!("the price changes are not beside the project, see ../shared/data");
        return;
    };
    let (from, days) = (asked_for("--from", 0), asked_for("--days", 365));
    let coalesce_for = Duration::from_millis(asked_for("--window", 1000));
    let pages_a_second = asked_for("--pages", 300) as u32;
    let changes = year.days(from, days);
    println!("{}", machine());
    println!(
        "days {from} to {}, {} price changes in {} listings; two nodes; {pages_a_second} pages/s by Zipf; coalesce_for {coalesce_for:?}",
        from + days,
        changes.len(),
        year.listings.len()
    );
    let mut columns = Vec::new();
    // Each is told when it is there: the next takes as long again.
    for strategy in [
        Strategy::TellsChanges,
        Strategy::AsksForRefreshes,
        Strategy::FlushesEverything,
    ] {
        let replay = Replay {
            strategy,
            coalesce_for,
            pages_a_second,
            waits: false,
        };
        columns.push(churn::run(&year, changes, replay).await);
        print(&columns, coalesce_for);
    }
}

fn asked_for(name: &str, default: u64) -> u64 {
    let mut arguments = env::args().skip_while(|argument| argument != name);
    let given = arguments.nth(1);
    given.map_or(default, |value| {
        value.parse().unwrap_or_else(|_| panic!("{name} takes a number"))
    })
}

fn print(columns: &[Figures], coalesce_for: Duration) {
    let row = |name: &str, of: &dyn Fn(&Figures) -> String| {
        let cells: Vec<String> = columns.iter().map(|figures| format!("{:>22}", of(figures))).collect();
        println!("| {name:<49} | {} |", cells.join(" | "));
    };
    let times = |values: &[u64]| {
        let ms = |percent| percentile(values, percent).as_millis();
        format!("{} / {} / {} ms", ms(50.0), ms(99.0), ms(100.0))
    };
    let names = ["changes told", "coalesced refreshes", "flush everything"].map(|name| format!("{name:>22}"));
    println!("\n| {:<49} | {} |", "", names[..columns.len()].join(" | "));
    println!("|{:-<51}|{}", "", format!("{:->24}|", ":").repeat(columns.len()));
    row("replayed in", &|figures| format!("{:.1} s", figures.took.as_secs_f64()));
    row("refreshes", &|figures| figures.builds.len().to_string());
    row("of one listing within coalesce_for, most", &|figures| {
        figures.refreshes_in_a_window.to_string()
    });
    row("a refresh takes (p50 / p99 / max)", &|figures| times(&figures.builds));
    row("a change is shown after (p50 / p99 / max)", &|figures| {
        times(&figures.staleness)
    });
    row("  bound: coalesce_for + p99 of a refresh", &|figures| {
        format!("{} ms", (coalesce_for + percentile(&figures.builds, 99.0)).as_millis())
    });
    row("changes never shown", &|figures| figures.never_shown.to_string());
    row("a page is stale by (p50 / p99 / max)", &|figures| {
        times(&figures.page_staleness)
    });
    row("pages read", &|figures| figures.reads.count.to_string());
    row("hits: not waiting for the origin", &|figures| {
        format!("{:.2} %", figures.hit_rate() * 100.0)
    });
    row("  of them in the process", &|figures| {
        format!(
            "{:.2} %",
            100.0 * figures.reads.l1_hits as f64 / figures.reads.count as f64
        )
    });
    row("answers that were no page", &|figures| figures.reads.failed.to_string());
    row("bytes to redis a changed item", &|figures| {
        figures.bytes_a_change().to_string()
    });
    row("rows read from the database a changed item", &|figures| {
        format!("{:.1}", figures.rows as f64 / figures.changes as f64)
    });
    row("listings that differ in the end", &|figures| {
        figures.wrong.len().to_string()
    });
    row("chunks that stay in the process when a head moves", &|figures| {
        format!("{:.2} %", figures.stay_rate() * 100.0)
    });
}
