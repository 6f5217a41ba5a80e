//! Progress of a warm-up: a bar for a person, JSON lines for a program.

use std::{
    io::{self, IsTerminal, Write},
    sync::LazyLock,
    time::{Duration, Instant},
};

use indicatif::{HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use super::arguments::ProgressMode;

/// Every bar, so that a log line can be put beside them rather than through them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);
/// How often the elapsed time is drawn anew while nothing ends.
const TICK: Duration = Duration::from_millis(200);

/// Writes log lines to stderr, above a bar where there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct BesideBar;

impl Write for BesideBar {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        BARS.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for BesideBar {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Where JSON lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonTo {
    Stdout,
    /// Where stdout has a first line that others wait for.
    Stderr,
}

/// How it ended for one name.
#[derive(Debug)]
pub(super) enum Step {
    Refreshed {
        listings: usize,
        items: u64,
        took: Duration,
    },
    SkippedFresh,
    Failed {
        error: String,
    },
}

/// What a warm-up came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) refreshed: usize,
    pub(super) skipped: usize,
    pub(super) failed: usize,
    pub(super) listings: usize,
    pub(super) items: u64,
}

/// Shows each step as it ends, and counts.
pub(super) struct Progress {
    shown: Shown,
    of: usize,
    tally: Tally,
    begun: Instant,
}

enum Shown {
    Bar(ProgressBar),
    Json(JsonTo),
}

impl Progress {
    /// Begins, for so many names.
    pub(super) fn start(mode: ProgressMode, json_to: JsonTo, of: usize) -> Self {
        let shown = if is_bar(mode) {
            let bar = BARS.add(ProgressBar::new(of as u64));
            let style =
                ProgressStyle::with_template("  warming {bar:32.green/dim} {pos}/{len} names  {msg}  {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(TICK);
            Shown::Bar(bar)
        } else {
            Shown::Json(json_to)
        };
        let progress = Self {
            shown,
            of,
            tally: Tally::default(),
            begun: Instant::now(),
        };
        progress.write(|| json!({ "event": "begun", "of": of }));
        progress
    }

    /// A name is done, one way or the other.
    pub(super) fn step(&mut self, name: &str, step: &Step) {
        let tally = &mut self.tally;
        match step {
            Step::Refreshed { listings, items, .. } => {
                tally.refreshed += 1;
                tally.listings += listings;
                tally.items += items;
            }
            Step::SkippedFresh => tally.skipped += 1,
            Step::Failed { .. } => tally.failed += 1,
        }
        let done = self.done();
        if let Shown::Bar(bar) = &self.shown {
            bar.set_position(done as u64);
            bar.set_message(format!("{} items", HumanCount(self.tally.items)));
            if let Step::Failed { error } = step {
                BARS.suspend(|| eprintln!("  {name}: {error}"));
            }
        }
        let of = self.of;
        self.write(|| match step {
            Step::Refreshed { listings, items, took } => {
                let took_ms = millis(*took);
                json!({ "event": "refreshed", "name": name, "listings": listings, "items": items, "took_ms": took_ms, "done": done, "of": of })
            }
            Step::SkippedFresh => json!({ "event": "fresh", "name": name, "done": done, "of": of }),
            Step::Failed { error } => {
                json!({ "event": "failed", "name": name, "error": error, "done": done, "of": of })
            }
        });
    }

    /// All is done, or stopped before.
    pub(super) fn end(self) -> Tally {
        let took = self.begun.elapsed();
        let tally = self.tally;
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
            BARS.remove(bar);
            eprintln!("  {}", sentence(&tally, self.of, took));
        }
        let of = self.of;
        self.write(|| {
            let Tally { refreshed, skipped, failed, listings, items } = tally;
            json!({ "event": "ended", "refreshed": refreshed, "fresh": skipped, "failed": failed, "of": of, "listings": listings, "items": items, "took_ms": millis(took) })
        });
        tally
    }

    fn done(&self) -> usize {
        self.tally.refreshed + self.tally.skipped + self.tally.failed
    }

    fn write(&self, line: impl FnOnce() -> Value) {
        // Whoever reads the lines may have gone, which is no reason to stop.
        match &self.shown {
            Shown::Bar(_) => {}
            Shown::Json(JsonTo::Stdout) => drop(writeln!(io::stdout().lock(), "{}", line())),
            Shown::Json(JsonTo::Stderr) => drop(writeln!(io::stderr().lock(), "{}", line())),
        }
    }
}

/// Whether a person is to be shown something, rather than a program.
pub(super) fn is_bar(mode: ProgressMode) -> bool {
    match mode {
        ProgressMode::Auto => io::stderr().is_terminal(),
        ProgressMode::Bar => true,
        ProgressMode::Json => false,
    }
}

fn sentence(tally: &Tally, of: usize, took: Duration) -> String {
    let mut text = format!(
        "{} of {of} names refreshed: {} listings, {} items, in {}",
        tally.refreshed,
        HumanCount(tally.listings as u64),
        HumanCount(tally.items),
        if took < Duration::from_secs(1) {
            format!("{} ms", millis(took))
        } else {
            HumanDuration(took).to_string()
        }
    );
    if tally.skipped > 0 {
        text.push_str(&format!("; {} were fresh", tally.skipped));
    }
    if tally.failed > 0 {
        text.push_str(&format!("; {} failed", tally.failed));
    }
    text
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
