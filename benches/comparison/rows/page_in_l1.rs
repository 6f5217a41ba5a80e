//! One page of 24 items in L1, plain, packed and as a 304, beside a handler of the same framework that sends the same bytes,
//! and beside nginx and Varnish that have the same page.
//!
//! Each server has one worker on one core, `wrk` loads them in turn from another. A lane says how many requests a second
//! the server answered and its processor time for one. It is void unless the server was the bottleneck.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{
    Effort, Outcome,
    claims::{Bound, Claim},
    items,
    lane::{HEAD, Lane},
    machine::Machine,
    sample::Sample,
    section::Section,
    servers::{
        fixed,
        listcache::Listcache,
        nginx_cache, nginx_file, nginx_gzip,
        redis::Redis,
        varnish::{self, Storage},
    },
    table::Table,
};

/// No multiple of the chunk's length.
const ITEMS: u64 = 1434;
const NAME: &str = "category:BREAD";
const PAGE: &str = "/v1/listings/category:BREAD?page=2";
const DESCENDING: &str = "/v1/listings/category:BREAD?order=desc&page=2";
const TAKES_GZIP: &str = "Accept-Encoding: gzip, deflate, br, zstd";

/// A kind of page: what is asked for besides its name, and what its packed form must reach of the plain one's requests
/// a second and may take of what `gzip -1` makes of it.
struct Kind {
    name: &'static str,
    query: &'static str,
    rate_least: f64,
    size_most: f64,
}

const fn whole(name: &'static str, query: &'static str) -> Kind {
    Kind {
        name,
        query,
        rate_least: 0.9,
        size_most: 1.0,
    }
}

const fn cut(name: &'static str, query: &'static str) -> Kind {
    Kind {
        name,
        query,
        rate_least: 0.8,
        size_most: 1.1,
    }
}

const KINDS: [Kind; 10] = [
    whole("24", "page=2&size=24"),
    whole("96", "page=2&size=96"),
    cut("10", "page=2&size=10"),
    cut("25", "page=2&size=25"),
    cut("50", "page=2&size=50"),
    cut("24 from 7", "offset=7&limit=24"),
    cut("10, desc", "order=desc&page=2&size=10"),
    cut("25, desc", "order=desc&page=2&size=25"),
    cut("50, desc", "order=desc&page=2&size=50"),
    cut("24 from 7, desc", "order=desc&offset=7&limit=24"),
];

pub fn run(machine: &Machine, effort: &Effort) -> Outcome<Section> {
    let redis = Redis::start(machine)?;
    let service = Listcache::start(|program| machine.for_server(program), &redis, "[http]\nworkers = 1\n")?;
    service.push(NAME, items::lines(ITEMS))?;
    let page = Sample::take(service.address(), PAGE, &[])?;
    let packed = Sample::take(service.address(), PAGE, &[TAKES_GZIP])?;
    let condition = format!("If-None-Match: {}", page.header("etag")?);
    let known = Sample::take(service.address(), PAGE, &[&condition])?;

    let directory = tempfile::tempdir()?;
    let fixed = fixed::start(
        |program| machine.for_server(program),
        directory.path(),
        &[&page, &packed, &known],
    )?;
    let file = nginx_file::start(machine, page.body())?;
    let file_tag = Sample::ask(&file.address, "/page", &[])?.header("etag")?;
    let file_condition = format!("If-None-Match: {file_tag}");
    let packing = nginx_gzip::start(machine, page.body())?;
    let proxy = nginx_cache::start(machine, service.address())?;
    let storage = Storage {
        memory: "64m",
        packs: false,
        threads: 200,
    };
    let varnish = varnish::start(
        |program| machine.for_server(program),
        service.address(),
        &storage,
        varnish::KEEPS_ALL,
    )?;

    let own = &service.server;
    let mut lanes = [
        // Plain.
        Lane::new("a fixed body, same framework", &fixed, "/0", None),
        Lane::new("**listcache**, ascending", own, PAGE, None),
        Lane::new("**listcache**, descending", own, DESCENDING, None),
        Lane::new("nginx, a file", &file, "/page", None),
        Lane::new("nginx, proxy_cache", &proxy, PAGE, None),
        Lane::new("Varnish", &varnish, PAGE, None),
        // Packed.
        Lane::new("a fixed packed body", &fixed, "/1", None),
        Lane::new("**listcache**", own, PAGE, Some(TAKES_GZIP)),
        Lane::new("nginx, proxy_cache", &proxy, PAGE, Some(TAKES_GZIP)),
        Lane::new("Varnish", &varnish, PAGE, Some(TAKES_GZIP)),
        Lane::new("nginx, gzip on", &packing, "/page", Some(TAKES_GZIP)),
        // 304.
        Lane::new("a fixed 304", &fixed, "/2", None),
        Lane::new("**listcache**", own, PAGE, Some(&condition)),
        Lane::new("nginx, a file", &file, "/page", Some(&file_condition)),
        Lane::new("nginx, proxy_cache", &proxy, PAGE, Some(&condition)),
        Lane::new("Varnish", &varnish, PAGE, Some(&condition)),
    ];
    for (at, lane) in lanes.iter().enumerate() {
        match at {
            0..6 => lane.expect(200, "")?,
            6..11 => lane.expect(200, "gzip")?,
            _ => lane.expect(304, "")?,
        }
    }
    let mut kinds = Vec::new();
    for kind in &KINDS {
        let path = format!("/v1/listings/{NAME}?{}", kind.query);
        let plain = Lane::new(kind.name, own, path.clone(), None);
        let packed = Lane::new("  packed", own, path, Some(TAKES_GZIP));
        packed.expect(200, "gzip")?;
        let size = size_ratio(&plain, &packed)?;
        kinds.push((kind, plain, packed, size));
    }
    for round in 0..effort.rounds_with_warm_up() {
        for lane in &mut lanes {
            lane.measure(machine, effort)?;
        }
        for (_, plain, packed, _) in &mut kinds {
            plain.measure(machine, effort)?;
            packed.measure(machine, effort)?;
        }
        if round == 0 && effort.warms_up {
            // Connections, branch predictors, caches; not counted.
            let all = lanes.iter_mut();
            all.chain(kinds.iter_mut().flat_map(|(_, plain, packed, _)| [plain, packed]))
                .for_each(Lane::forget);
        }
    }

    let mut text = format!(
        "One page of 24 items in L1: {} bytes of body, {} of head; packed {} bytes.\n\n",
        page.body().len(),
        page.head_bytes(),
        packed.body().len()
    );
    for (title, range, first) in [("plain", 0..6, 0), ("gzip", 6..11, 6), ("304", 11..16, 11)] {
        let mut table = Table::new(HEAD.map(|name| if name.is_empty() { title } else { name }));
        for lane in &lanes[range] {
            table.row(lane.cells(&lanes[first]));
        }
        text.push_str(&format!("{table}\n"));
    }
    let mut table = Table::new(HEAD.map(|name| if name.is_empty() { "size of the page" } else { name }));
    for (_, plain, packed, _) in &kinds {
        table.row(plain.cells(plain));
        table.row(packed.cells(plain));
    }
    text.push_str(&format!("{table}\n"));

    let mut claims = claims(&lanes);
    for (kind, plain, packed, _) in &kinds {
        claims.push(
            Claim::new(
                format!("gzip ÷ plain, requests/s: {}", kind.name),
                packed.rates.ratio(&plain.rates),
                Bound::AtLeast(kind.rate_least),
            )
            .void_if(packed.void().or(plain.void())),
        );
    }
    for (kind, _, _, size) in &kinds {
        claims.push(Claim::new(
            format!("gzip ÷ `gzip -1`, bytes: {}", kind.name),
            *size,
            Bound::AtMost(kind.size_most),
        ));
    }
    Ok(Section {
        title: "(a) A page in L1",
        text,
        claims,
    })
}

fn claims(lanes: &[Lane<'_>; 16]) -> Vec<Claim> {
    let claim = |name: &str, this: usize, that: usize, bound: Bound| {
        let (this, that) = (&lanes[this], &lanes[that]);
        Claim::new(name, this.rates.ratio(&that.rates), bound).void_if(this.void().or(that.void()))
    };
    vec![
        claim("page ÷ fixed body, requests/s", 1, 0, Bound::AtLeast(0.94)),
        claim("page ÷ nginx proxy_cache, requests/s", 1, 4, Bound::AtLeast(1.0)),
        claim("page ÷ Varnish, requests/s", 1, 5, Bound::AtLeast(1.3)),
        claim("page ÷ nginx file, requests/s", 1, 3, Bound::Aim(1.0)),
        Claim::new(
            "page ÷ nginx proxy_cache, CPU a request",
            lanes[1].micros.ratio(&lanes[4].micros),
            Bound::AtMost(1.0),
        )
        .void_if(lanes[1].void().or(lanes[4].void())),
        claim("gzip page ÷ nginx gzip on, requests/s", 7, 10, Bound::AtLeast(5.0)),
        claim("304 ÷ page, requests/s", 12, 1, Bound::AtLeast(1.2)),
    ]
}

/// The packed page's bytes by those that `gzip -1` makes of the plain one.
fn size_ratio(plain: &Lane<'_>, packed: &Lane<'_>) -> Outcome<f64> {
    let mut gzip = Command::new("gzip")
        .arg("-1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = gzip.stdin.take() {
        // Nothing is read back before all is written, and what comes back fits the pipe.
        input.write_all(plain.sample()?.body())?;
    }
    let by_gzip = gzip.wait_with_output()?.stdout.len();
    Ok(packed.sample()?.body().len() as f64 / by_gzip as f64)
}
