//! The body of a page, for the description. Nothing builds these types: [`body`](super::body) writes pages piece by piece.
#![allow(dead_code, reason = "described, not built")]

use std::{borrow::Cow, collections::HashMap};

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::facets::FacetDocument;
use crate::http::request::schema;

/// One page.
#[derive(ToSchema)]
#[schema(as = Page)]
pub(super) struct PageDocument {
    /// The listing's name.
    listing: String,
    /// The sort.
    sort: String,
    /// `asc` or `desc`.
    #[schema(schema_with = schema::order)]
    order: String,
    /// The snapshot that the page is from; null where it came straight from the origin, as Redis was away.
    #[schema(required = true)]
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
    #[schema(required = true)]
    page: Option<u64>,
    /// Pages of this limit.
    pages: u64,
    /// Path-absolute links.
    links: LinksDocument,
    /// The values of each filter that the parameter `facets` names, with counts. Absent where nothing is counted.
    #[schema(required = false)]
    facets: HashMap<String, FacetDocument<'static>>,
    /// The origin's JSON, byte for byte.
    items: Vec<ItemDocument>,
}

/// An item. `derive` cannot say of a struct that it has any members.
struct ItemDocument;

impl PartialSchema for ItemDocument {
    fn schema() -> RefOr<Schema> {
        let item = schema::open_object();
        let description = "An item, as the origin gave it: an object with any members.";
        RefOr::T(item.description(Some(description)).build().into())
    }
}

impl ToSchema for ItemDocument {
    fn name() -> Cow<'static, str> {
        "Item".into()
    }
}

/// The links of a page; null where there is nothing to lead to.
#[derive(ToSchema)]
#[schema(as = Links)]
pub(super) struct LinksDocument {
    /// This page, pinned.
    #[schema(rename = "self")]
    this: String,
    /// The first page, unpinned.
    first: String,
    /// The page before, pinned.
    #[schema(required = true)]
    prev: Option<String>,
    /// The page after, pinned.
    #[schema(required = true)]
    next: Option<String>,
    /// The last page, unpinned.
    #[schema(required = true)]
    last: Option<String>,
}
