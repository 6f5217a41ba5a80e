//! Refusals of a Redis that answers: recorded by operation and code, with Redis's own sentence.
//!
//! A refusal stays until it is known to be over. Codes that speak of the whole server (its disk is full, it became a replica)
//! end with the next heartbeat of the writing connection, which unlinks a key that never exists: Redis judges it as any other
//! write. The other codes speak of one command: they end when the same operation succeeds, or [`FORGOTTEN_AFTER`] the last
//! refusal, because an operation may be a rare one.
//!
//! The log says the end only when nothing was refused for [`WARN_EVERY`]: a warning that is held back in that time would
//! leave the end as the log's last word.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    store::error::{Refusal, code_is_of_server},
    telemetry::{ByCode, Metrics, RedisCode},
};

/// How long a refusal of one operation counts when that operation is not tried again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// Between two warnings of one code.
pub(crate) const WARN_EVERY: Duration = Duration::from_secs(60);
/// Opening a connection and saying hello.
pub(crate) const CONNECT: &str = "connect";
/// Following announcements.
pub(crate) const SUBSCRIBE: &str = "subscribe";

/// A refusal that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The operation.
    pub operation: &'static str,
    /// Redis's code.
    pub code: RedisCode,
    /// Redis's own words, the code among them.
    pub sentence: Arc<str>,
    /// How long ago it was heard last.
    pub ago: Duration,
}

impl Refused {
    /// Whether only the announcements are refused.
    pub fn is_of_subscription(&self) -> bool {
        self.operation == SUBSCRIBE
    }

    /// Whether no refresh succeeds as long as it lasts: it speaks of the server, or of a step of each refresh.
    pub fn is_of_refreshes(&self) -> bool {
        const STEPS: [&str; 3] = ["draw", "write generation", "publish"];
        code_is_of_server(self.code) || STEPS.contains(&self.operation)
    }
}

/// The current refusals.
#[derive(Debug)]
pub(crate) struct Refusals {
    metrics: Arc<Metrics>,
    /// Whether there are any: nearly always false, so it needs no lock.
    any: AtomicBool,
    /// Whether the log has a refusal, and not its end.
    told: AtomicBool,
    state: Mutex<State>,
}

/// Operations and codes are names in this program: there are never many.
#[derive(Debug, Default)]
struct State {
    refused: HashMap<(&'static str, RedisCode), (Arc<str>, Instant)>,
    warned: HashMap<RedisCode, Instant>,
    /// When anything was refused last.
    heard_at: Option<Instant>,
}

impl Refusals {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            any: AtomicBool::new(false),
            told: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Redis has refused an operation.
    pub(crate) fn heard(&self, operation: &'static str, refusal: &Refusal) {
        let Refusal { code, sentence } = refusal;
        self.metrics.redis_refused.get_or_create(&ByCode { code: *code }).inc();
        if self.record(operation, refusal, Instant::now()) {
            tracing::warn!(
                code = code.as_str(),
                operation,
                sentence = &**sentence,
                "redis answers, but refuses commands: kept pages are served, and refused commands have no effect"
            );
        }
    }

    /// Returns whether the code is to be told.
    fn record(&self, operation: &'static str, refusal: &Refusal, now: Instant) -> bool {
        let mut state = self.state.lock();
        let kept = (refusal.sentence.clone(), now);
        state.refused.insert((operation, refusal.code), kept);
        state.heard_at = Some(now);
        self.any.store(true, Ordering::Release);
        self.told.store(true, Ordering::Release);
        let warned = state.warned.get(&refusal.code);
        let is_due = warned.is_none_or(|warned| now.saturating_duration_since(*warned) >= WARN_EVERY);
        if is_due {
            state.warned.insert(refusal.code, now);
        }
        is_due
    }

    /// An operation was done, all of it.
    pub(crate) fn succeeded(&self, operation: &'static str) {
        self.end(|of, _| of == operation);
    }

    /// Redis takes writes. To be called often: the end of all refusals is found here.
    pub(crate) fn takes_writes(&self) {
        self.end(|_, code| code_is_of_server(code));
        if self.is_over(Instant::now()) {
            tracing::info!("redis has refused nothing for a minute");
        }
    }

    /// Whether the end of what the log told is to be told.
    fn is_over(&self, now: Instant) -> bool {
        if !self.told.load(Ordering::Acquire) || !self.all_at(now).is_empty() {
            return false;
        }
        let state = self.state.lock();
        let is_quiet = |heard_at| now.saturating_duration_since(heard_at) >= WARN_EVERY;
        // Under the lock: a refusal that comes now is logged again.
        state.heard_at.is_none_or(is_quiet) && self.told.swap(false, Ordering::Release)
    }

    /// No connection could be opened, and not because Redis refused: it is away. Its refusals are no longer known.
    pub(crate) fn is_away(&self) {
        self.end(|of, code| of == CONNECT || code_is_of_server(code));
    }

    fn end(&self, is_over: impl Fn(&'static str, RedisCode) -> bool) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        state.refused.retain(|(operation, code), _| !is_over(operation, *code));
        self.any.store(!state.refused.is_empty(), Ordering::Release);
    }

    /// All that is refused, in a stable order.
    pub(crate) fn all(&self) -> Vec<Refused> {
        self.all_at(Instant::now())
    }

    fn all_at(&self, now: Instant) -> Vec<Refused> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut state = self.state.lock();
        let age = |at: Instant| now.saturating_duration_since(at);
        state
            .refused
            .retain(|(_, code), (_, at)| code_is_of_server(*code) || age(*at) < FORGOTTEN_AFTER);
        self.any.store(!state.refused.is_empty(), Ordering::Release);
        let mut all: Vec<_> = state
            .refused
            .iter()
            .map(|((operation, code), (sentence, at))| Refused {
                operation,
                code: *code,
                sentence: sentence.clone(),
                ago: age(*at),
            })
            .collect();
        all.sort_by_key(|refused| (refused.code.as_str(), refused.operation));
        all
    }

    /// The refusal of new connections, where that is the last that was heard.
    pub(crate) fn of_connections(&self) -> Option<Refusal> {
        let refused = self.all().into_iter().find(|refused| refused.operation == CONNECT)?;
        Some(Refusal {
            code: refused.code,
            sentence: refused.sentence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_warned_of_once_a_minute_and_a_refusal_ends_with_what_disproves_it() {
        let refusals = Refusals::new(Arc::default());
        let refusal = |code| Refusal {
            code,
            sentence: code.as_str().into(),
        };
        let told = || {
            refusals
                .all()
                .iter()
                .map(|refused| refused.operation)
                .collect::<Vec<_>>()
        };
        let now = Instant::now();
        assert!(refusals.record("publish", &refusal(RedisCode::Misconf), now));
        assert!(!refusals.record("draw", &refusal(RedisCode::Misconf), now + WARN_EVERY / 2));
        assert!(refusals.record("delete", &refusal(RedisCode::NoPerm), now));
        assert!(refusals.record("draw", &refusal(RedisCode::Misconf), now + WARN_EVERY));
        assert_eq!(told(), ["draw", "publish", "delete"]);

        refusals.succeeded("read head");
        refusals.succeeded("publish");
        assert_eq!(told(), ["draw", "delete"]);
        refusals.takes_writes();
        assert_eq!(told(), ["delete"]);
        // Nobody deletes for a while.
        assert_eq!(refusals.all_at(now + FORGOTTEN_AFTER), []);

        refusals.record(CONNECT, &refusal(RedisCode::NoAuth), now);
        assert_eq!(refusals.of_connections(), Some(refusal(RedisCode::NoAuth)));
        refusals.is_away();
        assert_eq!((told(), refusals.of_connections()), (vec![], None));
    }

    #[test]
    fn the_end_is_told_once_and_not_before_a_minute_without_a_refusal() {
        let refusals = Refusals::new(Arc::default());
        let refusal = Refusal {
            code: RedisCode::ReadOnly,
            sentence: "READONLY".into(),
        };
        let begun = Instant::now();
        assert!(!refusals.is_over(begun));
        assert!(refusals.record("publish", &refusal, begun));
        refusals.takes_writes();
        assert!(!refusals.is_over(begun + WARN_EVERY / 2));
        // The warning of this one is held back.
        let again = begun + WARN_EVERY * 3 / 4;
        assert!(!refusals.record("publish", &refusal, again));
        refusals.takes_writes();
        assert!(!refusals.is_over(begun + WARN_EVERY));
        assert!(refusals.is_over(again + WARN_EVERY));
        assert!(!refusals.is_over(again + WARN_EVERY));
    }
}
