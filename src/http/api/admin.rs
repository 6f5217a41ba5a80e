//! Writes without a body: deletes and refreshes.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, http::header, web::Data};
use serde::Serialize;
use utoipa::{ToSchema, openapi::Schema};

use super::answer;
use crate::{
    engine::{Engine, Refreshed, Shrink},
    http::{
        problem::{Problem, ProblemDocument},
        request::{auth::Authorized, name::Name, query::Query, schema},
    },
    listing::{Order, definition::Resolved},
};

/// Forgets a listing: all sorts of it, unless one is named. Pinned generations are gone with it.
///
/// A listing with an origin is filled again by the next read.
#[utoipa::path(
    delete,
    path = "/v1/listings/{name}",
    operation_id = "deleteListing",
    tag = "writes",
    security(("token" = [])),
    params(schema::NameParameter, schema::SortParameter),
    responses(
        (status = 204, description = "Forgotten"),
        (status = 400, description = "Bad name or parameters", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "No token is configured, or the name may not be written", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Redis is away", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete(
    _: Authorized,
    name: Name,
    request: HttpRequest,
    engine: Data<Engine>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::read(request.query_string(), &["sort"]);
    let sort = query.sort_name();
    query.finish().map_err(Problem::parameters)?;
    engine.writes.delete(&name, sort.as_ref()).await?;
    Ok(HttpResponse::NoContent()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}

/// A refresh that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefreshAnswer {
    /// The listing's name.
    pub listing: String,
    /// `accepted`, or `refreshed` where the request waited.
    #[schema(schema_with = states)]
    pub state: &'static str,
    /// The first of `refreshed`: of the sort asked for, or of the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub generation: Option<String>,
    /// Its items.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    pub total: Option<u64>,
    /// The published generations, one for each stored order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refreshed: Vec<RefreshedOrder>,
}

const ACCEPTED: &str = "accepted";
const REFRESHED: &str = "refreshed";

fn states() -> Schema {
    schema::one_of("`refreshed` where the request waited.", [ACCEPTED, REFRESHED])
}

/// One stored order of a refreshed listing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefreshedOrder {
    /// Name, stored order and choices in one text, as in the list of listings.
    pub key: String,
    /// The sort.
    pub sort: String,
    /// `desc` for the stream of a sort that stores its descending order by itself.
    #[schema(schema_with = schema::order)]
    pub order: &'static str,
    /// The generation that is current, drawn after the request came in.
    pub generation: String,
    /// Its items.
    pub total: u64,
}

/// Refreshes a listing from its origin: all sorts of it, unless one is named, and all variants that are kept, unless values of some are named.
///
/// One that arrives while another runs causes exactly one more, however many arrive.
#[utoipa::path(
    post,
    path = "/v1/listings/{name}/refresh",
    operation_id = "refreshListing",
    tag = "writes",
    security(("token" = [])),
    params(schema::NameParameter, schema::RefreshParameters),
    responses(
        (status = 200, description = "With `wait=true`: refreshed after the request came in", body = RefreshAnswer),
        (status = 202, description = "A refresh was started, or will be when `coalesce_for` has passed", body = RefreshAnswer),
        (status = 400, description = "Bad name or parameters", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "No token is configured", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such listing", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`no-origin`: the listing is pushed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The origin has more items than `max_items`; the old generation stays", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 502, description = "The refresh failed or was refused; the old generation stays", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Redis is away or full", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn refresh(
    _: Authorized,
    name: Name,
    request: HttpRequest,
    engine: Data<Engine>,
) -> Result<HttpResponse, Problem> {
    let variants = match engine.declaration.resolve(&name) {
        Resolved::Defined(defined) => defined.definition.variants.clone(),
        Resolved::Pushed(_) | Resolved::Unknown => Vec::new(),
    };
    let known = variants.iter().map(|variant| &*variant.parameter);
    let known: Vec<&str> = ["sort", "wait", "accept_shrink"].into_iter().chain(known).collect();
    let mut query = Query::strict(request.query_string(), &known);
    let sort = query.sort_name();
    let mut choices = BTreeMap::new();
    for variant in &variants {
        let Some(value) = query.text(&variant.parameter).map(str::to_owned) else {
            continue;
        };
        match variant.values.iter().any(|declared| **declared == *value) {
            true => drop(choices.insert(variant.parameter.clone(), value.into())),
            false => query.refuse(&variant.parameter, format!("`{value}` is no value of it")),
        }
    }
    let waits = query.flag("wait");
    let shrink = Shrink::accepted_if(query.flag("accept_shrink"));
    query.finish().map_err(Problem::parameters)?;
    let mut answer = RefreshAnswer {
        listing: name.to_string(),
        state: ACCEPTED,
        generation: None,
        total: None,
        refreshed: Vec::new(),
    };
    if !waits {
        engine.writes.refresh(&name, &choices, sort.as_ref(), shrink).await?;
        return Ok(answer::private(StatusCode::ACCEPTED, &answer));
    }
    let refreshed = engine
        .writes
        .refresh_and_wait(&name, &choices, sort.as_ref(), shrink)
        .await?;
    answer.state = REFRESHED;
    answer.refreshed = refreshed.iter().map(RefreshedOrder::of).collect();
    answer.generation = refreshed.first().map(|first| first.generation.to_string());
    answer.total = refreshed.first().map(|first| first.total);
    Ok(answer::private(StatusCode::OK, &answer))
}

impl RefreshedOrder {
    fn of(refreshed: &Refreshed) -> Self {
        let order = if refreshed.listing.stored.own_desc {
            Order::Desc
        } else {
            Order::Asc
        };
        Self {
            key: refreshed.listing.to_string(),
            sort: refreshed.listing.sort().to_string(),
            order: order.as_str(),
            generation: refreshed.generation.to_string(),
            total: refreshed.total,
        }
    }
}
