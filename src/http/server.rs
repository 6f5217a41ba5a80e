//! The sockets: bound, served, drained.
//!
//! The end of the service has an order. First readiness says 503, while everything is still served: a load balancer has a
//! moment to look elsewhere. Then event streams end, nothing is accepted any more, idle connections are closed, and
//! requests under way have the drain time to finish. The framework's own signal handling is off: the program decides.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use actix_http::{HttpService, Protocol, error::DispatchError};
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App, Error,
    dev::{self, ServerHandle},
    middleware::from_fn,
    web,
};
use futures_util::future::try_join_all;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    configuration::ConfigurationState,
    edge::edge,
    envelope::Envelopes,
    openapi,
    readiness::Readiness,
    routes::{self, Reach},
    shared::{Shared, sizes},
    slow_clients::{SlowLimits, Watched},
    storefront::Storefront,
};
use crate::{
    config::{HttpConfig, HttpLimits, Secret},
    engine::Engine,
};

/// How long readiness says 503 before sockets close.
const NOTICE: Duration = Duration::from_millis(500);
/// How long a closed connection may take to be gone, and what a forced end takes beyond the drain time.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 1024;
/// A page of 24 items goes out in one write.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// Probes, scrapes and writes do not need more.
const ADMIN_WORKERS: usize = 1;

/// Everything the HTTP side stands on.
pub struct HttpParts {
    /// Answers.
    pub engine: Arc<Engine>,
    /// Sockets and limits.
    pub config: HttpConfig,
    /// Where metrics and token routes are, and there only; without it they are with the rest.
    pub admin_listen: Option<SocketAddr>,
    /// What writes need; without one there are none.
    pub token: Option<Secret>,
    /// The sample storefront, in the demo.
    pub storefront: Option<Storefront>,
}

/// Bound sockets, ready to be served.
pub struct Server {
    /// The public one first.
    addresses: Vec<SocketAddr>,
    servers: Vec<dev::Server>,
    readiness: Arc<Readiness>,
    configuration: Arc<ConfigurationState>,
    closing: CancellationToken,
    drain_timeout: Duration,
}

impl Server {
    /// Binds all sockets. Connections wait in the backlog until [`Server::run`].
    pub fn bind(parts: HttpParts) -> io::Result<Self> {
        let HttpParts {
            engine,
            config,
            admin_listen,
            token,
            storefront,
        } = parts;
        let readiness = Arc::new(Readiness::default());
        let configuration = Arc::new(ConfigurationState::default());
        let closing = CancellationToken::new();
        let sizes = sizes(config.size_default, config.size_max);
        let shared = web::Data::new(Shared {
            sizes,
            description: openapi::text(sizes).into(),
            envelopes: Envelopes::new(sizes.default),
            limits: config.limits.clone(),
            token,
            access_log: config.access_log,
            readiness: readiness.clone(),
            configuration: configuration.clone(),
            closing: closing.clone(),
            metrics: engine.metrics().clone(),
        });
        let engine = web::Data::from(engine);
        let public = Reach {
            pages: true,
            admin: admin_listen.is_none(),
            storefront: storefront.map(web::Data::new),
        };
        let mut bound = vec![listen(
            config.listen,
            config.workers.max(1),
            &config.limits,
            (engine.clone(), shared.clone(), public),
        )?];
        if let Some(address) = admin_listen {
            let admin = Reach {
                pages: false,
                admin: true,
                storefront: None,
            };
            bound.push(listen(address, ADMIN_WORKERS, &config.limits, (engine, shared, admin))?);
        }
        let (addresses, servers): (Vec<_>, Vec<_>) = bound.into_iter().unzip();
        Ok(Self {
            addresses: addresses.into_iter().flatten().collect(),
            servers,
            readiness,
            configuration,
            closing,
            drain_timeout: config.limits.drain_timeout,
        })
    }

    /// Where it listens, with real ports; the public address first.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What probes hear; for whoever warms up.
    pub fn readiness(&self) -> Arc<Readiness> {
        self.readiness.clone()
    }

    /// What probes hear of the configuration; for whoever reads it again.
    pub fn configuration(&self) -> Arc<ConfigurationState> {
        self.configuration.clone()
    }

    /// Serves until `shutdown`, then drains. An error where a socket or a worker fails meanwhile.
    pub async fn run(self, shutdown: CancellationToken) -> io::Result<()> {
        let handles: Vec<ServerHandle> = self.servers.iter().map(dev::Server::handle).collect();
        let mut serving = std::pin::pin!(try_join_all(self.servers));
        tokio::select! {
            ended = &mut serving => return ended.map(drop),
            () = shutdown.cancelled() => {}
        }
        self.readiness.drain();
        tokio::select! {
            ended = &mut serving => return ended.map(drop),
            () = sleep(NOTICE.min(self.drain_timeout)) => {}
        }
        self.closing.cancel();
        for handle in &handles {
            // Sends the command at once; the end of the servers is awaited below.
            drop(handle.stop(true));
        }
        match timeout(self.drain_timeout + DISCONNECT_TIMEOUT, serving).await {
            Ok(ended) => ended.map(drop),
            Err(_) => {
                tracing::warn!("requests cut at the end of the drain time");
                Ok(())
            }
        }
    }
}

type Served = (web::Data<Engine>, web::Data<Shared>, Reach);

fn listen(
    address: SocketAddr,
    workers: usize,
    limits: &HttpLimits,
    served: Served,
) -> io::Result<(Vec<SocketAddr>, dev::Server)> {
    let listener = bind(address)?;
    let address = listener.local_addr()?;
    let builder = dev::Server::build()
        .workers(workers)
        // The framework counts a worker's connections; beyond the bound it stops accepting, and the backlog fills.
        .max_concurrent_connections(limits.connections_max.div_ceil(workers).max(1))
        .shutdown_timeout(limits.drain_timeout.as_secs().max(1))
        .disable_signals();
    let drained = builder.graceful_shutdown_signal();
    let (head_timeout, keep_alive) = (limits.head_timeout, limits.keep_alive);
    let slow = SlowLimits {
        head: head_timeout,
        send: limits.send_timeout,
    };
    // As the framework's own HttpServer puts it together, but for the watch on each connection.
    let server = builder.listen("http", listener, move || {
        let (engine, shared, reach) = served.clone();
        let drained = drained.clone();
        let app = App::new()
            .app_data(engine)
            .app_data(shared)
            .wrap(from_fn(edge))
            .configure(|service| routes::register(service, &reach));
        let app = app.into_factory().map_err(|error: Error| error.error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let drained = drained.clone();
                async move { drained.notified().await }
            })
            .client_request_timeout(head_timeout)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .keep_alive(keep_alive)
            .h1_write_buffer_size(WRITE_BUFFER_BYTES)
            .local_addr(address)
            .finish(map_config(app, |()| dev::AppConfig::default()));
        fn_service(move |stream: TcpStream| async move {
            let _ = stream.set_nodelay(true);
            let peer = stream.peer_addr().ok();
            Ok::<_, DispatchError>((Watched::new(stream, slow), Protocol::Http1, peer))
        })
        .and_then(http)
    })?;
    Ok((vec![address], server.run()))
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}
