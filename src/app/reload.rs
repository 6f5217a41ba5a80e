//! Reading the configuration again: on SIGHUP it is checked as a whole and then swapped as a whole. A bad one changes
//! nothing, and is told in the log, in health and in a metric. So does one that loses too many listings, unless the same file
//! is read at a second signal soon after.
//!
//! Listings, pushed names, origins, webhooks and the certificate are swapped. The settings of sockets, pools and tables (`[http]`, `[admin]`,
//! `[redis]`, `[l1]`, `[warm]`, the token) stay until the next start: the log names those that differ.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{AppError, losses::Losses};
use crate::{
    config::{Config, Sources},
    engine::{Chain, Engine},
    http::{Certificate, ConfigurationState, Hooks},
};

/// SIGHUP, from here on: it does not end the process, and one that comes before the service is up is not lost.
pub(super) fn hangups() -> Result<Signal, AppError> {
    signal(SignalKind::hangup()).map_err(AppError::Signals)
}

/// For so long a file that was refused for its losses is taken at a second signal.
const INSIST_WITHIN: Duration = Duration::from_secs(60);
/// Lost listings that one line of the log names.
const LOST_LOGGED_MAX: usize = 20;

/// Waits for SIGHUP.
pub(super) struct Reloading {
    pub signal: Signal,
    /// Read whenever the signal comes.
    pub sources: Sources,
    /// The configuration at the start of the process.
    pub started_from: Config,
    pub engine: Arc<Engine>,
    pub state: Arc<ConfigurationState>,
    /// The certificate of handshakes, if there are any.
    pub certificate: Option<Arc<Certificate>>,
    /// The webhooks that are taken.
    pub hooks: Arc<Hooks>,
    /// The file that was refused last for its losses, and when.
    pub doubted: Option<(String, Instant)>,
}

impl Reloading {
    /// Reads the configuration again at each signal, one after another, until the service stops.
    pub(super) async fn run(mut self, stopping: CancellationToken) {
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

    async fn reload(&mut self) {
        let sources = self.sources.clone();
        // Files are read.
        let loaded = match tokio::task::spawn_blocking(move || sources.load_with_text()).await {
            Ok(loaded) => loaded,
            Err(died) => return self.refuse(died.to_string(), Vec::new()),
        };
        let (config, text) = match loaded {
            Ok(loaded) => loaded,
            Err(errors) => {
                let paths = errors.errors.iter().map(|error| error.path.clone()).collect();
                return self.refuse(errors.to_string(), paths);
            }
        };
        let losses = Losses::between(&self.engine.declaration.definitions(), &config.definitions);
        if let Some(losses) = losses
            && !self.is_insisted_on(&text)
        {
            self.doubted = Some((text, Instant::now()));
            return self.doubt(losses);
        }
        let origins = match self.engine.declaration.origins().reopen(&config.origins) {
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
        self.hooks.replace(&config.hooks);
        self.doubted = None;
        self.engine.declaration.replace(config.definitions, origins);
        self.engine.metrics.config_last_reload_successful.set(1);
        self.state.accepted(waiting);
    }

    /// Whether the same file was refused for its losses not long ago.
    fn is_insisted_on(&self, text: &str) -> bool {
        let doubted = self.doubted.as_ref();
        doubted.is_some_and(|(doubted, at)| doubted == text && at.elapsed() <= INSIST_WITHIN)
    }

    fn doubt(&self, losses: Losses) {
        let listings: Vec<_> = losses
            .listings
            .iter()
            .take(LOST_LOGGED_MAX)
            .map(String::as_str)
            .collect();
        tracing::error!(
            lost = losses.listings.len(),
            of = losses.of,
            listings = listings.join(", "),
            pushed = losses.pushed,
            "the configuration loses too many listings: the one before stays; \
             to take the same file, send SIGHUP again within a minute"
        );
        self.engine.metrics.config_last_reload_successful.set(0);
        self.state.doubted(losses.paths(), losses.listings);
    }

    fn refuse(&self, error: String, paths: Vec<String>) {
        tracing::error!(error, "the configuration is bad: the one before stays");
        self.engine.metrics.config_last_reload_successful.set(0);
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
        ("cdn", running.cdns != read.cdns),
        ("warm", running.warm != read.warm),
    ];
    let changed = sections.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(section, _)| section).collect()
}
