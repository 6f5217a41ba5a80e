//! A connection from its acceptance to its end: TLS where it is configured, the protocol, and who speaks it.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use actix_http::{Protocol, Request, Response, body::BoxBody, body::MessageBody, error::DispatchError};
use actix_service::Service;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::{either::Either, sync::CancellationToken};

use super::{
    http2::{self, Http2Limits},
    preface::HttpVersion,
    slow_clients::{SlowLimits, Taken, Watched},
    tls::Tls,
};

/// What HTTP is read from and written to.
pub type Io = Watched<Either<Taken<TcpStream>, Box<TlsStream<Taken<TcpStream>>>>>;

/// What every connection of a socket has in common.
#[derive(Clone)]
pub struct Connections {
    /// Without it they are plain.
    pub tls: Option<Tls>,
    /// Bounds on slowness.
    pub slow: SlowLimits,
    /// Bounds of HTTP/2.
    pub http2: Http2Limits,
    /// Cancelled when the service ends.
    pub closing: CancellationToken,
}

impl Connections {
    /// Serves one until it ends: HTTP/1.1 by the framework's dispatcher, HTTP/2 by ours.
    pub async fn serve<H, S, B>(&self, stream: TcpStream, http1: Rc<H>, service: Rc<S>)
    where
        H: Service<(Io, Protocol, Option<SocketAddr>), Response = (), Error = DispatchError>,
        S: Service<Request> + 'static,
        S::Error: Into<Response<BoxBody>>,
        S::Response: Into<Response<B>>,
        B: MessageBody + 'static,
    {
        // A page goes out in few writes, each when it is whole.
        let _ = stream.set_nodelay(true);
        let peer = stream.peer_addr().ok();
        let ended = match self.begin(stream).await {
            Ok(None) => Ok(()),
            Ok(Some((io, HttpVersion::Http1))) => {
                let served = http1.call((io, Protocol::Http1, peer)).await;
                served.map_err(|error| io::Error::other(error.to_string()))
            }
            Ok(Some((io, HttpVersion::Http2))) => {
                http2::serve(io, service, peer, self.http2, self.closing.clone()).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, peer = peer.map(tracing::field::display), "connection broken");
        }
    }

    /// What is to be spoken with whom; `None` where the service ends before the client has said anything.
    async fn begin(&self, stream: TcpStream) -> io::Result<Option<(Io, HttpVersion)>> {
        let stream = Taken::new(stream, self.slow.send);
        let Some(tls) = &self.tls else {
            let first = within(self.slow.head, Watched::told(Either::Left(stream), self.slow.head));
            return tokio::select! {
                biased;
                told = first => told.map(Some),
                () = self.closing.cancelled() => Ok(None),
            };
        };
        let (stream, version) = within(self.slow.head, tls.accept(stream)).await?;
        let io = Watched::new(Either::Right(Box::new(stream)), version, self.slow.head);
        Ok(Some((io, version)))
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it said nothing, or too slowly",
        ))
    })
}
