//! Logs: on stderr, as text for a person at a terminal and as JSON lines for whatever collects them elsewhere.
//!
//! Nothing waits for the log, and nothing fails with it: lines wait in a bounded [`queue`] for a thread that writes them.
//! How often a stranger makes the service log the same is bounded by a [`limit`]. Every line that is not written counts
//! in [`lost`].

mod limit;
mod lost;
mod queue;

use std::{
    backtrace::Backtrace,
    env,
    io::{self, IsTerminal, Write},
    panic,
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

pub(crate) use self::limit::{ACCESS, LOST_PUSHED};
pub(super) use self::lost::lost_lines;
use self::{limit::Limit, queue::LogQueue};

/// How long the end of the process may wait for the reader of stderr.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);

/// The filter for dependencies where `RUST_LOG` is not set. At WARN, and two of them at ERROR too, they log input that any
/// client can send.
const DEPENDENCIES: &str = "error,actix_http=off,h2=off";

static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// The filter without `RUST_LOG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// The target of the service's own lines.
    Info,
    /// Only what someone may want to look at: for commands that say by themselves what they do.
    Warn,
}

/// Begins logging, once a process; a second call changes nothing. `RUST_LOG` decides what, in tracing's grammar
/// (`info`, `listcache::engine=debug,warn`); text that is no such filter is ignored, for logs should not stop a service.
///
/// Every line goes out by one write, so a writer may put each beside a progress bar.
pub fn start_logs(level: LogLevel, writer: impl Write + Send + 'static) {
    if QUEUE.get().is_some() {
        return;
    }
    let Ok(queue) = LogQueue::start(writer, lost_lines().clone()) else {
        return complain("no thread for the log: nothing is logged");
    };
    if QUEUE.set(queue.clone()).is_err() {
        return;
    }
    let level = match level {
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
    };
    // An empty variable is none: it would turn the log off.
    let asked_for = env::var(EnvFilter::DEFAULT_ENV)
        .ok()
        .filter(|filter| !filter.is_empty());
    let asked_for = asked_for.and_then(|filter| EnvFilter::try_new(filter).ok());
    let limit = Limit::new(asked_for.is_some(), lost_lines().clone());
    let filter = asked_for.unwrap_or_else(|| EnvFilter::new(format!("{DEPENDENCIES},listcache={level}")));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(queue)
        // tracing-subscriber would print its own errors to stderr, and panic where that fails.
        .log_internal_errors(false);
    // An error means that logs go somewhere already.
    let _ = if io::stderr().is_terminal() {
        let logs = logs.with_target(false).with_ansi(true).finish();
        logs.with(limit).try_init()
    } else {
        let logs = logs.json().flatten_event(true).finish();
        logs.with(limit).try_init()
    };
    // The standard hook writes to stderr, which may block.
    let standard = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !tracing::enabled!(tracing::Level::ERROR) {
            return standard(panic);
        }
        let backtrace = Backtrace::capture();
        tracing::error!(%panic, %backtrace, "the program has a bug: please report this");
    }));
}

/// Waits until all lines are written. Gives up soon where nobody reads them.
pub fn flush_logs() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(WRITTEN_WITHIN);
    }
}

/// Waits until all lines are written when it is dropped, by a panic too.
pub struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        flush_logs();
    }
}

/// Writes a line to stderr, past the log: why a command fails. Gives up soon where nobody reads it.
pub fn complain(line: &str) {
    let line = format!("listcache: {line}\n");
    let (written, wait) = mpsc::channel();
    thread::spawn(move || {
        let _ = io::stderr().write_all(line.as_bytes());
        let _ = written.send(());
    });
    let _ = wait.recv_timeout(WRITTEN_WITHIN);
}
