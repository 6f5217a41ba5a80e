//! Pages that are not in L1, from random places of a long listing, beside `redis-benchmark` sending the same XRANGE: how much of
//! what Redis gives arrives. Load, service and Redis share the same two cores. L1 keeps no chunk here.

use std::{fs, path::Path};

use super::layouts;
use crate::{
    Effort, Outcome,
    claims::{Bound, Claim},
    items,
    load::{self, Asked},
    machine::Machine,
    report::Section,
    series::Series,
    servers::{listcache::Listcache, redis::Redis},
    table::Table,
};

pub const ITEMS: u64 = 100_000;
/// Of a page, and of a chunk.
pub const SIZE: u64 = 24;
pub const CHUNK_LEN: u64 = 12;
const CONNECTIONS: u32 = 50;
/// What `redis-benchmark` asks for first, to learn how much it can ask for in the time it has.
const PROBES: u64 = 10_000;
/// The least L1 that there is: no chunk fits.
pub const NO_L1: &str = "[http]\nbody_max = \"2GiB\"\n[l1]\nchunks_max = \"1KiB\"\n";

pub fn run(machine: &Machine, effort: &Effort) -> Outcome<Section> {
    let redis = Redis::start(machine)?;
    let service = Listcache::start(|program| machine.anywhere(program), &redis, NO_L1)?;
    service.push("long", items::lines(ITEMS))?;
    let stream = service.stream_key("long")?;
    let script = service.directory().join("random.lua");
    write_script(&script)?;
    let asked = Asked {
        address: service.address(),
        path: "/",
        header: None,
        script: Some(&script),
        connections: CONNECTIONS,
    };
    let chunks = (SIZE / CHUNK_LEN).to_string();
    let range = ["XRANGE", &stream, "0-__rand_int__", "+", "COUNT", &chunks].map(str::to_owned);
    let entries = ITEMS / CHUNK_LEN;
    let probed = redis.benchmark(machine, PROBES, entries, &range)?;
    let requests = (probed * effort.duration.as_secs_f64()) as u64;

    let (before, mut pages) = (service.metric("listcache_pages_total{layer=\"redis\"")?, 0);
    let (mut bare, mut served) = (Series::default(), Series::default());
    for round in 0..effort.rounds_with_warm_up() {
        let by_redis = redis.benchmark(machine, requests, entries, &range)?;
        let load = load::run(machine.anywhere("wrk"), &asked, effort.duration)?;
        pages += load.requests;
        if round > 0 || !effort.warms_up {
            bare.push(by_redis);
            served.push(load.requests_per_second);
        }
    }
    let from_redis = service.metric("listcache_pages_total{layer=\"redis\"")? - before;
    let part = 100.0 * from_redis / pages as f64;
    let mut table = Table::new(["two cores for all, 50 connections", "pages/s", "ratio"]);
    table.row([
        "`redis-benchmark`, the same XRANGE".to_owned(),
        format!("{:.0}", bare.median()),
        String::new(),
    ]);
    table.row([
        "**listcache**, a page of 24".to_owned(),
        format!("{:.0}", served.median()),
        format!("{:.3}", served.ratio(&bare)),
    ]);
    let layouts = layouts::compare(machine, effort, &redis, &stream)?;
    let ratio = served.ratio(&bare);
    Ok(Section {
        title: "(b) Pages that are not in L1",
        text: format!(
            "Random pages of {SIZE} out of {ITEMS} items of {} bytes; {part:.1} % of them came from Redis.\n\n{table}\n{layouts}\n",
            items::ITEM_BYTES
        ),
        claims: vec![
            Claim::new("page ÷ bare XRANGE, a second", ratio, Bound::AtLeast(0.45)),
            Claim::new("the same, aim beyond", ratio, Bound::Aim(0.6)),
        ],
    })
}

/// Random whole pages; the requests are made once.
fn write_script(file: &Path) -> Outcome<()> {
    let pages = ITEMS / SIZE;
    let script = format!(
        "local requests = {{}}\n\
         init = function()\n\
         math.randomseed(7)\n\
         for at = 1, 4096 do\n\
         requests[at] = wrk.format(nil, \"/v1/listings/long?page=\" .. math.random(1, {pages}))\n\
         end\n\
         end\n\
         request = function() return requests[math.random(1, 4096)] end\n"
    );
    Ok(fs::write(file, script)?)
}
