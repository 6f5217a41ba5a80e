//! Random combinations over the catalogue.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{PRODUCTS, Product, Shop, count_by, counted, ids};

/// Combinations that are asked for.
const COMBINATIONS: usize = 300;

/// One combination, and a way to page through it.
#[derive(Clone, Debug)]
struct Asked {
    brands: Vec<String>,
    kinds: Vec<String>,
    prices: Vec<(i64, i64, bool)>,
    sort: &'static str,
    is_desc: bool,
    limit: usize,
    offset: usize,
}

impl Asked {
    fn holds(&self, product: &Product, but: &str) -> bool {
        let is_one = |name: &str, asked: &[String], value: &str| {
            name == but || asked.is_empty() || asked.iter().any(|asked| asked == value)
        };
        let in_one = |(least, most, is_open): &(i64, i64, bool)| {
            product.price >= *least && (product.price < *most || !is_open && product.price == *most)
        };
        is_one("brand", &self.brands, &product.brand)
            && is_one("kind", &self.kinds, &product.kind)
            && (but == "price_cents" || self.prices.is_empty() || self.prices.iter().any(in_one))
    }

    fn url(&self) -> String {
        let mut url = format!(
            "/v1/listings/all?sort={}&offset={}&limit={}&facets=brand,kind,price_cents",
            self.sort, self.offset, self.limit
        );
        if self.is_desc {
            url.push_str("&order=desc");
        }
        let mut push = |name: &str, value: &str| {
            url.push_str(&format!(
                "&f.{name}={}",
                listcache::listing::name::encode_query_value(value)
            ));
        };
        self.brands.iter().for_each(|brand| push("brand", brand));
        self.kinds.iter().for_each(|kind| push("kind", kind));
        for (least, most, is_open) in &self.prices {
            push(
                "price_cents",
                &format!("{least}..{}{most}", if *is_open { "<" } else { "" }),
            );
        }
        url
    }
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let one_of = |value: fn(&Product) -> &str| (0..PRODUCTS.len()).prop_map(move |at| value(&PRODUCTS[at]).to_owned());
    let price =
        (0i64..1500, 0i64..2000, any::<bool>()).prop_map(|(least, more, is_open)| (least, least + more, is_open));
    (
        prop::collection::vec(one_of(|product| &product.brand), 0..3),
        prop::collection::vec(one_of(|product| &product.kind), 0..4),
        prop::collection::vec(price, 0..3),
        prop_oneof![Just("price"), Just("name")],
        any::<bool>(),
        prop_oneof![Just(7usize), Just(24), Just(250)],
        prop_oneof![3 => 0usize..40, 1 => 0usize..6000],
    )
        .prop_map(|(mut brands, mut kinds, prices, sort, is_desc, limit, offset)| {
            brands.retain(|brand| !brand.is_empty());
            kinds.retain(|kind| !kind.is_empty());
            Asked {
                brands,
                kinds,
                prices,
                sort,
                is_desc,
                limit,
                offset,
            }
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_totals_and_counts_of_any_combination_are_those_of_a_plain_filter() {
    // Counts of all values: there are some 1,400 types.
    let shop = Shop::start_with(&PRODUCTS, "", &format!("facet_values_max = 10000\n{}", super::FILTERS));
    let mut by_price: Vec<&Product> = PRODUCTS.iter().collect();
    by_price.sort_by_key(|product| (product.price, product.id));
    let mut by_name: Vec<&Product> = PRODUCTS.iter().collect();
    by_name.sort_by(|left, right| left.name.cmp(&right.name).then(left.id.cmp(&right.id)));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut items = 0;
    for _ in 0..COMBINATIONS {
        let asked = any_asked().new_tree(&mut runner).unwrap().current();
        let sorted = if asked.sort == "price" { &by_price } else { &by_name };
        let mut expected: Vec<&Product> = sorted
            .iter()
            .copied()
            .filter(|product| asked.holds(product, ""))
            .collect();
        if asked.is_desc {
            expected.reverse();
        }
        let url = asked.url();
        let page = shop.page(&url).await;
        assert_eq!(page["total"], expected.len(), "{url}");
        let window: Vec<i64> = expected
            .iter()
            .skip(asked.offset)
            .take(asked.limit)
            .map(|product| product.id)
            .collect();
        items += window.len();
        assert_eq!(ids(&page), window, "{url}");
        assert_eq!(page["count"], window.len(), "{url}");
        for (name, value) in [
            ("brand", (|product| &product.brand) as fn(&Product) -> &str),
            ("kind", |product| &product.kind),
        ] {
            let others: Vec<&Product> = PRODUCTS.iter().filter(|product| asked.holds(product, name)).collect();
            assert_eq!(
                counted(&page["facets"][name]),
                count_by(&others, value),
                "{name} of {url}"
            );
        }
        let prices: Vec<i64> = PRODUCTS
            .iter()
            .filter(|product| asked.holds(product, "price_cents"))
            .map(|product| product.price)
            .collect();
        let facet = &page["facets"]["price_cents"];
        assert_eq!(facet["count"], prices.len(), "{url}");
        assert_eq!(facet["min"].as_i64(), prices.iter().min().copied(), "{url}");
        assert_eq!(facet["max"].as_i64(), prices.iter().max().copied(), "{url}");
        for (at, (range, from, to)) in [
            ("..<100", i64::MIN, 100),
            ("100..<500", 100, 500),
            ("500..<1000", 500, 1000),
            ("1000..", 1000, i64::MAX),
        ]
        .into_iter()
        .enumerate()
        {
            let count = prices.iter().filter(|price| (from..to).contains(*price)).count();
            let expected = serde_json::json!({"range": range, "count": count});
            assert_eq!(facet["steps"][at], expected, "{url}");
        }
    }
    assert!(items > 1000, "combinations that match little say little: {items} items");
    assert_eq!(shop.reads().await, 1.0, "the origin is not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawler_of_combinations_leaves_nothing_behind() {
    let shop = Shop::start_with(&PRODUCTS, "[l1]\nfilters_max = \"256KiB\"\n", super::FILTERS);
    shop.page("/v1/listings/all?f.brand=National").await;
    let (keys, reads) = (shop.keys(), shop.reads().await);
    for number in 0..3000 {
        let url = format!(
            "/v1/listings/all?size=1&f.price_cents={}..{}",
            number % 1999,
            number % 1999 + number
        );
        shop.page(&url).await;
    }
    assert_eq!((shop.keys(), shop.reads().await), (keys, reads));
    crate::support::eventually(async || match shop.service.metric("listcache_filter_bytes").await {
        bytes if bytes > 0.0 && bytes <= 256.0 * 1024.0 => Ok(()),
        bytes => Err(bytes),
    })
    .await;
}
