//! Filtered pages of a whole catalogue beside plain ones: in L1, from Redis, and of combinations that nobody has asked for before.
//!
//! The sides of a comparison alternate. The catalogue is the one beside the project where there is one, else that of the demo.

use std::{
    fs,
    time::{Duration, Instant},
};

use listcache::origin::SampleCatalogue;
use tempfile::TempDir;

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
/// From Redis, each at several places.
const FROM_REDIS: [(&str, &str); 3] = [
    ("plain", ""),
    ("brand National", "&f.brand=National"),
    ("brand Private", "&f.brand=Private"),
];
const PAGES: u64 = 8;
/// Combinations that nobody has asked for before, in a measurement.
const NEW: u64 = 200;

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

    let mut in_l1 = vec![Series::default(); 1 + FILTERED.len()];
    let mut from_redis = vec![Series::default(); FROM_REDIS.len()];
    let (mut again, mut new, mut counted) = (Series::default(), Series::default(), Series::default());
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
        for (series, seconds) in from_redis.iter_mut().zip(alternate(&without_l1, effort.duration)?) {
            push(series, seconds.median());
        }
        let number = u64::try_from(round)? * NEW;
        let of_new = |facets: &'static str| {
            move |at: u64| {
                let least = number + at;
                format!("{PLAIN}&f.brand=National&f.price={least}..{}{facets}", least + 700)
            }
        };
        push(&mut again, one_by_one(&service, |_| format!("{PLAIN}{}", FILTERED[0]))?);
        push(&mut new, one_by_one(&service, of_new(""))?);
        push(
            &mut counted,
            one_by_one(&service, of_new("&facets=brand,category,type"))?,
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
    let mut far = Table::new(["a page of 24 from Redis, one connection", "µs", "ratio"]);
    for ((name, _), series) in FROM_REDIS.iter().zip(&from_redis) {
        far.row([
            (*name).to_owned(),
            format!("{:.1}", series.median() * 1e6),
            format!("{:.3}", series.ratio(&from_redis[0])),
        ]);
    }
    let of_combination = (new.median() - again.median()) * 1e3;
    let of_counts = (counted.median() - new.median()) * 1e3;
    Ok(Section {
        title: "(g) Filters",
        text: format!(
            "{items} items of one listing, four filters.\n\n{table}\n{far}\nOne connection, in L1: a page that was asked for before takes {:.3} ms, of a \
             combination that nobody has asked for {:.3} ms, with the counts of three filters besides {:.3} ms.\n\n",
            again.median() * 1e3,
            new.median() * 1e3,
            counted.median() * 1e3
        ),
        claims: vec![
            Claim::new(
                "filtered ÷ plain in L1, pages/s",
                in_l1[1].ratio(&in_l1[0]),
                Bound::AtLeast(0.5),
            ),
            Claim::new(
                "filtered ÷ plain from Redis, time",
                from_redis[1].ratio(&from_redis[0]),
                Bound::AtMost(2.0),
            ),
            Claim::new("a new combination, ms", of_combination, Bound::AtMost(1.0)),
            Claim::new("counts of three filters, ms", of_counts, Bound::AtMost(1.0)),
        ],
    })
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

/// Seconds a page, by turns, of each kind at several places.
fn alternate(service: &Listcache, during: Duration) -> Outcome<Vec<Series>> {
    client::block_on(async {
        let mut client = Client::connect(service.address()).await?;
        let mut measured = vec![Series::default(); FROM_REDIS.len()];
        let begun = Instant::now();
        while begun.elapsed() < during {
            for page in 0..PAGES {
                for ((_, filter), series) in FROM_REDIS.iter().zip(&mut measured) {
                    let path = format!("{PLAIN}{filter}&page={}", 20 + 7 * page);
                    let asked = Instant::now();
                    let answer = client.ask("GET", &path, "", b"").await?;
                    series.push(asked.elapsed().as_secs_f64());
                    if answer.status != 200 {
                        return Err(format!("{path}: {}", answer.status).into());
                    }
                }
            }
        }
        Ok(measured)
    })
}

/// The median of seconds that pages take, one after the other.
fn one_by_one(service: &Listcache, path: impl Fn(u64) -> String) -> Outcome<f64> {
    client::block_on(async {
        let mut client = Client::connect(service.address()).await?;
        let mut measured = Series::default();
        for at in 0..NEW {
            let path = path(at);
            let asked = Instant::now();
            let answer = client.ask("GET", &path, "", b"").await?;
            measured.push(asked.elapsed().as_secs_f64());
            if answer.status != 200 {
                return Err(format!("{path}: {}", answer.status).into());
            }
        }
        Ok(measured.median())
    })
}
