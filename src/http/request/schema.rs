//! Parameters of the API and the items that are pushed, for its description.
//!
//! Nothing builds these types. [`query`](super::query) reads the parameters by hand, and [`ingest`](crate::http::api::ingest) the
//! pushed items. [`openapi`](crate::http::api::openapi) adds the parameters that the configuration declares.
#![allow(dead_code, reason = "described, not built")]

use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        Array, Object, OneOf, RefOr, Schema, Type,
        schema::{AdditionalProperties, ObjectBuilder, SchemaType},
    },
};

use crate::listing::{ItemId, Order};

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
    #[param(inline)]
    order: Option<AskedOrder>,
}

/// Which page. Declared variants, filters and `facets` are added when the description is written.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParameters {
    /// A declared sort; without it the default one.
    #[param(pattern = "^[a-z0-9_-]{1,32}$")]
    sort: Option<String>,
    /// `asc` or `desc`. Not beside `cursor`.
    #[param(inline)]
    order: Option<AskedOrder>,
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

#[derive(ToSchema)]
#[schema(rename_all = "lowercase", default = "asc")]
enum AskedOrder {
    Asc,
    Desc,
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

/// Whether a request waits.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitParameter {
    /// Answer when the changes are worked off, or after 30 seconds.
    #[param(default = false)]
    wait: Option<bool>,
}

/// `{id}` in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ItemParameter {
    /// 1 to 256 bytes of UTF-8, percent-encoded as one segment.
    #[param(min_length = 1, max_length = 256, pattern = r"^(?!\.{1,2}$)[^\x00-\x1F\x7F-\x9F]+$")]
    id: String,
}

/// `{hook}` in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct HookParameter {
    /// A hook that the configuration declares.
    #[param(min_length = 1, max_length = 32, pattern = "^[a-z0-9_]+$")]
    hook: String,
}

/// `{token}` in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ChangeTokenParameter {
    /// From the answer to `POST /v1/changes`.
    #[param(pattern = "^[0-9a-f]{32}$")]
    token: String,
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

/// An item that is pushed. `derive` cannot say of a struct that it has further members.
pub(crate) struct PushedItem;

impl PartialSchema for PushedItem {
    fn schema() -> RefOr<Schema> {
        let item = open_object().property("id", item_id()).required("id");
        let description = "An item that is pushed: an object with an id, and whatever else it has.";
        RefOr::T(item.description(Some(description)).build().into())
    }
}

impl ToSchema for PushedItem {}

/// A change in one of its three forms, which `derive` cannot tell.
struct ChangeDocument;

impl PartialSchema for ChangeDocument {
    fn schema() -> RefOr<Schema> {
        let text = || {
            Object::builder()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(256))
        };
        let name = text().pattern(Some(r"^(?!\.{1,2}$)[^\x00-\x1F\x7F-\x9F]+$"));
        let names = Array::builder().items(name).max_items(Some(1000));
        let names = names
            .description(Some("Only listings of these names are concerned."))
            .build();
        let variants = Object::builder().schema_type(Type::Object);
        let value = Object::builder().schema_type(Type::String).build();
        let variants = variants.additional_properties(Some(RefOr::T(Schema::Object(value))));
        let variants = variants
            .description(Some("Only families with these choices are concerned."))
            .build();
        let closed = || {
            Object::builder()
                .schema_type(Type::Object)
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        };
        let of_item = || {
            let item = closed().property("id", item_id()).required("id");
            item.property("names", names.clone())
                .property("variants", variants.clone())
        };
        let only = |is: bool| Object::builder().schema_type(Type::Boolean).enum_values(Some([is]));
        let seconds = |description: &str| {
            let seconds = Object::builder().schema_type(Type::Integer).minimum(Some(1));
            seconds.maximum(Some(2_678_400)).description(Some(description))
        };
        let gone = of_item()
            .property("gone", only(true))
            .required("gone")
            .property("gone_for", seconds("In seconds; an hour if it is absent."));
        let recall = closed()
            .property("id", item_id())
            .property("gone", only(true))
            .property("recall", only(true))
            .property("gone_for", seconds("In seconds; 31 days if it is absent."));
        let recall = ["id", "gone", "recall"]
            .into_iter()
            .fold(recall, ObjectBuilder::required);
        let glob = text().pattern(Some(r"^[^\x00-\x1F\x7F-\x9F\[\]{}\\!?]+$"));
        let listings = closed()
            .property("listings", glob)
            .required("listings")
            .property("variants", variants.clone());
        let forms = OneOf::builder()
            .item(
                of_item()
                    .property("gone", only(false))
                    .description(Some("An item has changed; with `gone` its recall ends too.")),
            )
            .item(gone.description(Some("An item is gone, whatever the origin says.")))
            .item(recall.description(Some(
                "An item is recalled: nothing that had it can be read or gone back to any more.",
            )))
            .item(listings.description(Some(
                "All listings whose names fit a glob have changed, as after a price rule.",
            )));
        RefOr::T(forms.title(Some("Change")).build().into())
    }
}

/// Changes that are told together: one at least.
pub(crate) struct ChangeDocuments;

impl PartialSchema for ChangeDocuments {
    fn schema() -> RefOr<Schema> {
        let changes = Array::builder().items(ChangeDocument::schema());
        RefOr::T(changes.min_items(Some(1)).build().into())
    }
}

impl ToSchema for ChangeDocuments {}

/// An object that may have any members.
pub(crate) fn open_object() -> ObjectBuilder {
    let object = Object::builder().schema_type(Type::Object);
    object.additional_properties(Some(AdditionalProperties::FreeForm(true)))
}

fn item_id() -> Schema {
    let types = SchemaType::from_iter([Type::String, Type::Integer]);
    let id = Object::builder().schema_type(types).min_length(Some(1));
    let id = id.max_length(Some(ItemId::BYTES_MAX));
    let id = id.description(Some(
        "A text of 1 to 256 bytes, or an integer; under another name with `id_field`.",
    ));
    id.minimum(Some(isize::MIN)).maximum(Some(usize::MAX)).build().into()
}

/// A text that is one of these words.
pub(crate) fn one_of(description: &str, words: impl IntoIterator<Item = &'static str>) -> Schema {
    let word = Object::builder().schema_type(Type::String).enum_values(Some(words));
    word.description(Some(description)).build().into()
}

/// An order in an answer.
pub(crate) fn order() -> Schema {
    one_of("The order.", [Order::Asc, Order::Desc].map(Order::as_str))
}
