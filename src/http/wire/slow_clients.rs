//! Slow clients: a connection is cut on which the head of a request takes too long to come, or an answer is not taken.
//!
//! The framework times the first head of a connection only, and the writing of answers not at all: a client that sends a second
//! head byte by byte, or reads nothing, would hold a connection for as long as it likes. So each connection is looked at
//! from outside, by the bytes that pass: [`SendWatch`] next to the socket, [`Watched`] above TLS, where requests can be read.
//! The decision whether a head is coming in is pure: [`HeadWatch`] for HTTP/1.1, [`FrameWatch`] for HTTP/2.
//!
//! There is a watch a protocol, because only the bytes tell whether a request is whole. The framework tells when it begins a
//! request and whether that has a body, but not what it holds besides, perhaps half of the next head; the HTTP/2 crate tells nothing of a
//! frame that is half there. A deadline without a look at the bytes would miss those. Both watches share the limit and the timer.
//!
//! The same place sees the end of a follower, refuses what the framework cannot take ([`LongNames`]), and hears a client out whose
//! connection ends while it may still be sending (RFC 9112, 9.6).

mod frames;
mod heads;
mod names;
mod send_watch;
mod signals;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep, sleep_until},
};
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use self::{frames::FrameWatch, heads::HeadWatch, names::LongNames, send_watch::cut};
pub(crate) use self::{send_watch::SendWatch, signals::Signals};
use super::preface::{self, HttpVersion};

/// The bytes of the first read, to tell the protocol: most heads are shorter, and then nothing is read twice.
const FIRST_READ_BYTES: usize = 1024;
/// The bytes that the framework gets at a time over HTTP/1.1. It takes apart every request that it has read before it looks how many wait
/// for an answer, and one is several KiB: of a client that sends many and takes no answer, it would otherwise hold 2,000.
const GIVEN_AT_ONCE_BYTES: usize = 2 * 1024;
/// The size of a read of unwanted bytes.
const DROPPED_AT_ONCE_BYTES: usize = 1024;
/// No header name may hold it, so the framework refuses one that does, by 400.
const NO_NAME_BYTE: u8 = 0;
/// How long a client is heard out after the last answer. One that closes too ends it at once.
pub(crate) const LINGER: Duration = Duration::from_millis(500);

/// The stream that HTTP is read from and written to.
pub(crate) type Io = Watched<Either<SendWatch<TcpStream>, Box<TlsStream<SendWatch<TcpStream>>>>>;

/// The bounds on a connection's slowness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowLimits {
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// Between two pieces of an answer that the client takes.
    pub send: Duration,
}

/// A connection that cuts itself when a head comes too slowly.
pub(crate) struct Watched<T> {
    io: T,
    /// Read to tell the protocol, and not yet read by who speaks it.
    read_ahead: Bytes,
    /// Bytes that were given since the last time that there were none.
    given: usize,
    watch: RequestWatch,
    head_ends: Option<Pin<Box<Sleep>>>,
    heard_out: Option<Pin<Box<Sleep>>>,
    signals: Signals,
}

enum RequestWatch {
    Heads(HeadWatch, LongNames),
    Frames(FrameWatch),
}

impl<T> Watched<T> {
    /// A connection whose protocol is known.
    pub(crate) fn new(io: T, version: HttpVersion, head_limit: Duration) -> Self {
        Self {
            io,
            read_ahead: Bytes::new(),
            given: 0,
            watch: match version {
                HttpVersion::Http1 => RequestWatch::Heads(HeadWatch::new(head_limit), LongNames::new()),
                HttpVersion::Http2 => RequestWatch::Frames(FrameWatch::new(head_limit)),
            },
            head_ends: None,
            heard_out: None,
            signals: Signals::default(),
        }
    }

    /// Its flags, also while somebody else has it.
    pub(crate) fn signals(&self) -> Signals {
        self.signals.clone()
    }
}

impl<T: AsyncRead + Unpin> Watched<T> {
    /// A connection whose first bytes tell its protocol. Waits for them for as long as the client likes.
    pub(crate) async fn told(mut io: T, head_limit: Duration) -> io::Result<(Self, HttpVersion)> {
        let mut first = BytesMut::with_capacity(FIRST_READ_BYTES);
        let version = loop {
            let read = io.read_buf(&mut first).await?;
            match preface::version(&first) {
                Some(version) => break version,
                // The protocol's own code finds the end.
                None if read == 0 => break HttpVersion::Http1,
                None => {}
            }
        };
        let mut watched = Self::new(io, version, head_limit);
        if !first.is_empty() {
            watched.watch.read(&mut first);
        }
        watched.read_ahead = first.freeze();
        Ok((watched, version))
    }
}

impl<T: AsyncRead + Unpin> Watched<T> {
    /// The end of a client of which nothing more is expected; further bytes are dropped.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let mut dropped = [0; DROPPED_AT_ONCE_BYTES];
            let mut dropped = ReadBuf::new(&mut dropped);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut dropped)) {
                Ok(()) if dropped.filled().is_empty() => return Poll::Ready(io::ErrorKind::ConnectionAborted.into()),
                Ok(()) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
    }
}

impl RequestWatch {
    /// Looks at what was read. A header name that is too long loses its colon.
    fn read(&mut self, bytes: &mut [u8]) {
        match self {
            Self::Heads(heads, names) => {
                let is_short = names.is_at_line_start() && heads.reads_whole(bytes);
                if !is_short {
                    heads.read(bytes, Instant::now);
                    if let Some(colon) = names.colon_in(bytes).and_then(|at| bytes.get_mut(at)) {
                        *colon = NO_NAME_BYTE;
                    }
                }
            }
            Self::Frames(frames) => frames.read(bytes, Instant::now),
        }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        if let Self::Heads(heads, _) = self {
            heads.wrote(bytes, Instant::now);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Heads(heads, _) => heads.deadline(),
            Self::Frames(frames) => frames.deadline(),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.signals.reads();
        if this.signals.is_follower() {
            return this.poll_end(cx).map(Err);
        }
        if this.given >= GIVEN_AT_ONCE_BYTES && matches!(this.watch, RequestWatch::Heads(..)) {
            this.given = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !this.read_ahead.is_empty() {
            let count = this.read_ahead.len().min(buffer.remaining());
            buffer.put_slice(this.read_ahead.get(..count).unwrap_or_default());
            this.read_ahead.advance(count);
            this.given += count;
            if this.read_ahead.is_empty() {
                this.read_ahead = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let read = match this.watch {
            RequestWatch::Heads(..) => {
                let room = buffer.remaining().min(GIVEN_AT_ONCE_BYTES);
                let mut some = ReadBuf::new(buffer.initialize_unfilled_to(room));
                let read = Pin::new(&mut this.io).poll_read(cx, &mut some);
                let count = some.filled().len();
                if count > 0 {
                    this.watch.read(some.filled_mut());
                }
                buffer.advance(count);
                this.given = if read.is_pending() { 0 } else { this.given + count };
                read
            }
            RequestWatch::Frames(_) => {
                let before = buffer.filled().len();
                let read = Pin::new(&mut this.io).poll_read(cx, buffer);
                let bytes = buffer.filled_mut().get_mut(before..).unwrap_or_default();
                if !bytes.is_empty() {
                    this.watch.read(bytes);
                }
                read
            }
        };
        let Some(deadline) = this.watch.deadline() else {
            this.head_ends = None;
            return read;
        };
        if read.is_ready() {
            return match Instant::now() >= deadline {
                true => Poll::Ready(Err(cut("its request's head came too slowly"))),
                false => read,
            };
        }
        let ends = this.head_ends.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if ends.deadline() != deadline {
            ends.as_mut().reset(deadline);
        }
        match ends.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(cut("its request's head came too slowly"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &written
            && let Some(written) = bytes.get(..*count)
        {
            this.watch.wrote(written);
        }
        this.signals.wrote(&written);
        written
    }

    /// For frames, which are many slices. A head of HTTP/1.1 goes out in one.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(count)) = &written
            && let Some(first) = slices.iter().find(|slice| !slice.is_empty())
        {
            this.watch.wrote(first.get(..*count).unwrap_or(first));
        }
        this.signals.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// The framework flushes whenever it has something to do, also where it reads no more: so a follower's end is looked for here too.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        if this.signals.is_follower()
            && let Poll::Ready(end) = this.poll_end(cx)
        {
            return Poll::Ready(Err(end));
        }
        this.signals.flushed(&flushed);
        flushed
    }

    /// A client that may still be sending is heard out: a socket that is closed over unread bytes would take the last answer back.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        if !this.signals.ends_after_answer() || this.poll_end(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let heard_out = this.heard_out.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        heard_out.as_mut().poll(cx).map(Ok)
    }
}
