//! The sample storefront, in the demo only: its page, and what the page needs beyond the API.

mod assets;
mod menu;
mod plain;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderMap},
    },
    web::{Data, Payload},
};
use futures_util::{StreamExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64;

use self::{
    assets::{ASSETS, CONTENT_SECURITY_POLICY, HTML, INDEX, PLAIN},
    menu::{menu, totals},
};
use super::{
    api::answer,
    pages::envelope::Envelopes,
    problem::{Kind, Problem},
    request::{
        conditional::Conditions,
        query::{Query, Sizes},
    },
};
use crate::{engine::Engine, listing::ListingName};

/// Changes a product's price, given its id and the price in cents, in the shop's database, and waits until its category shows it. `None`
/// where there is no such product.
pub type ChangePrice = Arc<dyn Fn(i64, i64) -> BoxFuture<'static, Result<Option<ChangedPrice>, String>> + Send + Sync>;

/// A price that was changed.
#[derive(Clone, Debug)]
pub struct ChangedPrice {
    /// The listing that shows it.
    pub listing: ListingName,
    /// From the change of the database until the listing showed it; `None` where that was not seen.
    pub took: Option<Duration>,
    /// Rows of changed products that were read from the database meanwhile.
    pub rows_read: u64,
}

/// The storefront's way to change the shop.
#[derive(Clone)]
pub struct Storefront {
    /// The control that changes a price.
    pub change_price: ChangePrice,
}

impl fmt::Debug for Storefront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Storefront")
    }
}

/// `GET /`: the page, with what it shows without JavaScript.
pub(super) async fn front(
    request: HttpRequest,
    engine: Data<Engine>,
    sizes: Data<Sizes>,
    envelopes: Data<Envelopes>,
) -> Result<HttpResponse, Problem> {
    // Whatever is away, the page itself is there.
    let totals = totals(&engine).await.unwrap_or_default();
    let plain = plain::render(request.query_string(), &menu(&totals), &engine, **sizes, &envelopes).await;
    Ok(file_of(&request, HTML, INDEX.replacen(PLAIN, &plain, 1)))
}

/// `GET /storefront/{file}`: the files as they are.
pub(super) async fn file(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (_, content_type, text) = ASSETS
        .iter()
        .find(|(path, ..)| *path == request.path())
        .ok_or_else(|| Problem::new(Kind::UNKNOWN_ROUTE))?;
    Ok(file_of(&request, content_type, *text))
}

fn file_of(request: &HttpRequest, content_type: &'static str, text: impl Into<Cow<'static, str>>) -> HttpResponse {
    let text = text.into();
    let etag = format!("\"{:016x}\"", xxh3_64(text.as_bytes()));
    let is_known = Conditions::of(request.headers()).not_modified(&etag, None);
    let mut response = if is_known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((header::ETAG, etag))
        // Asked again each time, so that a new release is seen at once.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .insert_header((header::REFERRER_POLICY, "same-origin"));
    if is_known {
        return response.finish();
    }
    response.content_type(content_type).body(text.into_owned())
}

/// `GET /demo/categories`: names with their totals, by label.
pub(super) async fn categories(engine: Data<Engine>) -> Result<HttpResponse, Problem> {
    Ok(answer::private(StatusCode::OK, &menu(&totals(&engine).await?)))
}

/// A price to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Price {
    id: i64,
    price_cents: i64,
}

#[derive(Debug, Serialize)]
struct PriceChanged {
    id: i64,
    price_cents: i64,
    /// The listing that shows it.
    listing: String,
    /// From the change of the database until the listing showed it.
    milliseconds: Option<u128>,
    /// Rows of changed products that were read from the database meanwhile.
    rows_read: u64,
}

const PRICE_CENTS_MAX: i64 = 9_999_999;
const PRICE_BODY_BYTES_MAX: usize = 1024;
/// How long the whole body may take.
const PRICE_BODY_WITHIN: Duration = Duration::from_secs(5);

/// `POST /demo/price`: JSON or a form with `id` and `price_cents`, from the storefront's own page only.
pub(super) async fn price(
    request: HttpRequest,
    body: Payload,
    storefront: Data<Storefront>,
) -> Result<HttpResponse, Problem> {
    if !is_same_origin(request.headers()) {
        return Err(Problem::new(Kind::CROSS_ORIGIN));
    }
    let body = timeout(PRICE_BODY_WITHIN, short_body(body)).await.map_err(|_| {
        let detail = format!("the body was not there within {} s", PRICE_BODY_WITHIN.as_secs());
        Problem::new(Kind::SLOW_BODY).detail(detail)
    })??;
    let price = parse_price(request.headers(), &body)?;
    let changed = (storefront.change_price)(price.id, price.price_cents).await;
    match changed {
        Ok(Some(changed)) => Ok(answer::private(
            StatusCode::OK,
            &PriceChanged {
                id: price.id,
                price_cents: price.price_cents,
                listing: changed.listing.to_string(),
                milliseconds: changed.took.map(|took| took.as_millis()),
                rows_read: changed.rows_read,
            },
        )),
        Ok(None) => Err(Problem::new(Kind::UNKNOWN_PRODUCT)),
        Err(reason) => {
            tracing::warn!(product = price.id, reason, "price not changed");
            Err(Problem::new(Kind::PRICE_NOT_CHANGED))
        }
    }
}

/// Whether a page of this very host asks. A browser always says where a POST comes from, in one header or the other;
/// a request without either is no storefront's.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let (Some(origin), Some(host)) = (text("origin"), text("host")) else {
        return false;
    };
    origin
        .split_once("://")
        .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

async fn short_body(mut body: Payload) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(|error| Problem::new(Kind::BROKEN_BODY).detail(error.to_string()))?;
        if bytes.len() + part.len() > PRICE_BODY_BYTES_MAX {
            return Err(Problem::new(Kind::BODY_TOO_LARGE));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn parse_price(headers: &HeaderMap, body: &[u8]) -> Result<Price, Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let price = match given.and_then(|given| given.split(';').next()).map(str::trim) {
        Some("application/json") => {
            serde_json::from_slice(body).map_err(|error| Problem::new(Kind::BAD_REQUEST).detail(error.to_string()))?
        }
        Some("application/x-www-form-urlencoded") => price_of_form(body)?,
        _ => return Err(Problem::new(Kind::UNSUPPORTED_MEDIA_TYPE).detail("send JSON or a form")),
    };
    if (1..=PRICE_CENTS_MAX).contains(&price.price_cents) {
        Ok(price)
    } else {
        Err(Problem::new(Kind::BAD_REQUEST).detail(format!("price_cents must be 1 to {PRICE_CENTS_MAX}")))
    }
}

fn price_of_form(body: &[u8]) -> Result<Price, Problem> {
    let text =
        std::str::from_utf8(body).map_err(|_| Problem::new(Kind::BAD_REQUEST).detail("the form is not UTF-8"))?;
    let mut form = Query::read(text, &["id", "price_cents"]);
    let mut number = |name| {
        if !form.holds(name) {
            form.refuse(name, "is missing");
        }
        let number = form.number(name, 0, i64::MAX.unsigned_abs());
        i64::try_from(number.unwrap_or(0)).unwrap_or(i64::MAX)
    };
    let price = Price {
        id: number("id"),
        price_cents: number("price_cents"),
    };
    form.finish().map_err(Problem::parameters)?;
    Ok(price)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        given
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[track_caller]
    fn check(given: &[(&'static str, &'static str)], expect: bool) {
        assert_eq!(is_same_origin(&headers(given)), expect, "{given:?}");
    }

    #[test]
    fn only_the_own_page_may_change_prices() {
        const HOST: (&str, &str) = ("host", "localhost:8080");
        check(&[HOST, ("sec-fetch-site", "same-origin")], true);
        check(&[HOST, ("origin", "http://localhost:8080")], true);
        check(
            &[
                HOST,
                ("origin", "http://localhost:8080"),
                ("sec-fetch-site", "same-site"),
            ],
            false,
        );
        check(&[HOST, ("sec-fetch-site", "none")], false);
        check(&[HOST, ("origin", "http://localhost:8081")], false);
        check(&[HOST, ("origin", "http://evil.example")], false);
        check(&[HOST, ("origin", "null")], false);
        check(&[HOST], false);
        check(&[], false);
    }

    #[test]
    fn a_price_comes_as_json_or_form() {
        let expect = Price {
            id: 7,
            price_cents: 199,
        };
        let json = headers(&[("content-type", "application/json")]);
        let form = headers(&[("content-type", "application/x-www-form-urlencoded; charset=utf-8")]);
        assert_eq!(parse_price(&json, br#"{"id":7,"price_cents":199}"#).unwrap(), expect);
        assert_eq!(parse_price(&form, b"id=7&price_cents=199").unwrap(), expect);
        for bad in [
            &b"{}"[..],
            b"",
            b"{\"id\":7,\"price_cents\":0}",
            b"{\"id\":7,\"price_cents\":1e99}",
        ] {
            assert!(parse_price(&json, bad).is_err());
        }
        for bad in [
            &b"id=7"[..],
            b"",
            b"id=7&price_cents=",
            b"id=7&price_cents=1&id=8",
            b"id=x&price_cents=1",
            b"\xff",
        ] {
            assert!(parse_price(&form, bad).is_err());
        }
        assert!(parse_price(&headers(&[]), b"").is_err());
    }
}
