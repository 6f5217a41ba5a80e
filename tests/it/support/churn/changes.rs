//! A real year of price changes, and the products that they change.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::PathBuf,
    time::Duration,
};

use flate2::read::MultiGzDecoder;
use listcache::listing::ListingName;

/// One product's price, from a time on.
pub struct Change {
    /// Since the first change of the year.
    pub at: Duration,
    pub product: i64,
    /// Its place among the categories.
    pub category: usize,
    pub cents: i64,
}

/// The year, and its categories, the most ordered one first.
pub struct Year {
    pub changes: Vec<Change>,
    /// As the database has them.
    pub categories: Vec<String>,
    /// Encoded listing names.
    pub listings: Vec<String>,
    /// Gzipped NDJSON.
    pub products: Vec<u8>,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data"))
}

impl Year {
    /// Where the data lies beside the project; it is too large to be part of it.
    pub fn read() -> Option<Self> {
        let file = File::open(folder().join("grocery-price-changes.csv.gz")).ok()?;
        let mut ordered: Vec<(String, u64)> =
            rows(File::open(folder().join("grocery-category-orders.csv")).unwrap()).collect();
        ordered.retain(|(category, _)| !category.is_empty());
        ordered.sort_by_key(|(_, orders)| std::cmp::Reverse(*orders));
        let places: HashMap<&str, usize> = ordered
            .iter()
            .enumerate()
            .map(|(place, (category, _))| (category.as_str(), place))
            .collect();
        let mut first = None;
        let mut changes = Vec::new();
        for (at, product, category, _, cents) in rows::<(String, i64, String, i64, i64), _>(MultiGzDecoder::new(file)) {
            let at = humantime::parse_rfc3339_weak(&at).unwrap();
            // What is in no category is in no listing.
            let Some(category) = places.get(category.as_str()) else {
                continue;
            };
            changes.push(Change {
                at: at.duration_since(*first.get_or_insert(at)).unwrap(),
                product,
                category: *category,
                cents,
            });
        }
        let name = |(category, _): &(String, u64)| ListingName::parse(&format!("category:{category}")).unwrap();
        Some(Self {
            changes,
            categories: ordered.iter().map(|(category, _)| category.clone()).collect(),
            listings: ordered.iter().map(|one| name(one).encoded().to_string()).collect(),
            products: fs::read(folder().join("grocery-products.ndjson.gz")).unwrap(),
        })
    }

    /// The changes of some days.
    pub fn days(&self, from: u64, days: u64) -> &[Change] {
        let place = |day: u64| {
            let at = Duration::from_secs(day * 24 * 3600);
            self.changes.partition_point(|change| change.at < at)
        };
        &self.changes[place(from)..place(from + days)]
    }

    /// The week with the most changes.
    pub fn busiest_week(&self) -> &[Change] {
        let weeks = (0..52).map(|week| self.days(week * 7, 7));
        weeks.max_by_key(|changes| changes.len()).unwrap()
    }
}

fn rows<T, R>(file: R) -> impl Iterator<Item = T>
where
    T: for<'a> serde::Deserialize<'a>,
    R: std::io::Read,
{
    csv::Reader::from_reader(file)
        .into_deserialize()
        .map(|row| row.unwrap())
}
