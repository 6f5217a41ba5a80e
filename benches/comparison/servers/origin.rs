//! A shop's server: it holds listings in memory and makes each page anew, sorted and cut out.
//!
//! `GET /v1/listings/{name}` is a page, `PUT` replaces a listing's items, a line each. Names that begin with `herd:` are
//! there by themselves and take their time; `GET /items/{number}` has all items of such a one. `GET /asked` counts what was asked for.

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, web};

use super::{Server, own};
use crate::{Outcome, items, machine::Machine, sample::Sample};

/// The argument by which this program is the server.
pub const ARGUMENT: &str = "serve-origin";

/// How long it takes for a listing of the herd.
pub const TAKES: Duration = Duration::from_millis(200);
const HERD: &str = "herd:";
const HERD_ITEMS: u64 = 240;
const BODY_BYTES_MAX: usize = 8 << 20;

pub fn start(machine: &Machine) -> Outcome<Server> {
    own::start(|program| machine.anywhere(program), &[ARGUMENT.to_owned()])
}

/// How many pages and listings were asked for so far.
pub fn asked(origin: &Server) -> Outcome<u64> {
    let answer = Sample::ask(&origin.address, "/asked", &[])?;
    Ok(std::str::from_utf8(answer.body())?.parse()?)
}

#[derive(Default)]
struct Shop {
    listings: RwLock<HashMap<String, Listing>>,
    asked: AtomicU64,
}

#[derive(Clone, Default)]
struct Listing {
    revision: u64,
    /// Prices and items.
    items: Arc<Vec<(u64, String)>>,
}

/// The child's side.
pub fn run() -> Outcome<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let shop = web::Data::new(Shop::default());
            let server = HttpServer::new(move || {
                App::new()
                    .app_data(shop.clone())
                    .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
                    .route("/v1/listings/{name}", web::get().to(page))
                    .route("/v1/listings/{name}", web::put().to(replace))
                    .route("/items/{number}", web::get().to(all_items))
                    .route("/asked", web::get().to(count))
            })
            .backlog(4096)
            .disable_signals()
            .bind("127.0.0.1:0")?;
            if let Some(address) = server.addrs().first() {
                own::announce(address);
            }
            Ok(server.run().await?)
        })
}

async fn count(shop: web::Data<Shop>) -> String {
    shop.asked.load(Ordering::SeqCst).to_string()
}

impl Shop {
    async fn listing(&self, name: &str) -> Option<Listing> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if name.starts_with(HERD) {
            tokio::time::sleep(TAKES).await;
            return Some(Listing {
                revision: 1,
                items: Arc::new((1..=HERD_ITEMS).map(|number| (number, items::item(number))).collect()),
            });
        }
        self.listings.read().ok()?.get(name).cloned()
    }
}

async fn page(
    shop: web::Data<Shop>,
    name: web::Path<String>,
    query: web::Query<HashMap<String, String>>,
) -> HttpResponse {
    let Some(listing) = shop.listing(&name).await else {
        return HttpResponse::NotFound().finish();
    };
    let number = |key: &str| query.get(key).and_then(|value| value.parse::<usize>().ok());
    let size = number("size").or(number("limit")).unwrap_or(24);
    let offset = number("offset").unwrap_or_else(|| (number("page").unwrap_or(1) - 1) * size);
    let mut sorted: Vec<_> = listing.items.iter().enumerate().collect();
    sorted.sort_by_key(|(position, (price, _))| (*price, *position));
    if query.get("order").is_some_and(|order| order == "desc") {
        sorted.reverse();
    }
    let texts: Vec<&str> = sorted
        .iter()
        .skip(offset)
        .take(size)
        .map(|(_, (_, json))| json.as_str())
        .collect();
    let total = sorted.len();
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("ETag", format!("W/\"{}.{offset}.{size}\"", listing.revision)))
        .insert_header(("X-Revision", listing.revision.to_string()))
        .insert_header(("X-Listing", name.as_str()))
        .insert_header(("X-Total-Count", total.to_string()))
        .insert_header(("Cache-Control", "max-age=60"))
        .insert_header(("Vary", "Accept-Encoding"))
        .body(format!(
            r#"{{"listing":"{name}","total":{total},"offset":{offset},"items":[{}]}}"#,
            texts.join(",")
        ))
}

async fn all_items(shop: web::Data<Shop>, number: web::Path<String>) -> HttpResponse {
    let Some(listing) = shop.listing(&format!("{HERD}{number}")).await else {
        return HttpResponse::NotFound().finish();
    };
    let texts: Vec<&str> = listing.items.iter().map(|(_, json)| json.as_str()).collect();
    HttpResponse::Ok()
        .content_type("application/json")
        .body(format!("[{}]", texts.join(",")))
}

async fn replace(shop: web::Data<Shop>, name: web::Path<String>, body: String) -> HttpResponse {
    let price_of = |json: &str| {
        let (_, rest) = json.split_once("\"price\":")?;
        rest.split([',', '}']).next()?.parse().ok()
    };
    let items = body
        .lines()
        .map(|json| Some((price_of(json)?, json.to_owned())))
        .collect();
    let (Some(items), Ok(mut listings)) = (items, shop.listings.write()) else {
        return HttpResponse::BadRequest().finish();
    };
    let listing = listings.entry(name.into_inner()).or_default();
    listing.revision += 1;
    listing.items = Arc::new(items);
    HttpResponse::Ok().body(listing.revision.to_string())
}
