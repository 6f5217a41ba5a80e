//! An example for each operation: its parameters, and a good answer.

use serde_json::{Value, json};
use utoipa::openapi::{
    OpenApi as Document, RefOr,
    path::{Operation, ParameterBuilder, PathItem},
};

use crate::{
    http::pages::links::LISTINGS,
    listing::{Definition, Definitions, ListingName, SortName, definition::Names, name::encode_query_value},
};

const GENERATION: &str = "1795291200123456-9f1c02ab";
const TOKEN: &str = "6f1c02ab6f1c02ab6f1c02ab6f1c02ab";
const TIME: &str = "2026-11-22T00:13:48.447Z";
/// Cut: only the store spells keys.
const KEY_IN_REDIS: &str = "listcache:2:{14vy}:…";
/// A listing where the configuration names none.
const NAME: &str = "category:BREAD";

/// Adds the examples to all operations. HEAD has those of the parameters.
pub(super) fn add(description: &mut Document, definitions: &Definitions) {
    let listing = ExampleListing::of(definitions);
    for item in description.paths.paths.values_mut() {
        let PathItem {
            get,
            head,
            put,
            post,
            delete,
            ..
        } = item;
        for operation in [get, head, put, post, delete].into_iter().flatten() {
            add_parameters(operation, &listing.name);
            add_bodies(operation, &listing);
        }
    }
}

fn add_parameters(operation: &mut Operation, name: &str) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        let example = match &*parameter.name {
            "name" => json!(name),
            "size" => json!(2),
            "token" => json!(TOKEN),
            "id" => json!("7"),
            "hook" => json!("shop"),
            "wait" => json!(true),
            "prefix" => json!("category:"),
            _ => continue,
        };
        let built = ParameterBuilder::from(std::mem::take(parameter));
        *parameter = built.example(Some(example)).build();
    }
}

fn add_bodies(operation: &mut Operation, listing: &ExampleListing) {
    let example = operation.operation_id.as_deref().and_then(|id| listing.answer(id));
    let (one, many) = match operation.operation_id.as_deref() {
        Some("postChanges") => (json!({"id": 7}), json!([{"id": 7}])),
        Some("postHook") => (json!({"id": 7}), json!({"id": 7})),
        _ => (bread(), json!([bread()])),
    };
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        for (media_type, content) in &mut body.content {
            if let RefOr::T(content) = content {
                content.example = Some(match &**media_type {
                    "application/json" => many.clone(),
                    _ => json!(format!("{one}\n")),
                });
            }
        }
    }
    for status in ["200", "201"] {
        let Some(RefOr::T(response)) = operation.responses.responses.get_mut(status) else {
            continue;
        };
        for content in response.content.values_mut() {
            if let RefOr::T(content) = content {
                content.example.clone_from(&example);
            }
        }
    }
}

fn bread() -> Value {
    json!({"id": 7, "name": "Rye bread", "price_cents": 349})
}

/// A listing that the configuration declares, as far as it names one.
struct ExampleListing {
    name: String,
    sort: String,
    /// Variants in a query, with `&` before each.
    variants: String,
}

impl ExampleListing {
    fn of(definitions: &Definitions) -> Self {
        let mut named = definitions.defined.iter();
        let named = named.find_map(|definition| Some((definition, name_of(definition)?)));
        let Some((definition, name)) = named else {
            return Self {
                name: NAME.to_owned(),
                sort: SortName::DEFAULT.to_owned(),
                variants: String::new(),
            };
        };
        let defaults = definition.variants.iter();
        let defaults = defaults.filter_map(|variant| Some((&variant.parameter, variant.values.first()?)));
        Self {
            name,
            sort: definition
                .sorts
                .first()
                .map_or(SortName::DEFAULT, |sort| sort.name.as_str())
                .to_owned(),
            variants: defaults
                .map(|(parameter, value)| format!("&{parameter}={}", encode_query_value(value)))
                .collect(),
        }
    }

    fn encoded(&self) -> String {
        let name = ListingName::parse(&self.name);
        name.map_or_else(|_| NAME.to_owned(), |name| name.encoded().into_owned())
    }

    fn key(&self) -> String {
        format!(
            "{}/{}{}",
            self.encoded(),
            self.sort,
            self.variants.replacen('&', "?", 1)
        )
    }

    /// The answer to an operation, by its name.
    fn answer(&self, operation: &str) -> Option<Value> {
        let Self { name, sort, .. } = self;
        let key = self.key();
        let answer = match operation {
            "getPage" => self.page(),
            "getAbout" => json!({
                "listing": name, "generation": GENERATION, "total": 269, "sizes": {"default": 24, "max": 250},
                "sorts": [{"name": sort, "orders": ["asc", "desc"]}],
                "variants": [{"parameter": "currency", "values": ["EUR", "USD"]}],
                "filters": [{"name": "brand", "parameter": "f.brand", "kind": "values", "many": false, "labels": false, "steps": []}],
                "first": format!("{LISTINGS}/{}", self.encoded()),
            }),
            "followListing" => json!({
                "event": "published", "id": GENERATION,
                "data": json!({"listing": name, "sort": sort, "generation": GENERATION, "total": 269}).to_string(),
            }),
            "putListing" => json!({"listing": name, "sort": "default", "generation": GENERATION, "total": 1}),
            "refreshListing" => json!({
                "listing": name, "state": "refreshed", "generation": GENERATION, "total": 269,
                "refreshed": [{"key": key, "sort": sort, "order": "asc", "generation": GENERATION, "total": 269}],
            }),
            "postChanges" | "getChanges" => json!({
                "change": TOKEN, "state": "done", "changes": 1, "families": 3, "published": 3, "unchanged": 0, "refreshed": 0, "failed": {},
            }),
            "getItem" => json!({
                "id": "7", "truncated": false,
                "listings": [{
                    "listing": name, "sort": sort, "order": "asc", "variants": {}, "generation": GENERATION, "total": 269, "position": 26,
                    "page": 2, "url": format!("{LISTINGS}/{}?sort={sort}&page=2&size=24", self.encoded()), "previous": "6", "next": "9",
                }],
            }),
            "getListings" => json!({
                "listings": [{
                    "listing": name, "sort": sort, "key": key, "generation": GENERATION, "total": 269, "age_ms": 37550,
                    "state": "fresh",
                }],
                "next": null,
            }),
            "getExplanation" => json!({
                "listing": name, "sort": sort, "head_key": KEY_IN_REDIS, "stream_key": KEY_IN_REDIS, "generation": GENERATION, "total": 269,
                "chunk_len": 12, "chunks": 23, "bytes": 7324, "sidecar_bytes": 344, "codec": "packed", "state": "fresh",
                "fresh_until": TIME, "lease": null, "next_refresh": TIME, "last_error": null,
                "l1": {"generation": GENERATION, "age_ms": 232, "servable": true, "agrees": true},
            }),
            "getLiveness" => json!({"status": "live"}),
            "getReadiness" => json!({"status": "ready"}),
            "getMetrics" => {
                json!("# TYPE listcache_l1_inconsistent counter\nlistcache_l1_inconsistent_total 0\n# EOF\n")
            }
            "getDescription" => {
                json!({"openapi": "3.1.0", "info": {"title": "listcache", "version": "0.1.0"}, "paths": {}})
            }
            _ => return None,
        };
        Some(answer)
    }

    fn page(&self) -> Value {
        let first = format!("{LISTINGS}/{}?sort={}{}", self.encoded(), self.sort, self.variants);
        let (first, cursor) = (format!("{first}&offset=0&limit=2"), format!("{first}&cursor=AQAAAAAB"));
        json!({
            "listing": self.name, "sort": self.sort, "order": "asc", "generation": GENERATION,
            "total": 1, "offset": 0, "limit": 2, "count": 1, "page": 1, "pages": 1,
            "links": {"self": cursor, "first": first, "prev": null, "next": null, "last": first},
            "items": [bread()],
        })
    }
}

/// A name that a definition fills, if the configuration says one.
fn name_of(definition: &Definition) -> Option<String> {
    let values = match &definition.names {
        Some(Names::List(names)) => names.iter().take(1).collect(),
        _ => Vec::new(),
    };
    definition.pattern.fill(&values)
}
