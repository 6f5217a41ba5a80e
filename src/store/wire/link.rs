//! An open connection: commands go out as they come, and replies come back in their order as the bytes that were read.
//!
//! What moves the bytes is one task, on the runtime that the connection was opened on: an asker on the same runtime, if that
//! is one thread, and the task take turns there, and what several ask in one turn goes out together.
//!
//! That task keeps the time too. A wait counts from when the task has taken what was asked, and whatever has come is read
//! before anybody is told that it is late: a thread that is busy for a while says nothing about Redis.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::AsyncWrite,
    sync::{mpsc, oneshot},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::io::poll_read_buf;

use super::{
    commands::Commands,
    dial::{Dialled, Stream},
    resp::{Framing, OK, Unreadable, is_push},
};

/// Who would ask more at once waits for a place.
const ASKED_MAX: usize = 256;
/// What is made room for where less than a part of it is left: a block serves several replies.
const READ_BYTES: usize = 64 * 1024;
const READ_BYTES_LEAST: usize = 16 * 1024;
/// Requests that go out in one call.
const SLICES_MAX: usize = 64;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The connection has ended.
    #[error("the connection to redis was lost")]
    Lost,
    /// None has come in time; one that comes later is thrown away.
    #[error("redis did not answer in time")]
    Late,
    /// The replies are larger than `redis.reply_max` together. The connection has ended.
    #[error("redis sends more than redis.reply_max")]
    TooLarge,
}

/// An open connection. It is closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    requests: mpsc::Sender<Request>,
    keeps_quiet: bool,
}

/// Commands that are sent together.
#[derive(Debug)]
struct Request {
    commands: Commands,
    within: Duration,
    answer: oneshot::Sender<Result<Vec<Bytes>, NoAnswer>>,
}

impl Link {
    /// Over a stream on which hello was said. `lost` is called when the connection ends by itself. Must be called inside a
    /// runtime.
    pub(crate) fn start(dialled: Dialled, lost: impl FnOnce(io::Error) + Send + 'static) -> Self {
        let (requests, asked) = mpsc::channel(ASKED_MAX);
        let Dialled {
            stream,
            keeps_quiet,
            reply_max,
        } = dialled;
        let traffic = Traffic {
            stream,
            asked,
            out: VecDeque::new(),
            unanswered: VecDeque::new(),
            next_late: None,
            clock: Box::pin(sleep_until(Instant::now())),
            read: BytesMut::new(),
            framing: Framing::new(reply_max),
            reply_max,
        };
        tokio::spawn(async move {
            if let Err(error) = traffic.await {
                lost(error);
            }
        });
        Self { requests, keeps_quiet }
    }

    /// Whether the server lets commands have no replies, see [`Commands::begin_quiet`].
    pub(crate) fn keeps_quiet(&self) -> bool {
        self.keeps_quiet
    }

    /// Sends commands and waits for their replies, each as it came, `within` at most once they are on their way. Whoever
    /// stops waiting has sent them all the same.
    pub(crate) async fn ask(&self, commands: Commands, within: Duration) -> Result<Vec<Bytes>, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            commands,
            within,
            answer,
        };
        self.requests.send(request).await.map_err(|_| NoAnswer::Lost)?;
        answered.await.unwrap_or(Err(NoAnswer::Lost))
    }
}

/// Replies that are awaited.
struct Unanswered {
    replies: Vec<Bytes>,
    /// Bytes of them.
    bytes: usize,
    lacking: usize,
    /// Whether the first is that of the end of a quiet.
    began_quiet: bool,
    late_at: Instant,
    /// `None` once it is late.
    answer: Option<oneshot::Sender<Result<Vec<Bytes>, NoAnswer>>>,
}

/// What goes out and comes in. Ends well when nobody can ask any more.
struct Traffic {
    stream: Box<dyn Stream>,
    asked: mpsc::Receiver<Request>,
    /// What is still to be written.
    out: VecDeque<Bytes>,
    unanswered: VecDeque<Unanswered>,
    /// No later than the first of those that wait is late, and what rings then.
    next_late: Option<Instant>,
    clock: Pin<Box<Sleep>>,
    read: BytesMut,
    framing: Framing,
    /// Bytes of the replies that one asker waits for, at most: nothing of them is handed out before the last.
    reply_max: usize,
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
        if let Poll::Ready(error) = self.read(context) {
            return Poll::Ready(Err(error));
        }
        self.give_up_late(context);
        Poll::Pending
    }
}

impl Traffic {
    /// Takes what is asked; ready when nobody can ask any more.
    fn take(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(request) = ready!(self.asked.poll_recv(context)) {
            let lacking = request.commands.replies();
            let late_at = Instant::now() + request.within;
            if self.next_late.is_none_or(|next| late_at < next) {
                self.wake_at(late_at);
            }
            self.unanswered.push_back(Unanswered {
                replies: Vec::with_capacity(lacking),
                bytes: 0,
                lacking,
                began_quiet: request.commands.began_quiet(),
                late_at,
                answer: Some(request.answer),
            });
            self.out.push_back(request.commands.into_bytes());
        }
        Poll::Ready(())
    }

    fn wake_at(&mut self, late_at: Instant) {
        self.next_late = Some(late_at);
        self.clock.as_mut().reset(late_at);
    }

    /// Tells those that are late. What was answered meanwhile has left the clock as it was.
    fn give_up_late(&mut self, context: &mut Context<'_>) {
        while self.next_late.is_some() && self.clock.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            for late in self.unanswered.iter_mut().filter(|waiting| waiting.late_at <= now) {
                if let Some(answer) = late.answer.take() {
                    // Nobody may be waiting any more.
                    let _ = answer.send(Err(NoAnswer::Late));
                }
            }
            let waiting = self.unanswered.iter().filter(|waiting| waiting.answer.is_some());
            match waiting.map(|waiting| waiting.late_at).min() {
                Some(late_at) => self.wake_at(late_at),
                None => self.next_late = None,
            }
        }
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

    /// The asker whose replies are too large, who is told.
    fn too_large(&mut self) -> io::Error {
        if let Some(answer) = self.unanswered.pop_front().and_then(|first| first.answer) {
            // Nobody may be waiting any more.
            let _ = answer.send(Err(NoAnswer::TooLarge));
        }
        io::Error::other(Unreadable::TooLarge)
    }

    fn hand_out(&mut self) -> io::Result<()> {
        loop {
            let reply = match self.framing.next(&mut self.read) {
                Ok(Some(reply)) => reply,
                Ok(None) => return Ok(()),
                Err(Unreadable::TooLarge) => return Err(self.too_large()),
                Err(malformed) => return Err(io::Error::other(malformed)),
            };
            if is_push(&reply) {
                continue;
            }
            let Some(first) = self.unanswered.front_mut() else {
                return Err(io::Error::other("a reply that nobody has asked for"));
            };
            // Whoever takes the right away from us has replies come that nobody waits for, and ours would be taken for others'.
            if first.began_quiet && first.replies.is_empty() && reply != OK {
                return Err(io::Error::other("redis does not keep quiet any more"));
            }
            first.bytes = first.bytes.saturating_add(reply.len());
            if first.bytes > self.reply_max {
                return Err(self.too_large());
            }
            first.replies.push(reply);
            first.lacking -= 1;
            if first.lacking == 0
                && let Some(answered) = self.unanswered.pop_front()
                && let Some(answer) = answered.answer
            {
                // Nobody may be waiting any more.
                let _ = answer.send(Ok(answered.replies));
            }
        }
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
        let dialled = Dialled {
            stream: Box::new(ours),
            keeps_quiet: true,
            reply_max: 32,
        };
        (Link::start(dialled, lost), theirs, told)
    }

    /// What nobody reaches.
    const LONG: Duration = Duration::from_secs(3600);

    fn ping() -> Commands {
        (&redis::cmd("PING")).into()
    }

    #[tokio::test]
    async fn each_gets_its_replies_though_another_went_away() {
        let (link, mut server, lost) = link();
        let mut gone = Box::pin(link.ask(ping(), LONG));
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
        let (replies, server) = tokio::join!(link.ask(two, LONG), serve);
        assert_eq!(replies.unwrap(), [&b"$4\r\na\r\nb\r\n"[..], b"-no\r\n"]);
        drop(server);
        assert_eq!(lost.await.unwrap().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(link.ask(ping(), LONG).await, Err(NoAnswer::Lost));
    }

    #[tokio::test]
    async fn who_is_late_is_told_and_its_replies_are_no_others() {
        let (link, mut server, _lost) = link();
        let patient = link.ask(ping(), LONG);
        let short = Duration::from_millis(1);
        let hasty = async {
            assert_eq!(link.ask(ping(), short).await, Err(NoAnswer::Late));
            assert_eq!(link.ask(ping(), short).await, Err(NoAnswer::Late));
        };
        let serve = async {
            let mut asked = vec![0; 3 * ping().into_bytes().len()];
            server.read_exact(&mut asked).await.unwrap();
        };
        tokio::pin!(patient);
        tokio::select! {
            biased;
            answer = &mut patient => panic!("{answer:?}"),
            _ = async { tokio::join!(hasty, serve) } => {}
        }
        let after = link.ask(ping(), LONG);
        let serve = server.write_all(b"+1\r\n+2\r\n+3\r\n+4\r\n");
        let (patient, after, written) = tokio::join!(patient, after, serve);
        written.unwrap();
        assert_eq!(patient.unwrap(), [&b"+1\r\n"[..]]);
        assert_eq!(after.unwrap(), [&b"+4\r\n"[..]]);
    }

    fn quiet_ping() -> Commands {
        let mut commands = Commands::default();
        commands.begin_quiet();
        commands.add(&redis::cmd("PING"));
        commands.end_quiet();
        commands.add(&redis::cmd("PING"));
        commands
    }

    #[tokio::test]
    async fn what_was_quiet_has_the_replies_after_its_end() {
        let (link, mut server, _lost) = link();
        let serve = async {
            let mut asked = vec![0; quiet_ping().bytes() + ping().bytes()];
            server.read_exact(&mut asked).await.unwrap();
            server.write_all(b"+OK\r\n+1\r\n+2\r\n").await.unwrap();
        };
        let (quiet, after, ()) = tokio::join!(link.ask(quiet_ping(), LONG), link.ask(ping(), LONG), serve);
        assert_eq!(quiet.unwrap(), [&b"+OK\r\n"[..], b"+1\r\n"]);
        assert_eq!(after.unwrap(), [&b"+2\r\n"[..]]);
    }

    #[tokio::test]
    async fn who_does_not_keep_quiet_is_left_before_a_reply_is_taken_for_another() {
        let (link, mut server, lost) = link();
        let serve = async {
            let mut asked = vec![0; quiet_ping().bytes() + ping().bytes()];
            server.read_exact(&mut asked).await.unwrap();
            // Where it is left it cannot write all of it.
            let _ = server.write_all(b"-NOPERM\r\n+1\r\n+OK\r\n+2\r\n+3\r\n").await;
        };
        let (quiet, after, ()) = tokio::join!(link.ask(quiet_ping(), LONG), link.ask(ping(), LONG), serve);
        assert_eq!((quiet, after), (Err(NoAnswer::Lost), Err(NoAnswer::Lost)));
        assert_eq!(lost.await.unwrap().kind(), io::ErrorKind::Other);
    }

    #[tokio::test]
    async fn replies_that_are_too_large_end_it_and_say_so_to_who_asked() {
        // One reply, and several of one asker; those of two askers are not added up.
        for (large, asked) in [
            (&b"$30\r\n"[..], 1),
            (b"$20\r\n12345678901234567890\r\n$8\r\n12345678\r\n", 2),
        ] {
            let (link, mut server, lost) = link();
            let mut commands = Commands::default();
            (0..asked).for_each(|_| commands.add(&redis::cmd("PING")));
            let before = link.ask(ping(), LONG);
            // It hangs up in the end: then nobody waits for the rest.
            let serve = async move {
                let mut sent = vec![0; (asked + 1) * ping().bytes()];
                server.read_exact(&mut sent).await.unwrap();
                server.write_all(b"$20\r\n12345678901234567890\r\n").await.unwrap();
                // Where it is left it cannot write all of it.
                let _ = server.write_all(large).await;
            };
            let (before, too_large, ()) = tokio::join!(before, link.ask(commands, LONG), serve);
            assert!(before.is_ok());
            assert_eq!(too_large, Err(NoAnswer::TooLarge));
            assert_eq!(lost.await.unwrap().kind(), io::ErrorKind::Other);
        }
    }

    #[tokio::test]
    async fn what_nobody_has_asked_for_ends_it() {
        for unasked in [&b"+OK\r\n"[..], b"junk\r\n"] {
            let (link, mut server, lost) = link();
            server.write_all(unasked).await.unwrap();
            lost.await.unwrap();
            assert_eq!(link.ask(ping(), LONG).await, Err(NoAnswer::Lost));
        }
    }
}
