//! The shop without JavaScript: the same places, rendered here into the page's `noscript`. A browser with JavaScript shows none of it.

use std::fmt::Write;

use actix_web::{
    body::to_bytes,
    dev::RequestHead,
    http::{StatusCode, Uri},
};
use serde::Deserialize;
use url::form_urlencoded;

use super::menu::{Category, label};
use crate::{
    engine::Engine,
    http::{
        pages::{envelope::Envelopes, known_urls::Wanted, page::awaited},
        problem::Problem,
        request::{name::Name, query::Sizes},
    },
    listing::{ListingName, name::encode_query_value},
};

/// The parameters of a place in the shop, besides its listing and its page; the filters are those of `demo.toml`.
const KEPT: [&str; 6] = ["sort", "order", "size", "f.brand", "f.type", "f.price"];
const SORTS: [(&str, &str); 6] = [
    ("popularity", "Popularity"),
    ("price", "Price"),
    ("list_price", "List price"),
    ("discount", "Discount"),
    ("newest", "Newest"),
    ("name", "Name"),
];
const FILTERS: [(&str, &str); 3] = [("brand", "Brand"), ("price", "Price"), ("type", "Kind")];
/// Parameters that are read of an address; what is beyond them was not written by this shop.
const PARAMETERS_MAX: usize = 60;

/// Which page of which listing.
struct Place {
    listing: String,
    page: u64,
    kept: Vec<(String, String)>,
}

impl Place {
    /// The place that an address's query names; without a listing it is the fullest one.
    fn of(query: &str, menu: &[Category<'_>]) -> Option<Self> {
        let given = || form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX);
        let named = given()
            .find(|(name, _)| name == "listing")
            .map(|(_, value)| value.into_owned());
        let fullest = || {
            let first_of_fullest = menu.iter().rev();
            first_of_fullest
                .max_by_key(|category| category.total)
                .map(|category| category.listing.to_owned())
        };
        let page = given()
            .find(|(name, _)| name == "page")
            .and_then(|(_, value)| value.parse().ok());
        let kept = given().filter(|(name, _)| KEPT.contains(&&**name));
        Some(Self {
            listing: named.or_else(fullest)?,
            page: page.unwrap_or(1).max(1),
            kept: kept
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        })
    }

    /// The address of a page of this place, of these parameters.
    fn address<'k>(&self, page: u64, kept: impl Iterator<Item = (&'k str, &'k str)>) -> String {
        let mut address = format!("/?listing={}", encode_query_value(&self.listing));
        for (name, value) in kept {
            // Writing to a String does not fail; neither does it in the rest of this file.
            let _ = write!(address, "&{name}={}", encode_query_value(value));
        }
        if page > 1 {
            let _ = write!(address, "&page={page}");
        }
        address
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.kept.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The first page with this value of a parameter that has one at most.
    fn with(&self, name: &str, value: &str) -> String {
        let others = self.pairs().filter(|(other, _)| *other != name && *other != "order");
        self.address(1, others.chain([(name, value)]))
    }

    /// The first page with a value of a filter chosen, or not any more.
    fn toggled(&self, filter: &str, value: &str, is_chosen: bool) -> String {
        let name = format!("f.{filter}");
        let others = self.pairs().filter(|pair| *pair != (name.as_str(), value));
        let added = (!is_chosen).then_some((name.as_str(), value));
        self.address(1, others.chain(added))
    }

    /// What the API is asked for.
    fn query(&self) -> String {
        let mut query = format!("page={}&facets=brand,type,price", self.page);
        for (name, value) in self.pairs() {
            let _ = write!(query, "&{name}={}", encode_query_value(value));
        }
        query
    }
}

#[derive(Deserialize)]
struct ListingPage {
    total: u64,
    pages: u64,
    facets: Facets,
    items: Vec<Product>,
}

#[derive(Deserialize)]
struct Facets {
    brand: Facet,
    price: Facet,
    #[serde(rename = "type")]
    kind: Facet,
}

#[derive(Deserialize)]
struct Facet {
    #[serde(default)]
    values: Vec<FacetValue>,
    #[serde(default)]
    steps: Vec<FacetStep>,
}

#[derive(Deserialize)]
struct FacetValue {
    value: String,
    count: u64,
}

#[derive(Deserialize)]
struct FacetStep {
    range: String,
    count: u64,
}

#[derive(Deserialize)]
struct Product {
    name: String,
    brand: Option<String>,
    price_cents: i64,
    list_cents: Option<i64>,
}

/// The place that an address names, as HTML.
pub(super) async fn render(
    query: &str,
    menu: &[Category<'_>],
    engine: &Engine,
    sizes: Sizes,
    envelopes: &Envelopes,
) -> String {
    let mut html = String::from("<div class=\"plain\">");
    match Place::of(query, menu) {
        None => html.push_str("<p>The shop has no categories yet.</p>"),
        Some(place) => match page_of(&place, engine, sizes, envelopes).await {
            Ok(page) => write_page(&mut html, &place, &page),
            Err(StatusCode::NOT_FOUND) => html.push_str("<p role=\"alert\">There is no such category.</p>"),
            Err(StatusCode::SERVICE_UNAVAILABLE) => {
                html.push_str(
                    "<p role=\"alert\">These products are just being put on the shelf: try again in a moment.</p>",
                );
            }
            Err(_) => {
                html.push_str("<p role=\"alert\">That did not work. <a href=\"/\">To the shop’s front page</a></p>")
            }
        },
    }
    html.push_str("<nav aria-label=\"Categories\"><h2>Categories</h2><ul>");
    for category in menu {
        let address = format!("/?listing={}", encode_query_value(category.listing));
        let _ = write!(
            html,
            "<li><a href=\"{}\">{}</a> ({})</li>",
            escaped(&address),
            escaped(category.label),
            category.total
        );
    }
    html.push_str("</ul></nav></div>");
    html
}

/// The page as the API gives it.
async fn page_of(
    place: &Place,
    engine: &Engine,
    sizes: Sizes,
    envelopes: &Envelopes,
) -> Result<ListingPage, StatusCode> {
    let refused = |problem: Problem| actix_web::ResponseError::status_code(&problem);
    let name = ListingName::parse(&place.listing).map_err(|_| StatusCode::NOT_FOUND)?;
    let path = name.encoded().to_string();
    let uri = Uri::try_from(format!("/v1/listings/{path}?{}", place.query())).map_err(|_| StatusCode::BAD_REQUEST)?;
    let wanted = Wanted::of(Name::of_path(uri.path()).map_err(refused)?, &uri, engine, sizes);
    let answer = awaited(&wanted, &RequestHead::default(), engine, envelopes)
        .await
        .map_err(refused)?;
    let body = to_bytes(answer.into_body())
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    serde_json::from_slice(&body).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

fn write_page(html: &mut String, place: &Place, page: &ListingPage) {
    let title = label(&place.listing);
    let _ = write!(html, "<h1>{}</h1><p>{} products", escaped(title), page.total);
    if page.pages > 1 {
        let _ = write!(html, ", page {} of {}", place.page, page.pages);
    }
    html.push_str("</p><ul class=\"plain-choices\" aria-label=\"Sort by\">");
    let sort = place
        .pairs()
        .find(|(name, _)| *name == "sort")
        .map_or("popularity", |(_, sort)| sort);
    for (name, label) in SORTS {
        write_choice(html, &place.with("sort", name), label, None, name == sort);
    }
    html.push_str("</ul>");
    for ((filter, label), facet) in FILTERS
        .into_iter()
        .zip([&page.facets.brand, &page.facets.price, &page.facets.kind])
    {
        let _ = write!(html, "<ul class=\"plain-choices\" aria-label=\"{label}\">");
        let values = facet
            .values
            .iter()
            .map(|value| (&value.value, value.value.clone(), value.count));
        let steps = facet.steps.iter().filter(|step| step.count > 0);
        let steps = steps.map(|step| (&step.range, price_range(&step.range), step.count));
        for (value, shown, count) in values.chain(steps) {
            let is_chosen = place
                .pairs()
                .any(|(name, chosen)| name.strip_prefix("f.") == Some(filter) && chosen == value);
            write_choice(
                html,
                &place.toggled(filter, value, is_chosen),
                &shown,
                Some(count),
                is_chosen,
            );
        }
        html.push_str("</ul>");
    }
    if page.items.is_empty() {
        html.push_str("<p>Nothing here: take a filter away.</p>");
    }
    html.push_str("<ul class=\"plain-products\">");
    for product in &page.items {
        let _ = write!(
            html,
            "<li><b>{}</b> {} <span>{}</span>",
            escaped(&product.name),
            escaped(product.brand.as_deref().unwrap_or_default()),
            money(product.price_cents)
        );
        if let Some(list) = product.list_cents.filter(|list| *list > product.price_cents) {
            let _ = write!(html, " <s>{}</s>", money(list));
        }
        html.push_str("</li>");
    }
    html.push_str("</ul><p>");
    if place.page > 1 {
        let address = place.address(place.page - 1, place.pairs());
        let _ = write!(
            html,
            "<a rel=\"prev\" href=\"{}\">Previous page</a> ",
            escaped(&address)
        );
    }
    if place.page < page.pages {
        let address = place.address(place.page + 1, place.pairs());
        let _ = write!(html, "<a rel=\"next\" href=\"{}\">Next page</a>", escaped(&address));
    }
    html.push_str("</p>");
}

fn write_choice(html: &mut String, address: &str, label: &str, count: Option<u64>, is_chosen: bool) {
    let chosen = if is_chosen { " aria-current=\"true\"" } else { "" };
    let _ = write!(
        html,
        "<li><a href=\"{}\"{chosen}>{}</a>",
        escaped(address),
        escaped(label)
    );
    if let Some(count) = count {
        let _ = write!(html, " ({count})");
    }
    html.push_str("</li>");
}

/// `200..<500` is `$2.00 to $5.00`.
fn price_range(range: &str) -> String {
    let cents = |text: &str| text.trim_start_matches('<').parse().ok().map(money);
    let (least, most) = range.split_once("..").unwrap_or((range, ""));
    match (cents(least), cents(most)) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("{least} and more"),
        (None, Some(most)) => format!("Under {most}"),
        (None, None) => range.to_owned(),
    }
}

fn money(cents: i64) -> String {
    format!("${}.{:02}", cents / 100, cents % 100)
}

/// Text as it may stand in HTML, between tags and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_keeps_what_the_shop_knows_and_nothing_else() {
        let place = Place::of(
            "listing=category%3AA+B&sort=price&f.brand=x%26y&f.other=1&page=3&evil=%3Cb%3E",
            &[],
        )
        .unwrap();
        assert_eq!((place.listing.as_str(), place.page), ("category:A B", 3));
        assert_eq!(place.query(), "page=3&facets=brand,type,price&sort=price&f.brand=x%26y");
        let page = place.address(4, place.pairs());
        assert_eq!(page, "/?listing=category%3AA%20B&sort=price&f.brand=x%26y&page=4");
        assert_eq!(
            place.with("sort", "name"),
            "/?listing=category%3AA%20B&f.brand=x%26y&sort=name"
        );
        assert_eq!(
            place.toggled("brand", "x&y", true),
            "/?listing=category%3AA%20B&sort=price"
        );
        let two = place.toggled("brand", "z", false);
        assert_eq!(two, "/?listing=category%3AA%20B&sort=price&f.brand=x%26y&f.brand=z");
        assert!(Place::of("page=0", &[]).is_none());
    }

    #[test]
    fn prices_are_money_and_text_is_no_markup() {
        assert_eq!(price_range("200..<500"), "$2.00 to $5.00");
        assert_eq!(price_range("..<200"), "Under $2.00");
        assert_eq!(price_range("2000.."), "$20.00 and more");
        assert_eq!(escaped("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }
}
