//! The composition root: which part is started from which, and the order in which they stop.
//!
//! ```text
//! start  redis (a private one if asked for) → store → origins → engine → http
//! stop   not ready → running requests end → engine (running refreshes end) → private redis
//! ```

mod open_files;
mod warm_on_start;

use std::{io, io::Write, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

mod losses;
mod reload;

use self::reload::Reloading;
use crate::{
    cdn::{Cdn, PurgeFailure},
    config::{Config, PRIVATE_REDIS, RedisConfig, Secret, Sources},
    engine::{Engine, EngineLimits, EngineParts},
    http::{HttpParts, Server, Storefront},
    origin::{OriginError, Origins},
    store::{ConnectError, PrivateServer, PrivateServerError, Store, StoreOptions},
    telemetry::{Metrics, flush_logs},
};

/// How long Redis may take to be found at start, with every retry.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Refreshes that run or wait in one process: a request that would be one more is shed.
const REFRESHES_WAITING_MAX: usize = 1024;
/// The rest of the drain, for refreshes that no request waits for.
const REFRESHES_END_WITHIN: Duration = Duration::from_secs(5);

/// Why the program could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// No redis-server of its own.
    #[error("cannot start a private redis-server")]
    PrivateRedis(#[source] PrivateServerError),
    /// Redis answered, but not as it must, or did not answer.
    #[error("cannot use redis")]
    Redis(#[source] ConnectError),
    /// Redis did not answer at all.
    #[error("redis did not answer within {} s", CONNECT_WITHIN.as_secs())]
    RedisTimedOut,
    /// An origin cannot be what the configuration says.
    #[error("cannot open the origins")]
    Origins(#[source] OriginError),
    /// A CDN cannot be asked to purge.
    #[error("cannot set up purging of CDNs")]
    Cdns(#[source] PurgeFailure),
    /// An address cannot be listened on.
    #[error("cannot listen on {listen}")]
    Listen {
        /// The configured addresses.
        listen: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server broke off.
    #[error("the http server failed")]
    Serve(#[source] io::Error),
    /// The handlers of signals cannot be set.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
}

/// The work of a process besides answering reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A server: refreshes what is due.
    Serve,
    /// A warm-up: so many refreshes at once, and none but its own.
    WarmUp {
        /// At least 1.
        refreshes_at_once: usize,
    },
    /// Looks, or writes one listing.
    Visit,
}

/// Everything but HTTP, running.
pub struct App {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The configuration that it was made from.
    pub config: Config,
    /// Ends when dropped, last.
    private_redis: Option<PrivateServer>,
}

impl App {
    /// Connects to everything that the configuration names, and starts the engine.
    pub async fn start(config: Config, role: Role) -> Result<Self, AppError> {
        let metrics = Arc::new(Metrics::new());
        let (private_redis, url) = redis_url(&config.redis).await?;
        let store = connect(store_options(&config.redis, url), metrics.clone()).await?;
        let origins = Origins::counted_in(&metrics)
            .reopen(&config.origins)
            .map_err(AppError::Origins)?;
        let cdns = config.cdns.iter().cloned().map(Cdn::new);
        let cdns = cdns.collect::<Result<_, _>>().map_err(AppError::Cdns)?;
        let engine = Engine::start(EngineParts {
            store,
            origins,
            definitions: config.definitions.clone(),
            l1: config.l1.clone(),
            cdns,
            limits: EngineLimits {
                fill_wait: config.http.fill_wait,
                followers_max: config.http.limits.followers_max,
                refreshes_at_once: match role {
                    // A quarter of the places, one at least, is for what somebody waits for.
                    Role::WarmUp { refreshes_at_once } => {
                        Some(refreshes_at_once.saturating_add(refreshes_at_once / 2 + 1))
                    }
                    Role::Serve | Role::Visit => None,
                },
                refreshes_waiting_max: REFRESHES_WAITING_MAX.max(match role {
                    Role::WarmUp { refreshes_at_once } => refreshes_at_once,
                    Role::Serve | Role::Visit => 0,
                }),
                redis_reads_max: config.redis.reads_max,
                redis_waiters_max: config.redis.waiters_max,
            },
            metrics,
            refreshes_due: role == Role::Serve,
        });
        Ok(Self {
            engine,
            config,
            private_redis,
        })
    }

    /// Takes the configured addresses. Connections wait until [`Bound::run`].
    pub fn bind(&self, storefront: Option<Storefront>) -> Result<Bound, AppError> {
        let config = &self.config;
        let mut http = config.http.clone();
        open_files::make_room(&mut http.limits, 1 + usize::from(config.admin_listen.is_some()));
        let server = Server::bind(HttpParts {
            engine: self.engine.clone(),
            config: http,
            tls: config.tls.clone(),
            admin_listen: config.admin_listen,
            token: config.admin_token.clone(),
            hooks: config.hooks.clone(),
            storefront,
        })
        .map_err(|source| AppError::Listen {
            listen: match config.admin_listen {
                None => config.http.listen.to_string(),
                Some(admin) => format!("{} or {admin}", config.http.listen),
            },
            source,
        })?;
        Ok(Bound { server })
    }

    /// Ends what [`App::start`] started, in reverse.
    pub async fn stop(self) {
        self.engine.shut_down(REFRESHES_END_WITHIN).await;
        drop(self.private_redis);
    }
}

/// The addresses are taken; nothing is answered yet.
pub struct Bound {
    server: Server,
}

impl Bound {
    /// The real addresses, the one of pages first.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// Says where it listens: the first line on stdout.
    pub fn announce(&self) {
        let addresses = self.addresses();
        if let Some(address) = addresses.first() {
            let scheme = match self.server.certificate {
                None => "http",
                Some(_) => "https",
            };
            say(&format!("listening on {scheme}://{address}"));
        }
        for address in addresses.get(1..).unwrap_or_default() {
            tracing::info!(%address, "admin routes listening");
        }
    }

    /// Answers until the token is cancelled and running requests have ended.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), AppError> {
        self.server.run(shutdown).await.map_err(AppError::Serve)
    }
}

/// `serve`: everything, until a signal. The sources are what the configuration was read from, to be read again on SIGHUP.
pub async fn serve(config: Config, sources: Sources) -> Result<(), AppError> {
    let shutdown = shutdown_on_signals()?;
    let hangups = reload::hangups()?;
    let app = tokio::select! {
        app = App::start(config, Role::Serve) => app?,
        () = shutdown.cancelled() => return Ok(()),
    };
    if app.config.definitions.defined.is_empty() {
        tracing::info!(
            "no listing is declared: only what is pushed can be served, under the names that pushed.names allows"
        );
    }
    let served = serve_until(&app, hangups, sources, shutdown).await;
    app.stop().await;
    if served.is_ok() {
        tracing::info!("stopped");
    }
    served
}

async fn serve_until(
    app: &App,
    hangups: Signal,
    sources: Sources,
    shutdown: CancellationToken,
) -> Result<(), AppError> {
    let bound = app.bind(None)?;
    let reloading = Reloading {
        signal: hangups,
        sources,
        started_from: app.config.clone(),
        engine: app.engine.clone(),
        state: bound.server.configuration.clone(),
        certificate: bound.server.certificate.clone(),
        hooks: bound.server.hooks.clone(),
        doubted: None,
    };
    let reloading = reloading.run(shutdown.clone());
    let warming = app.config.warm.on_start.then(|| {
        let (engine, warm) = (app.engine.clone(), app.config.warm.clone());
        warm_on_start::begin(engine, warm, bound.server.readiness.clone(), shutdown.clone())
    });
    bound.announce();
    let served = {
        let mut serving = std::pin::pin!(bound.run(shutdown));
        tokio::select! {
            served = &mut serving => served,
            () = reloading => serving.await,
        }
    };
    if let Some(warming) = warming {
        // It stops with the rest; where the server broke off there was no word of that.
        warming.abort();
    }
    served
}

/// A token that the first SIGTERM or SIGINT cancels. The second ends the process there and then, by the exit code that
/// the signal itself would give.
pub fn shutdown_on_signals() -> Result<CancellationToken, AppError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(AppError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AppError::Signals)?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        let mut first = true;
        loop {
            let number = tokio::select! {
                _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
                _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            };
            if !first {
                flush_logs();
                std::process::exit(128 + number);
            }
            first = false;
            token.cancel();
            tracing::info!("stopping: running requests may end; a second signal ends at once");
        }
    });
    Ok(shutdown)
}

/// How the configuration reaches Redis, at a URL.
pub fn store_options(config: &RedisConfig, url: String) -> StoreOptions {
    StoreOptions {
        url,
        prefix: config.prefix.clone(),
        read_timeout: config.read_timeout,
        read_connections: config.read_connections,
        reply_max: config.reply_max,
    }
}

/// Connects to Redis, and makes the checks of a start.
pub async fn connect(options: StoreOptions, metrics: Arc<Metrics>) -> Result<Store, AppError> {
    timeout(CONNECT_WITHIN, Store::connect(options, metrics))
        .await
        .map_err(|_| AppError::RedisTimedOut)?
        .map_err(AppError::Redis)
}

async fn redis_url(config: &RedisConfig) -> Result<(Option<PrivateServer>, String), AppError> {
    let url = Secret::expose(&config.url);
    if url == PRIVATE_REDIS {
        let server = PrivateServer::start().await.map_err(AppError::PrivateRedis)?;
        let url = server.url();
        Ok((Some(server), url))
    } else {
        Ok((None, url.to_owned()))
    }
}

/// A line on stdout. Its reader may have gone, which is no reason to stop.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}
