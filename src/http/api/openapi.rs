//! The API's description, OpenAPI 3.1, from the handlers' own annotations.
//!
//! The types here are never built: they describe parameters that [`query`](crate::http::request::query) reads by hand, and the body
//! that [`body`](crate::http::pages::body) stitches.
#![allow(dead_code, reason = "described, not built")]

use utoipa::{
    IntoParams, Modify, OpenApi, PartialSchema, ToSchema,
    openapi::{
        Object, OpenApi as Document, RefOr, Schema, Type,
        schema::SchemaType,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{admin, events, ingest, inspect, ops};
use crate::{
    http::{pages::page, request::query::Sizes},
    listing::ItemId,
};

/// `{name}` in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct NameParameter {
    /// 1 to 256 bytes of UTF-8 without control characters, neither `.` nor `..`, percent-encoded as one segment; `/` is `%2F`, `+` is
    /// itself.
    #[param(min_length = 1, max_length = 256, pattern = r"^(?!\.{1,2}$)[^\x00-\x1F\x7F-\x9F]+$")]
    name: String,
}

/// Which listing of a name.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChoiceParameters {
    /// A declared sort; without it the default one.
    #[param(pattern = "^[a-z0-9_-]{1,32}$")]
    sort: Option<String>,
    /// `asc` or `desc`.
    #[param(pattern = "^(asc|desc)$", default = "asc")]
    order: Option<String>,
}

/// Which page. Declared variants and filters are further parameters.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParameters {
    /// A declared sort; without it the default one.
    #[param(pattern = "^[a-z0-9_-]{1,32}$")]
    sort: Option<String>,
    /// `asc` or `desc`. Not beside `cursor`.
    #[param(pattern = "^(asc|desc)$", default = "asc")]
    order: Option<String>,
    /// Counted from 1. Not beside `offset`, `limit` or `cursor`.
    #[param(minimum = 1, maximum = 9007199254740991_u64)]
    page: Option<u64>,
    /// Items a page.
    #[param(minimum = 1)]
    size: Option<u32>,
    /// Items before the page. Not beside `page`, `size` or `cursor`.
    #[param(minimum = 0, maximum = 9007199254740991_u64)]
    offset: Option<u64>,
    /// Items a page.
    #[param(minimum = 1)]
    limit: Option<u32>,
    /// From a page's links: a place in one generation.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// Pins the page to a snapshot.
    #[param(pattern = "^[1-9][0-9]*-[0-9a-f]{8}$")]
    generation: Option<String>,
}

/// One sort, or all.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SortParameter {
    /// Without it: all sorts of the name.
    #[param(pattern = "^[a-z0-9_-]{1,32}$")]
    sort: Option<String>,
}

/// How a refresh is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RefreshParameters {
    /// Without it: all sorts of the name.
    #[param(pattern = "^[a-z0-9_-]{1,32}$")]
    sort: Option<String>,
    /// Answer when it is done, with a generation drawn after the request came in.
    #[param(default = false)]
    wait: Option<bool>,
    /// Believe any number of items, however few there are: somebody has looked.
    #[param(default = false)]
    accept_shrink: Option<bool>,
}

/// How a pushed document is read.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PushParameters {
    /// The sort it is kept under.
    #[param(pattern = "^[a-z0-9_-]{1,32}$", default = "default")]
    sort: Option<String>,
    /// The member that is an item's id, a string or an integer.
    #[param(default = "id", min_length = 1, max_length = 128)]
    id_field: Option<String>,
    /// Whether any number of items is believed, none too.
    #[param(default = false)]
    accept_shrink: Option<bool>,
}

/// Which listings.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParameters {
    /// Names that begin with it.
    #[param(min_length = 1)]
    prefix: Option<String>,
    /// The `key` after which the list goes on.
    #[param(pattern = "^[^/?]+/[a-z0-9_-]{1,32}")]
    after: Option<String>,
    /// Listings an answer.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// An item that is pushed: an object with an id, and whatever else it has.
#[derive(ToSchema)]
#[schema(title = "Item")]
pub(crate) struct PushedItem {
    /// A text of 1 to 256 bytes, or an integer; under another name with `id_field`.
    #[schema(schema_with = item_id)]
    id: String,
}

fn item_id() -> Schema {
    let types = SchemaType::from_iter([Type::String, Type::Integer]);
    let id = Object::builder().schema_type(types).min_length(Some(1));
    let id = id.max_length(Some(ItemId::BYTES_MAX));
    id.minimum(Some(isize::MIN)).maximum(Some(usize::MAX)).build().into()
}

/// One server-sent event.
#[derive(ToSchema)]
#[schema(title = "Event")]
pub(crate) struct FollowedEvent {
    /// `published` or `deleted`.
    #[schema(pattern = "^(published|deleted)$")]
    event: String,
    /// The generation.
    id: String,
    /// JSON.
    #[schema(schema_with = event_data)]
    data: String,
}

fn event_data() -> Schema {
    let data = Object::builder()
        .schema_type(Type::String)
        .content_media_type("application/json");
    data.content_schema(Some(events::EventDocument::schema()))
        .build()
        .into()
}

/// One page.
#[derive(ToSchema)]
#[schema(title = "Page")]
pub(crate) struct PageDocument {
    /// The listing's name.
    listing: String,
    /// The sort.
    sort: String,
    /// `asc` or `desc`.
    order: String,
    /// The snapshot that the page is from; null where it came straight from the origin, as Redis was away.
    generation: Option<String>,
    /// Items in the listing.
    total: u64,
    /// Items before the page.
    offset: u64,
    /// Items asked for.
    limit: u32,
    /// Items on the page.
    count: u64,
    /// Counted from 1; null where `offset` is no multiple of `limit`.
    page: Option<u64>,
    /// Pages of this limit.
    pages: u64,
    /// Path-absolute links.
    links: LinksDocument,
    /// The origin's JSON, byte for byte.
    #[schema(value_type = Vec<Object>)]
    items: Vec<serde_json::Value>,
}

/// The links of a page; null where there is nothing to lead to.
#[derive(ToSchema)]
#[schema(title = "Links")]
pub(crate) struct LinksDocument {
    /// This page, pinned.
    #[schema(rename = "self")]
    this: String,
    /// The first page, unpinned.
    first: String,
    /// The page before, pinned.
    prev: Option<String>,
    /// The page after, pinned.
    next: Option<String>,
    /// The last page, unpinned.
    last: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "listcache",
        description = "A paginated listing cache",
        contact(name = "Whoever runs this service"),
        license(name = "MIT", url = "https://opensource.org/license/mit")
    ),
    servers((url = "/", description = "This service")),
    paths(
        page::page_route,
        events::follow,
        ingest::put,
        admin::delete,
        admin::refresh,
        inspect::list,
        inspect::explain,
        ops::live,
        ops::ready,
        ops::metrics,
        ops::description,
    ),
    tags(
        (name = "operations", description = "For whoever runs it"),
        (name = "pages", description = "For shop fronts"),
        (name = "writes", description = "For whoever feeds the cache; they need the token"),
    ),
    modifiers(&Token, &Heads),
)]
struct Description;

struct Token;

impl Modify for Token {
    fn modify(&self, description: &mut Document) {
        let components = description.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// HEAD does all that GET does but send the body: so it has a name of its own and answers without content.
struct Heads;

impl Modify for Heads {
    fn modify(&self, description: &mut Document) {
        for head in description
            .paths
            .paths
            .values_mut()
            .filter_map(|item| item.head.as_mut())
        {
            if let Some(id) = &mut head.operation_id {
                *id = format!("{id}_head");
            }
            for response in head.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    response.content.clear();
                }
            }
        }
    }
}

/// The description as JSON, with the largest page that is configured.
pub(crate) fn text(sizes: Sizes) -> String {
    let mut description = Description::openapi();
    let most = usize::try_from(sizes.max.get()).unwrap_or(usize::MAX);
    let pages = description.paths.paths.get_mut("/v1/listings/{name}");
    for operation in pages
        .into_iter()
        .flat_map(|item| [&mut item.get, &mut item.head])
        .flatten()
    {
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter
                && matches!(&*parameter.name, "size" | "limit")
                && let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
            {
                schema.maximum = Some(most.into());
            }
        }
    }
    description.to_json().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        let description: serde_json::Value = serde_json::from_str(&text(crate::http::shared::sizes(24, 250))).unwrap();
        assert!(description["openapi"].as_str().unwrap().starts_with("3.1."));
        for (path, methods) in crate::http::routes::described() {
            for method in methods {
                let method = method.to_lowercase();
                assert!(description["paths"][path][&method].is_object(), "{method} {path}");
            }
        }
    }
}
