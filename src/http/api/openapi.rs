//! The API's description, OpenAPI 3.1, from the annotations of the handlers, the types in [`schema`](crate::http::request::schema),
//! and the configuration that is in use.
//!
//! [`declared`] makes parameters of the definitions, and [`examples`] has an example for each operation. Names of operations are camelCase:
//! clients are generated from them, so a name stays once it was released.

mod declared;
mod examples;

use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document, Ref, RefOr, Schema,
        path::{Operation, Parameter, PathItem},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use self::declared::ConfiguredParameters;
use super::{about, admin, changes, description, events, hooks::post, ingest, inspect, items, ops};
use crate::{
    http::{pages::page, request::query::Sizes},
    listing::Definitions,
};

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
        changes::post_changes,
        changes::get_changes,
        post::post_hook,
        items::item,
        inspect::list,
        inspect::explain,
        ops::live,
        ops::ready,
        ops::metrics,
        description::description,
    ),
    tags(
        (name = "hooks", description = "For other programs that send webhooks; they sign them"),
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
                *id = id.replacen("get", "head", 1);
            }
            for response in head.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    response.content.clear();
                }
            }
        }
    }
}

const PAGE: &str = "/v1/listings/{name}";
/// The operations that read a listing: each takes a sort and variants.
const READS: [&str; 3] = [PAGE, "/v1/listings/{name}/about", "/v1/listings/{name}/explain"];

/// The description as JSON, with the largest page that is configured and the parameters of all definitions.
pub(crate) fn text(sizes: Sizes, definitions: &Definitions) -> String {
    let mut description = ApiDescription::openapi();
    add_sizes(&mut description, sizes);
    add_declared(&mut description, ConfiguredParameters::of(definitions));
    examples::add(&mut description, definitions);
    description.to_json().unwrap_or_default()
}

/// GET and HEAD of a path.
fn reads_of<'d>(description: &'d mut Document, path: &str) -> impl Iterator<Item = &'d mut Operation> {
    let item = description.paths.paths.get_mut(path).into_iter();
    item.flat_map(|PathItem { get, head, .. }| [get, head]).flatten()
}

fn add_sizes(description: &mut Document, sizes: Sizes) {
    let most = usize::try_from(sizes.max.get()).unwrap_or(usize::MAX);
    for operation in reads_of(description, PAGE) {
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter
                && matches!(&*parameter.name, "size" | "limit")
                && let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
            {
                schema.maximum = Some(most.into());
            }
        }
    }
}

/// Each parameter once among the components, and a reference to it wherever it is taken.
fn add_declared(description: &mut Document, declared: ConfiguredParameters) {
    let reference = |parameter: &Parameter| RefOr::Ref(Ref::new(format!("#/components/parameters/{}", parameter.name)));
    for path in READS {
        for operation in reads_of(description, path) {
            let parameters = operation.parameters.get_or_insert_default();
            let is_sort =
                |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(parameter) if parameter.name == "sort");
            parameters.retain(|parameter| !is_sort(parameter));
            parameters.push(reference(&declared.sort));
            parameters.extend(declared.variants.iter().map(reference));
            if path == PAGE {
                parameters.extend(declared.filters.iter().map(reference));
                if declared.left_out > 0 {
                    let text = operation.description.get_or_insert_default();
                    text.push_str(&format!(
                        "\n\n{} more declared parameters have no room in this description: `{}` lists those of a listing.",
                        declared.left_out, READS[1]
                    ));
                }
            }
        }
    }
    let components = description.components.get_or_insert_default();
    let all = [declared.sort]
        .into_iter()
        .chain(declared.variants)
        .chain(declared.filters);
    let all = all.map(|parameter| (parameter.name.clone(), RefOr::T(parameter)));
    components.parameters.extend(all);
}

#[cfg(test)]
mod tests;
