//! A real year of price changes, 30,000 times faster, three times: with changes told product by product, with refreshes
//! that are coalesced, and by a shop that flushes everything when anything has changed. What each costs, and how old its
//! pages are.
//!
//! ```text
//! make bench-churn               cargo bench --bench churn -- --days 365 --window 1000 --pages 300 --speed 30000 --columns 3
//! ```
//! The year takes some 17.5 minutes for each of the three, one after the other, with the same changes.
//! `tests/it/support/churn/mod.rs` tells what is measured, and how. The data is not part of the project: it lies in `../shared/data`.
//! docs/benchmarks.md has the figures of a run.

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

use churn::{Figures, Replay, Strategy, changes::Year, percentile, setup::machine, written::Written};

#[tokio::main]
async fn main() {
    let Some(year) = Year::read() else {
        println!("the price changes are not beside the project, see ../shared/data");
        return;
    };
    let (from, days) = (asked_for("--from", 0), asked_for("--days", 365));
    let coalesce_for = Duration::from_millis(asked_for("--window", 1000));
    let pages_a_second = asked_for("--pages", 300) as u32;
    let speed = asked_for("--speed", churn::SPEED.into()) as u32;
    // One column, or all.
    let columns_max = asked_for("--columns", 3) as usize;
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
    ]
    .into_iter()
    .take(columns_max)
    {
        let replay = Replay {
            strategy,
            coalesce_for,
            speed,
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
        format!("{:.2} %", figures.l1_rate() * 100.0)
    });
    row("answers that were no page", &|figures| figures.reads.failed.to_string());
    row("bytes that redis received a changed item", &|figures| {
        figures.bytes_a_change().to_string()
    });
    row("rows read from the database a changed item", &|figures| {
        format!("{:.1}", figures.rows_a_change())
    });
    row("bytes written of its listing a changed item", &|figures| {
        let written = |written: Written| (written.bytes / figures.changes as u64).to_string();
        figures.written.map_or("-".to_owned(), written)
    });
    row("  of whole streams", &|figures| {
        figures
            .written
            .map_or("-".to_owned(), |written| format!("{:.3}", written.share()))
    });
    row("listings that differ in the end", &|figures| {
        figures.wrong.len().to_string()
    });
    row("chunks that stay in the process when a head moves", &|figures| {
        format!("{:.2} %", figures.stay_rate() * 100.0)
    });
    print_ratios(columns);
}

/// The costs of the other columns, each divided by the cost of changes that are told.
fn print_ratios(columns: &[Figures]) {
    let Some((told, others)) = columns.split_first().filter(|(_, others)| !others.is_empty()) else {
        return;
    };
    let names = ["coalesced ÷ told", "flush ÷ told"].map(|name| format!("{name:>18}"));
    println!("\n| {:<36} | {} |", "ratio", names[..others.len()].join(" | "));
    println!("|{:-<38}|{}", "", format!("{:->20}|", ":").repeat(others.len()));
    let row = |name: &str, of: &dyn Fn(&Figures) -> f64| {
        let cells = others.iter().map(|other| format!("{:>18.2}", of(other) / of(told)));
        println!("| {name:<36} | {} |", cells.collect::<Vec<_>>().join(" | "));
    };
    let shown = |percent| move |figures: &Figures| percentile(&figures.staleness, percent).as_secs_f64();
    row("rows read", &Figures::rows_a_change);
    row("bytes that redis received", &|figures| figures.bytes_a_change() as f64);
    row("pages from the process", &Figures::l1_rate);
    row("a change is shown after, p50", &shown(50.0));
    row("a change is shown after, p99", &shown(99.0));
}
