//! What Redis refuses although it answers: recorded by operation and code, with Redis's own sentence.
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
use redis::{RedisError, ServerError};

use crate::telemetry::{ByCode, Metrics, RedisCode};

/// How long a refusal of one operation counts when that operation is not tried again.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// Between two warnings of one code.
pub(crate) const WARN_EVERY: Duration = Duration::from_secs(60);
/// Characters of Redis's sentence that are kept.
const SENTENCE_CHARS_MAX: usize = 300;
/// Opening a connection and saying hello.
pub(crate) const CONNECT: &str = "connect";
/// Following announcements.
pub(crate) const SUBSCRIBE: &str = "subscribe";

/// A refusal that lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What was being done.
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
}

/// A refusal as Redis words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: RedisCode,
    pub sentence: Arc<str>,
}

impl Refusal {
    /// The refusal in an error of the server. `None` for errors that are states of their own, or say nothing of the server: full,
    /// a key of another type, a script that must be loaded, a key that is not there, a transaction whose cause came before.
    pub(crate) fn of(error: &ServerError) -> Option<Self> {
        Self::read(error.code(), error.details().unwrap_or_default())
    }

    /// The same for an error of the crate; `None` where it is not the server's.
    pub(crate) fn of_error(error: &RedisError) -> Option<Self> {
        Self::read(error.code()?, error.detail().unwrap_or_default())
    }

    /// Whether it speaks of the server, not of one command.
    pub(crate) fn is_of_server(&self) -> bool {
        code_is_of_server(self.code)
    }

    fn read(code: &str, details: &str) -> Option<Self> {
        const IN_SCRIPTS: [&str; 2] = ["The user executing the script can't", "ACL failure in script"];
        let known = match code {
            "OOM" | "WRONGTYPE" | "NOSCRIPT" | "EXECABORT" => return None,
            "ERR" if details.starts_with("no such key") => return None,
            // So Redis 7.0 and later ones call NOPERM where a script is what lacks the right.
            "ERR" if IN_SCRIPTS.iter().any(|begin| details.starts_with(begin)) => RedisCode::NoPerm,
            code => RedisCode::parse(code),
        };
        Some(Self {
            code: known,
            sentence: sentence(code, details),
        })
    }
}

/// Without what may hold a secret (the arguments of a command that the server does not know), or changes from call to call.
fn sentence(code: &str, details: &str) -> Arc<str> {
    let arguments = details.find(", with args beginning with");
    // "… script: <hash>, on @user_script:<line>."
    let place = details
        .find(", on @user_script")
        .and_then(|end| details[..end].rfind(" script: "));
    let end = arguments.into_iter().chain(place).min().unwrap_or(details.len());
    let visible = details[..end].chars().filter(|character| !character.is_control());
    let text = format!("{code} {}", visible.collect::<String>().trim());
    text.trim_end()
        .chars()
        .take(SENTENCE_CHARS_MAX)
        .collect::<String>()
        .into()
}

/// Whether the code speaks of the server, not of one command.
fn code_is_of_server(code: RedisCode) -> bool {
    matches!(
        code,
        RedisCode::Misconf
            | RedisCode::ReadOnly
            | RedisCode::NoReplicas
            | RedisCode::MasterDown
            | RedisCode::ClusterDown
            | RedisCode::Loading
            | RedisCode::Busy
    )
}

/// What is refused at this time.
#[derive(Debug)]
pub(crate) struct Refusals {
    metrics: Arc<Metrics>,
    /// Whether there are any: what nearly always is false is asked of no lock.
    any: AtomicBool,
    /// Whether the log has told of a refusal, and not of its end.
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
        // Under the lock: a refusal that comes now is told of again.
        state.heard_at.is_none_or(is_quiet) && self.told.swap(false, Ordering::Release)
    }

    /// No connection could be opened, and not because Redis refused: it is away. What it would refuse is not known any more.
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

    fn of(line: &str) -> Option<(&'static str, String)> {
        let redis::Value::ServerError(error) = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
        else {
            panic!("{line} is no error");
        };
        let refusal = Refusal::of(&error)?;
        // The same for whoever has it from the crate.
        assert_eq!(Refusal::of_error(&error.into()), Some(refusal.clone()));
        Some((refusal.code.as_str(), refusal.sentence.to_string()))
    }

    #[test]
    fn each_code_is_told_with_redis_own_words() {
        for (line, code, sentence) in [
            (
                "MISCONF Redis is configured to save",
                "MISCONF",
                "MISCONF Redis is configured to save",
            ),
            (
                "READONLY You can't write against a read only replica. script: beef, on @user_script:1.",
                "READONLY",
                "READONLY You can't write against a read only replica.",
            ),
            (
                "ERR The user executing the script can't publish to the channel mentioned in the command script: 75, on @user_script:1.",
                "NOPERM",
                "ERR The user executing the script can't publish to the channel mentioned in the command",
            ),
            (
                "ERR ACL failure in script: no right",
                "NOPERM",
                "ERR ACL failure in script: no right",
            ),
            ("MOVED 866 10.0.0.7:6379", "MOVED", "MOVED 866 10.0.0.7:6379"),
            (
                "CROSSSLOT Keys in request don't hash",
                "CROSSSLOT",
                "CROSSSLOT Keys in request don't hash",
            ),
            ("STALE a proxy's own", "other", "STALE a proxy's own"),
            // Arguments may hold a password.
            (
                "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'app' 'secret'",
                "other",
                "ERR unknown command 'HELLO'",
            ),
        ] {
            assert_eq!(of(line), Some((code, sentence.to_owned())), "{line}");
        }
        for none in [
            "OOM no",
            "WRONGTYPE no",
            "NOSCRIPT no",
            "EXECABORT no",
            "ERR no such key",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(
            of(&format!("BUSY {}", "x".repeat(5000))).unwrap().1.len(),
            SENTENCE_CHARS_MAX
        );
    }

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
