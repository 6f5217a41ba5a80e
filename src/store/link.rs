//! An open connection: commands go out as they come, and replies come back in their order as the bytes that were read.
//!
//! What moves the bytes is one task, on the runtime that the connection was opened on: an asker on the same runtime, if that
//! is one thread, and the task take turns there, and what several ask in one turn goes out together.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::AsyncWrite,
    sync::{mpsc, oneshot},
};
use tokio_util::io::poll_read_buf;

use super::{
    commands::Commands,
    dial::Stream,
    resp::{Framing, is_push},
};

/// Who would ask more at once waits for a place.
const ASKED_MAX: usize = 256;
/// What is made room for where less than a part of it is left: a block serves several replies.
const READ_BYTES: usize = 64 * 1024;
const READ_BYTES_LEAST: usize = 16 * 1024;
/// Requests that go out in one call.
const SLICES_MAX: usize = 64;

/// The connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection to redis was lost")]
pub(super) struct Lost;

/// An open connection. It is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Link {
    requests: mpsc::Sender<Request>,
}

/// Commands that are sent together.
#[derive(Debug)]
struct Request {
    commands: Commands,
    answer: oneshot::Sender<Vec<Bytes>>,
}

impl Link {
    /// Over a stream on which hello was said. `lost` is called when the connection ends by itself. Must be called inside a
    /// runtime.
    pub fn start(stream: Box<dyn Stream>, lost: impl FnOnce(io::Error) + Send + 'static) -> Self {
        let (requests, asked) = mpsc::channel(ASKED_MAX);
        let traffic = Traffic {
            stream,
            asked,
            out: VecDeque::new(),
            unanswered: VecDeque::new(),
            read: BytesMut::new(),
            framing: Framing::default(),
        };
        tokio::spawn(async move {
            if let Err(error) = traffic.await {
                lost(error);
            }
        });
        Self { requests }
    }

    /// Sends commands and waits for their replies, each as it came. Whoever stops waiting has sent them all the same.
    pub async fn ask(&self, commands: Commands) -> Result<Vec<Bytes>, Lost> {
        let (answer, answered) = oneshot::channel();
        let request = Request { commands, answer };
        self.requests.send(request).await.map_err(|_| Lost)?;
        answered.await.map_err(|_| Lost)
    }
}

/// Replies that are awaited.
struct Unanswered {
    replies: Vec<Bytes>,
    lacking: usize,
    answer: oneshot::Sender<Vec<Bytes>>,
}

/// What goes out and comes in. Ends well when nobody can ask any more.
struct Traffic {
    stream: Box<dyn Stream>,
    asked: mpsc::Receiver<Request>,
    /// What is still to be written.
    out: VecDeque<Bytes>,
    unanswered: VecDeque<Unanswered>,
    read: BytesMut,
    framing: Framing,
}

impl Future for Traffic {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Each has asked to be woken where it returns with nothing done.
        if self.take(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(Err(error)) = self.write(context) {
            return Poll::Ready(Err(error));
        }
        self.read(context).map(Err)
    }
}

impl Traffic {
    /// Takes what is asked; ready when nobody can ask any more.
    fn take(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(request) = ready!(self.asked.poll_recv(context)) {
            let lacking = request.commands.len();
            self.out.push_back(request.commands.into_bytes());
            self.unanswered.push_back(Unanswered {
                replies: Vec::with_capacity(lacking),
                lacking,
                answer: request.answer,
            });
        }
        Poll::Ready(())
    }

    /// Writes until nothing is left, or the stream takes no more.
    fn write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = pin!(&mut self.stream);
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let many = self.out.len().min(SLICES_MAX);
            for (slice, bytes) in slices.iter_mut().zip(&self.out) {
                *slice = IoSlice::new(bytes);
            }
            let mut written = ready!(stream.as_mut().poll_write_vectored(context, &slices[..many]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            while let Some(first) = self.out.front_mut() {
                if written < first.len() {
                    first.advance(written);
                    break;
                }
                written -= first.len();
                self.out.pop_front();
            }
        }
        stream.poll_flush(context)
    }

    /// Reads until nothing comes, and gives each its replies; ready when the connection has ended.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            if self.read.capacity() - self.read.len() < READ_BYTES_LEAST {
                self.read.reserve(READ_BYTES);
            }
            match ready!(poll_read_buf(pin!(&mut self.stream), context, &mut self.read)) {
                Ok(0) => return Poll::Ready(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => return Poll::Ready(error),
            }
            if let Err(error) = self.hand_out() {
                return Poll::Ready(error);
            }
        }
    }

    fn hand_out(&mut self) -> io::Result<()> {
        while let Some(reply) = self.framing.next(&mut self.read).map_err(io::Error::other)? {
            if is_push(&reply) {
                continue;
            }
            let Some(first) = self.unanswered.front_mut() else {
                return Err(io::Error::other("a reply that nobody has asked for"));
            };
            first.replies.push(reply);
            first.lacking -= 1;
            if first.lacking == 0
                && let Some(answered) = self.unanswered.pop_front()
            {
                // Nobody may be waiting any more.
                let _ = answered.answer.send(answered.replies);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A link, the server's end of its stream, and why it was lost.
    fn link() -> (Link, DuplexStream, oneshot::Receiver<io::Error>) {
        // So little fits that everything comes and goes in pieces.
        let (ours, theirs) = duplex(8);
        let (tell, told) = oneshot::channel();
        let lost = move |error| {
            let _ = tell.send(error);
        };
        (Link::start(Box::new(ours), lost), theirs, told)
    }

    fn ping() -> Commands {
        (&redis::cmd("PING")).into()
    }

    #[tokio::test]
    async fn each_gets_its_replies_though_another_went_away() {
        let (link, mut server, lost) = link();
        let mut gone = Box::pin(link.ask(ping()));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        let mut two = ping();
        two.add(&redis::cmd("PING"));
        let serve = async {
            let mut asked = vec![0; 3 * ping().into_bytes().len()];
            server.read_exact(&mut asked).await.unwrap();
            server
                .write_all(b"+gone\r\n>1\r\n+push\r\n$4\r\na\r\nb\r\n-no\r\n")
                .await
                .unwrap();
            server
        };
        let (replies, server) = tokio::join!(link.ask(two), serve);
        assert_eq!(replies.unwrap(), [&b"$4\r\na\r\nb\r\n"[..], b"-no\r\n"]);
        drop(server);
        assert_eq!(lost.await.unwrap().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(link.ask(ping()).await, Err(Lost));
    }

    #[tokio::test]
    async fn what_nobody_has_asked_for_ends_it() {
        for unasked in [&b"+OK\r\n"[..], b"junk\r\n"] {
            let (link, mut server, lost) = link();
            server.write_all(unasked).await.unwrap();
            lost.await.unwrap();
            assert_eq!(link.ask(ping()).await, Err(Lost));
        }
    }
}
