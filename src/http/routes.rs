//! All URLs, in one table.
//!
//! Handlers take no extractor of the framework that can fail on input: names, queries, tokens and bodies are read by
//! [`name`](super::request::name), [`query`](super::request::query), [`auth`](super::request::auth) and [`ingest`](super::api::ingest), whose errors are
//! problems already. So there is nothing here to turn plain-text errors of the framework into problems, except for what
//! matches no route or no method.

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, ResponseError, guard,
    http::{
        Method,
        header::{self, HeaderName},
    },
    web,
};

use super::{
    api::{about, admin, changes, description, events, hooks::post, ingest, inspect, items, ops},
    pages::page,
    problem::{Kind, Problem},
    storefront::{self, Storefront},
};

/// The routes of a socket.
#[derive(Clone)]
pub(super) struct Reach {
    /// Pages, events and webhooks.
    pub pages: bool,
    /// Token routes and metrics.
    pub admin: bool,
    /// Lookups of items without the token.
    pub items: bool,
    /// The sample storefront.
    pub storefront: Option<web::Data<Storefront>>,
}

/// Registers all routes that a socket serves.
pub(super) fn register(service: &mut web::ServiceConfig, reach: &Reach) {
    let mut list = Methods::at("/v1/listings");
    let mut listing = Methods::at("/v1/listings/{name}");
    let mut about_route = Methods::at("/v1/listings/{name}/about");
    let mut events = Methods::at("/v1/listings/{name}/events");
    let mut refresh = Methods::at("/v1/listings/{name}/refresh");
    let mut explain = Methods::at("/v1/listings/{name}/explain");
    let mut item = Methods::at("/v1/items/{id}");
    let mut tell = Methods::at("/v1/changes");
    let mut outcome = Methods::at("/v1/changes/{token}");
    let mut hook = Methods::at("/v1/hooks/{hook}");
    let mut metrics = Methods::at("/metrics");
    let mut others = vec![
        Methods::at("/health/live").get(ops::live),
        Methods::at("/health/ready").get(ops::ready),
        Methods::at("/openapi.json").get(description::description),
    ];
    if reach.pages {
        listing = listing.get(page::page_route);
        about_route = about_route.get(about::about);
        // No HEAD: it would be a subscription that is never read.
        events = events.only(Method::GET, events::follow);
        hook = hook.only(Method::POST, post::post_hook);
    }
    if reach.admin {
        list = list.get(inspect::list);
        listing = listing
            .only(Method::PUT, ingest::put)
            .only(Method::DELETE, admin::delete);
        refresh = refresh.only(Method::POST, admin::refresh);
        explain = explain.get(inspect::explain);
        tell = tell.only(Method::POST, changes::post_changes);
        outcome = outcome.get(changes::get_changes);
        metrics = metrics.get(ops::metrics);
    }
    if reach.items {
        item = item.get(items::public_item);
    } else if reach.admin {
        item = item.get(items::item);
    }
    if let Some(storefront) = &reach.storefront {
        service.app_data(storefront.clone());
        others.push(Methods::at("/").get(storefront::front));
        others.push(Methods::at("/storefront/{file}").get(storefront::file));
        others.push(Methods::at("/demo/categories").get(storefront::categories));
        others.push(Methods::at("/demo/price").only(Method::POST, storefront::price));
    }
    others.extend([
        list,
        about_route,
        events,
        refresh,
        explain,
        item,
        tell,
        outcome,
        hook,
        metrics,
    ]);
    // The router asks one after the other, and pages are nearly all that is asked for.
    for methods in std::iter::once(listing).chain(others) {
        methods.register(service);
    }
    service.default_service(web::to(unknown_route));
}

async fn unknown_route() -> HttpResponse {
    Problem::new(Kind::UNKNOWN_ROUTE).error_response()
}

/// Web pages of other origins may read. A write carries the token, which no page of a shop should hold.
const CROSS_ORIGIN_METHODS: &str = "GET, HEAD, OPTIONS";
const CROSS_ORIGIN_HEADERS: &str = "Cache-Control, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since, Last-Event-ID, X-Request-Id";
const PREFLIGHT_MAX_AGE: &str = "86400";

/// A path with its methods.
struct Methods {
    path: &'static str,
    resource: Resource,
    allowed: Vec<&'static str>,
}

impl Methods {
    fn at(path: &'static str) -> Self {
        Self {
            path,
            resource: web::resource(path),
            allowed: Vec::new(),
        }
    }

    /// GET, and HEAD, which does all that GET does; the body is left out as it goes out.
    fn get<F, Args>(mut self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let get_or_head = guard::Any(guard::Get()).or(guard::Head());
        self.resource = self.resource.route(web::route().guard(get_or_head).to(handler));
        self.allowed.extend(["GET", "HEAD"]);
        self
    }

    fn only<F, Args>(mut self, method: Method, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let name = match method {
            Method::GET => "GET",
            Method::PUT => "PUT",
            Method::POST => "POST",
            _ => "DELETE",
        };
        self.resource = self.resource.route(web::method(method).to(handler));
        self.allowed.push(name);
        self
    }

    /// With OPTIONS, and 405 for what is left. A path without methods is unknown.
    fn register(mut self, service: &mut web::ServiceConfig) {
        if self.allowed.is_empty() {
            return;
        }
        self.allowed.push("OPTIONS");
        let allow = self.allowed.join(", ");
        let is_shared_across_origins = self.path.starts_with("/v1/");
        let options = {
            let allow = allow.clone();
            move |request: HttpRequest| std::future::ready(options(&request, &allow, is_shared_across_origins))
        };
        let others = move || std::future::ready(method_not_allowed(&allow));
        service.service(
            self.resource
                .route(web::method(Method::OPTIONS).to(options))
                .default_service(web::to(others)),
        );
    }
}

fn options(request: &HttpRequest, allow: &str, is_shared_across_origins: bool) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::ALLOW, allow));
    // These stand in answers to preflights only (Fetch, 3.3.3).
    let asks = |name: HeaderName| request.headers().contains_key(name);
    if is_shared_across_origins && asks(header::ORIGIN) && asks(header::ACCESS_CONTROL_REQUEST_METHOD) {
        response
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, CROSS_ORIGIN_METHODS))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, CROSS_ORIGIN_HEADERS))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE));
    }
    response.finish()
}

fn method_not_allowed(allow: &str) -> HttpResponse {
    Problem::new(Kind::METHOD_NOT_ALLOWED)
        .detail(format!("allowed: {allow}"))
        .header(header::ALLOW, allow)
        .error_response()
}

/// Paths and methods of the API, for the test that holds them against its description.
#[cfg(test)]
pub(super) fn described() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("/v1/listings", &["GET", "HEAD"]),
        ("/v1/listings/{name}", &["GET", "HEAD", "PUT", "DELETE"]),
        ("/v1/listings/{name}/about", &["GET", "HEAD"]),
        ("/v1/listings/{name}/events", &["GET"]),
        ("/v1/listings/{name}/refresh", &["POST"]),
        ("/v1/listings/{name}/explain", &["GET", "HEAD"]),
        ("/v1/items/{id}", &["GET", "HEAD"]),
        ("/v1/changes", &["POST"]),
        ("/v1/changes/{token}", &["GET", "HEAD"]),
        ("/v1/hooks/{hook}", &["POST"]),
        ("/health/live", &["GET", "HEAD"]),
        ("/health/ready", &["GET", "HEAD"]),
        ("/metrics", &["GET", "HEAD"]),
        ("/openapi.json", &["GET", "HEAD"]),
    ]
}

#[cfg(test)]
mod tests;
