//! Shoppers: they read categories as often as Zipf says, and note what served each page and how old it was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;

use super::{
    super::service::Service,
    ledger::{id_of, now},
};

/// What was read.
#[derive(Default)]
pub struct Reads {
    pub count: u64,
    /// Without waiting for the origin.
    pub hits: u64,
    /// Without asking Redis either.
    pub l1_hits: u64,
    /// Anything but a page.
    pub failed: u64,
    /// Each page's listing and generation, and when it was asked for.
    pub pages: Vec<(usize, u64, u64)>,
}

impl Reads {
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.hits += other.hits;
        self.l1_hits += other.l1_hits;
        self.failed += other.failed;
        self.pages.extend(other.pages);
    }
}

/// Ranks, each by the share of what is read that is at most as popular: the second half as often as the first, the third
/// a third as often.
pub struct Zipf(Vec<f64>);

impl Zipf {
    pub fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=ranks)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        Self(shares)
    }

    pub fn pick(&self) -> usize {
        let chance = fastrand::f64();
        self.0.partition_point(|share| *share < chance).min(self.0.len() - 1)
    }
}

/// One shopper, who reads a page each time so much has passed.
pub async fn read(
    service: Arc<Service>,
    paths: Arc<Vec<String>>,
    zipf: Arc<Zipf>,
    every: Duration,
    stop: Arc<AtomicBool>,
) -> Reads {
    let mut reads = Reads::default();
    let mut next = Instant::now() + every.mul_f64(fastrand::f64());
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep_until(next.into()).await;
        // Who is late does not catch up in a burst.
        next = (next + every).max(Instant::now());
        let listing = zipf.pick();
        // Most look at the first page.
        let page = 1 + fastrand::u32(0..10).saturating_sub(7);
        let asked = now();
        let path = &paths[listing];
        let separator = if path.contains('?') { '&' } else { '?' };
        let get = service.request(Method::GET, &format!("{path}{separator}page={page}"));
        let Ok(response) = get.send().await else {
            continue;
        };
        reads.count += 1;
        let status = response.status().as_u16();
        let served_by = response.headers().get("cache-status");
        let served_by = served_by.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (is_hit, is_l1_hit) = (
            !served_by.contains("listcache-redis; fwd="),
            served_by.starts_with("listcache-l1; hit"),
        );
        let body = response.bytes().await.unwrap_or_default();
        // Beyond the last page of a small category.
        if status == 404 && page > 1 {
            reads.count -= 1;
            continue;
        }
        let Some(generation) = generation_in(&body).filter(|_| status == 200) else {
            reads.failed += 1;
            continue;
        };
        reads.hits += u64::from(is_hit);
        reads.l1_hits += u64::from(is_l1_hit);
        reads.pages.push((listing, generation, asked));
    }
    reads
}

fn generation_in(body: &[u8]) -> Option<u64> {
    const MEMBER: &[u8] = b"\"generation\":\"";
    let at = body.windows(MEMBER.len()).position(|window| window == MEMBER)?;
    let rest = body.get(at + MEMBER.len()..)?;
    id_of(std::str::from_utf8(rest.get(..17)?).ok()?)
}
