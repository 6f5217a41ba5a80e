//! Shoppers who look at listings while some of these change: listcache beside Varnish in front of a server that makes pages anew,
//! with the same memory for pages.
//!
//! Listings are asked for by Zipf, mostly their first pages, in five sizes, both orders, nearly always packed. Requests come at a
//! steady pace, whatever the answers take. A listing is changed by a `PUT` of all its items; Varnish is told by a ban of that
//! listing. A page is stale if a change of its listing was complete, the ban too, before it was asked for, and it does not show it.

mod changes;
mod edge;
mod shoppers;
mod site;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use changes::Catalogue;
use shoppers::{Shopper, Visit};
use site::Site;
use tokio::time::sleep_until;

use crate::{
    Effort, Outcome,
    claims::{Bound, Claim},
    client::{self, Answer, Client},
    items,
    machine::Machine,
    section::Section,
    series::{Series, quantile},
    servers::{
        listcache::Listcache,
        origin,
        redis::Redis,
        varnish::{self, Storage},
    },
    table::Table,
};

/// For pages, in each of the two.
const MEMORY: (&str, &str) = ("8MiB", "8m");
/// Pages a second in all, and connections they come by.
const PAGES_A_SECOND: u32 = 1000;
const CONNECTIONS: u32 = 32;

/// One answer.
pub struct Seen {
    pub at: Instant,
    pub url: String,
    pub takes_gzip: bool,
    pub is_pinned: bool,
    pub revision: u64,
    pub max_age: u64,
    pub bytes: u64,
    took: Duration,
    is_hit: bool,
    is_stale: bool,
    /// Whether it is not a visit's first page.
    follows: bool,
}

/// A server in the trace, and what came of it, a value a round.
#[derive(Default)]
struct Lane {
    hits: Series,
    /// Of the pages that follow another one.
    following_hits: Series,
    middle: Series,
    slow: Series,
    stale: u64,
    pages: u64,
    /// Answers that were no page.
    failed: u64,
    changes: u64,
    resident: Series,
    edge_hits: Series,
    edge_objects: Series,
    edge_bytes: Series,
    edge_stale: Series,
}

pub fn run(machine: &Machine, effort: &Effort) -> Outcome<Section> {
    let redis = Redis::start(machine)?;
    let origin = origin::start(machine)?;
    let catalogue = Arc::new(Catalogue::new());
    let mut lanes = [Lane::default(), Lane::default(), Lane::default(), Lane::default()];
    for round in 0..effort.rounds {
        for (at, lane) in lanes.iter_mut().enumerate() {
            if at < 3 {
                // Redis keeps the listings; the process begins with nothing.
                let config = format!("[l1]\nchunks_max = \"{}\"\nread_ahead = {}\n", MEMORY.0, at == 2);
                let service = Listcache::start(|program| machine.anywhere(program), &redis, &config)?;
                let site = Site::of_listcache(&service, at != 1);
                let first = round == 0 && at == 0;
                follow(&site, &catalogue, effort, first, lane)?;
                lane.resident.push(service.server.process.resident_bytes()? as f64);
            } else {
                let storage = Storage {
                    memory: MEMORY.1,
                    packs: true,
                    threads: 200,
                };
                let program = |program: &str| machine.anywhere(program);
                let varnish = varnish::start(program, &origin.address, &storage, site::VCL)?;
                let site = Site::of_varnish(&varnish, &origin);
                follow(&site, &catalogue, effort, round == 0, lane)?;
                lane.resident.push(varnish.process.resident_bytes()? as f64);
            }
        }
    }
    section(&lanes, &catalogue, &redis)
}

/// Follows the trace once. What it begins with does not count.
fn follow(site: &Site<'_>, catalogue: &Arc<Catalogue>, effort: &Effort, fills: bool, lane: &mut Lane) -> Outcome<()> {
    let seen = client::block_on(async {
        if fills {
            catalogue.fill(site).await?;
        }
        catalogue.forget();
        let begun = Instant::now();
        let counted = begun + effort.trace / 4;
        let until = begun + effort.trace;
        let shoppers = futures_util::future::try_join_all(
            (0..CONNECTIONS).map(|number| shop(site, catalogue, number, begun, until)),
        );
        let (seen, changes) = futures_util::future::try_join(shoppers, catalogue.change(site, until)).await?;
        lane.changes += changes;
        let (seen, failures): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        for (number, failure) in failures.into_iter().flatten().enumerate() {
            lane.failed += 1;
            if number == 0 {
                eprintln!("trace: {failure}");
            }
        }
        let mut seen: Vec<Seen> = seen.into_iter().flatten().filter(|page| page.at >= counted).collect();
        seen.sort_by_key(|page| page.at);
        Ok(seen)
    })?;
    let mut took: Vec<f64> = seen.iter().map(|page| page.took.as_secs_f64() * 1e3).collect();
    took.sort_by(f64::total_cmp);
    let count = |is: fn(&Seen) -> bool| seen.iter().filter(|page| is(page)).count() as u64;
    lane.hits.push(count(|page| page.is_hit) as f64 / seen.len() as f64);
    lane.following_hits
        .push(count(|page| page.follows && page.is_hit) as f64 / count(|page| page.follows) as f64);
    lane.middle.push(quantile(&took, 0.5));
    lane.slow.push(quantile(&took, 0.99));
    lane.stale += count(|page| page.is_stale);
    lane.pages += seen.len() as u64;
    let edge = edge::of(&seen);
    lane.edge_hits.push(edge.hit_rate);
    lane.edge_objects.push(edge.objects as f64);
    lane.edge_bytes.push(edge.bytes_most as f64);
    lane.edge_stale.push(edge.stale as f64);
    Ok(())
}

/// One connection: requests when they are due, of one visit after the other. Also what was answered in the place of pages.
async fn shop(
    site: &Site<'_>,
    catalogue: &Catalogue,
    number: u32,
    begun: Instant,
    until: Instant,
) -> Outcome<(Vec<Seen>, Vec<String>)> {
    let between = Duration::from_secs(1) * CONNECTIONS / PAGES_A_SECOND;
    let mut due = begun + between * number / CONNECTIONS;
    let mut client = Client::connect(site.address).await?;
    let mut shopper = Shopper::new(u64::from(number) + 1);
    let (mut seen, mut failures) = (Vec::new(), Vec::new());
    while due < until {
        let visit = shopper.visit();
        let mut url = Some(first_url(&visit));
        for page in 0..visit.pages {
            let Some(this) = url.take().filter(|_| due < until) else {
                break;
            };
            // An answer that was late delays the next request, which is counted from when it was due.
            let is_late = Instant::now() > due;
            sleep_until(due.into()).await;
            let least = catalogue.revision(visit.listing);
            let asked = Instant::now();
            let from = if is_late { due } else { asked };
            let coding = if visit.takes_gzip {
                "Accept-Encoding: gzip\r\n"
            } else {
                ""
            };
            let answer = client.ask("GET", &this, coding, b"").await?;
            due += between;
            if answer.status != 200 {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                failures.push(format!("GET {this}: {} {said}", answer.status));
                break;
            }
            let revision = (site.revision_of_page)(&answer).ok_or("a page that does not say what it is of")?;
            let is_pinned = this.contains("cursor=");
            url = next_url(site, &visit, page, &answer);
            seen.push(Seen {
                at: asked,
                url: this,
                takes_gzip: visit.takes_gzip,
                is_pinned,
                revision,
                max_age: max_age(&answer),
                bytes: answer.body.len() as u64,
                took: from.elapsed(),
                is_hit: (site.is_hit)(&answer),
                is_stale: !is_pinned && revision < least,
                follows: page > 0,
            });
        }
    }
    Ok((seen, failures))
}

fn first_url(visit: &Visit) -> String {
    let name = changes::name(visit.listing);
    let order = if visit.is_descending { "desc" } else { "asc" };
    format!("/v1/listings/{name}?order={order}&page=1&size={}", visit.size)
}

fn next_url(site: &Site<'_>, visit: &Visit, page: u32, answer: &Answer) -> Option<String> {
    if site.follows_links {
        let links = answer.header("link").split(", ");
        let mut next = links.filter_map(|link| link.strip_suffix("; rel=\"next\""));
        return Some(next.next()?.trim_matches(['<', '>']).to_owned());
    }
    let offset = u64::from(page + 1) * visit.size;
    let total: u64 = answer.header("x-total-count").parse().ok()?;
    let order = if visit.is_descending { "desc" } else { "asc" };
    let name = changes::name(visit.listing);
    (offset < total).then(|| format!("/v1/listings/{name}?order={order}&offset={offset}&limit={}", visit.size))
}

fn max_age(answer: &Answer) -> u64 {
    let mut parts = answer.header("cache-control").split(", ");
    let age = parts.find_map(|part| part.strip_prefix("max-age="));
    age.and_then(|age| age.parse().ok()).unwrap_or(0)
}

fn section(lanes: &[Lane; 4], catalogue: &Catalogue, redis: &Redis) -> Outcome<Section> {
    let [pinned, plain, ahead, varnish] = lanes;
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let mut table = Table::new(["", "listcache", "no cursors", "`read_ahead`", "Varnish"]);
    let mut row = |name: &str, of: &dyn Fn(&Lane) -> String| {
        table.row([name.to_owned(), of(pinned), of(plain), of(ahead), of(varnish)]);
    };
    row("hits in the process", &|lane| {
        format!("{:.2} %", 100.0 * lane.hits.median())
    });
    row("of pages that follow another", &|lane| {
        format!("{:.2} %", 100.0 * lane.following_hits.median())
    });
    row("p50, ms", &|lane| format!("{:.2}", lane.middle.median()));
    row("p99, ms", &|lane| format!("{:.2}", lane.slow.median()));
    row("stale pages, of all rounds", &|lane| {
        format!("{} of {}", lane.stale, lane.pages)
    });
    row("answers that were no page", &|lane| lane.failed.to_string());
    row("changes", &|lane| lane.changes.to_string());
    row("memory of its processes, MiB", &|lane| {
        format!("{:.0}", mib(lane.resident.median()))
    });
    let mut edges = Table::new(["a CDN that goes by `Cache-Control`", "cursors followed", "offsets"]);
    let mut row = |name: &str, of: &dyn Fn(&Lane) -> String| {
        edges.row([name.to_owned(), of(pinned), of(plain)]);
    };
    row("would answer itself", &|lane| {
        format!("{:.1} %", 100.0 * lane.edge_hits.median())
    });
    row("different objects", &|lane| {
        format!("{:.0}", lane.edge_objects.median())
    });
    row("most bytes fresh at a time, MiB", &|lane| {
        format!("{:.1}", mib(lane.edge_bytes.median()))
    });
    row("of its answers older than listcache's", &|lane| {
        format!("{:.0}", lane.edge_stale.median())
    });
    let text = format!(
        "{} listings, {} items of {} bytes ({:.0} MiB in Redis besides); {PAGES_A_SECOND} pages/s, 10 listings changed a second; {} for pages in each.\n\n{table}\n{edges}\n",
        shoppers::LISTINGS,
        catalogue.items(),
        items::ITEM_BYTES,
        mib(redis.used_memory()? as f64),
        MEMORY.0
    );
    let claims = vec![
        Claim::new("misses ÷ Varnish's", miss_ratio(pinned, varnish), Bound::AtMost(1.0)),
        Claim::new("p99 ÷ Varnish's", pinned.slow.ratio(&varnish.slow), Bound::AtMost(1.0)),
        Claim::new(
            "stale pages after a change",
            (pinned.stale + plain.stale + ahead.stale) as f64,
            Bound::AtMost(0.0),
        ),
    ];
    Ok(Section {
        title: "(d) Shoppers, while listings change",
        text,
        claims,
    })
}

fn miss_ratio(this: &Lane, that: &Lane) -> f64 {
    (1.0 - this.hits.median()) / (1.0 - that.hits.median())
}
