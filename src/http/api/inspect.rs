//! The list of listings, and one listing explained.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use serde::Serialize;
use utoipa::{ToSchema, openapi::Schema};

use super::{
    answer,
    ops::{self, RefusedByRedis},
};
use crate::{
    engine::{DeclaredParameters, Engine, Explanation, ListingEntry, ListingState, RedisTrouble},
    http::{
        pages::{links::LISTINGS, page::select},
        problem::{Problem, ProblemDocument},
        request::{
            auth::Authorized,
            name::Name,
            query::{PageQuery, Query, Sizes},
            schema,
        },
    },
    listing::{ListingKey, Timestamp, name::encode_query_value},
};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// Listings by key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListingList {
    /// In the order of their keys.
    pub listings: Vec<Listed>,
    /// Where the list goes on; null at its end.
    #[schema(required = true)]
    pub next: Option<String>,
}

/// A listing in the list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listed {
    /// The listing's name.
    pub listing: String,
    /// Its sort.
    pub sort: String,
    /// Name, stored order and choices in one text: a value for `after`.
    pub key: String,
    /// The current generation.
    pub generation: String,
    /// How many items it has.
    pub total: u64,
    /// How long ago its items were read.
    pub age_ms: u64,
    /// `fresh`, `stale`, `expired`, `absent` or `deleted`.
    #[schema(schema_with = states)]
    pub state: &'static str,
}

/// The listings that there are, in the order of their keys.
///
/// `next` is the URL where the list goes on.
#[utoipa::path(
    method(get, head),
    path = "/v1/listings",
    operation_id = "getListings",
    tag = "operations",
    security(("token" = [])),
    params(schema::ListParameters),
    responses(
        (status = 200, description = "Listings, and where the list goes on", body = ListingList),
        (status = 400, description = "Bad parameters", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "No token is configured", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Redis is away", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(_: Authorized, request: HttpRequest, engine: Data<Engine>) -> Result<HttpResponse, Problem> {
    let asked = ListQuery::read(request.query_string())?;
    // One more than asked for tells whether the list goes on.
    let mut entries = engine
        .inspector
        .listings(&asked.prefix, asked.after.as_ref(), asked.limit + 1)
        .await?;
    let goes_on = entries.len() > asked.limit;
    entries.truncate(asked.limit);
    let next = entries.last().filter(|_| goes_on).map(|last| asked.next(&last.listing));
    let list = ListingList {
        listings: entries.iter().map(Listed::of).collect(),
        next,
    };
    Ok(answer::private(StatusCode::OK, &list))
}

struct ListQuery {
    prefix: String,
    after: Option<ListingKey>,
    limit: usize,
}

impl ListQuery {
    fn read(raw: &str) -> Result<Self, Problem> {
        let mut query = Query::read(raw, &["prefix", "after", "limit"]);
        let prefix = query.text("prefix").unwrap_or_default().to_owned();
        let after = query.text("after").map(ListingKey::parse);
        if matches!(after, Some(None)) {
            query.refuse("after", "must be the `key` of a listing");
        }
        let limit = query
            .number("limit", 1, LIMIT_MAX as u64)
            .map_or(LIMIT_DEFAULT, |limit| usize::try_from(limit).unwrap_or(LIMIT_MAX));
        query.finish().map_err(Problem::parameters)?;
        Ok(Self {
            prefix,
            after: after.flatten(),
            limit,
        })
    }

    fn next(&self, last: &ListingKey) -> String {
        let prefix = match &*self.prefix {
            "" => String::new(),
            prefix => format!("prefix={}&", encode_query_value(prefix)),
        };
        let after = last.to_string();
        format!(
            "{LISTINGS}?{prefix}after={}&limit={}",
            encode_query_value(&after),
            self.limit
        )
    }
}

impl Listed {
    fn of(entry: &ListingEntry) -> Self {
        Self {
            listing: entry.listing.name().to_string(),
            sort: entry.listing.sort().to_string(),
            key: entry.listing.to_string(),
            generation: entry.generation.to_string(),
            total: entry.total,
            age_ms: u64::try_from(entry.age.as_millis()).unwrap_or(u64::MAX),
            state: entry.state.as_str(),
        }
    }
}

fn states() -> Schema {
    schema::one_of("The state of the listing.", ListingState::ALL.map(ListingState::as_str))
}

/// How a listing lies in Redis, and what this process knows of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explained {
    /// The listing's name.
    pub listing: String,
    /// Its sort.
    pub sort: String,
    /// The head's key in Redis.
    pub head_key: String,
    /// The key of its stream in Redis: its base's where it names one.
    #[schema(required = true)]
    pub stream_key: Option<String>,
    /// The current generation.
    #[schema(required = true)]
    pub generation: Option<String>,
    /// How many items it has.
    pub total: u64,
    /// Items a chunk.
    #[schema(required = true)]
    pub chunk_len: Option<u32>,
    /// Entries of the stream.
    pub chunks: u64,
    /// The memory of that stream.
    #[schema(required = true)]
    pub bytes: Option<u64>,
    /// The memory of its sidecar in Redis.
    #[schema(required = true)]
    pub sidecar_bytes: Option<u64>,
    /// How its chunks lie in Redis: `plain`, `packed`, or `packed` and the dictionary's hash; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub codec: Option<String>,
    /// The generation that holds the chunks which have not changed since, with `@<listing>` behind it where it is another listing's;
    /// absent where it is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub base: Option<String>,
    /// The memory of all that was changed since its base, in Redis; absent where it is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    pub deltas_bytes: Option<u64>,
    /// The chunks that have changed since its base, counted from 0, such as `17-18,40`; absent where it is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub changed: Option<String>,
    /// `fresh`, `stale`, `expired`, `absent` or `deleted`.
    #[schema(schema_with = states)]
    pub state: &'static str,
    /// RFC 3339, by Redis's clock.
    #[schema(required = true)]
    pub fresh_until: Option<String>,
    /// The refresh under way.
    #[schema(required = true)]
    pub lease: Option<ExplainedLease>,
    /// RFC 3339, by Redis's clock.
    #[schema(required = true)]
    pub next_refresh: Option<String>,
    /// When something of it begins or ends next, by `next_change_query`: RFC 3339; absent where nothing is known to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub next_change: Option<String>,
    /// Why the last refresh failed.
    #[schema(required = true)]
    pub last_error: Option<String>,
    /// Why the names that exist could not be read last; absent where they could.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub names_error: Option<String>,
    /// Until when it is not refreshed, RFC 3339; absent where nobody has frozen it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub frozen_until: Option<String>,
    /// Its state in this process.
    #[schema(required = true)]
    pub l1: Option<ExplainedL1>,
    /// The trouble with Redis, as in `/health/ready`; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = ops::troubles)]
    pub redis: Option<&'static str>,
    /// The commands that Redis refuses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redis_refuses: Vec<RefusedByRedis>,
}

/// A lease.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplainedLease {
    /// The generation that is being written.
    pub generation: String,
    /// When it lapses, if it is not extended.
    pub expires_in_ms: u64,
}

/// A head in L1.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplainedL1 {
    /// Null where L1 knows that there is none.
    #[schema(required = true)]
    pub generation: Option<String>,
    /// How old the knowledge is.
    pub age_ms: u64,
    /// Whether pages are served by it now; else Redis is asked first.
    pub servable: bool,
    /// Whether Redis has the same, beside it in this answer. A difference that stays is a fault.
    pub agrees: bool,
}

/// One listing explained.
///
/// How it lies in Redis, when it is due, what its last error was, and what this process knows of it. The origin is not asked.
#[utoipa::path(
    method(get, head),
    path = "/v1/listings/{name}/explain",
    operation_id = "getExplanation",
    tag = "operations",
    security(("token" = [])),
    params(schema::NameParameter, schema::ChoiceParameters),
    responses(
        (status = 200, description = "How it lies", body = Explained),
        (status = 400, description = "Bad name or parameters", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "No token is configured", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such listing", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Redis is away", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn explain(
    _: Authorized,
    name: Name,
    request: HttpRequest,
    engine: Data<Engine>,
    sizes: Data<Sizes>,
) -> Result<HttpResponse, Problem> {
    let resolved = engine.declaration.resolve(&name);
    let declared = DeclaredParameters::of(&resolved);
    let query = PageQuery::read(request.query_string(), &declared, **sizes);
    let selection = select(&engine, resolved, &name, &query, std::time::Instant::now()).await?;
    let explanation = engine.inspector.explain(&selection).await?;
    Ok(answer::private(StatusCode::OK, &Explained::of(explanation)))
}

impl Explained {
    fn of(explanation: Explanation) -> Self {
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            redis: explanation.redis.as_ref().map(RedisTrouble::as_str),
            redis_refuses: RefusedByRedis::all(explanation.redis.as_ref()),
            listing: explanation.listing.name().to_string(),
            sort: explanation.listing.sort().to_string(),
            head_key: explanation.head_key,
            stream_key: explanation.stream_key,
            generation: explanation.generation.map(|generation| generation.to_string()),
            total: explanation.total,
            chunk_len: explanation.chunk_len.map(|chunk_len| chunk_len.get()),
            chunks: explanation.chunks,
            bytes: explanation.bytes,
            sidecar_bytes: explanation.sidecar_bytes,
            codec: explanation.codec,
            base: explanation.base,
            deltas_bytes: explanation.deltas_bytes,
            changed: explanation.changed,
            state: explanation.state.as_str(),
            fresh_until: explanation.fresh_until.map(Timestamp::rfc3339),
            lease: explanation.lease.map(|(generation, expires_in)| ExplainedLease {
                generation: generation.to_string(),
                expires_in_ms: millis(expires_in),
            }),
            next_refresh: explanation.next_refresh.map(Timestamp::rfc3339),
            next_change: explanation.next_change.map(Timestamp::rfc3339),
            last_error: explanation.last_error,
            names_error: explanation.names_error,
            frozen_until: explanation.frozen_until.map(Timestamp::rfc3339),
            l1: explanation.l1.map(|known| ExplainedL1 {
                agrees: known.generation == explanation.generation,
                generation: known.generation.map(|generation| generation.to_string()),
                age_ms: millis(known.age),
                servable: known.servable,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_goes_on_after_its_last_key() {
        let query = ListQuery::read("prefix=a%26b&limit=2").unwrap();
        let last = ListingKey::parse("a&b%2Fc/price?brand=A%20B").unwrap();
        let next = query.next(&last);
        assert_eq!(
            next,
            "/v1/listings?prefix=a%26b&after=a%26b%252Fc%2Fprice%3Fbrand%3DA%2520B&limit=2"
        );
        let again = ListQuery::read(next.split_once('?').unwrap().1).unwrap();
        assert_eq!((again.after, again.prefix), (Some(last), "a&b".to_owned()));
    }

    #[test]
    fn bad_list_parameters_are_told_at_once() {
        for raw in ["after=nonsense", "limit=0", "limit=1001", "prefix="] {
            assert!(ListQuery::read(raw).is_err(), "{raw}");
        }
    }
}
