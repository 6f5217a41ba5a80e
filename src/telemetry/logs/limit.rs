//! The limit of the log: a few lines a minute of each kind, so that no client can fill a disk.
//!
//! A kind is a place in the source. The number of kinds is fixed, so the log of a minute is bounded, and so is the table here.
//! Lines at DEBUG and TRACE are not limited: only an operator turns them on. Nor are lines of this program where `RUST_LOG` is
//! set. Dependencies are limited there too.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::{Event, Level, Metadata, Subscriber, callsite::Identifier};
use tracing_subscriber::layer::{Context, Layer};

use super::lost::{LossReason, LostLines};

/// Lines of one kind within a minute; more are left out, and counted.
pub(super) const LINES_A_MINUTE: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);
/// The target of the access log. It has no limit: the operator asked for each line.
pub(crate) const ACCESS: &str = "listcache::access";
/// The target of lines about lost pushed listings. They have no limit: only the log names them, and each is told once.
pub(crate) const LOST_PUSHED: &str = "listcache::lost_pushed";
/// Lines of this program.
const OURS: &str = "listcache";

/// Drops lines beyond the limit.
pub(super) struct Limit {
    /// Whether `RUST_LOG` says what is logged.
    is_asked_for: bool,
    kinds: Mutex<HashMap<Identifier, LineKind>>,
    lost: LostLines,
}

/// One kind of lines in its current minute.
struct LineKind {
    began: Instant,
    lines: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Within,
    /// The first beyond the limit.
    First,
    Beyond,
}

impl LineKind {
    fn count(&mut self, now: Instant) -> Verdict {
        if now.duration_since(self.began) >= MINUTE {
            *self = Self { began: now, lines: 0 };
        }
        self.lines = self.lines.saturating_add(1);
        match self.lines {
            lines if lines <= LINES_A_MINUTE => Verdict::Within,
            lines if lines == LINES_A_MINUTE + 1 => Verdict::First,
            _ => Verdict::Beyond,
        }
    }
}

impl Limit {
    pub(super) fn new(is_asked_for: bool, lost: LostLines) -> Self {
        Self {
            is_asked_for,
            kinds: Mutex::default(),
            lost,
        }
    }

    fn applies_to(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let is_ours = target.split("::").next() == Some(OURS);
        // The more a level tells, the greater it is.
        *metadata.level() <= Level::INFO && ![ACCESS, LOST_PUSHED].contains(&target) && !(is_ours && self.is_asked_for)
    }

    fn count(&self, kind: Identifier, now: Instant) -> Verdict {
        let mut kinds = self.kinds.lock();
        kinds
            .entry(kind)
            .or_insert(LineKind { began: now, lines: 0 })
            .count(now)
    }
}

impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !self.applies_to(metadata) {
            return true;
        }
        let verdict = self.count(metadata.callsite(), Instant::now());
        if verdict == Verdict::Within {
            return true;
        }
        self.lost.count(LossReason::Rate);
        if verdict == Verdict::First {
            tell(metadata);
        }
        false
    }
}

/// As loud as the lines themselves.
fn tell(metadata: &Metadata<'_>) {
    let kind = format_args!("{}:{}", metadata.target(), metadata.line().unwrap_or_default());
    if *metadata.level() == Level::INFO {
        tracing::info!(%kind, "more lines of this kind are left out until the minute is over");
    } else {
        tracing::warn!(%kind, "more lines of this kind are left out until the minute is over");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_so_many_lines_in_each_minute() {
        let began = Instant::now();
        let mut kind = LineKind { began, lines: 0 };
        let mut count = |after: u64, times: u32| {
            let now = began + Duration::from_secs(after);
            let verdicts: Vec<Verdict> = (0..times).map(|_| kind.count(now)).collect();
            let of = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count();
            (of(Verdict::Within), of(Verdict::First), of(Verdict::Beyond))
        };
        assert_eq!(count(0, 20), (20, 0, 0));
        assert_eq!(count(30, 20), (10, 1, 9));
        assert_eq!(count(59, 5), (0, 0, 5));
        assert_eq!(count(60, 40), (30, 1, 9));
        assert_eq!(count(500, 1), (1, 0, 0));
    }
}
