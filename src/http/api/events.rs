//! Live subscriptions as server-sent events.
//!
//! A task of its own carries events from the engine to the connection, with a small queue between them. A client that
//! does not read fills the queue; when nothing fits for a while the follower is cut, and its place is free at once, even
//! while the connection still waits for its client. A client that closes is noticed at once ([`http1::follow`]; by HTTP/2 its
//! stream ends). It gets the newest state when it comes back: the first event of a
//! subscription is the current head, which is why `Last-Event-ID` needs no answer.

use std::{convert::Infallible, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::header, web::Data};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Object, Schema, Type},
};

use crate::{
    engine::{Engine, Event, Follower},
    http::{
        problem::{Problem, ProblemDocument},
        request::{name::Name, query::Query, schema},
        wire::http1,
    },
    listing::{Generation, ListingKey},
};

/// So often something is sent, so that proxies do not take the connection for dead.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// Events between the engine and the connection.
const QUEUED_MAX: usize = 16;
/// How long the queue may be full.
const FULL_FOR_MAX: Duration = Duration::from_secs(10);

/// The data of an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventData)]
pub(crate) struct EventDocument {
    /// The listing's name.
    pub listing: String,
    /// The sort.
    pub sort: String,
    /// The generation that is current now, or that marks the delete.
    pub generation: String,
    /// How many items it has; not sent with `deleted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    pub total: Option<u64>,
}

/// One server-sent event.
#[derive(ToSchema)]
#[allow(dead_code, reason = "described, not built")]
pub(crate) struct FollowedEvent {
    /// `published` or `deleted`.
    #[schema(schema_with = event_kinds)]
    event: String,
    /// The generation.
    id: String,
    /// JSON.
    #[schema(schema_with = event_data)]
    data: String,
}

const PUBLISHED: &str = "published";
const DELETED: &str = "deleted";

fn event_kinds() -> Schema {
    schema::one_of("The kind of the event.", [PUBLISHED, DELETED])
}

fn event_data() -> Schema {
    let data = Object::builder()
        .schema_type(Type::String)
        .content_media_type("application/json");
    data.content_schema(Some(EventDocument::schema())).build().into()
}

/// Follows a listing: all sorts of it, unless one is named.
///
/// On connecting one event with the current head of each sort, then one a publish (`published`) or delete (`deleted`).
#[utoipa::path(
    get,
    path = "/v1/listings/{name}/events",
    operation_id = "followListing",
    tag = "pages",
    params(schema::NameParameter, schema::SortParameter),
    responses(
        (status = 200, description = "Server-sent events; a comment every 15 s", body = FollowedEvent, content_type = "text/event-stream"),
        (status = 400, description = "Bad name or parameters", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such listing", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "There are as many followers as are allowed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn follow(
    name: Name,
    request: HttpRequest,
    engine: Data<Engine>,
    closing: Data<CancellationToken>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::read(request.query_string(), &["sort"]);
    let sort = query.sort_name();
    query.finish().map_err(Problem::parameters)?;
    let follower = engine.inspector.follow(&name, sort.as_ref()).await?;
    http1::follow();
    let (to_connection, events) = mpsc::channel(QUEUED_MAX);
    actix_web::rt::spawn(carry(follower, to_connection, closing.get_ref().clone()));
    let body = stream::unfold(events, |mut events| async {
        let bytes = events.recv().await?;
        Some((Ok::<Bytes, Infallible>(bytes), events))
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // nginx would hold events back until its buffer is full.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body))
}

/// Carries events until the client goes, is too slow, or the service ends.
async fn carry(mut follower: Follower, to: mpsc::Sender<Bytes>, closing: CancellationToken) {
    let mut comments = time::interval_at(Instant::now() + COMMENT_EVERY, COMMENT_EVERY);
    loop {
        let bytes = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            () = to.closed() => return,
            event = follower.next() => match event {
                Some(event) => text_of(&event),
                None => return,
            },
            _ = comments.tick() => COMMENT,
        };
        let sent = tokio::select! {
            biased;
            () = closing.cancelled() => return,
            sent = time::timeout(FULL_FOR_MAX, to.send(bytes)) => sent,
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                tracing::debug!("slow follower cut");
                return;
            }
        }
    }
}

fn text_of(event: &Event) -> Bytes {
    let (kind, listing, generation, total) = match event {
        Event::Published {
            listing,
            generation,
            total,
        } => (PUBLISHED, listing, generation, Some(*total)),
        Event::Deleted { listing, generation } => (DELETED, listing, generation, None),
    };
    let data = serde_json::to_string(&document(listing, *generation, total)).unwrap_or_default();
    format!("event: {kind}\nid: {generation}\ndata: {data}\n\n").into()
}

fn document(listing: &ListingKey, generation: Generation, total: Option<u64>) -> EventDocument {
    EventDocument {
        listing: listing.name().to_string(),
        sort: listing.sort().to_string(),
        generation: generation.to_string(),
        total,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(event: Event, expect: &str) {
        assert_eq!(text_of(&event), expect);
    }

    #[test]
    fn an_event_is_three_lines() {
        let generation = "5-0000000a".parse().unwrap();
        let listing = |key| ListingKey::parse(key).unwrap();
        check(
            Event::Published {
                listing: listing("a%22b/price"),
                generation,
                total: 7,
            },
            concat!(
                "event: published\nid: 5-0000000a\n",
                r#"data: {"listing":"a\"b","sort":"price","generation":"5-0000000a","total":7}"#,
                "\n\n"
            ),
        );
        check(
            Event::Deleted {
                listing: listing("a/price"),
                generation,
            },
            concat!(
                "event: deleted\nid: 5-0000000a\n",
                r#"data: {"listing":"a","sort":"price","generation":"5-0000000a"}"#,
                "\n\n"
            ),
        );
    }
}
