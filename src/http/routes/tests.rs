//! Answers of the routes that do not need the engine.

use std::sync::Arc;

use actix_web::{
    App,
    body::to_bytes,
    dev::ServiceResponse,
    http::{Method, StatusCode},
    middleware::from_fn,
    test,
    web::Data,
};

use super::*;
use crate::{
    config::Secret,
    http::{
        api::{configuration::ConfigurationState, description::Description, ingest::BodyLimits, readiness::Readiness},
        edge::{Edge, URI_BYTES_MAX, edge},
        request::{auth::Auth, query::Sizes},
    },
    telemetry::Metrics,
};

fn parts(service: &mut web::ServiceConfig) {
    let metrics = Arc::new(Metrics::new());
    service
        .app_data(Data::new(Edge {
            access_log: false,
            says_private: false,
            metrics: metrics.clone(),
        }))
        .app_data(Data::from(metrics))
        .app_data(Data::new(Sizes::new(24, 250)))
        .app_data(Data::new(Auth {
            token: Some(Secret::new("right".to_owned())),
        }))
        .app_data(Data::new(BodyLimits {
            bytes_max: 1000,
            item_bytes_max: 100,
        }))
        .app_data(Data::new(Description::new(|| 0, || "{}".to_owned())))
        .app_data(Data::new(Readiness::default()))
        .app_data(Data::new(ConfigurationState::default()));
}

const ALL: Reach = Reach {
    pages: true,
    admin: true,
    items: false,
    storefront: None,
};

struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name);
        let value = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} stands once");
        value
    }

    fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status.as_u16());
        body["code"].as_str().unwrap().to_owned()
    }
}

async fn ask(reach: &Reach, method: Method, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let app = App::new()
        .wrap(from_fn(edge))
        .configure(parts)
        .configure(|service| register(service, reach));
    let service = test::init_service(app).await;
    let mut request = test::TestRequest::default().method(method).uri(uri);
    for header in headers {
        request = request.insert_header(*header);
    }
    let response: ServiceResponse<_> = test::call_service(&service, request.to_request()).await;
    let answer = Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: String::from_utf8(to_bytes(response.into_body()).await.ok().unwrap().to_vec()).unwrap(),
    };
    assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    answer
}

#[tokio::test]
async fn an_unknown_path_is_a_problem() {
    for path in [
        "/",
        "/v1",
        "/v1/listings/",
        "/v1/listings/a/b",
        "/v1/listings/a/events/",
        "/dashboard",
    ] {
        let answer = ask(&ALL, Method::GET, path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.code(), "unknown-route");
    }
}

#[tokio::test]
async fn a_wrong_method_hears_which_are_right() {
    for (method, path, allow) in [
        (Method::POST, "/v1/listings/a", "GET, HEAD, PUT, DELETE, OPTIONS"),
        (Method::PATCH, "/v1/listings/a", "GET, HEAD, PUT, DELETE, OPTIONS"),
        (Method::HEAD, "/v1/listings/a/events", "GET, OPTIONS"),
        (Method::GET, "/v1/listings/a/refresh", "POST, OPTIONS"),
        (Method::GET, "/v1/hooks/shop", "POST, OPTIONS"),
        (Method::POST, "/metrics", "GET, HEAD, OPTIONS"),
    ] {
        let answer = ask(&ALL, method, path, &[]).await;
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.code(), "method-not-allowed");
        assert_eq!(answer.header("allow"), Some(allow));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("cache-status"), None);
    }
}

#[tokio::test]
async fn only_a_preflight_hears_what_other_origins_may_do() {
    for headers in [&[][..], &[("origin", "https://shop.example")]] {
        let answer = ask(&ALL, Method::OPTIONS, "/v1/listings/a", headers).await;
        assert_eq!(answer.header("allow"), Some("GET, HEAD, PUT, DELETE, OPTIONS"));
        assert_eq!(answer.header("access-control-allow-methods"), None);
    }
}

#[tokio::test]
async fn a_preflight_allows_reading_only() {
    let answer = ask(
        &ALL,
        Method::OPTIONS,
        "/v1/listings/a%2Fb",
        &[
            ("origin", "https://shop.example"),
            ("access-control-request-method", "GET"),
        ],
    )
    .await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("allow"), Some("GET, HEAD, PUT, DELETE, OPTIONS"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET, HEAD, OPTIONS")
    );
    assert!(answer.header("access-control-max-age").is_some());
    assert!(
        !answer
            .header("access-control-allow-headers")
            .unwrap()
            .contains("Authorization")
    );
    assert_eq!(answer.body, "");
}

#[tokio::test]
async fn strangers_hear_nothing_but_401() {
    for (method, path) in [
        (Method::PUT, "/v1/listings/%FF"),
        (Method::DELETE, "/v1/listings/a"),
        (Method::POST, "/v1/listings/a/refresh"),
        (Method::GET, "/v1/listings"),
        (Method::GET, "/v1/listings/a/explain"),
    ] {
        for headers in [&[][..], &[("authorization", "Bearer wrong")]] {
            let answer = ask(&ALL, method.clone(), path, headers).await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.code(), "unauthorized");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        }
    }
}

#[tokio::test]
async fn a_bad_name_is_a_problem_for_whoever_may_ask() {
    for path in [
        "/v1/listings/%FF",
        "/v1/listings/%zz",
        "/v1/listings/%2E%2E",
        "/v1/listings/a%0Ab",
    ] {
        let answer = ask(&ALL, Method::GET, path, &[]).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "bad-name"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("max-age=60"));
    }
    let headers = [("authorization", "Bearer right")];
    let answer = ask(&ALL, Method::DELETE, "/v1/listings/%FF", &headers).await;
    assert_eq!(answer.code(), "bad-name");
}

#[tokio::test]
async fn with_an_admin_socket_the_public_one_has_no_writes() {
    let public = Reach { admin: false, ..ALL };
    let answer = ask(&public, Method::PUT, "/v1/listings/a", &[]).await;
    assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
    for path in [
        "/metrics",
        "/v1/listings",
        "/v1/listings/a/refresh",
        "/v1/listings/a/explain",
    ] {
        assert_eq!(
            ask(&public, Method::GET, path, &[]).await.code(),
            "unknown-route",
            "{path}"
        );
    }
    let admin = Reach { pages: false, ..ALL };
    let answer = ask(&admin, Method::GET, "/v1/listings/a", &[]).await;
    assert_eq!(answer.header("allow"), Some("PUT, DELETE, OPTIONS"));
    let hook = ask(&admin, Method::POST, "/v1/hooks/shop", &[]).await;
    assert_eq!(hook.code(), "unknown-route");
    for path in ["/metrics", "/openapi.json", "/health/live"] {
        assert_eq!(ask(&admin, Method::GET, path, &[]).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_long_url_is_refused_before_it_is_read() {
    let uri = format!("/v1/listings/a?utm={}", "x".repeat(URI_BYTES_MAX));
    let answer = ask(&ALL, Method::GET, &uri, &[]).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (414, "uri-too-long"));
}

#[tokio::test]
async fn the_api_describes_itself_and_its_metrics() {
    let answer = ask(&ALL, Method::GET, "/openapi.json", &[]).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let answer = ask(&ALL, Method::GET, "/metrics", &[]).await;
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text; version=1.0.0")
    );
    assert!(answer.body.contains("listcache_server_errors_total 0"));
}
