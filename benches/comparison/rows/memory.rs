//! What listings take in Redis: plain and packed, in many variants that are much alike, and very small ones.
//!
//! `listcache warm` fills a Redis of its own for each from a shop's database. `MEMORY USAGE` of every key is added up by kind, so that the
//! figures are the server's own. The catalogue is the one beside the project where there is one, else that of the demo.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use listcache::origin::SampleCatalogue;
use redis::Connection;
use tempfile::TempDir;

use crate::{
    Effort, Outcome,
    claims::{Bound, Claim},
    client::{self, Client},
    items,
    machine::Machine,
    section::Section,
    servers::{
        listcache::Listcache,
        redis::{Redis, Way},
    },
    table::Table,
};

pub const BESIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/grocery-products.ndjson.gz");
pub const OF_THE_DEMO: &[u8] = include_bytes!("../../../fixtures/catalogue.ndjson.gz");

/// Three sorts of every category.
const CATEGORIES: &str = r#"
    [[listings]]
    name = "category:{category}"
    origin = "shop"
    names = "select distinct category from products where category is not null"
    query = "select * from products where category = :category"
"#;
/// Sixteen groups of customers. In the last four of them three products of a hundred, other ones in each, have other prices.
const PRICED: &str = "select id, name, department, category, type, brand, manufacturer_id, list_cents, orders, units, stores, first_sold,
    price_cents + (cast(:grp as integer) > 11 and id % 100 between :grp * 3 and :grp * 3 + 2) * 10 as price_cents
    from products where category = :category";
const SORTS: &str = r#"
    [listings.sorts]
    price = { by = ["price_cents"] }
    name = { by = ["name"] }
    popularity = { by = ["orders desc"] }
"#;
const GROUPS: u64 = 16;
/// Of categories, for variants: the first by name.
const CATEGORIES_OF_VARIANTS: u64 = 40;

/// Very small listings that are counted, of each length; and those before them, which fill what is bounded, such as the log.
const SMALL: u64 = 500;
const SMALL_BEFORE: u64 = 1_100;
const SMALL_ITEMS_MAX: u64 = 5;

/// Bytes in a Redis, by kind of key.
#[derive(Default)]
struct Held {
    listings: u64,
    items: u64,
    chunks: u64,
    dictionaries: u64,
    sidecars: u64,
    others: u64,
}

impl Held {
    fn all(&self) -> u64 {
        self.chunks + self.dictionaries + self.sidecars + self.others
    }
}

pub fn run(machine: &Machine, _: &Effort) -> Outcome<Section> {
    let directory = TempDir::new()?;
    let (file, beside) = (directory.path().join("shop.db"), fs::read(BESIDE).ok());
    let products = beside.as_deref().unwrap_or(OF_THE_DEMO);
    let shop = client::block_on(async { Ok(SampleCatalogue::create_from(&file, products).await?) })?;
    let categories = format!("{CATEGORIES}{SORTS}");
    let filled = |compress: &str, listings: &str| fill(machine, directory.path(), &shop.url(), compress, listings);

    let (plain, packed) = (filled("off", &categories)?, filled("auto", &categories)?);
    let mut table = Table::new(["three sorts of each category, MB", "plain", "packed", "packed ÷ plain"]);
    let megabytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1e6);
    for (what, of) in [
        ("chunks", (|held| held.chunks) as fn(&Held) -> u64),
        ("dictionaries", |held| held.dictionaries),
        ("sidecars", |held| held.sidecars),
        ("heads and all else", |held| held.others),
        ("together", Held::all),
    ] {
        let (plain, packed) = (of(&plain), of(&packed));
        let ratio = match plain {
            0 => String::new(),
            plain => format!("{:.3}", packed as f64 / plain as f64),
        };
        table.row([what.to_owned(), megabytes(plain), megabytes(packed), ratio]);
    }
    let of_chunks = (packed.chunks + packed.dictionaries) as f64 / plain.chunks as f64;
    let sidecar = packed.sidecars as f64 / packed.items as f64;

    let variants = variants(&filled, &megabytes)?;
    let (small, worst) = small(machine)?;
    Ok(Section {
        title: "(f) Memory in Redis",
        text: format!(
            "{} listings of {} items of {}.\n\n{table}\n{variants}\n{small}\n",
            packed.listings,
            packed.items,
            if beside.is_some() {
                "the catalogue of 68,167 products"
            } else {
                "the demo's catalogue"
            },
        ),
        claims: vec![
            Claim::new(
                "packed chunks and dictionaries ÷ plain chunks",
                of_chunks,
                Bound::AtMost(0.18),
            ),
            Claim::new(
                "sidecar, bytes an item and stream, aim",
                sidecar,
                Bound::AtMostAim(12.0),
            ),
            Claim::new(
                "bytes beyond JSON of a small listing, the most ÷ bound",
                worst,
                Bound::AtMost(1.0),
            ),
        ],
    })
}

/// Sixteen variants that share what is equal, and the same listings under names of their own, which share nothing.
fn variants(filled: &dyn Fn(&str, &str) -> Outcome<Held>, megabytes: &dyn Fn(u64) -> String) -> Outcome<Table> {
    let categories = format!(
        "select distinct category from products where category is not null order by category limit {CATEGORIES_OF_VARIANTS}"
    );
    let groups: Vec<String> = (0..GROUPS).map(|group| group.to_string()).collect();
    let shared = format!(
        "[[listings]]\nname = \"category:{{category}}\"\norigin = \"shop\"\nnames = \"{categories}\"\nquery = \"\"\"{PRICED}\"\"\"\n\
         [listings.variants]\ngrp = {groups:?}\n{SORTS}"
    );
    let apart = format!(
        "[[listings]]\nname = \"category:{{category}}:{{grp}}\"\norigin = \"shop\"\n\
         names = \"with recursive groups(grp) as (values (0) union all select grp + 1 from groups where grp < {}) select category, grp from ({categories}), groups\"\n\
         query = \"\"\"{PRICED}\"\"\"\n{SORTS}",
        GROUPS - 1
    );
    let (shared, apart) = (filled("auto", &shared)?, filled("auto", &apart)?);
    let mut table = Table::new(["sixteen variants, MB", "listings", "chunks", "sidecars", "all"]);
    for (what, held) in [("names of their own", &apart), ("variants of one name", &shared)] {
        table.row([
            what.to_owned(),
            held.listings.to_string(),
            megabytes(held.chunks),
            megabytes(held.sidecars),
            megabytes(held.all()),
        ]);
    }
    Ok(table)
}

/// Fills a new Redis by a warm-up, and counts.
fn fill(machine: &Machine, directory: &Path, shop: &str, compress: &str, listings: &str) -> Outcome<Held> {
    let redis = Redis::start(machine)?;
    let file = directory.join("listcache.toml");
    let config = format!(
        "[redis]\nurl = \"{}\"\n[defaults]\nfresh_for = \"12h\"\nkeep_for = \"24h\"\npin_for = \"24h\"\ncompress = \"{compress}\"\n\
         [origins.shop]\nkind = \"sql\"\nurl = \"{shop}\"\n{listings}",
        redis.url(Way::Socket)
    );
    fs::write(&file, config)?;
    let mut warm = Command::new(env!("CARGO_BIN_EXE_listcache"));
    warm.arg("warm").arg("--config").arg(&file).args(["--variants", "all"]);
    let warmed = warm.current_dir(directory).output()?;
    if !warmed.status.success() {
        return Err(format!("listcache warm: {}", String::from_utf8_lossy(&warmed.stderr)).into());
    }
    count(&redis, &mut redis.connect()?)
}

fn count(redis: &Redis, connection: &mut Connection) -> Outcome<Held> {
    let mut held = Held::default();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(connection)?;
    for key in keys {
        let bytes = redis.memory_of(connection, &key)?;
        // `listcache:2:{<tag>}:<kind>:…`
        match key.split(':').nth(3) {
            Some("gen" | "deltas") => held.chunks += bytes,
            Some("dict") => held.dictionaries += bytes,
            Some("side") => held.sidecars += bytes,
            Some("head") => {
                let total: u64 = redis::cmd("HGET").arg(&key).arg("total").query(connection)?;
                held.listings += 1;
                held.items += total;
                held.others += bytes;
            }
            _ => held.others += bytes,
        }
    }
    Ok(held)
}

/// Listings of one item to five, all that belongs to each counted. And the worst of them, by the bound of 1.3 times their JSON and 500 bytes.
fn small(machine: &Machine) -> Outcome<(Table, f64)> {
    let redis = Redis::start(machine)?;
    let service = Listcache::start(|program| machine.anywhere(program), &redis, "")?;
    let push = |names: &str, listings: u64, items: u64| {
        client::block_on(async {
            let mut client = Client::connect(service.address()).await?;
            let headers = format!(
                "{}\r\nContent-Type: application/x-ndjson\r\n",
                Listcache::authorization()
            );
            for number in 0..listings {
                let body: String = items::lines(items).collect();
                let path = format!("/v1/listings/{names}:{number}");
                let answer = client.ask("PUT", &path, &headers, body.as_bytes()).await?;
                if answer.status != 201 {
                    return Err(format!("PUT {path}: {}", answer.status).into());
                }
            }
            Ok(())
        })
    };
    push("before", SMALL_BEFORE, 3)?;
    let mut bytes = BTreeMap::new();
    for items in 1..=SMALL_ITEMS_MAX {
        let before = redis.used_memory()?;
        push(&format!("small{items}"), SMALL, items)?;
        bytes.insert(items, redis.used_memory()?.saturating_sub(before) / SMALL);
    }
    let mut table = Table::new([
        "a small listing, bytes",
        "its JSON",
        "in Redis",
        "bound",
        "of the bound",
    ]);
    let mut worst: f64 = 0.0;
    for (items, bytes) in bytes {
        let json = items * items::ITEM_BYTES as u64;
        let bound = json as f64 * 1.3 + 500.0;
        worst = worst.max(bytes as f64 / bound);
        table.row([
            format!("{items} items"),
            json.to_string(),
            bytes.to_string(),
            format!("{bound:.0}"),
            format!("{:.2}", bytes as f64 / bound),
        ]);
    }
    Ok((table, worst))
}
