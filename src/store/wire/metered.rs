//! A stream that ends when more is read from it than it may give.
//!
//! For the connections that the crate reads: its parser keeps a reply until it is whole, however large. Our own connections
//! bound [each reply](super::resp) instead.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{dial::Stream, resp::Unreadable};

/// How much may still be read.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    left: Arc<AtomicUsize>,
    max: usize,
}

impl Meter {
    /// At most so many bytes until it is reset.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            left: Arc::new(AtomicUsize::new(max)),
            max,
        }
    }

    /// The awaited reply has come: counts from the beginning.
    pub(crate) fn reset(&self) {
        self.left.store(self.max, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        match taken {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other(Unreadable::TooLarge)),
        }
    }
}

/// The stream.
pub(crate) struct Metered {
    pub stream: Box<dyn Stream>,
    pub meter: Meter,
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buf))?;
        Poll::Ready(self.meter.take(buf.filled().len() - before))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn it_gives_so_much_and_no_more_until_it_is_reset() {
        let (ours, mut theirs) = duplex(64);
        let meter = Meter::new(10);
        let mut stream = Metered {
            stream: Box::new(ours),
            meter: meter.clone(),
        };
        theirs.write_all(&[b'x'; 21]).await.unwrap();
        let mut read = [0; 10];
        stream.read_exact(&mut read).await.unwrap();
        meter.reset();
        stream.read_exact(&mut read).await.unwrap();
        let error = stream.read_exact(&mut read[..1]).await.unwrap_err();
        assert!(error.to_string().contains("redis.reply_max"), "{error}");
    }
}
