//! The API's description, OpenAPI 3.1, from the annotations of the handlers and the types in
//! [`schema`](crate::http::request::schema).

use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document, RefOr, Schema,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{about, admin, events, ingest, inspect, ops};
use crate::http::{pages::page, request::query::Sizes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "listcache",
        description = "A paginated listing cache",
        contact(name = "The operator of this service"),
        license(name = "MIT", url = "https://opensource.org/license/mit")
    ),
    servers((url = "/", description = "This service")),
    paths(
        page::page_route,
        about::about,
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
        (name = "operations", description = "For operators"),
        (name = "pages", description = "For shop fronts"),
        (name = "writes", description = "For programs that feed the cache; they need the token"),
    ),
    modifiers(&BearerToken, &HeadOperations),
)]
struct ApiDescription;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, description: &mut Document) {
        let components = description.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// HEAD does all that GET does but send the body: so it has a name of its own and answers without content.
struct HeadOperations;

impl Modify for HeadOperations {
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
    let mut description = ApiDescription::openapi();
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
        let description: serde_json::Value = serde_json::from_str(&text(Sizes::new(24, 250))).unwrap();
        assert!(description["openapi"].as_str().unwrap().starts_with("3.1."));
        for (path, methods) in crate::http::routes::described() {
            for method in methods {
                let method = method.to_lowercase();
                assert!(description["paths"][path][&method].is_object(), "{method} {path}");
            }
        }
    }
}
