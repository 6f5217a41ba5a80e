//! Pages that are not in L1, from random places of a long listing, beside `redis-benchmark` sending the same XRANGE: how much of
//! what Redis gives arrives. Load, service and Redis share the same two cores. L1 keeps no chunk here.

use std::{fs, path::Path};

use super::layouts::{self, CHUNK_LEN, ITEMS, SIZE};
use crate::{
    Effort, Outcome,
    claims::{Bound, Claim},
    items,
    load::{self, Asked},
    machine::Machine,
    section::Section,
    series::Series,
    servers::{
        listcache::Listcache,
        redis::{Redis, Way},
    },
    table::Table,
};

const CONNECTIONS: u32 = 50;
/// What `redis-benchmark` asks for first, to learn how much it can ask for in the time it has.
const PROBES: u64 = 10_000;
/// The least L1 that there is: no chunk fits.
pub const NO_L1: &str = "[http]\nbody_max = \"2GiB\"\n[l1]\nchunks_max = \"1KiB\"\n";

/// One way to Redis: bare, and through a service of its own.
struct Lane {
    way: Way,
    name: &'static str,
    service: Listcache,
    /// What `redis-benchmark` asks for in a measurement.
    requests: u64,
    bare: Series,
    served: Series,
    pages: u64,
}

impl Lane {
    fn start(machine: &Machine, redis: &Redis, way: Way, name: &'static str) -> Outcome<Self> {
        Ok(Self {
            way,
            name,
            service: Listcache::start_by(way, |program| machine.anywhere(program), redis, NO_L1)?,
            requests: 0,
            bare: Series::default(),
            served: Series::default(),
            pages: 0,
        })
    }

    fn pages_from_redis(&self) -> Outcome<f64> {
        self.service.metric("listcache_pages_total{layer=\"redis\"")
    }
}

pub fn run(machine: &Machine, effort: &Effort) -> Outcome<Section> {
    let redis = Redis::start(machine)?;
    let mut lanes = [
        Lane::start(machine, &redis, Way::Loopback, "by TCP on loopback")?,
        Lane::start(machine, &redis, Way::Socket, "by a Unix socket")?,
    ];
    // All serve it, from the same stream.
    let first = &lanes[0].service;
    first.push("long", items::lines(ITEMS))?;
    let stream = first.stream_key("long")?;
    let script = first.directory().join("random.lua");
    write_script(&script)?;
    let chunks = (SIZE / CHUNK_LEN).to_string();
    let range = ["XRANGE", &stream, "0-__rand_int__", "+", "COUNT", &chunks].map(str::to_owned);
    let entries = ITEMS / CHUNK_LEN;
    for lane in &mut lanes {
        let probed = redis.benchmark(machine, lane.way, PROBES, entries, &range)?;
        lane.requests = (probed * effort.duration.as_secs_f64()) as u64;
    }

    let before = lanes.iter().map(Lane::pages_from_redis).sum::<Outcome<f64>>()?;
    for round in 0..effort.rounds_with_warm_up() {
        for lane in &mut lanes {
            let by_redis = redis.benchmark(machine, lane.way, lane.requests, entries, &range)?;
            let asked = Asked {
                address: lane.service.address(),
                path: "/",
                header: None,
                script: Some(&script),
                connections: CONNECTIONS,
            };
            let load = load::run(machine.anywhere("wrk"), &asked, effort.duration)?;
            lane.pages += load.requests;
            if round > 0 || !effort.warms_up {
                lane.bare.push(by_redis);
                lane.served.push(load.requests_per_second);
            }
        }
    }
    let from_redis = lanes.iter().map(Lane::pages_from_redis).sum::<Outcome<f64>>()? - before;
    let pages: u64 = lanes.iter().map(|lane| lane.pages).sum();
    let part = 100.0 * from_redis / pages as f64;
    let mut table = Table::new(["two cores for all, 50 connections", "pages/s", "ratio"]);
    for lane in &lanes {
        table.row([
            format!("`redis-benchmark`, the same XRANGE, {}", lane.name),
            format!("{:.0}", lane.bare.median()),
            String::new(),
        ]);
        table.row([
            format!("**listcache**, a page of 24, {}", lane.name),
            format!("{:.0}", lane.served.median()),
            format!("{:.3}", lane.served.ratio(&lane.bare)),
        ]);
    }
    let [on_loopback, by_socket] = lanes.each_ref().map(|lane| lane.served.ratio(&lane.bare));
    drop(lanes);
    let layouts = layouts::compare(machine, effort, &redis, &stream)?;
    Ok(Section {
        title: "(b) Pages that are not in L1",
        text: format!(
            "Random pages of {SIZE} out of {ITEMS} items of {} bytes; {part:.1} % of them came from Redis.\n\n{table}\n{layouts}\n",
            items::ITEM_BYTES
        ),
        claims: vec![
            Claim::new("page ÷ bare XRANGE, a second", on_loopback, Bound::AtLeast(0.45)),
            Claim::new("the same, aim beyond", on_loopback, Bound::Aim(0.6)),
            Claim::new("the same by a Unix socket, aim", by_socket, Bound::Aim(0.45)),
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
