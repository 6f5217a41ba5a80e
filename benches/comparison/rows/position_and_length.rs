//! The time of a page from Redis, by its place and by the length of its listing.
//!
//! One connection asks for one page after the other: requests for the same page at once would share one read. Places and lengths
//! alternate from request to request, so that they differ by what they are and not by when they were measured. Each place is a
//! few pages, asked for by turns: a page that comes again at once may still be in L1, which sheds what is too much a little later.

use std::time::{Duration, Instant};

use redis::{Connection, Value};

use super::{
    from_redis::NO_L1,
    layouts::{CHUNK_LEN, SIZE},
};
use crate::{
    Effort, Outcome,
    claims::{Bound, Claim},
    client::{self, Client},
    items,
    machine::Machine,
    section::Section,
    series::Series,
    servers::{listcache::Listcache, redis::Redis},
    table::Table,
};

/// Of pages; the last ends with the last full one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    First,
    Middle,
    Last,
}

/// A page of a listing.
struct Spot {
    length: u64,
    place: Place,
    stream: String,
    /// Seconds a page.
    page: Series,
    /// Seconds a bare XRANGE of the same chunks.
    range: Series,
}

const SPOTS: [(u64, Place); 8] = [
    (1_000, Place::First),
    (1_000, Place::Middle),
    (1_000, Place::Last),
    (10_000, Place::Middle),
    (100_000, Place::Middle),
    (1_000_000, Place::First),
    (1_000_000, Place::Middle),
    (1_000_000, Place::Last),
];
/// Which of them are held against each other.
const SHORT: usize = 1;
const LONG: usize = 6;
const LONG_FIRST: usize = 5;
const LONG_LAST: usize = 7;

/// So many pages are at a place.
const PAGES: u64 = 8;
/// Of all pages together, a round, in measurements of the effort.
const MEASUREMENTS_A_ROUND: u32 = 5;

impl Spot {
    /// The number of its first page, from 0.
    fn begin(&self) -> u64 {
        let pages = self.length / SIZE;
        match self.place {
            Place::First => 0,
            Place::Middle => pages / 2,
            Place::Last => pages - PAGES,
        }
    }
}

pub fn run(machine: &Machine, effort: &Effort) -> Outcome<Section> {
    let redis = Redis::start(machine)?;
    let service = Listcache::start(|program| machine.anywhere(program), &redis, NO_L1)?;
    let mut spots: Vec<Spot> = Vec::new();
    for (length, place) in SPOTS {
        if spots.iter().all(|spot| spot.length != length) {
            service.push(&name(length), items::lines(length))?;
        }
        spots.push(Spot {
            length,
            place,
            stream: service.stream_key(&name(length))?,
            page: Series::default(),
            range: Series::default(),
        });
    }
    let during = effort.duration * MEASUREMENTS_A_ROUND;
    let pages = |layer: &str| service.metric(&format!("listcache_pages_total{{layer=\"{layer}\""));
    let before = (pages("redis")?, pages("l1")?);
    for round in 0..effort.rounds_with_warm_up() {
        let measured = alternate(&service, &redis, &spots, during)?;
        if round > 0 || !effort.warms_up {
            for (spot, (page, range)) in spots.iter_mut().zip(measured) {
                spot.page.push(page.median());
                spot.range.push(range.median());
            }
        }
    }
    let (from_redis, from_l1) = (pages("redis")? - before.0, pages("l1")? - before.1);
    let part = 100.0 * from_redis / (from_redis + from_l1);
    let mut table = Table::new([
        "a page of 24 from Redis",
        "µs a page",
        "ratio",
        "µs a bare XRANGE",
        "ratio",
    ]);
    let first = &spots[0];
    for spot in &spots {
        table.row([
            format!("{} items, {:?}", spot.length, spot.place).to_lowercase(),
            format!("{:.1}", spot.page.median() * 1e6),
            format!("{:.3}", spot.page.ratio(&first.page)),
            format!("{:.1}", spot.range.median() * 1e6),
            format!("{:.3}", spot.range.ratio(&first.range)),
        ]);
    }
    let ratio = |this: usize, that: usize| spots[this].page.ratio(&spots[that].page);
    Ok(Section {
        title: "(c) By position and length",
        text: format!("{part:.1} % of the pages came from Redis.\n\n{table}\n"),
        claims: vec![
            Claim::new(
                "last full page ÷ first, of 10^6, time",
                ratio(LONG_LAST, LONG_FIRST),
                Bound::AtMost(1.1),
            ),
            Claim::new(
                "10^6 items ÷ 10^3, middle, time",
                ratio(LONG, SHORT),
                Bound::AtMost(1.1),
            ),
        ],
    })
}

/// For each spot what a page and what a bare XRANGE takes, request by request.
fn alternate(service: &Listcache, redis: &Redis, spots: &[Spot], during: Duration) -> Outcome<Vec<(Series, Series)>> {
    let mut connection = redis.connect()?;
    client::block_on(async {
        let mut client = Client::connect(service.address()).await?;
        let mut measured = vec![(Series::default(), Series::default()); spots.len()];
        let begun = Instant::now();
        while begun.elapsed() < during {
            for at in 0..PAGES {
                for (spot, (page, range)) in spots.iter().zip(&mut measured) {
                    let number = spot.begin() + at;
                    let path = format!("/v1/listings/{}?page={}", name(spot.length), number + 1);
                    let asked = Instant::now();
                    let answer = client.ask("GET", &path, "", b"").await?;
                    page.push(asked.elapsed().as_secs_f64());
                    if answer.status != 200 {
                        return Err(format!("{path}: {}", answer.status).into());
                    }
                    let asked = Instant::now();
                    read_chunks(&mut connection, &spot.stream, number)?;
                    range.push(asked.elapsed().as_secs_f64());
                }
            }
        }
        Ok(measured)
    })
}

fn read_chunks(connection: &mut Connection, stream: &str, page: u64) -> Outcome<()> {
    let chunks = SIZE / CHUNK_LEN;
    let found: Vec<Value> = redis::cmd("XRANGE")
        .arg(stream)
        .arg(format!("0-{}", page * chunks + 1))
        .arg("+")
        .arg("COUNT")
        .arg(chunks)
        .query(connection)?;
    if found.len() as u64 == chunks {
        Ok(())
    } else {
        Err(format!("{stream}: page {page} has not all its chunks").into())
    }
}

fn name(length: u64) -> String {
    format!("long:{length}")
}
