//! The bytes that a client takes, before they are encrypted or after: a connection is cut on which nothing moves.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// A connection that cuts itself when its client takes nothing for a while of what there is for it. It stands next to the
/// socket, below TLS: only there does it show that something is taken.
pub(crate) struct SendWatch<T> {
    io: T,
    limit: Duration,
    ends: Option<Pin<Box<Sleep>>>,
}

impl<T> SendWatch<T> {
    /// The limit is that between two pieces.
    pub(crate) fn new(io: T, limit: Duration) -> Self {
        Self { io, limit, ends: None }
    }

    fn or_cut<R>(&mut self, written: Poll<io::Result<R>>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.ends = None;
            return written;
        }
        let limit = self.limit;
        let ends = self.ends.get_or_insert_with(|| Box::pin(sleep(limit)));
        match ends.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(cut("its answer was not taken"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for SendWatch<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for SendWatch<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.or_cut(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.or_cut(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The error that cuts a connection.
pub(super) fn cut(why: &'static str) -> io::Error {
    tracing::debug!(why, "connection cut");
    io::Error::new(io::ErrorKind::TimedOut, why)
}
