//! The sockets: bound, served, drained.
//!
//! The end of the service has an order. First readiness says 503, while everything is still served: a load balancer has a
//! moment to look elsewhere. Then event streams end, nothing is accepted any more, idle connections are closed, those of
//! HTTP/2 are asked to open no more streams, and requests under way have the drain time to finish. The framework's own signal handling is off: the program decides.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    dev::{self, ServerHandle},
    web,
};
use futures_util::future::try_join_all;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    api::{
        configuration::ConfigurationState, description::Description, hooks::Hooks, ingest::BodyLimits, openapi,
        readiness::Readiness,
    },
    edge::Edge,
    listener::{DISCONNECT_TIMEOUT, SocketService, listen},
    pages::envelope::{Dialects, Envelopes},
    request::{auth::Auth, query::Sizes},
    routes::Reach,
    storefront::Storefront,
    wire::{
        connection::ClientConnections,
        http2::Http2Limits,
        places::ConnectionPlaces,
        slow_clients::SlowLimits,
        tls::{Certificate, ClientTls},
    },
};
use crate::{
    config::{CdnDialect, HookConfig, HttpConfig, HttpLimits, Secret, TlsIdentity},
    engine::Engine,
};

/// How long readiness says 503 before sockets close.
const NOTICE: Duration = Duration::from_millis(500);
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
    /// The token for writes; without one there are none.
    pub token: Option<Secret>,
    /// The webhooks that are taken, on the public socket.
    pub hooks: Vec<HookConfig>,
    /// The sample storefront, in the demo.
    pub storefront: Option<Storefront>,
}

/// Bound sockets, ready to be served.
pub struct Server {
    /// The public one first.
    addresses: Vec<SocketAddr>,
    servers: Vec<dev::Server>,
    /// The state for probes; set during a warm-up.
    pub readiness: Arc<Readiness>,
    /// The state of the configuration for probes; set by a reload.
    pub configuration: Arc<ConfigurationState>,
    /// The certificate, if the public socket speaks TLS; replaced by a reload.
    pub certificate: Option<Arc<Certificate>>,
    /// The webhooks that are taken; replaced by a reload.
    pub hooks: Arc<Hooks>,
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
            hooks,
            storefront,
        } = parts;
        let hooks = Arc::new(Hooks::new(&hooks));
        let certificate = tls.map(|identity| Arc::new(Certificate::new(&identity)));
        let tls = certificate
            .clone()
            .map(ClientTls::new)
            .transpose()
            .map_err(io::Error::other)?;
        let readiness = Arc::new(Readiness::default());
        let configuration = Arc::new(ConfigurationState::default());
        let closing = CancellationToken::new();
        let sizes = Sizes::new(config.size_default, config.size_max);
        let engine = web::Data::from(engine);
        let edge = web::Data::new(Edge {
            access_log: config.access_log,
            says_private: config.cdn.contains(&CdnDialect::Fastly),
            metrics: engine.metrics.clone(),
        });
        let envelopes = web::Data::new(Envelopes::new(sizes.default, Dialects::new(&config.cdn)));
        let parts = {
            let (engine, edge, envelopes) = (engine.clone(), edge.clone(), envelopes.clone());
            let (readiness, configuration) = (readiness.clone(), configuration.clone());
            let hooks = web::Data::from(hooks.clone());
            let auth = web::Data::new(Auth { token });
            let body_limits = web::Data::new(BodyLimits {
                bytes_max: config.limits.body_bytes_max,
                item_bytes_max: config.limits.item_bytes_max,
            });
            let (declaration, described) = (engine.declaration.clone(), engine.declaration.clone());
            let description = web::Data::new(Description::new(
                move || declaration.edition(),
                move || openapi::text(sizes, &described.definitions()),
            ));
            let closing = web::Data::new(closing.clone());
            move |service: &mut web::ServiceConfig| {
                service
                    .app_data(web::Data::from(engine.metrics.clone()))
                    .app_data(engine.clone())
                    .app_data(edge.clone())
                    .app_data(web::Data::new(sizes))
                    .app_data(envelopes.clone())
                    .app_data(auth.clone())
                    .app_data(body_limits.clone())
                    .app_data(description.clone())
                    .app_data(hooks.clone())
                    .app_data(web::Data::from(readiness.clone()))
                    .app_data(web::Data::from(configuration.clone()))
                    .app_data(closing.clone());
            }
        };
        let public = Reach {
            pages: true,
            admin: admin_listen.is_none(),
            items: config.item_lookup,
            storefront: storefront.map(web::Data::new),
        };
        let served = SocketService {
            engine,
            edge,
            sizes,
            envelopes,
            parts: Arc::new(parts),
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
                items: false,
                storefront: None,
            };
            let served = SocketService {
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
            hooks,
            closing,
            drain_timeout: config.limits.drain_timeout,
        })
    }

    /// Where it listens, with real ports; the public address first.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
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

fn connections(tls: Option<ClientTls>, limits: &HttpLimits, closing: CancellationToken) -> ClientConnections {
    ClientConnections {
        tls,
        places: ConnectionPlaces::new(limits.connections_max),
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
