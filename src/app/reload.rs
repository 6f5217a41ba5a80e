//! Reading the configuration again: on SIGHUP it is checked as a whole and then swapped as a whole. A bad one changes
//! nothing, and is told in the log, in health and in a metric.
//!
//! Listings, pushed names, origins and the certificate are swapped. What sockets, pools and tables were made from (`[http]`, `[admin]`,
//! `[redis]`, `[l1]`, `[warm]`, the token) stays until the next start: that is said when it differs.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::AppError;
use crate::{
    config::{Config, Sources},
    engine::{Chain, Engine},
    http::{Certificate, ConfigurationState},
};

/// SIGHUP, from here on: it does not end the process, and one that comes before the service is up is not lost.
pub(super) fn hangups() -> Result<Signal, AppError> {
    signal(SignalKind::hangup()).map_err(AppError::Signals)
}

/// Waits for SIGHUP.
pub(super) struct Reloading {
    pub signal: Signal,
    /// Read whenever the signal comes.
    pub sources: Sources,
    /// What the process was started from.
    pub started_from: Config,
    pub engine: Arc<Engine>,
    pub state: Arc<ConfigurationState>,
    /// What handshakes show, where there are any.
    pub certificate: Option<Arc<Certificate>>,
}

impl Reloading {
    /// Reads the configuration again at each signal, one after another, until the service stops.
    pub async fn run(mut self, stopping: CancellationToken) {
        loop {
            tokio::select! {
                received = self.signal.recv() => match received {
                    Some(()) => self.reload().await,
                    None => return,
                },
                () = stopping.cancelled() => return,
            }
        }
    }

    async fn reload(&self) {
        let sources = self.sources.clone();
        // Files are read.
        let loaded = match tokio::task::spawn_blocking(move || sources.load()).await {
            Ok(loaded) => loaded,
            Err(died) => return self.refuse(died.to_string(), Vec::new()),
        };
        let config = match loaded {
            Ok(config) => config,
            Err(errors) => {
                let paths = errors.errors().iter().map(|error| error.path.clone()).collect();
                return self.refuse(errors.to_string(), paths);
            }
        };
        let origins = match self.engine.origins().reopen(&config.origins) {
            Ok(origins) => origins,
            Err(error) => return self.refuse(Chain(&error).to_string(), vec!["origins".to_owned()]),
        };
        let waiting = needs_restart(&self.started_from, &config);
        tracing::info!(
            listings = config.definitions.defined.len(),
            origins = config.origins.len(),
            "configuration read again"
        );
        if !waiting.is_empty() {
            tracing::warn!(
                sections = waiting.join(", "),
                "changed, but only good from the next start on"
            );
        }
        if let (Some(certificate), Some(identity)) = (&self.certificate, &config.tls) {
            certificate.replace(identity);
        }
        self.engine.declare(config.definitions, origins);
        self.engine.metrics().config_last_reload_successful.set(1);
        self.state.accepted(waiting);
    }

    fn refuse(&self, error: String, paths: Vec<String>) {
        tracing::error!(error, "the configuration is bad: the one before stays");
        self.engine.metrics().config_last_reload_successful.set(0);
        self.state.refused(paths);
    }
}

/// The sections that differ and are not swapped.
fn needs_restart(running: &Config, read: &Config) -> Vec<&'static str> {
    let sections = [
        (
            "http",
            (&running.http, running.tls.is_some()) != (&read.http, read.tls.is_some()),
        ),
        (
            "admin",
            (running.admin_listen, &running.admin_token) != (read.admin_listen, &read.admin_token),
        ),
        ("redis", running.redis != read.redis),
        ("l1", running.l1 != read.l1),
        ("warm", running.warm != read.warm),
    ];
    let changed = sections.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(section, _)| section).collect()
}
