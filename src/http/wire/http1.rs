//! A connection of HTTP/1.1: the framework's dispatcher, and the three things that it leaves out.
//!
//! **The last request.** After `Connection: close` the dispatcher would serve what the client had sent behind it. And it waits
//! without end for the rest of a chunked body that no handler has read. Here both end the connection ([`Signals::end_after_answer`]):
//! the dispatcher is told that it drains, so it finishes the answer under way, says `Connection: close`, and starts nothing more. It
//! looks for that only when it is polled, so an answer that ends a connection is given to it one poll later.
//!
//! **Followers.** An event stream that has nothing to say would notice only at its next comments that the client has closed. The
//! handler says by [`follow`] that its answer is one; then the bytes are watched for their end.
//!
//! **Rest.** Once 128 KiB of requests wait in the dispatcher's buffer while it cannot go on, because an answer is not taken or is not
//! ready, it wakes itself again and again, and takes a whole core. After [`IDLE_POLLS_MAX`] polls in which it neither reads nor writes, it
//! rests [`REST`] before each further one.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_http::{ConnectionType, Payload, Protocol, Request, Response, error::DispatchError, error::PayloadError};
use actix_service::Service;
use bytes::Bytes;
use futures_util::{
    future::{Either, LocalBoxFuture},
    stream::Stream,
};
use tokio::{
    task::yield_now,
    time::{Sleep, sleep},
};

use super::slow_clients::{Io, Signals};

/// Polls of a dispatcher that neither reads nor writes, in a row. One that works does so at every second poll.
const IDLE_POLLS_MAX: u32 = 16;
/// Between two polls of a dispatcher that works on nothing.
const REST: Duration = Duration::from_millis(10);

tokio::task_local! {
    /// The flags of the connection whose dispatcher is being polled.
    static SIGNALS: Signals;
}

/// Says that the answer under way is an event stream. HTTP/2 needs no such word: there each end of a stream is a frame.
pub(crate) fn follow() {
    let _ = SIGNALS.try_with(Signals::follow);
}

/// When the dispatcher that is being made should drain: after its last request, or where the service does.
pub(crate) fn drained(service: impl Future<Output = ()>) -> impl Future<Output = ()> {
    let signals = SIGNALS.try_with(Signals::clone).unwrap_or_default();
    async move {
        let mut service = pin!(service);
        poll_fn(|cx| match signals.ends_after_answer() {
            // Needs no waker: it changes while the dispatcher is polled, which is polled again until it has seen this.
            true => Poll::Ready(()),
            false => service.as_mut().poll(cx),
        })
        .await;
        signals.drain();
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve<H>(io: Io, http1: Rc<H>, peer: Option<SocketAddr>) -> io::Result<()>
where
    H: Service<(Io, Protocol, Option<SocketAddr>), Response = (), Error = DispatchError>,
{
    let signals = io.signals();
    let dispatcher = SIGNALS.scope(
        signals.clone(),
        async move { http1.call((io, Protocol::Http1, peer)).await },
    );
    let served = with_rests(dispatcher, &signals).await;
    served.map_err(|error| io::Error::other(error.to_string()))
}

async fn with_rests<F: Future>(dispatcher: F, signals: &Signals) -> F::Output {
    let mut dispatcher = pin!(dispatcher);
    let mut idle_polls = 0;
    let mut rest: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if let Some(rest) = &mut rest {
            ready!(rest.as_mut().poll(cx));
        }
        let polled = dispatcher.as_mut().poll(cx);
        idle_polls = if signals.take_has_moved() { 0 } else { idle_polls + 1 };
        rest = (polled.is_pending() && idle_polls > IDLE_POLLS_MAX).then(|| Box::pin(sleep(REST)));
        polled
    })
    .await
}

/// The service of connections of HTTP/1.1: ends one with the answer to its last request.
pub(crate) struct Http1Service<S> {
    /// Answers.
    pub service: S,
    /// Each request is the last one of its connection.
    pub once: bool,
}

impl<S, B> Service<Request> for Http1Service<S>
where
    S: Service<Request, Response = Response<B>>,
    S::Future: 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Either<S::Future, LocalBoxFuture<'static, Result<Response<B>, S::Error>>>;

    actix_service::forward_ready!(service);

    fn call(&self, mut request: Request) -> Self::Future {
        let is_last = self.once || request.head().connection_type() == ConnectionType::Close;
        let body = RequestBody::share(request.payload());
        if !is_last && body.is_none() {
            return Either::Left(self.service.call(request));
        }
        let signals = SIGNALS.try_with(Signals::clone).unwrap_or_default();
        if is_last {
            signals.end_after_answer();
        }
        let answer = self.service.call(request);
        Either::Right(Box::pin(async move {
            let answer = answer.await;
            if let Some(body) = body {
                // The dispatcher takes in what has come of it.
                yield_now().await;
                if !body.has_ended().await {
                    signals.end_after_answer();
                }
            }
            if signals.ends_after_answer() {
                poll_fn(|cx| drains(&signals, cx)).await;
            }
            answer
        }))
    }
}

/// Waits until the dispatcher drains, which it does at its next poll.
fn drains(signals: &Signals, cx: &mut Context<'_>) -> Poll<()> {
    if signals.is_draining() {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// The body of a request, held by its handler and by the watch for its end.
#[derive(Clone)]
struct RequestBody(Rc<RefCell<Payload>>);

impl RequestBody {
    /// Takes the place of a body, if there is one.
    fn share(payload: &mut Payload) -> Option<Self> {
        if matches!(payload, Payload::None) {
            return None;
        }
        let body = Self(Rc::new(RefCell::new(std::mem::replace(payload, Payload::None))));
        *payload = Payload::Stream {
            payload: Box::pin(body.clone()),
        };
        Some(body)
    }

    /// Whether all of it has come; the part that the handler has not read is dropped.
    async fn has_ended(&self) -> bool {
        poll_fn(|cx| {
            loop {
                match Pin::new(&mut *self.0.borrow_mut()).poll_next(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Ready(Some(Err(_))) | Poll::Pending => return Poll::Ready(false),
                }
            }
        })
        .await
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}
