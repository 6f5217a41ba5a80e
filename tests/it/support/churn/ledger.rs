//! When each change was committed, and when it was shown: all times are microseconds of this machine's clock, which is
//! Redis's too, and that of generations' ids.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use listcache::listing::{Delta, Generation};
use parking_lot::Mutex;
use serde_json::Value;

/// Now.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

#[derive(Default)]
struct Listing {
    /// When each change was there for every reader of the database.
    commits: Vec<u64>,
    /// Heads that a follower has heard of: when they were drawn, and when it heard.
    heads: Vec<(u64, u64)>,
    /// For each chunk of the last of them the generation that holds it.
    holders: Vec<Generation>,
    stay: Stay,
}

/// Chunks of heads that took the place of others: how many there were, and how many of them a node that had all chunks of the
/// head before had already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stay {
    pub chunks: u64,
    pub stayed: u64,
}

/// One for all listings.
pub struct Ledger {
    listings: Vec<Mutex<Listing>>,
    places: HashMap<String, usize>,
}

/// Until when each generation is known to hold what the database held: from its draw on, and where a later read has found
/// the same, until that one's. What was committed before is in it.
#[derive(Default)]
pub struct Confirmed(HashMap<u64, u64>);

impl Confirmed {
    pub fn add(&mut self, generation: u64, read_at: u64) {
        let until = self.0.entry(generation).or_default();
        *until = read_at.max(*until);
    }

    fn until(&self, generation: u64) -> u64 {
        self.0
            .get(&generation)
            .map_or(generation, |until| generation.max(*until))
    }
}

impl Ledger {
    pub fn new(listings: &[String]) -> Arc<Self> {
        let places = listings.iter().enumerate().map(|(place, name)| (name.clone(), place));
        Arc::new(Self {
            listings: listings.iter().map(|_| Mutex::default()).collect(),
            places: places.collect(),
        })
    }

    pub fn committed(&self, listing: usize, at: u64) {
        self.listings[listing].lock().commits.push(at);
    }

    /// How old the oldest change was that a page did not show, when it was asked for.
    pub fn staleness_of_page(&self, confirmed: &Confirmed, listing: usize, generation: u64, asked: u64) -> u64 {
        let until = confirmed.until(generation);
        let listing = self.listings[listing].lock();
        let first = listing.commits.partition_point(|commit| *commit < until);
        let commit = listing.commits.get(first);
        commit.map_or(0, |commit| asked.saturating_sub(*commit))
    }

    /// How long each change took to be shown, and how many never were.
    pub fn staleness_of_changes(&self, confirmed: &Confirmed) -> (Vec<u64>, usize) {
        let (mut shown_after, mut never) = (Vec::new(), 0);
        for listing in &self.listings {
            let listing = listing.lock();
            let mut heads = listing.heads.iter().peekable();
            for commit in &listing.commits {
                while heads.next_if(|(drawn, _)| confirmed.until(*drawn) <= *commit).is_some() {}
                match heads.peek() {
                    Some((_, heard)) => shown_after.push(heard.saturating_sub(*commit)),
                    None => never += 1,
                }
            }
        }
        (shown_after, never)
    }

    /// How often the head of a listing moved; `None` where it is none of the shop's.
    pub fn moves_of(&self, listing: &str) -> Option<usize> {
        let (name, _) = listing.split_once('/')?;
        let place = self.places.get(name)?;
        Some(self.listings[*place].lock().heads.len())
    }

    /// What stayed of all listings, whenever a head moved.
    pub fn stay(&self) -> Stay {
        self.listings.iter().fold(Stay::default(), |all, listing| {
            let Stay { chunks, stayed } = listing.lock().stay;
            Stay {
                chunks: all.chunks + chunks,
                stayed: all.stayed + stayed,
            }
        })
    }

    /// Follows the heads, as any node does, until the server ends.
    pub fn follow(self: &Arc<Self>, redis: &Path) {
        let mut stream = UnixStream::connect(redis).unwrap();
        stream.write_all(b"SUBSCRIBE listcache:2:announcements\r\n").unwrap();
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        // Its answer: three parts, six lines.
        for _ in 0..6 {
            lines.read_line(&mut line).unwrap();
        }
        let ledger = self.clone();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if line.starts_with("{\"v\"") {
                    ledger.hear(&serde_json::from_str(&line).unwrap());
                }
            }
        });
    }

    fn hear(&self, message: &Value) {
        let body = &message["body"];
        // Others are of changes that wait.
        let Some(listing) = body["listing"].as_str() else {
            return;
        };
        let place = listing.split_once('/').and_then(|(name, _)| self.places.get(name));
        // What is deleted is not shown any more.
        let generation = body["head"]["generation"].as_str().or(body["deleted"].as_str());
        if let (Some(place), Some(id)) = (place, generation.and_then(id_of)) {
            let mut listing = self.listings[*place].lock();
            listing.heads.push((id, now()));
            let holders = holders_of(&body["head"]).unwrap_or_default();
            if !listing.holders.is_empty() && !holders.is_empty() {
                let stayed = listing
                    .holders
                    .iter()
                    .zip(&holders)
                    .filter(|(before, now)| before == now);
                let stayed = stayed.count() as u64;
                listing.stay.chunks += holders.len() as u64;
                listing.stay.stayed += stayed;
            }
            listing.holders = holders;
        }
    }
}

/// For each chunk of a head the generation that holds it: a node knows the chunk by it.
fn holders_of(head: &Value) -> Option<Vec<Generation>> {
    let generation: Generation = head["generation"].as_str()?.parse().ok()?;
    let delta = head["delta"].as_str().and_then(Delta::parse);
    let chunks = head["total"].as_u64()?.div_ceil(head["chunk_len"].as_u64()?);
    let holder = |chunk| delta.as_ref().map_or(generation, |delta| delta.holder_of(chunk));
    Some((0..chunks).map(holder).collect())
}

/// The microsecond in which a generation was drawn.
pub fn id_of(generation: &str) -> Option<u64> {
    generation.split('-').next()?.parse().ok()
}
