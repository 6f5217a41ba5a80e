//! What Redis received, and what was written of listings.

use std::collections::HashMap;

use super::Shop;

/// Bytes of listings: chunks and sidecars.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// The bytes written.
    pub bytes: u64,
    /// What whole streams would have been, one for each head that moved.
    pub whole: u64,
}

impl Written {
    /// The bytes written, as a part of whole streams.
    pub fn share(&self) -> f64 {
        self.bytes as f64 / self.whole.max(1) as f64
    }
}

/// What a head counts: bytes of its base, and of all generations of its listing.
#[derive(Clone, Copy)]
pub struct BytesOfHead {
    base: u64,
    all: u64,
}

impl Shop {
    /// All bytes that Redis received.
    pub fn redis_bytes(&self) -> u64 {
        let stats = self.redis.cli_lines(&["INFO", "stats"]);
        let line = stats
            .iter()
            .find_map(|line| line.strip_prefix("total_net_input_bytes:"));
        line.unwrap().trim().parse().unwrap()
    }

    /// What each head counts, by listing.
    pub fn bytes_of_heads(&self) -> HashMap<String, BytesOfHead> {
        const BYTES: &str = "local found = {}
            for _, key in ipairs(redis.call('KEYS', '*:head:*')) do
                found[#found + 1] = key .. ' ' .. (redis.call('HGET', key, 'bytes') or '')
            end
            return found";
        let lines = self.redis.cli_lines(&["EVAL", BYTES, "0"]);
        let head = |line: &String| {
            let (_, line) = line.split_once(":head:")?;
            let mut words = line.split_ascii_whitespace();
            let listing = words.next()?.to_owned();
            let numbers: Vec<u64> = words.filter_map(|number| number.parse().ok()).collect();
            let [_, base, _, all] = numbers[..] else {
                return None;
            };
            Some((listing, BytesOfHead { base, all }))
        };
        lines.iter().filter_map(head).collect()
    }

    /// The bytes written of the listings that changed, since their heads were these.
    pub fn written_since(&self, before: &HashMap<String, BytesOfHead>) -> Written {
        let mut written = Written::default();
        for (listing, now) in self.bytes_of_heads() {
            let Some(moves) = self.ledger.moves_of(&listing) else {
                continue;
            };
            written.bytes += now.all - before.get(&listing).map_or(0, |before| before.all);
            written.whole += now.base * moves as u64;
        }
        written
    }

    /// Whether Redis knows of a request that no refresh has answered.
    pub fn is_asked_for(&self) -> bool {
        const MARKS: &str = "local marks = 0
            for _, key in ipairs(redis.call('KEYS', '*:asked:*')) do marks = marks + redis.call('HEXISTS', key, 'mark') end
            return marks";
        self.redis.cli(&["EVAL", MARKS, "0"]) != "0"
    }
}
