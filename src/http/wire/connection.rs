//! A connection from its acceptance to its end: TLS where it is configured, the protocol, and who speaks it.
//!
//! **Every state has a deadline.** `http.…` is configured, the other names are constants.
//!
//! | state | deadline | at its end |
//! |---|---|---|
//! | beyond `http.connections_max` | `BEYOND_FOR`, 1 s | closed; until then health and metrics are answered, all else is 503 |
//! | TLS handshake | `http.head_timeout` | closed |
//! | before the first byte | `http.head_timeout`; after a handshake `FRAMEWORK_TICK` more | closed; after a handshake 408 |
//! | HTTP/1.1: a head, the first or a later one | `http.head_timeout` from its first byte | closed |
//! | HTTP/1.1: a body that its handler reads | `BODY_PAUSE_MAX`, 30 s without a byte; `PRICE_BODY_WITHIN`, 5 s for all of it | 408 |
//! | HTTP/1.1: a body that its handler did not read | the answer; then as "after the last answer" | closed |
//! | a handler at work | the engine's: `http.fill_wait`, `origin_timeout`, `redis.read_timeout` | 503 |
//! | an answer that the client does not take | `http.send_timeout` without a byte | closed; HTTP/2: the stream is reset |
//! | an event stream | none: a comment each `COMMENT_EVERY`, 15 s, must be taken within `http.send_timeout` | closed; at once where the client closes |
//! | HTTP/1.1: idle between two requests | `http.keep_alive` | closed |
//! | HTTP/1.1: after the last answer | `LINGER`, 0.5 s; `DISCONNECT_TIMEOUT`, 1 s, before it where a body has a length | closed |
//! | HTTP/2: preface, a frame that is no DATA, a head | `http.head_timeout` from its first byte | closed |
//! | HTTP/2: a body | as for HTTP/1.1; one that its handler did not read is reset with the answer | 408, or reset |
//! | HTTP/2: without a stream | `http.keep_alive`, then `LEAVE_WITHIN`, 2 s, to answer GOAWAY | GOAWAY, closed |
//! | HTTP/2: after the last stream | `LINGER`, 0.5 s | closed |
//! | the service ends | `http.drain_timeout` for what is under way; what is idle ends at once | closed |
//!
//! A client may be gone without a word, because its network ended. Then the kernel closes the connection when a byte of ours has not been
//! acknowledged for `http.send_timeout` (TCP_USER_TIMEOUT); left to itself it would try for some 15 minutes.
//!
//! The tests of these rows are in `tests/it/connections`, `tests/it/http2` and `tests/it/faults` (`clients`, `drain`).

use std::{io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use actix_http::{Protocol, Request, Response, body::BoxBody, body::MessageBody, error::DispatchError};
use actix_service::Service;
use tokio::{net::TcpStream, time::timeout};
use tokio_util::{either::Either, sync::CancellationToken};

use super::{
    http1,
    http2::{self, Http2Limits},
    places::ConnectionPlaces,
    preface::HttpVersion,
    slow_clients::{Io, SendWatch, SlowLimits, Watched},
    tls::ClientTls,
};

/// The common parts of a socket's connections.
#[derive(Clone)]
pub(crate) struct ClientConnections {
    /// Without it they are plain.
    pub tls: Option<ClientTls>,
    /// How many there may be.
    pub places: Arc<ConnectionPlaces>,
    /// Bounds on slowness.
    pub slow: SlowLimits,
    /// Bounds of HTTP/2.
    pub http2: Http2Limits,
    /// Cancelled when the service ends.
    pub closing: CancellationToken,
}

impl ClientConnections {
    /// Serves one until it ends: HTTP/1.1 by the framework's dispatcher, HTTP/2 by ours.
    pub(crate) async fn serve<H, S, B>(&self, stream: TcpStream, http1: Rc<H>, service: Rc<S>)
    where
        H: Service<(Io, Protocol, Option<SocketAddr>), Response = (), Error = DispatchError>,
        S: Service<Request> + 'static,
        S::Error: Into<Response<BoxBody>>,
        S::Response: Into<Response<B>>,
        B: MessageBody + 'static,
    {
        // A page goes out in few writes, each when it is whole.
        let _ = stream.set_nodelay(true);
        give_up_after(&stream, self.slow.send);
        let peer = stream.peer_addr().ok();
        let ended = match self.begin(stream).await {
            Ok(None) => Ok(()),
            Ok(Some((io, HttpVersion::Http1))) => http1::serve(io, http1, peer).await,
            Ok(Some((io, HttpVersion::Http2))) => {
                http2::serve(io, service, peer, self.http2, self.closing.clone()).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, peer = peer.map(tracing::field::display), "connection broken");
        }
    }

    /// The protocol of a client; `None` if the service ends before the client has sent anything.
    async fn begin(&self, stream: TcpStream) -> io::Result<Option<(Io, HttpVersion)>> {
        let stream = SendWatch::new(stream, self.slow.send);
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

/// How long the kernel waits for the client to acknowledge what it was sent. A system that has no such option keeps its own time.
#[cfg(target_os = "linux")]
fn give_up_after(stream: &TcpStream, limit: Duration) {
    use nix::sys::socket::{setsockopt, sockopt::TcpUserTimeout};

    let milliseconds = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    let _ = setsockopt(stream, TcpUserTimeout, &milliseconds);
}

#[cfg(not(target_os = "linux"))]
fn give_up_after(_: &TcpStream, _: Duration) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use nix::sys::socket::{getsockopt, sockopt::TcpUserTimeout};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_kernel_gives_up_as_soon_as_we_do() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        give_up_after(&stream, Duration::from_secs(30));
        assert_eq!(getsockopt(&stream, TcpUserTimeout).unwrap(), 30_000);
    }
}
