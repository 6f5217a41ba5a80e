//! The shop whose changes are replayed: its database, and the listings as an independent computation has them.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io::Read as _,
};

use flate2::read::MultiGzDecoder;
use listcache::listing::ListingName;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::super::{
    GROUPS, Product,
    databases::{SCHEMA, ShopDatabase, literal, rows_of},
    expected,
};
use crate::support::churn::changes::{Change, Year};

/// Products of a category beside those that change, where not all are taken.
const OTHERS: usize = 20;
/// In each hundred changes this one moves its product, and the other deletes it.
const MOVES_AT: usize = 99;
const DELETES_AT: usize = 49;

/// A category as one group of customers sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    pub category: String,
    pub group: i64,
}

impl Family {
    /// The URL of its listings, without their order.
    pub fn path(&self) -> String {
        let name = ListingName::parse(&format!("category:{}", self.category)).unwrap();
        format!("/v1/listings/{}?grp={}", name.encoded(), self.group)
    }
}

/// The family of a listing's key.
pub fn family_of(listing: &str) -> Family {
    let (name, rest) = listing.split_once('/').unwrap();
    let category = percent_decode_str(name).decode_utf8().unwrap();
    Family {
        category: category.strip_prefix("category:").unwrap().to_owned(),
        group: rest.split_once("grp=").unwrap().1.parse().unwrap(),
    }
}

/// The report of one product.
pub struct Report {
    pub id: i64,
    pub is_deleted: bool,
}

/// The outcome of a batch.
pub struct Changed {
    pub reports: Vec<Report>,
    /// Families whose rows differ.
    pub families: BTreeSet<Family>,
}

/// A shop with a database.
pub struct ReplayedShop {
    pub database: ShopDatabase,
    products: BTreeMap<i64, Product>,
    /// The products of each category.
    of_category: BTreeMap<String, BTreeSet<i64>>,
    /// Changes so far.
    changes: usize,
}

#[derive(Deserialize)]
struct Row {
    id: i64,
    category: Option<String>,
    price_cents: i64,
}

impl ReplayedShop {
    /// The categories in which products change, with some of their other products or all.
    pub async fn open(year: &Year, changes: &[Change], with_all: bool, database: ShopDatabase) -> Self {
        let changing: HashSet<i64> = changes.iter().map(|change| change.product).collect();
        let categories: HashSet<&str> = changes
            .iter()
            .map(|change| &*year.categories[change.category])
            .collect();
        let mut shop = Self {
            database,
            products: BTreeMap::new(),
            of_category: BTreeMap::new(),
            changes: 0,
        };
        let mut rows = String::new();
        MultiGzDecoder::new(&year.products[..])
            .read_to_string(&mut rows)
            .unwrap();
        let mut others: BTreeMap<String, usize> = BTreeMap::new();
        for row in rows.lines() {
            let row: Row = serde_json::from_str(row).unwrap();
            let Some(category) = row.category.filter(|category| categories.contains(&**category)) else {
                continue;
            };
            if !with_all && !changing.contains(&row.id) {
                let others = others.entry(category.clone()).or_default();
                *others += 1;
                if *others > OTHERS {
                    continue;
                }
            }
            shop.put(row.id, Some(product(row.id, category, row.price_cents)));
        }
        shop.database.run(SCHEMA).await;
        shop.database.run(&rows_of(&shop.products)).await;
        shop
    }

    /// All families.
    pub fn families(&self) -> BTreeSet<Family> {
        self.of_category
            .keys()
            .flat_map(|category| families_of(category))
            .collect()
    }

    fn put(&mut self, id: i64, product: Option<Product>) {
        let before = match &product {
            Some(product) => self.products.insert(id, product.clone()),
            None => self.products.remove(&id),
        };
        for category in before.into_iter().flat_map(|product| product.categories) {
            self.of_category.get_mut(&category).unwrap().remove(&id);
        }
        for category in product.into_iter().flat_map(|product| product.categories) {
            self.of_category.entry(category).or_default().insert(id);
        }
    }

    /// The category behind one, in the order of their names.
    fn next_category(&self, category: &str) -> String {
        let behind = self.of_category.keys().find(|other| other.as_str() > category);
        behind.or(self.of_category.keys().next()).unwrap().clone()
    }

    /// Changes the products and, in one transaction, the database.
    pub async fn change(&mut self, batch: &[Change]) -> Changed {
        let mut before: BTreeMap<i64, Option<Product>> = BTreeMap::new();
        for change in batch {
            let id = change.product;
            let known = self.products.get(&id).cloned();
            before.entry(id).or_insert_with(|| known.clone());
            let after = match (known, self.changes % 100) {
                (Some(_), DELETES_AT) => None,
                (Some(mut known), at) => {
                    known.offers = vec![Some(change.cents)];
                    if at == MOVES_AT {
                        known.categories = known.categories.iter().map(|from| self.next_category(from)).collect();
                    }
                    Some(known)
                }
                // Deleted before.
                (None, _) => Some(product(id, self.next_category(""), change.cents)),
            };
            self.put(id, after);
            self.changes += 1;
        }
        let mut sql = "begin;".to_owned();
        let (mut reports, mut families) = (Vec::new(), BTreeSet::new());
        for (id, before) in before {
            let after = self.products.get(&id);
            if before.as_ref() == after {
                continue;
            }
            sql += &statements(id, before.as_ref(), after);
            reports.push(Report {
                id,
                is_deleted: after.is_none(),
            });
            let both = [before.as_ref(), after].into_iter().flatten();
            families.extend(
                both.flat_map(|product| &product.categories)
                    .flat_map(|category| families_of(category)),
            );
        }
        self.database.run(&(sql + "commit")).await;
        Changed { reports, families }
    }

    /// The items of a listing as pages have them.
    pub fn items(&self, family: &Family, sort: &str, desc: bool) -> Vec<String> {
        let ids = &self.of_category[&family.category];
        let products = ids.iter().map(|id| (*id, self.products[id].clone())).collect();
        let rows = expected(&products, &family.category, family.group, sort, desc).into_iter();
        let item = |(id, price): (i64, Option<i64>)| {
            let Product { name, sold_out, .. } = &products[&id];
            let (name, price, sold_out) = (name.as_ref().unwrap(), price.unwrap(), i32::from(*sold_out));
            format!(r#"{{"id":{id},"name":"{name}","price_cents":{price},"sold_out":{sold_out}}}"#)
        };
        rows.map(item).collect()
    }
}

fn product(id: i64, category: String, price: i64) -> Product {
    Product {
        // The same order in each database, whatever its language.
        name: Some(format!("product {}", id * 7919 % 10_007)),
        offers: vec![Some(price)],
        sold_out: id % 9 == 0,
        categories: [category].into(),
    }
}

fn families_of(category: &str) -> impl Iterator<Item = Family> {
    let family = |group| Family {
        category: category.to_owned(),
        group,
    };
    GROUPS.map(family).into_iter()
}

/// The statements that make one product of another: no row is written that stays as it is.
fn statements(id: i64, before: Option<&Product>, after: Option<&Product>) -> String {
    match (before, after) {
        (None, None) => String::new(),
        (None, Some(product)) => {
            let rows = rows_of(&BTreeMap::from([(id, product.clone())]));
            let rows = rows.strip_prefix("begin;").and_then(|rows| rows.strip_suffix("commit"));
            rows.unwrap().to_owned()
        }
        (Some(_), None) => format!(
            "delete from products where id = {id}; delete from offers where product_id = {id}; \
             delete from product_category where product_id = {id};"
        ),
        (Some(before), Some(after)) => {
            let mut sql = String::new();
            if before.offers != after.offers {
                let price = after.offers[0].unwrap();
                sql += &format!("update offers set price_cents = {price} where product_id = {id};");
            }
            if before.categories != after.categories {
                let category = literal(after.categories.first().unwrap());
                sql += &format!("update product_category set category = {category} where product_id = {id};");
            }
            sql
        }
    }
}
