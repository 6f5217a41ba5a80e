//! One stream: its request as the framework knows requests, and the answer on its way back.

use std::{cell::Cell, net::SocketAddr, rc::Rc, time::Duration};

use actix_http::{
    BoxedPayloadStream, Method, Payload, Request, Response, ResponseHead, StatusCode, Uri, Version,
    body::{BodySize, BoxBody, MessageBody},
    error::PayloadError,
    header::{CONNECTION, CONTENT_LENGTH, DATE, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE},
};
use actix_service::Service;
use bytes::Bytes;
use futures_util::{future::poll_fn, stream};
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use tokio::time::{Instant, timeout_at};

use crate::http::wire::date;

/// When the client of a connection last took something, of whichever stream: a slow line is shared by all of them.
#[derive(Clone)]
pub(super) struct SendPace {
    taken: Rc<Cell<Instant>>,
    limit: Duration,
}

impl SendPace {
    /// The limit is that between two pieces.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            taken: Rc::new(Cell::new(Instant::now())),
            limit,
        }
    }
}

/// Why an answer did not come to its end.
enum Cut {
    /// The client has reset the stream, or the connection is gone.
    Gone,
    /// The client takes nothing.
    Deaf,
    /// The body is not what its length says, or failed.
    Broken,
}

/// Answers a request, unless its client resets it first: then its handler is dropped.
pub(super) async fn answer<S, B>(
    service: Rc<S>,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    peer: Option<SocketAddr>,
    pace: SendPace,
) where
    S: Service<Request>,
    S::Error: Into<Response<BoxBody>>,
    S::Response: Into<Response<B>>,
    B: MessageBody,
{
    let is_head = request.method() == Method::HEAD;
    let answered = tokio::select! {
        // A stream that is reset already costs nothing.
        biased;
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
        answered = service.call(framework_request(request, peer)) => answered,
    };
    match answered {
        Ok(response) => send(response.into(), respond, is_head, &pace).await,
        Err(error) => send(error.into(), respond, is_head, &pace).await,
    }
}

/// As HTTP/1.1 would have brought it: the path alone as its URI, the authority as its host.
fn framework_request(request: http::Request<RecvStream>, peer: Option<SocketAddr>) -> Request {
    let (parts, body) = request.into_parts();
    let payload = match parts.method {
        Method::PUT | Method::POST => Payload::Stream {
            payload: Box::pin(pieces(body)) as BoxedPayloadStream,
        },
        // Nobody reads the body of the others, and once dropped it is not kept: empty frames cost no window, but memory.
        _ => Payload::None,
    };
    let mut request = Request::with_payload(payload);
    let head = request.head_mut();
    head.method = parts.method;
    head.version = Version::HTTP_2;
    head.headers = parts.headers.into();
    head.peer_addr = peer;
    if let Some(authority) = parts.uri.authority()
        && !head.headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(HOST, host);
    }
    head.uri = parts
        .uri
        .into_parts()
        .path_and_query
        .map_or_else(Uri::default, Uri::from);
    request
}

fn pieces(body: RecvStream) -> impl stream::Stream<Item = Result<Bytes, PayloadError>> {
    stream::unfold(body, |mut body| async {
        let piece = body.data().await?.and_then(|piece| {
            // Room for as much more.
            body.flow_control().release_capacity(piece.len())?;
            Ok(piece)
        });
        let piece = piece.map_err(|error| PayloadError::Incomplete(Some(std::io::Error::other(error))));
        Some((piece, body))
    })
}

async fn send<B: MessageBody>(response: Response<B>, mut respond: SendResponse<Bytes>, is_head: bool, pace: &SendPace) {
    let size = size_of(response.head(), response.body().size());
    let is_all = is_head || size.is_eof();
    let Ok(mut stream) = respond.send_response(head_of(response.head(), size), is_all) else {
        // Gone.
        return;
    };
    pace.taken.set(Instant::now());
    if is_all {
        return;
    }
    match send_body(response.into_body(), size, &mut stream, pace).await {
        Ok(()) | Err(Cut::Gone) => {}
        Err(Cut::Deaf) => {
            tracing::debug!("stream reset: its answer was not taken");
            stream.send_reset(Reason::CANCEL);
        }
        Err(Cut::Broken) => stream.send_reset(Reason::INTERNAL_ERROR),
    }
}

async fn send_body<B: MessageBody>(
    body: B,
    size: BodySize,
    stream: &mut SendStream<Bytes>,
    pace: &SendPace,
) -> Result<(), Cut> {
    let mut left = match size {
        BodySize::Sized(bytes) => Some(bytes),
        BodySize::None | BodySize::Stream => None,
    };
    let mut body = std::pin::pin!(body);
    loop {
        let piece = tokio::select! {
            biased;
            piece = poll_fn(|cx| body.as_mut().poll_next(cx)) => piece,
            // An event stream may have nothing to say for long.
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return Err(Cut::Gone),
        };
        let mut piece = match piece {
            Some(Ok(piece)) => piece,
            Some(Err(_)) => return Err(Cut::Broken),
            None if left.is_some() => return Err(Cut::Broken),
            None => return stream.send_data(Bytes::new(), true).map_err(|_| Cut::Gone),
        };
        while !piece.is_empty() {
            let room = room_for(piece.len(), stream, pace).await?;
            let part = piece.split_to(room.min(piece.len()));
            let is_last = match &mut left {
                Some(left) => {
                    *left = left.checked_sub(part.len() as u64).ok_or(Cut::Broken)?;
                    *left == 0
                }
                None => false,
            };
            stream.send_data(part, is_last).map_err(|_| Cut::Gone)?;
            pace.taken.set(Instant::now());
            if is_last {
                return Ok(());
            }
        }
    }
}

/// How much may be sent now; waits until it is something.
async fn room_for(bytes: usize, stream: &mut SendStream<Bytes>, pace: &SendPace) -> Result<usize, Cut> {
    stream.reserve_capacity(bytes);
    loop {
        match stream.capacity() {
            0 => {}
            room => return Ok(room),
        }
        let until = pace.taken.get() + pace.limit;
        let waited = timeout_at(until, poll_fn(|cx| stream.poll_capacity(cx))).await;
        match waited {
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(_)) | None) => return Err(Cut::Gone),
            // Other streams may have had all there was to be had.
            Err(_) if pace.taken.get() + pace.limit > Instant::now() => {}
            Err(_) => return Err(Cut::Deaf),
        }
    }
}

fn size_of(head: &ResponseHead, size: BodySize) -> BodySize {
    match head.status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => BodySize::None,
        _ => size,
    }
}

fn head_of(head: &ResponseHead, size: BodySize) -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.status_mut() = head.status;
    *response.version_mut() = Version::HTTP_2;
    let headers = response.headers_mut();
    headers.reserve(head.headers.len() + 2);
    for (name, value) in head.headers.iter() {
        if !is_of_the_connection(name) {
            headers.append(name, value.clone());
        }
    }
    if let BodySize::Sized(bytes) = size {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    if !headers.contains_key(DATE) {
        headers.insert(DATE, date::now());
    }
    response
}

/// Headers without a place in HTTP/2: RFC 9113, 8.2.2.
fn is_of_the_connection(name: &HeaderName) -> bool {
    [CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name)
        || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}
