//! Listings that change meanwhile, and what has to be done so that pages show it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use fastrand::Rng;
use tokio::time::sleep_until;

use super::{shoppers, site::Site};
use crate::{Outcome, client::Client, items, servers::listcache::Listcache};

const A_SECOND: u32 = 10;

/// The listings as they are, and up to which revision everybody must see them.
pub struct Catalogue {
    lengths: Vec<u64>,
    revisions: Vec<AtomicU64>,
}

impl Catalogue {
    pub fn new() -> Self {
        let lengths = shoppers::lengths();
        let revisions = lengths.iter().map(|_| AtomicU64::new(0)).collect();
        Self { lengths, revisions }
    }

    pub fn items(&self) -> u64 {
        self.lengths.iter().sum()
    }

    /// Another server counts its revisions anew.
    pub fn forget(&self) {
        for revision in &self.revisions {
            revision.store(0, Ordering::SeqCst);
        }
    }

    /// What a change that is complete has made: no request that begins now may see less.
    pub fn revision(&self, listing: usize) -> u64 {
        self.revisions[listing].load(Ordering::SeqCst)
    }

    /// Puts every listing there for the first time.
    pub async fn fill(&self, site: &Site<'_>) -> Outcome<()> {
        let mut client = Client::connect(site.origin).await?;
        for listing in 0..self.lengths.len() {
            self.put(&mut client, site, listing, 0).await?;
        }
        Ok(())
    }

    /// Changes listings at a steady pace, any of them, until the time has come. Returns how many.
    pub async fn change(&self, site: &Site<'_>, until: Instant) -> Outcome<u64> {
        let (mut origin, mut cache) = (
            Client::connect(site.origin).await?,
            Client::connect(site.address).await?,
        );
        let mut rng = Rng::with_seed(23);
        let (mut due, mut changes) = (Instant::now(), 0);
        while due < until {
            sleep_until(due.into()).await;
            let listing = rng.usize(..self.lengths.len());
            let revision = self.put(&mut origin, site, listing, rng.u64(1..100)).await?;
            if site.purges {
                let listing = format!("X-Listing: {}\r\n", name(listing));
                let answer = cache.ask("BAN", "/", &listing, b"").await?;
                if answer.status != 200 {
                    return Err(format!("BAN: {}", answer.status).into());
                }
            }
            self.revisions[listing].store(revision, Ordering::SeqCst);
            changes += 1;
            due += Duration::from_secs(1) / A_SECOND;
        }
        Ok(changes)
    }

    /// Replaces a listing; one item's price is another. Returns the revision.
    async fn put(&self, client: &mut Client, site: &Site<'_>, listing: usize, salt: u64) -> Outcome<u64> {
        let length = self.lengths[listing];
        let changed = salt * 7919 % length;
        // Prices rise with the place, so that both servers sort alike.
        let line = |place: u64| {
            let price = 1000 + 10 * place + if place == changed { salt % 10 } else { 0 };
            items::priced(listing as u64 * 10_000 + place, price) + "\n"
        };
        let body: String = (0..length).map(line).collect();
        let headers = format!(
            "{}\r\nContent-Type: application/x-ndjson\r\n",
            Listcache::authorization()
        );
        let path = format!("/v1/listings/{}", name(listing));
        let answer = client.ask("PUT", &path, &headers, body.as_bytes()).await?;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        let revision = (site.revision_of_put)(&said);
        match (answer.status, revision) {
            (200 | 201, Some(revision)) => Ok(revision),
            (status, _) => Err(format!("PUT {path}: {status} {said}").into()),
        }
    }
}

pub fn name(listing: usize) -> String {
    format!("category:{listing}")
}
