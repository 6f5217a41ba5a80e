//! A socket and its workers: the service of each worker, and the way of a connection to it.

use std::{cell::RefCell, fmt::Debug, future::ready, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use actix_http::{
    HttpService, Protocol, Request, Response,
    body::{BoxBody, MessageBody},
    error::DispatchError,
};
use actix_server::GracefulShutdownSignal;
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_factory, fn_service, map_config,
};
use actix_web::{App, Error, dev, middleware::from_fn, web};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::{
    beyond_limit::{BEYOND_FOR, BEYOND_MAX, BeyondLimit},
    edge::{Edge, edge},
    pages::{
        envelope::Envelopes,
        first::{Pages, PagesFirst},
    },
    request::query::Sizes,
    routes::{self, Reach},
    wire::{
        connection::ClientConnections,
        http1::{self, Http1Service},
        slow_clients::Io,
    },
};
use crate::{config::HttpLimits, engine::Engine};

/// How long a closed connection may take to be gone, and what a forced end takes beyond the drain time.
pub(super) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How far the framework's clock may be behind: its time-outs may end early by as much.
const FRAMEWORK_TICK: Duration = Duration::from_millis(500);
/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 1024;
/// A page of 24 items goes out in one write.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// The service of a socket.
#[derive(Clone)]
pub(super) struct SocketService {
    pub engine: web::Data<Engine>,
    pub edge: web::Data<Edge>,
    pub sizes: Sizes,
    pub envelopes: web::Data<Envelopes>,
    /// Registers what extractors find: each handler names the parts that it needs.
    pub parts: Arc<dyn Fn(&mut web::ServiceConfig) + Send + Sync>,
    pub reach: Reach,
    pub connections: ClientConnections,
}

/// Binds an address. Its connections wait in the backlog until the server runs.
pub(super) fn listen(
    address: SocketAddr,
    workers: usize,
    limits: &HttpLimits,
    served: SocketService,
) -> io::Result<(Vec<SocketAddr>, dev::Server)> {
    let listener = bind(address)?;
    let address = listener.local_addr()?;
    let builder = dev::Server::build()
        .workers(workers)
        // The framework counts a worker's connections; beyond the bound it stops accepting, and the backlog fills.
        .max_concurrent_connections((limits.connections_max + BEYOND_MAX).div_ceil(workers))
        .shutdown_timeout(limits.drain_timeout.as_secs().max(1))
        .disable_signals();
    let http1 = Http1Options {
        drained: builder.graceful_shutdown_signal(),
        head_timeout: limits.head_timeout,
        keep_alive: limits.keep_alive,
        address,
    };
    // As the framework's own HttpServer puts it together, but for what connections pass before, and for HTTP/2.
    let server = builder.listen("http", listener, move || {
        let (served, http1) = (served.clone(), http1.clone());
        fn_factory(move || {
            let (served, http1) = (served.clone(), http1.clone());
            async move {
                let pages = served.reach.pages.then(|| {
                    Rc::new(Pages {
                        engine: served.engine.clone(),
                        edge: served.edge.clone(),
                        sizes: served.sizes,
                        envelopes: served.envelopes.clone(),
                        known: RefCell::default(),
                        _nearby: served.engine.read_nearby(),
                    })
                });
                let app = App::new()
                    .wrap(from_fn(edge))
                    .configure(&*served.parts)
                    .configure(|service| routes::register(service, &served.reach));
                let app = app.into_factory().map_err(|error: Error| error.error_response());
                let app = map_config(app, |()| dev::AppConfig::default());
                // One for both protocols.
                let app = Rc::new(PagesFirst {
                    app: app.new_service(()).await?,
                    pages,
                });
                let beyond = Rc::new(BeyondLimit {
                    service: app.clone(),
                    edge: served.edge,
                });
                let app1 = http1.handler(app.clone(), false).await?;
                let beyond1 = http1.handler(beyond.clone(), true).await?;
                let connections = served.connections;
                Ok::<_, ()>(fn_service(move |stream: TcpStream| {
                    let place = connections.places.take();
                    let connections = connections.clone();
                    let (app, app1) = (app.clone(), app1.clone());
                    let beyond = place.is_beyond.then(|| (beyond.clone(), beyond1.clone()));
                    async move {
                        match beyond {
                            None => connections.serve(stream, app1, app).await,
                            Some((beyond, beyond1)) => {
                                let served = connections.serve(stream, beyond1, beyond);
                                let _ = timeout(BEYOND_FOR, served).await;
                            }
                        }
                        drop(place);
                        Ok::<_, ()>(())
                    }
                }))
            }
        })
    })?;
    Ok((vec![address], server.run()))
}

/// The settings of the framework's dispatchers of HTTP/1.1.
#[derive(Clone)]
struct Http1Options {
    drained: GracefulShutdownSignal,
    head_timeout: Duration,
    keep_alive: Duration,
    address: SocketAddr,
}

impl Http1Options {
    async fn handler<S, B>(
        &self,
        service: Rc<S>,
        once: bool,
    ) -> Result<
        Rc<impl Service<(Io, Protocol, Option<SocketAddr>), Response = (), Error = DispatchError> + use<S, B>>,
        (),
    >
    where
        S: Service<Request, Response = Response<B>> + 'static,
        S::Error: Into<Response<BoxBody>> + Debug,
        B: MessageBody + 'static,
    {
        let drained = self.drained.clone();
        let handler = HttpService::build()
            .graceful_shutdown_signal(move || {
                let drained = drained.clone();
                http1::drained(async move { drained.notified().await })
            })
            // Heads are timed from their first byte on, exactly, by the watch; this is for who says nothing.
            .client_request_timeout(self.head_timeout + FRAMEWORK_TICK)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .keep_alive(self.keep_alive)
            .h1_write_buffer_size(WRITE_BUFFER_BYTES)
            .local_addr(self.address)
            .finish(fn_factory(move || {
                let service = service.clone();
                ready(Ok::<_, ()>(Http1Service { service, once }))
            }))
            .new_service(())
            .await?;
        Ok(Rc::new(handler))
    }
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
