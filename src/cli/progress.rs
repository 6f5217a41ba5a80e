//! Progress of a warm-up: a bar for a person, JSON lines for a program.

use std::{
    io::{self, IsTerminal, Write},
    sync::LazyLock,
    time::{Duration, Instant},
};

use indicatif::{HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::progress_mode::ProgressMode;
use crate::engine::{
    Chain, Refreshed,
    warm_up::{Difference, Ended, Joined, Step, Target, Verified, Why},
};

/// Every bar, so that a log line can be put beside them rather than through them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);
/// How often the elapsed time is drawn anew while nothing ends.
const TICK: Duration = Duration::from_millis(200);

/// Writes log lines to stderr, above a bar where there is one.
#[derive(Debug)]
pub(super) struct BesideBar;

impl Write for BesideBar {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        BARS.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Where JSON lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonTo {
    Stdout,
    /// Where stdout has a first line that others wait for.
    Stderr,
}

/// The outcome of a warm-up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) refreshed: usize,
    pub(super) fresh: usize,
    /// Read since the job began, by another process.
    pub(super) done: usize,
    pub(super) frozen: usize,
    pub(super) failed: usize,
    pub(super) listings: usize,
    pub(super) items: u64,
    /// Why some were not begun, and how many.
    pub(super) left: Option<Ended>,
    pub(super) verified: Option<Verified>,
    /// Listings that differ.
    pub(super) different: usize,
    /// The first of what failed or differs, for the end.
    pub(super) complaints: Vec<String>,
}

/// So many failures are said again at the end.
const COMPLAINTS_MAX: usize = 20;

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
    /// Begins, for so many families.
    pub(super) fn start(mode: ProgressMode, json_to: JsonTo, of: usize) -> Self {
        let shown = if is_bar(mode) {
            let bar = BARS.add(ProgressBar::new(of as u64));
            let style = ProgressStyle::with_template("  warming {bar:32.green/dim} {pos}/{len}  {msg}  {elapsed}");
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

    /// How this process came to the job.
    pub(super) fn joined(&self, joined: Joined) {
        let (how, said) = match joined {
            Joined::Begun => return,
            Joined::AtWork => (
                "joined",
                "another process was at work on this within the last 15 seconds: the work is shared".to_owned(),
            ),
            Joined::BrokenOff(ago) if ago < Duration::from_secs(60) => (
                "resumed",
                "goes on where the last run ended less than a minute ago".to_owned(),
            ),
            Joined::BrokenOff(ago) => {
                let ago = HumanDuration(ago);
                ("resumed", format!("goes on where the last run ended {ago} ago"))
            }
        };
        self.beside(&said);
        self.write(|| json!({ "event": how }));
    }

    /// A family is done, one way or the other.
    pub(super) fn step(&mut self, target: &Target, step: &Step) {
        let tally = &mut self.tally;
        let family = &target.family;
        match step {
            Step::Refreshed { listings, .. } => {
                tally.refreshed += 1;
                tally.listings += listings.len();
                tally.items += items_of(listings);
            }
            Step::Fresh => tally.fresh += 1,
            Step::Done => tally.done += 1,
            Step::Frozen => tally.frozen += 1,
            Step::Failed(error) => {
                tally.failed += 1;
                let complaint = format!("{family}: {}", Chain(error));
                self.complain(complaint);
            }
        }
        let (done, of) = (self.steps(), self.of);
        if let Shown::Bar(bar) = &self.shown {
            bar.set_position(done as u64);
            bar.set_message(format!("{} items", HumanCount(self.tally.items)));
        }
        self.write(|| {
            let mut line = match step {
                Step::Refreshed { listings, took } => {
                    let (count, items) = (listings.len(), items_of(listings));
                    json!({ "event": "refreshed", "listings": count, "items": items, "took_ms": millis(*took) })
                }
                Step::Fresh => json!({ "event": "fresh" }),
                Step::Done => json!({ "event": "done" }),
                Step::Frozen => json!({ "event": "frozen" }),
                Step::Failed(error) => json!({ "event": "failed", "error": Chain(error).to_string() }),
            };
            line["name"] = family.name.as_str().into();
            if !family.choices.is_empty() {
                let choices = family.choices.iter();
                let choices = choices.map(|(parameter, value)| (parameter.to_string(), Value::from(&**value)));
                line["choices"] = Value::Object(choices.collect());
            }
            line["done"] = done.into();
            line["of"] = of.into();
            line
        });
    }

    /// No more are begun.
    pub(super) fn ended(&mut self, ended: Ended) {
        self.tally.left = Some(ended).filter(|ended| ended.left > 0);
    }

    /// A listing that does not hold what it should.
    pub(super) fn differs(&mut self, difference: &Difference) {
        self.tally.different += 1;
        let Difference {
            listing,
            promised,
            held,
            read,
        } = difference;
        self.write(|| {
            json!({ "event": "different", "listing": listing.to_string(), "head": promised, "stream": held, "read": read })
        });
        let number =
            |number: &Option<u64>, none: &str| number.map_or(none.to_owned(), |number| format!("{number} items"));
        let mut complaint = format!("{listing} differs: its head says {}", number(promised, "nothing"));
        complaint.push_str(&format!(", its stream holds {}", number(held, "no items")));
        if let Some(read) = read {
            complaint.push_str(&format!(", {read} were read"));
        }
        self.complain(complaint);
    }

    /// The rest holds what it should.
    pub(super) fn verified(&mut self, verified: Verified) {
        self.tally.verified = Some(verified);
    }

    /// All is done, or stopped before.
    pub(super) fn end(self) -> Tally {
        let took = self.begun.elapsed();
        let of = self.of;
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
            BARS.remove(bar);
            tell(&format!("  {}", sentence(&self.tally, of, took)));
            let untold = (self.tally.failed + self.tally.different).saturating_sub(self.tally.complaints.len());
            self.tally
                .complaints
                .iter()
                .for_each(|complaint| tell(&format!("    {complaint}")));
            if untold > 0 {
                tell(&format!("    and {untold} more"));
            }
        }
        self.write(|| {
            let tally = &self.tally;
            let mut line = json!({
                "event": "ended", "refreshed": tally.refreshed, "fresh": tally.fresh, "already_done": tally.done,
                "frozen": tally.frozen, "failed": tally.failed, "left": 0, "of": of,
                "listings": tally.listings, "items": tally.items, "took_ms": millis(took),
            });
            if let Some(ended) = &tally.left {
                line["left"] = ended.left.into();
                line["because"] = because(ended.why).into();
            }
            if let Some(verified) = &tally.verified {
                line["verified"] =
                    json!({ "listings": verified.listings, "items": verified.items, "different": tally.different });
            }
            line
        });
        self.tally
    }

    fn complain(&mut self, complaint: String) {
        self.beside(&complaint);
        if self.tally.complaints.len() < COMPLAINTS_MAX {
            self.tally.complaints.push(complaint);
        }
    }

    /// A line for a person, above the bar.
    fn beside(&self, line: &str) {
        if let Shown::Bar(_) = &self.shown {
            BARS.suspend(|| tell(&format!("  {line}")));
        }
    }

    fn steps(&self) -> usize {
        let Tally {
            refreshed,
            fresh,
            done,
            frozen,
            failed,
            ..
        } = &self.tally;
        refreshed + fresh + done + frozen + failed
    }

    fn write(&self, line: impl FnOnce() -> Value) {
        // The reader of the lines may have gone, which is no reason to stop.
        match &self.shown {
            Shown::Bar(_) => {}
            Shown::Json(JsonTo::Stdout) => drop(writeln!(io::stdout().lock(), "{}", line())),
            Shown::Json(JsonTo::Stderr) => drop(writeln!(io::stderr().lock(), "{}", line())),
        }
    }
}

/// A line for a person on stderr. That it cannot be written is no reason to stop.
fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn items_of(listings: &[Refreshed]) -> u64 {
    listings.iter().map(|listing| listing.total).sum()
}

fn because(why: Why) -> &'static str {
    match why {
        Why::Finished => "finished",
        Why::Stopped => "stopped",
        Why::OutOfTime => "out of time",
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
        "{} of {of} refreshed: {} listings, {} items, in {}",
        tally.refreshed,
        HumanCount(tally.listings as u64),
        HumanCount(tally.items),
        if took < Duration::from_secs(1) {
            format!("{} ms", millis(took))
        } else {
            HumanDuration(took).to_string()
        }
    );
    for (count, what) in [
        (tally.fresh, "were fresh"),
        (tally.done, "were done already"),
        (tally.frozen, "are frozen"),
        (tally.failed, "failed"),
    ] {
        if count > 0 {
            text.push_str(&format!("; {count} {what}"));
        }
    }
    if let Some(ended) = &tally.left {
        text.push_str(&format!("; {} left ({})", ended.left, because(ended.why)));
    }
    if let Some(verified) = &tally.verified {
        let (listings, items) = (HumanCount(verified.listings), HumanCount(verified.items));
        text.push_str(&format!(
            "; verified {listings} listings with {items} items, {} differ",
            tally.different
        ));
    }
    text
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
