//! Who asks for what: visits of shoppers, by seed, so that every server gets the same ones.

use fastrand::Rng;

pub const LISTINGS: usize = 400;
/// The shortest and the longest listing; lengths between them are even on a logarithmic scale.
const LENGTHS: (f64, f64) = (20.0, 1500.0);
/// Pages are taken so large, so often of a hundred.
const SIZES: [(u64, u32); 5] = [(24, 50), (48, 20), (96, 10), (25, 12), (50, 8)];
const DESCENDING: f64 = 0.25;
const TAKES_GZIP: f64 = 0.9;
/// How often one who has seen a page goes on to the next.
const GOES_ON: f64 = 0.3;

/// One shopper looks at a listing, from its first page on.
pub struct Visit {
    pub listing: usize,
    pub size: u64,
    pub is_descending: bool,
    pub takes_gzip: bool,
    pub pages: u32,
}

/// Visits of one shopper after the other.
pub struct Shopper {
    rng: Rng,
    /// Sums of the listings' shares, by Zipf: the second is asked for half as often as the first, the third a third as often.
    shares: Vec<f64>,
}

impl Shopper {
    pub fn new(seed: u64) -> Self {
        let mut sum = 0.0;
        let shares = (1..=LISTINGS).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self {
            rng: Rng::with_seed(seed),
            shares: shares.collect(),
        }
    }

    pub fn visit(&mut self) -> Visit {
        let rng = &mut self.rng;
        let share = rng.f64() * self.shares.last().copied().unwrap_or_default();
        let mut chance = rng.u32(0..100);
        let size = SIZES.iter().find(|(_, part)| {
            let is_it = chance < *part;
            chance = chance.saturating_sub(*part);
            is_it
        });
        let mut pages = 1;
        while rng.f64() < GOES_ON {
            pages += 1;
        }
        Visit {
            listing: self.shares.partition_point(|sum| *sum < share).min(LISTINGS - 1),
            size: size.map_or(24, |(size, _)| *size),
            is_descending: rng.f64() < DESCENDING,
            takes_gzip: rng.f64() < TAKES_GZIP,
            pages,
        }
    }
}

/// How many items each listing has.
pub fn lengths() -> Vec<u64> {
    let mut rng = Rng::with_seed(11);
    let (least, most) = LENGTHS;
    let length = |_| (least * (most / least).powf(rng.f64())) as u64;
    (0..LISTINGS).map(length).collect()
}
