//! One item: on which pages it stands.

use std::{borrow::Cow, collections::BTreeMap};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use crate::{
    engine::{Engine, ItemPlace},
    http::{
        pages::links::LISTINGS,
        problem::{Kind, Problem, ProblemDocument},
        request::{
            auth::Authorized,
            query::{Query, Sizes},
            schema,
        },
    },
    listing::{
        ItemId, Order,
        name::{decode_strictly, encode_query_value},
    },
};

/// The places of an item.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemAnswer {
    /// The item.
    pub id: String,
    /// By listing, then by position.
    pub listings: Vec<ItemListing>,
    /// Whether there may be more than the hundred that are told.
    pub truncated: bool,
}

/// A place of an item in a listing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemListing {
    /// The listing's name.
    pub listing: String,
    /// The sort.
    pub sort: String,
    /// The stored order: `desc` for the stream of a sort that stores its descending order by itself.
    #[schema(schema_with = schema::order)]
    pub order: &'static str,
    /// The values of its variants.
    pub variants: BTreeMap<String, String>,
    /// The current generation.
    pub generation: String,
    /// Items in the listing.
    pub total: u64,
    /// Counted from 0, in this order.
    pub position: u64,
    /// The page on which it stands, counted from 1, with as many items as a page has by default.
    pub page: u64,
    /// Path-absolute, to that page.
    pub url: String,
    /// The id of the item before it.
    #[schema(required)]
    pub previous: Option<String>,
    /// The id of the item behind it.
    #[schema(required)]
    pub next: Option<String>,
}

impl ItemListing {
    fn of(place: &ItemPlace, size: u64) -> Self {
        let (listing, text) = (&place.listing, |id: &ItemId| id.as_str().to_owned());
        let order = if listing.stored.own_desc {
            Order::Desc
        } else {
            Order::Asc
        };
        let page = place.position / size + 1;
        let mut url = format!("{LISTINGS}/{}?sort={}", listing.name().encoded(), listing.sort());
        if order == Order::Desc {
            url.push_str("&order=desc");
        }
        for (parameter, value) in listing.family.choices.iter() {
            url.push_str(&format!("&{parameter}={}", encode_query_value(value)));
        }
        url.push_str(&format!("&page={page}&size={size}"));
        let choices = listing.family.choices.iter();
        Self {
            listing: listing.name().to_string(),
            sort: listing.sort().to_string(),
            order: order.as_str(),
            variants: choices
                .map(|(parameter, value)| (parameter.to_string(), value.to_string()))
                .collect(),
            generation: place.generation.to_string(),
            total: place.total,
            position: place.position,
            page,
            url,
            previous: place.previous.as_ref().map(text),
            next: place.next.as_ref().map(text),
        }
    }
}

/// The listings that hold an item, as they are kept now, with its position, its page and its neighbours in each sort.
///
/// Without the token where `http.item_lookup` is true.
#[utoipa::path(
    method(get, head),
    path = "/v1/items/{id}",
    operation_id = "getItem",
    tag = "operations",
    security(("token" = [])),
    params(schema::ItemParameter),
    responses(
        (status = 200, description = "Its places; none where nothing kept holds it", body = ItemAnswer),
        (status = 400, description = "Bad id or parameters", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "No token is configured", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Redis is away, or too many ask at once", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn item(
    _: Authorized,
    request: HttpRequest,
    engine: Data<Engine>,
    sizes: Data<Sizes>,
) -> Result<HttpResponse, Problem> {
    find(&request, &engine, &sizes).await
}

/// The same for anybody.
pub(crate) async fn public_item(
    request: HttpRequest,
    engine: Data<Engine>,
    sizes: Data<Sizes>,
) -> Result<HttpResponse, Problem> {
    find(&request, &engine, &sizes).await
}

async fn find(request: &HttpRequest, engine: &Engine, sizes: &Sizes) -> Result<HttpResponse, Problem> {
    Query::strict(request.query_string(), &[])
        .finish()
        .map_err(Problem::parameters)?;
    // From the raw path, as names are.
    let segment = request.uri().path().split('/').nth(3).unwrap_or_default();
    let bad = || Problem::new(Kind::BAD_REQUEST).detail("the path holds no id: 1 to 256 bytes, percent-encoded");
    let id: Cow<'_, str> = decode_strictly(segment).map_err(|_| bad())?;
    let id = ItemId::parse(&id).ok_or_else(bad)?;
    let found = engine.changes.places_of(&id).await?;
    let size = u64::from(sizes.default.get());
    let answer = ItemAnswer {
        id: id.as_str().to_owned(),
        listings: found.places.iter().map(|place| ItemListing::of(place, size)).collect(),
        truncated: found.is_truncated,
    };
    Ok(answer::private(StatusCode::OK, &answer))
}
