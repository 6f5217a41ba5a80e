//! The task that moves the bytes of one connection: requests go out as they come, and each asker gets its replies.
//!
//! It runs on the runtime that the connection was opened on. An asker on the same runtime, if that is one thread, and the task
//! take turns there, and several requests of one turn go out together.
//!
//! The task keeps the time too. A wait counts from when the task has taken the request, and the task reads everything that has
//! come before it calls an answer late: a thread that is busy for a while says nothing about Redis.

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

/// The size of a new block, when less than a part of it is left: a block serves several replies.
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

/// Commands that are sent together.
#[derive(Debug)]
pub(super) struct Request {
    pub commands: Commands,
    pub within: Duration,
    pub answer: oneshot::Sender<Result<Vec<Bytes>, NoAnswer>>,
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

/// Moves the bytes out and in. Ends well when no caller is left.
pub(super) struct Traffic {
    stream: Box<dyn Stream>,
    asked: mpsc::Receiver<Request>,
    /// The bytes still to be written.
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
    /// Sends what comes through `asked`.
    pub(super) fn new(dialled: Dialled, asked: mpsc::Receiver<Request>) -> Self {
        Self {
            stream: dialled.stream,
            asked,
            out: VecDeque::new(),
            unanswered: VecDeque::new(),
            next_late: None,
            clock: Box::pin(sleep_until(Instant::now())),
            read: BytesMut::new(),
            framing: Framing::new(dialled.reply_max),
            reply_max: dialled.reply_max,
        }
    }

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

    /// Fails the calls that are late. Answered calls have left the clock as it was.
    fn give_up_late(&mut self, context: &mut Context<'_>) {
        while self.next_late.is_some() && self.clock.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            for late in self.unanswered.iter_mut().filter(|waiting| waiting.late_at <= now) {
                if let Some(answer) = late.answer.take() {
                    // The waiting side may have left.
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
            // The waiting side may have left.
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
            // If the right is taken away, replies come that no caller waits for, and ours would be taken for others'.
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
                // The waiting side may have left.
                let _ = answer.send(Ok(answered.replies));
            }
        }
    }
}
