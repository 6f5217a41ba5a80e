//! Filtered pages of a whole catalogue beside plain ones: in L1, from Redis, and of combinations that nobody has asked for before. Beside them
//! the same filters by SQL.
//!
//! The sides of a comparison alternate. The catalogue is the one beside the project where there is one, else that of the demo.

mod by_sql;

use std::{
    fs,
    io::Read,
    time::{Duration, Instant},
};

use flate2::read::MultiGzDecoder;
use listcache::origin::SampleCatalogue;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tempfile::TempDir;

use self::by_sql::{BySql, Combination};
use super::memory::{BESIDE, OF_THE_DEMO};
use crate::{
    Effort, Outcome,
    claims::{Bound, Claim},
    client::{self, Client},
    load::{self, Asked},
    machine::Machine,
    section::Section,
    series::Series,
    servers::{listcache::Listcache, redis::Redis},
    table::Table,
};

const CONNECTIONS: u32 = 50;
const PLAIN: &str = "/v1/listings/all?sort=popularity&size=24";
/// Pages in L1 that are held against the plain one; the first is the one with a bound.
const FILTERED: [&str; 3] = [
    "&f.brand=National",
    "&f.brand=Private",
    "&f.brand=Private&f.price=200..500",
];
/// Selections of one connection: name, filters, and the same in SQL. The second is the one with a bound.
const SELECTIONS: [(&str, &str, &str); 4] = [
    ("plain", "", "true"),
    ("brand National", "&f.brand=National", "brand = 'National'"),
    ("brand Private", "&f.brand=Private", "brand = 'Private'"),
    (
        "brand Private, price 200..500",
        "&f.brand=Private&f.price=200..500",
        "brand = 'Private' and price_cents between 200 and 500",
    ),
];
/// The number of types that are selected too: those of most products.
const TYPES: i64 = 3;
const PAGES: u64 = 8;
/// Combinations that nobody has asked for before, in a measurement.
const NEW: u64 = 200;

/// Filters of which one connection asks for pages.
struct Selection {
    name: String,
    filters: String,
    condition: String,
    /// Pages that are asked for: of matches that are many, the same ones as of the plain listing.
    pages: Vec<u64>,
    chunks_a_page: f64,
    from_redis: Series,
    in_l1: Series,
    page_by_sql: Series,
    by_sql: Series,
}

impl Selection {
    /// Its series in the order in which [`alternate`] measures them.
    fn series(&mut self) -> [&mut Series; 4] {
        [
            &mut self.from_redis,
            &mut self.in_l1,
            &mut self.page_by_sql,
            &mut self.by_sql,
        ]
    }
}

/// A page of a combination, without and with counts.
#[derive(Default)]
struct Combined {
    again: Series,
    new: Series,
    counted: Series,
}

pub fn run(machine: &Machine, effort: &Effort) -> Outcome<Section> {
    let directory = TempDir::new()?;
    let file = directory.path().join("shop.db");
    let beside = fs::read(BESIDE).ok();
    let products = beside.as_deref().unwrap_or(OF_THE_DEMO);
    let shop = client::block_on(async { Ok(SampleCatalogue::create_from(&file, products).await?) })?;
    let config = format!(
        "[defaults]\nfresh_for = \"12h\"\nkeep_for = \"24h\"\npin_for = \"24h\"\nfacet_values_max = 300\n\
         [origins.shop]\nkind = \"sql\"\nurl = \"{}\"\n[[listings]]\nname = \"all\"\norigin = \"shop\"\n\
         query = \"select * from products\"\n[listings.sorts]\npopularity = {{ by = [\"orders desc\"] }}\n\
         [listings.filters]\nbrand = {{}}\ncategory = {{}}\ntype = {{}}\n\
         price = {{ at = \"price_cents\", range = true, steps = [200, 500, 1000] }}\n",
        shop.url()
    );
    let redis = Redis::start(machine)?;
    let service = Listcache::start(|program| machine.anywhere(program), &redis, &config)?;
    let without_l1 = Listcache::start(
        |program| machine.anywhere(program),
        &redis,
        &format!("[l1]\nchunks_max = \"1KiB\"\n{config}"),
    )?;
    let items = total(&service, PLAIN)?;
    for service in [&service, &without_l1] {
        total(service, &format!("{PLAIN}{}", FILTERED[0]))?;
    }
    let mut lines = String::new();
    MultiGzDecoder::new(products).read_to_string(&mut lines)?;
    let mut sql = BySql::start(&lines)?;
    let version = sql.version()?;
    let mut selections = selections(&mut sql)?;

    let mut in_l1 = vec![Series::default(); 1 + FILTERED.len()];
    let (mut ours, mut theirs) = (Combined::default(), Combined::default());
    for round in 0..effort.rounds_with_warm_up() {
        let is_counted = round > 0 || !effort.warms_up;
        let push = |series: &mut Series, value: f64| {
            if is_counted {
                series.push(value);
            }
        };
        for (at, filter) in [""].into_iter().chain(FILTERED).enumerate() {
            let path = format!("{PLAIN}{filter}");
            let asked = Asked {
                address: service.address(),
                path: &path,
                header: None,
                script: None,
                connections: CONNECTIONS,
            };
            let load = load::run(machine.anywhere("wrk"), &asked, effort.duration)?;
            push(&mut in_l1[at], load.requests_per_second);
        }
        let measured = alternate(&service, &without_l1, &mut sql, &selections, effort.duration)?;
        for (selection, measured) in selections.iter_mut().zip(measured) {
            for (series, measured) in selection.series().into_iter().zip(measured) {
                push(series, measured.median());
            }
        }
        let number = u64::try_from(round)? * NEW;
        let of_new = |facets: &'static str| {
            move |at: u64| {
                let least = number + at;
                format!("{PLAIN}&f.brand=National&f.price={least}..{}{facets}", least + 700)
            }
        };
        let combination = |at: u64| {
            let least = i64::try_from(number + at).unwrap_or_default();
            Combination {
                brand: "National",
                prices: (least, least + 700),
            }
        };
        push(
            &mut ours.again,
            one_by_one(&service, |_| format!("{PLAIN}{}", FILTERED[0]))?,
        );
        push(
            &mut theirs.again,
            median_of_new(|_| Ok(sql.page(SELECTIONS[1].2, 1)?[1]))?,
        );
        push(&mut ours.new, one_by_one(&service, of_new(""))?);
        push(
            &mut theirs.new,
            median_of_new(|at| sql.combination(combination(at), false))?,
        );
        push(
            &mut ours.counted,
            one_by_one(&service, of_new("&facets=brand,category,type"))?,
        );
        push(
            &mut theirs.counted,
            median_of_new(|at| sql.combination(combination(at), true))?,
        );
    }

    let mut table = Table::new(["a page of 24 in L1, 50 connections", "pages/s", "ratio"]);
    for (name, series) in ["plain"].into_iter().chain(FILTERED).zip(&in_l1) {
        table.row([
            name.trim_start_matches('&').to_owned(),
            format!("{:.0}", series.median()),
            format!("{:.3}", series.ratio(&in_l1[0])),
        ]);
    }
    let of_combination = (ours.new.median() - ours.again.median()) * 1e3;
    let of_counts = (ours.counted.median() - ours.new.median()) * 1e3;
    Ok(Section {
        title: "(g) Filters",
        text: format!(
            "{items} items of one listing, four filters; PostgreSQL {version}.\n\n{table}\n{}\n{}\n",
            of_one_connection(&selections),
            of_combinations(&ours, &theirs)
        ),
        claims: vec![
            Claim::new(
                "filtered ÷ plain in L1, pages/s",
                in_l1[1].ratio(&in_l1[0]),
                Bound::AtLeast(0.5),
            ),
            Claim::new(
                "filtered ÷ plain from Redis, time",
                selections[1].from_redis.ratio(&selections[0].from_redis),
                Bound::AtMost(2.0),
            ),
            Claim::new("a new combination, ms", of_combination, Bound::AtMost(1.0)),
            Claim::new("counts of three filters, ms", of_counts, Bound::AtMost(1.0)),
        ],
    })
}

fn selections(sql: &mut BySql) -> Outcome<Vec<Selection>> {
    let declared = SELECTIONS.map(|(name, filters, condition)| [name, filters, condition].map(str::to_owned));
    let types = sql.largest_types(TYPES)?.into_iter().map(|one| {
        [
            format!("type {one}"),
            format!("&f.type={}", utf8_percent_encode(&one, NON_ALPHANUMERIC)),
            format!("type = '{}'", one.replace('\'', "''")),
        ]
    });
    let selection = |[name, filters, condition]: [String; 3]| {
        let whole = u64::try_from(sql.total(&condition)?)? / 24;
        let pages = (0..PAGES).map(|at| match 20 + 7 * at {
            page if 20 + 7 * PAGES <= whole => page,
            _ => 1 + at * whole.saturating_sub(1) / PAGES,
        });
        Ok(Selection {
            pages: pages.collect(),
            chunks_a_page: sql.chunks_a_page(&condition)?,
            from_redis: Series::default(),
            in_l1: Series::default(),
            page_by_sql: Series::default(),
            by_sql: Series::default(),
            name,
            filters,
            condition,
        })
    };
    declared.into_iter().chain(types).map(selection).collect()
}

fn of_one_connection(selections: &[Selection]) -> Table {
    let mut table = Table::new([
        "a page of 24 and the total, one connection",
        "chunks a page",
        "from Redis, µs",
        "ratio to plain",
        "in L1, µs",
        "PostgreSQL, µs",
        "its page alone, µs",
        "÷ from Redis",
        "÷ in L1",
    ]);
    for selection in selections {
        let micros = |series: &Series| format!("{:.1}", series.median() * 1e6);
        table.row([
            selection.name.clone(),
            format!("{:.1}", selection.chunks_a_page),
            micros(&selection.from_redis),
            format!("{:.3}", selection.from_redis.ratio(&selections[0].from_redis)),
            micros(&selection.in_l1),
            micros(&selection.by_sql),
            micros(&selection.page_by_sql),
            format!("{:.1}", selection.by_sql.ratio(&selection.from_redis)),
            format!("{:.1}", selection.by_sql.ratio(&selection.in_l1)),
        ]);
    }
    table
}

fn of_combinations(ours: &Combined, theirs: &Combined) -> Table {
    let mut table = Table::new(["a first page, one connection", "in L1, ms", "PostgreSQL, ms", "ratio"]);
    for (name, ours, theirs) in [
        ("asked for before", &ours.again, &theirs.again),
        ("of a combination that nobody has asked for", &ours.new, &theirs.new),
        ("the same with counts of three filters", &ours.counted, &theirs.counted),
    ] {
        table.row([
            name.to_owned(),
            format!("{:.3}", ours.median() * 1e3),
            format!("{:.3}", theirs.median() * 1e3),
            format!("{:.1}", theirs.ratio(ours)),
        ]);
    }
    table
}

fn total(service: &Listcache, path: &str) -> Outcome<String> {
    client::block_on(async {
        let mut client = Client::connect(service.address()).await?;
        // The first one fills, or reads all items.
        for _ in 0..100 {
            let answer = client.ask("GET", path, "", b"").await?;
            if answer.status == 200 {
                return Ok(answer.header("x-total-count").to_owned());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(format!("{path} is not there").into())
    })
}

/// Seconds a page of each selection: from Redis and in L1 by turns, then by SQL.
fn alternate(
    service: &Listcache,
    without_l1: &Listcache,
    sql: &mut BySql,
    selections: &[Selection],
    during: Duration,
) -> Outcome<Vec<[Series; 4]>> {
    client::block_on(async {
        let mut clients = [
            Client::connect(without_l1.address()).await?,
            Client::connect(service.address()).await?,
        ];
        let mut measured: Vec<[Series; 4]> = selections.iter().map(|_| Default::default()).collect();
        let begun = Instant::now();
        while begun.elapsed() < during {
            for turn in 0..PAGES as usize {
                for (selection, [from_redis, in_l1, ..]) in selections.iter().zip(&mut measured) {
                    let path = format!("{PLAIN}{}&page={}", selection.filters, selection.pages[turn]);
                    for (client, series) in clients.iter_mut().zip([from_redis, in_l1]) {
                        series.push(seconds_of(client, &path).await?);
                    }
                }
            }
        }
        Ok(measured)
    })
    .and_then(|mut measured| {
        let begun = Instant::now();
        while begun.elapsed() < during {
            for turn in 0..PAGES as usize {
                for (selection, [.., alone, whole]) in selections.iter().zip(&mut measured) {
                    let seconds = sql.page(&selection.condition, selection.pages[turn])?;
                    alone.push(seconds[0]);
                    whole.push(seconds[1]);
                }
            }
        }
        Ok(measured)
    })
}

async fn seconds_of(client: &mut Client, path: &str) -> Outcome<f64> {
    let asked = Instant::now();
    let answer = client.ask("GET", path, "", b"").await?;
    let seconds = asked.elapsed().as_secs_f64();
    match answer.status {
        200 => Ok(seconds),
        status => Err(format!("{path}: {status}").into()),
    }
}

/// The median of seconds that pages take, one after the other.
fn one_by_one(service: &Listcache, path: impl Fn(u64) -> String) -> Outcome<f64> {
    client::block_on(async {
        let mut client = Client::connect(service.address()).await?;
        let mut measured = Series::default();
        for at in 0..NEW {
            measured.push(seconds_of(&mut client, &path(at)).await?);
        }
        Ok(measured.median())
    })
}

/// The same of other seconds.
fn median_of_new(mut seconds: impl FnMut(u64) -> Outcome<f64>) -> Outcome<f64> {
    let measured = (0..NEW).map(&mut seconds).collect::<Outcome<Series>>()?;
    Ok(measured.median())
}
