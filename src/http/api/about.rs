//! What a listing can be asked for: its sorts, variants, filters and sizes, for shop fronts that build their controls from it.

use std::time::Instant;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web::Data,
};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema, schema::ArrayBuilder},
};

use crate::{
    engine::{DeclaredParameters, Engine, EngineError, Form, PageRequest, Place},
    http::{
        pages::{facets::json_number, links, page::select},
        problem::{Problem, ProblemDocument},
        request::{
            name::Name,
            query::{PageQuery, Sizes},
            schema,
        },
    },
    listing::{
        Definition, Order,
        definition::Descending,
        filtering::{Each, FilterColumn, FilterKind},
    },
};

/// It changes with the configuration, and its total with the listing.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("max-age=5");

/// What a listing can be asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct About {
    /// The listing's name.
    pub listing: String,
    /// The current generation, of the sort and variants in the URL; null where there is nothing to serve yet.
    #[schema(required = true)]
    pub generation: Option<String>,
    /// Items of that.
    #[schema(required = true)]
    pub total: Option<u64>,
    /// Items a page.
    pub sizes: AboutSizes,
    /// The first is the default.
    pub sorts: Vec<AboutSort>,
    /// Each with its values.
    pub variants: Vec<AboutVariant>,
    /// By which its items can be filtered and counted.
    pub filters: Vec<AboutFilter>,
    /// The URL of its first page.
    pub first: String,
}

/// How many items a page may have.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AboutSizes {
    /// Where the URL says nothing.
    pub default: u32,
    /// At most.
    pub max: u32,
}

/// A sort.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AboutSort {
    /// Its name, for `sort`.
    pub name: String,
    /// The orders that it has, for `order`.
    #[schema(schema_with = orders)]
    pub orders: Vec<&'static str>,
}

/// A variant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AboutVariant {
    /// The parameter.
    pub parameter: String,
    /// Its values: the first is the default.
    pub values: Vec<String>,
}

/// A filter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AboutFilter {
    /// Its name, for `facets`.
    pub name: String,
    /// The parameter by which it is asked for.
    pub parameter: String,
    /// `values`, or `ranges` of numbers.
    #[schema(schema_with = kinds)]
    pub kind: &'static str,
    /// Whether an item may have several values.
    pub many: bool,
    /// Whether its values have labels.
    pub labels: bool,
    /// The numbers between which it is counted.
    #[schema(value_type = Vec<f64>)]
    pub steps: Vec<serde_json::Number>,
}

const VALUES: &str = "values";
const RANGES: &str = "ranges";

fn kinds() -> Schema {
    schema::one_of(
        "Values of which some are asked for, or numbers of which ranges are.",
        [VALUES, RANGES],
    )
}

fn orders() -> Schema {
    let orders = ArrayBuilder::new().items(RefOr::T(schema::order()));
    orders
        .description(Some("The orders that it has, for `order`."))
        .build()
        .into()
}

impl AboutSort {
    fn all(definition: &Definition) -> Vec<Self> {
        let sorts = definition.sorts.iter().map(|sort| Self {
            name: sort.name.to_string(),
            orders: match sort.desc {
                Descending::Refused => vec![Order::Asc.as_str()],
                Descending::Mirrored | Descending::Own(_) => vec![Order::Asc.as_str(), Order::Desc.as_str()],
            },
        });
        sorts.collect()
    }
}

impl AboutFilter {
    fn of(filter: &FilterColumn) -> Self {
        let (kind, many, labels, steps) = match &filter.kind {
            FilterKind::Values { each, label, .. } => (VALUES, *each != Each::One, label.is_some(), Vec::new()),
            FilterKind::Numbers { steps } => {
                let steps = steps.iter().filter_map(|step| json_number(*step));
                (RANGES, false, false, steps.collect())
            }
        };
        Self {
            name: filter.name.to_string(),
            parameter: filter.parameter(),
            kind,
            many,
            labels,
            steps,
        }
    }
}

/// What a listing can be asked for.
///
/// Its sorts with their orders, its variants with their values, its filters, how large pages may be, and how many items it has.
#[utoipa::path(
    method(get, head),
    path = "/v1/listings/{name}/about",
    operation_id = "getAbout",
    tag = "pages",
    params(schema::NameParameter, schema::ChoiceParameters),
    responses(
        (status = 200, description = "Sorts, variants, filters and sizes", body = About),
        (status = 400, description = "A bad name, or bad parameters", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such listing", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Nothing to serve yet, or overloaded", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn about(
    name: Name,
    request: HttpRequest,
    engine: Data<Engine>,
    sizes: Data<Sizes>,
) -> Result<HttpResponse, Problem> {
    let began = Instant::now();
    let resolved = engine.declaration.resolve(&name);
    let query = PageQuery::read(request.query_string(), &DeclaredParameters::of(&resolved), **sizes);
    let selection = select(&engine, resolved, &name, &query, began).await?;
    let place = Place::Offset {
        offset: 0,
        limit: sizes.default,
        pinned: None,
    };
    let of_page = PageRequest {
        selection: &selection,
        place: &place,
        form: Form::Plain,
        began: selection.made_at(began),
    };
    let found = match engine.pages.find_in_l1(of_page) {
        Some(meta) => Some(meta),
        None => match engine.pages.find(of_page).await {
            Ok(found) => Some(found.meta),
            // What can be asked for is known all the same.
            Err(EngineError::NothingYet { .. } | EngineError::RedisDown { .. } | EngineError::RedisRefuses { .. }) => {
                None
            }
            Err(error) => return Err(error.into()),
        },
    };
    let found = found.filter(|meta| !meta.is_direct());
    let definition = selection.definition();
    let about = About {
        listing: name.to_string(),
        generation: found.as_ref().map(|meta| meta.generation.to_string()),
        total: found.as_ref().map(|meta| meta.total),
        sizes: AboutSizes {
            default: sizes.default.get(),
            max: sizes.max.get(),
        },
        sorts: definition.map_or_else(
            || {
                vec![AboutSort {
                    name: selection.key.sort().to_string(),
                    orders: vec![Order::Asc.as_str(), Order::Desc.as_str()],
                }]
            },
            AboutSort::all,
        ),
        variants: definition.map_or_else(Vec::new, |definition| {
            let variants = definition.variants.iter().map(|variant| AboutVariant {
                parameter: variant.parameter.to_string(),
                values: variant.values.iter().map(ToString::to_string).collect(),
            });
            variants.collect()
        }),
        filters: selection.declared_filters.iter().map(AboutFilter::of).collect(),
        first: links::first(&selection),
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, CACHE_CONTROL))
        .json(about))
}
