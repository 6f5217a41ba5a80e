//! How far changes have come, as Redis has it: recorded, worked off, published.

use std::{cell::OnceCell, collections::BTreeMap};

use crate::support::{RedisServer, eventually};

/// The partitions whose last change is not worked off, and how far each has come.
const BEHIND: &str = "
    local behind = {}
    for _, key in ipairs(KEYS) do
        local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
        local worked_off = redis.call('GET', (string.gsub(key, ':changes$', ':worked-off')))
        if last and tonumber(worked_off or '0') < tonumber(string.match(last[1], '%d+')) then
            behind[#behind + 1] = key .. ' ' .. tostring(worked_off)
        end
    end
    return behind";

/// The generation of each head.
const HEADS: &str = "
    local heads = {}
    for _, key in ipairs(redis.call('KEYS', '*:head:*')) do
        local head = redis.call('HMGET', key, 'id', 'nonce')
        heads[#heads + 1] = key .. ' ' .. tostring(head[1]) .. '-' .. tostring(head[2])
    end
    return heads";

/// The number of changes in each entry of a partition.
const ENTRIES: &str = "
    local lengths = {}
    for _, entry in ipairs(redis.call('XRANGE', redis.call('KEYS', '*}:changes')[1], '-', '+')) do
        lengths[#lengths + 1] = entry[2][2]
    end
    return lengths";

/// Partitions, each with a stream of changes.
const PARTITIONS: usize = 64;

/// The changes of a Redis.
pub struct Progress<'r> {
    redis: &'r RedisServer,
    /// The streams of all partitions, once each has one.
    streams: OnceCell<Vec<String>>,
}

impl<'r> Progress<'r> {
    pub fn of(redis: &'r RedisServer) -> Self {
        Self {
            redis,
            streams: OnceCell::new(),
        }
    }

    fn lines(&self, script: &str, keys: &[String]) -> Vec<String> {
        let number = keys.len().to_string();
        let keys = keys.iter().map(String::as_str);
        let arguments: Vec<&str> = ["EVAL", script, &number].into_iter().chain(keys).collect();
        self.redis.cli_lines(&arguments)
    }

    /// Partitions whose changes are not all worked off.
    pub fn behind(&self) -> Vec<String> {
        // To look for keys takes long where there are many, and the nodes wait for it.
        if let Some(streams) = self.streams.get() {
            return self.lines(BEHIND, streams);
        }
        let streams = self.redis.cli_lines(&["KEYS", "*}:changes"]);
        let behind = self.lines(BEHIND, &streams);
        if streams.len() == PARTITIONS {
            let _ = self.streams.set(streams);
        }
        behind
    }

    /// Waits until all recorded changes are worked off, for as long as they become fewer.
    pub async fn are_worked_off(&self) {
        let mut behind = self.behind();
        while !behind.is_empty() {
            behind = eventually(async || match self.behind() {
                now if now != behind => Ok(now),
                now => Err(now),
            })
            .await;
        }
    }

    /// How many changes each entry has, where each change concerns all partitions.
    pub fn entries(&self) -> Vec<usize> {
        self.lines(ENTRIES, &[])
            .iter()
            .map(|length| length.parse().unwrap())
            .collect()
    }

    /// The generations of all heads, by their listings: `category:BREAD/price?grp=0`.
    pub fn heads(&self) -> BTreeMap<String, String> {
        let heads = self.lines(HEADS, &[]).into_iter().map(|line| {
            let (key, generation) = line.rsplit_once(' ').unwrap();
            let (_, listing) = key.split_once(":head:").unwrap();
            (listing.to_owned(), generation.to_owned())
        });
        heads.collect()
    }
}
