//! Parameters and documents of the API, for its description.
//!
//! Nothing builds these types. [`query`](super::query) reads the parameters by hand, [`ingest`](crate::http::api::ingest) the
//! pushed items, and [`body`](crate::http::pages::body) writes the pages.
#![allow(dead_code, reason = "described, not built")]

use utoipa::{
    IntoParams, ToSchema,
    openapi::{Object, Schema, Type, schema::SchemaType},
};

use crate::listing::ItemId;

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

/// Which page. Declared variants, and filters as `f.<name>`, are further parameters: `GET /v1/listings/{name}/about` lists them.
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
    /// Names of filters, with commas between them, whose values are to be counted.
    #[param(pattern = "^[a-z_][a-z0-9_]*(,[a-z_][a-z0-9_]*)*$")]
    facets: Option<String>,
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
    /// Items in the listing, or those that the filters select.
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
    /// For each filter that `facets` names: `values`, each with its `value`, `label`, `count` and whether it is `selected`, and how many `more`
    /// there are; or of ranges `min`, `max`, `count` and `steps`, each with its `range` and `count`. Absent where nothing is counted.
    #[schema(value_type = Option<Object>)]
    facets: Option<serde_json::Value>,
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
