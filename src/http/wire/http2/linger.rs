//! Seeing a client off.
//!
//! A socket that is closed while it holds bytes that nobody has read tells the other side to forget what is on its way
//! (RFC 9293, 3.6.1: a reset), and a client says something for every answer that it takes: so the last answers would be cut. Hence,
//! after the last of ours, the client's are read until it has closed too, for a moment at most. RFC 9112, 9.6 wants the same of HTTP/1.1.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use crate::http::wire::slow_clients::LINGER;

/// A connection with two holders: the protocol's code, and the code that waits for the client's end.
pub(super) struct SharedConnection<T>(Rc<RefCell<T>>);

impl<T> Clone for SharedConnection<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> SharedConnection<T> {
    /// Held by one so far.
    pub(super) fn new(io: T) -> Self {
        Self(Rc::new(RefCell::new(io)))
    }

    /// Says that nothing more comes, and hears the client out.
    pub(super) async fn see_off(mut self) {
        let heard_out = async {
            self.shutdown().await?;
            let mut unread = [0; 1024];
            while self.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        // One that is gone already, or says too much, is not waited for.
        let _ = timeout(LINGER, heard_out).await;
    }

    fn with<R>(&self, work: impl FnOnce(Pin<&mut T>) -> R) -> R {
        work(Pin::new(&mut *self.0.borrow_mut()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for SharedConnection<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_read(cx, buffer))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for SharedConnection<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|io| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|io| io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_shutdown(cx))
    }
}
