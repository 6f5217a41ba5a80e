//! Logs: on stderr, as text for a person at a terminal and as JSON lines for whatever collects them elsewhere.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// What is logged where `RUST_LOG` says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What the service does.
    Info,
    /// Only what someone may want to look at: for commands that say by themselves what they do.
    Warn,
}

/// Begins logging, once a process; a second call changes nothing. `RUST_LOG` decides what, in tracing's grammar
/// (`info`, `listcache::engine=debug,warn`); text that is no such filter is ignored, for logs should not stop a service.
///
/// Every line goes out by one write, so a writer may put each beside a progress bar.
pub fn start_logs<W>(level: LogLevel, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let default = match level {
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // An error means that logs go somewhere already.
    let _ = if io::stderr().is_terminal() {
        logs.with_target(false).with_ansi(true).try_init()
    } else {
        logs.json().flatten_event(true).try_init()
    };
}
