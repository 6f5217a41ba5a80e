//! Slow clients: a connection is cut on which the head of a request takes too long to come, or an answer is not taken.
//!
//! The framework times the first head of a connection only, and the writing of answers not at all: whoever sends a second
//! head byte by byte, or reads nothing, would hold a connection for as long as he likes. So each connection is looked at
//! from outside, by the bytes that pass: [`Taken`] next to the socket, [`Watched`] above TLS, where requests can be read.
//! What tells when a head is coming in is pure: [`HeadWatch`] for HTTP/1.1, [`FrameWatch`] for HTTP/2.

mod frames;
mod heads;
mod taken;

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use self::{frames::FrameWatch, heads::HeadWatch};
use super::preface::{self, HttpVersion};
pub use taken::Taken;

/// What is read at first, to tell the protocol: most heads are shorter, and then nothing is read twice.
const FIRST_READ_BYTES: usize = 1024;

/// The bounds on a connection's slowness.
#[derive(Clone, Copy, Debug)]
pub struct SlowLimits {
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// Between two pieces of an answer that the client takes.
    pub send: Duration,
}

/// A connection that cuts itself when a head comes too slowly.
pub struct Watched<T> {
    io: T,
    /// Read to tell the protocol, and not yet read by who speaks it.
    read_ahead: Bytes,
    watch: Watch,
    head_ends: Option<Pin<Box<Sleep>>>,
    backlog: Backlog,
}

/// Whether something waits until a client takes it. Who writes to a connection cannot see that by himself.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Rc<Cell<bool>>);

impl Backlog {
    /// Whether it does now.
    pub fn is_there(&self) -> bool {
        self.0.get()
    }

    fn after<R>(&self, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        self.0.set(written.is_pending());
        written
    }
}

enum Watch {
    Heads(HeadWatch),
    Frames(FrameWatch),
}

impl<T> Watched<T> {
    /// A connection whose protocol is known.
    pub fn new(io: T, version: HttpVersion, head_limit: Duration) -> Self {
        Self {
            io,
            read_ahead: Bytes::new(),
            watch: match version {
                HttpVersion::Http1 => Watch::Heads(HeadWatch::new(head_limit)),
                HttpVersion::Http2 => Watch::Frames(FrameWatch::new(head_limit)),
            },
            head_ends: None,
            backlog: Backlog::default(),
        }
    }

    /// What is known of its writes, also while somebody else has it.
    pub fn backlog(&self) -> Backlog {
        self.backlog.clone()
    }
}

impl<T: AsyncRead + Unpin> Watched<T> {
    /// A connection whose first bytes tell its protocol. Waits for them for as long as the client likes.
    pub async fn told(mut io: T, head_limit: Duration) -> io::Result<(Self, HttpVersion)> {
        let mut first = BytesMut::with_capacity(FIRST_READ_BYTES);
        let version = loop {
            let read = io.read_buf(&mut first).await?;
            match preface::version(&first) {
                Some(version) => break version,
                // Who speaks it finds the end by himself.
                None if read == 0 => break HttpVersion::Http1,
                None => {}
            }
        };
        let mut watched = Self::new(io, version, head_limit);
        watched.read_ahead = first.freeze();
        if !watched.read_ahead.is_empty() {
            watched.watch.read(&watched.read_ahead);
        }
        Ok((watched, version))
    }
}

impl Watch {
    fn read(&mut self, bytes: &[u8]) {
        match self {
            Self::Heads(heads) => heads.read(bytes, Instant::now),
            Self::Frames(frames) => frames.read(bytes, Instant::now),
        }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        if let Self::Heads(heads) = self {
            heads.wrote(bytes, Instant::now);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Heads(heads) => heads.deadline(),
            Self::Frames(frames) => frames.deadline(),
        }
    }
}

fn cut(why: &'static str) -> io::Error {
    tracing::debug!(why, "connection cut");
    io::Error::new(io::ErrorKind::TimedOut, why)
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.read_ahead.is_empty() {
            let count = this.read_ahead.len().min(buffer.remaining());
            buffer.put_slice(this.read_ahead.get(..count).unwrap_or_default());
            this.read_ahead.advance(count);
            if this.read_ahead.is_empty() {
                this.read_ahead = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buffer);
        if let Poll::Ready(Ok(())) = &read
            && let Some(bytes) = buffer.filled().get(before..)
            && !bytes.is_empty()
        {
            this.watch.read(bytes);
        }
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

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &written
            && let Some(written) = bytes.get(..*count)
        {
            this.watch.wrote(written);
        }
        this.backlog.after(written)
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
        this.backlog.after(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.backlog.after(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
