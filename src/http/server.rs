//! The sockets: bound, served, drained.
//!
//! The end of the service has an order. First readiness says 503, while everything is still served: a load balancer has a
//! moment to look elsewhere. Then event streams end, nothing is accepted any more, idle connections are closed, those of
//! HTTP/2 are asked to open no more streams, and requests under way have the drain time to finish. The framework's own signal handling is off: the program decides.

use std::{cell::RefCell, future::ready, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use actix_http::HttpService;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_factory, fn_service, map_config};
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
    connection::Connections,
    edge::edge,
    envelope::Envelopes,
    http2::Http2Limits,
    openapi,
    pages_first::{Pages, PagesFirst},
    readiness::Readiness,
    routes::{self, Reach},
    shared::{Shared, sizes},
    slow_clients::SlowLimits,
    storefront::Storefront,
    tls::{Certificate, Tls},
};
use crate::{
    config::{HttpConfig, HttpLimits, Secret, TlsIdentity},
    engine::Engine,
};

/// How long readiness says 503 before sockets close.
const NOTICE: Duration = Duration::from_millis(500);
/// How long a closed connection may take to be gone, and what a forced end takes beyond the drain time.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How far the framework's clock may be behind: what it times may end so much too early.
const FRAMEWORK_TICK: Duration = Duration::from_millis(500);
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
    /// By what clients know the public socket; without it that is plain, as the other always is.
    pub tls: Option<TlsIdentity>,
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
    certificate: Option<Arc<Certificate>>,
    closing: CancellationToken,
    drain_timeout: Duration,
}

impl Server {
    /// Binds all sockets. Connections wait in the backlog until [`Server::run`].
    pub fn bind(parts: HttpParts) -> io::Result<Self> {
        let HttpParts {
            engine,
            config,
            tls,
            admin_listen,
            token,
            storefront,
        } = parts;
        let certificate = tls.map(|identity| Arc::new(Certificate::new(&identity)));
        let tls = certificate
            .clone()
            .map(Tls::new)
            .transpose()
            .map_err(io::Error::other)?;
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
        let served = Served {
            engine,
            shared,
            reach: public,
            connections: connections(tls, &config.limits, closing.clone()),
        };
        let mut bound = vec![listen(
            config.listen,
            config.workers.max(1),
            &config.limits,
            served.clone(),
        )?];
        if let Some(address) = admin_listen {
            let admin = Reach {
                pages: false,
                admin: true,
                storefront: None,
            };
            let served = Served {
                reach: admin,
                // Probes and scrapes come from nearby.
                connections: connections(None, &config.limits, closing.clone()),
                ..served
            };
            bound.push(listen(address, ADMIN_WORKERS, &config.limits, served)?);
        }
        let (addresses, servers): (Vec<_>, Vec<_>) = bound.into_iter().unzip();
        Ok(Self {
            addresses: addresses.into_iter().flatten().collect(),
            servers,
            readiness,
            configuration,
            certificate,
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

    /// What handshakes show, where the public socket speaks TLS; for whoever reads the configuration again.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.clone()
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

fn connections(tls: Option<Tls>, limits: &HttpLimits, closing: CancellationToken) -> Connections {
    Connections {
        tls,
        slow: SlowLimits {
            head: limits.head_timeout,
            send: limits.send_timeout,
        },
        http2: Http2Limits {
            streams_max: limits.streams_max,
            head: limits.head_timeout,
            send: limits.send_timeout,
            keep_alive: limits.keep_alive,
        },
        closing,
    }
}

/// What is served on a socket, and how.
#[derive(Clone)]
struct Served {
    engine: web::Data<Engine>,
    shared: web::Data<Shared>,
    reach: Reach,
    connections: Connections,
}

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
    // As the framework's own HttpServer puts it together, but for what connections pass before, and for HTTP/2.
    let server = builder.listen("http", listener, move || {
        let (served, drained) = (served.clone(), drained.clone());
        fn_factory(move || {
            let (served, drained) = (served.clone(), drained.clone());
            async move {
                let pages = served.reach.pages.then(|| {
                    Rc::new(Pages {
                        engine: served.engine.clone(),
                        shared: served.shared.clone(),
                        known: RefCell::default(),
                        _nearby: served.engine.read_nearby(),
                    })
                });
                let app = App::new()
                    .app_data(served.engine)
                    .app_data(served.shared)
                    .wrap(from_fn(edge))
                    .configure(|service| routes::register(service, &served.reach));
                let app = app.into_factory().map_err(|error: Error| error.error_response());
                let app = map_config(app, |()| dev::AppConfig::default());
                // One for both protocols.
                let app = Rc::new(PagesFirst {
                    app: app.new_service(()).await?,
                    pages,
                });
                let for_http1 = app.clone();
                let http1 = HttpService::build()
                    .graceful_shutdown_signal(move || {
                        let drained = drained.clone();
                        async move { drained.notified().await }
                    })
                    // Heads are timed from their first byte on, exactly, by the watch; this is for who says nothing.
                    .client_request_timeout(head_timeout + FRAMEWORK_TICK)
                    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                    .keep_alive(keep_alive)
                    .h1_write_buffer_size(WRITE_BUFFER_BYTES)
                    .local_addr(address)
                    .finish(fn_factory(move || ready(Ok::<_, ()>(for_http1.clone()))))
                    .new_service(())
                    .await?;
                let http1 = Rc::new(http1);
                Ok::<_, ()>(fn_service(move |stream: TcpStream| {
                    let (connections, http1, app) = (served.connections.clone(), http1.clone(), app.clone());
                    async move {
                        connections.serve(stream, http1, app).await;
                        Ok::<_, ()>(())
                    }
                }))
            }
        })
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
