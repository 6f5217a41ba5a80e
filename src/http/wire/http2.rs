//! A connection of HTTP/2: its streams, its bounds, its end.
//!
//! actix-http has a dispatcher of its own, which this one replaces: that one tells clients nothing of a shutdown, so that
//! whatever is on its way when the drain time ends is cut, and any idle connection holds the shutdown up until then; it
//! bounds neither streams nor heads; and it waits without end for a client that takes nothing of a stream. The crate `h2`
//! below it has what is needed.
//!
//! **The end.** At shutdown a client first hears GOAWAY that names no stream, and a PING. Once it answers that, it has
//! heard that it must open no more; the second GOAWAY names the last stream that is served, and the connection closes when
//! all have ended. So no request is lost between the two sides. A connection that has been idle for too long ends the same way.
//!
//! **Bounds.** At most [`Http2Limits::streams_max`] streams are open, and as many of ours at work; those that a client
//! resets count until we have seen it. Beyond that nothing is accepted, and who goes on opening and resetting streams
//! ("rapid reset") has at most 20 of them wait: `h2` then ends the connection. It does so too after 1024 streams that break the protocol,
//! and when a head comes in more CONTINUATION frames than its size can need; a larger head is 431.

mod answer;
mod linger;

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use actix_http::{Request, Response, body::BoxBody, body::MessageBody};
use actix_service::Service;
use bytes::Bytes;
use futures_util::future::poll_fn;
use h2::{
    Reason, RecvStream,
    server::{Builder, Connection, SendResponse},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::{
    answer::{SendPace, answer},
    linger::SharedConnection,
};
use super::slow_clients::Watched;

/// A head, unpacked; names and values with 32 bytes each. A URL alone may have 8 KiB.
const HEAD_BYTES_MAX: u32 = 32 * 1024;
/// The bytes of a body that may come before it is read. Only pushes have one, from a client nearby.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
/// The bytes of all bodies of a connection that may come before they are read.
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// The bytes of an answer that may wait for the socket.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// How long a client that was asked to go, and has no stream, may take to say that it has heard so.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// The bounds of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http2Limits {
    /// Streams at once.
    pub streams_max: u32,
    /// Until the preface is in.
    pub head: Duration,
    /// Between two pieces of answers that the client takes.
    pub send: Duration,
    /// Without a stream.
    pub keep_alive: Duration,
}

type Accepted = (http::Request<RecvStream>, SendResponse<Bytes>);

/// Serves a connection until it ends, or until `closing` and the end of its streams.
pub(crate) async fn serve<T, S, B>(
    io: Watched<T>,
    service: Rc<S>,
    peer: Option<SocketAddr>,
    limits: Http2Limits,
    closing: CancellationToken,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request> + 'static,
    S::Error: Into<Response<BoxBody>>,
    S::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    let signals = io.signals();
    let io = SharedConnection::new(io);
    let handshake = builder(limits).handshake::<_, Bytes>(io.clone());
    let mut connection = timeout(limits.head, handshake)
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
        .map_err(io_error)?;
    let streams_max = limits.streams_max as usize;
    // Dropped with the connection, and with it every handler that is still at work.
    let mut streams = JoinSet::new();
    let pace = SendPace::new(limits.send);
    let mut closing = std::pin::pin!(closing.cancelled_owned());
    let mut state = Going::Open;
    let mut idle = std::pin::pin!(sleep(limits.keep_alive));
    loop {
        let has_room = streams.len() < streams_max;
        tokio::select! {
            biased;
            () = &mut closing, if state != Going::Draining => {
                state = Going::Draining;
                connection.graceful_shutdown();
                idle.as_mut().reset(Instant::now() + LEAVE_WITHIN);
            }
            Some(_) = streams.join_next(), if !streams.is_empty() => {
                let limit = if state == Going::Open { limits.keep_alive } else { LEAVE_WITHIN };
                idle.as_mut().reset(Instant::now() + limit);
            }
            accepted = accept(&mut connection, has_room) => match accepted.map_err(io_error)? {
                Some((request, respond)) => {
                    streams.spawn_local(answer(service.clone(), request, respond, peer, pace.clone()));
                }
                None => break,
            },
            () = &mut idle, if streams.is_empty() => {
                if state == Going::Open {
                    state = Going::Idle;
                    connection.graceful_shutdown();
                } else if !signals.has_backlog() {
                    // It has all that it asked for and was asked to go, but does not answer.
                    connection.abrupt_shutdown(Reason::NO_ERROR);
                    let _ = timeout(LEAVE_WITHIN, poll_fn(|cx| connection.poll_closed(cx))).await;
                    break;
                }
                idle.as_mut().reset(Instant::now() + LEAVE_WITHIN);
            }
        }
    }
    drop(connection);
    io.see_off().await;
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    Open,
    /// Asked to go, for it had no stream for too long.
    Idle,
    /// Asked to go, for the service ends.
    Draining,
}

fn builder(limits: Http2Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(HEAD_BYTES_MAX)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES);
    builder
}

/// The next stream, where there is room for one; `None` at the end. The connection works meanwhile, in any case.
async fn accept<T>(connection: &mut Connection<T, Bytes>, has_room: bool) -> Result<Option<Accepted>, h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    if has_room {
        return connection.accept().await.transpose();
    }
    poll_fn(|cx| connection.poll_closed(cx)).await.map(|()| None)
}

fn io_error(error: h2::Error) -> io::Error {
    io::Error::other(error)
}
