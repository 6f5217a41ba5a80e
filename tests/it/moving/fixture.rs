//! A server that version 0.1 filled with layout 1.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use listcache::listing::ListingKey;

use crate::support::RedisServer;

/// Its listings that cannot be exported, and why.
pub const DAMAGED: [(&str, &str); 5] = [
    ("promo:altered/default", "an entry whose check sum is another"),
    ("promo:head/default", "a head with missing or unreadable fields"),
    ("promo:other-type/default", "a value of another type"),
    ("promo:swapped/default", "an entry whose check sum is another"),
    ("promo:torn/default", "an entry id that is not the chunk's"),
];

/// A listing as the commands of the fixture have it.
pub struct Listing {
    name: String,
    pub encoded_name: String,
    pub sort: String,
    /// Ids and JSON.
    pub items: Vec<(String, String)>,
}

impl Listing {
    /// Its key, and the lines that an export has of it.
    pub fn as_exported(&self) -> (String, Vec<String>) {
        let lines = self.items.iter().map(|(id, json)| match json.contains(['\n', '\r']) {
            true => serde_json::to_string(&(id, json)).unwrap(),
            false => format!("[{},{json}]", serde_json::to_string(id).unwrap()),
        });
        (format!("{}/{}", self.name, self.sort), lines.collect())
    }
}

/// Commands that fill a server.
pub struct Fixture(Vec<Vec<String>>);

impl Fixture {
    pub fn read() -> Self {
        let file = include_str!("../../../fixtures/layout-1.ndjson");
        Self(file.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    pub fn replay(&self, redis: &RedisServer) {
        let mut wire = UnixStream::connect(redis.socket()).unwrap();
        for command in &self.0 {
            let parts: String = command
                .iter()
                .map(|part| format!("${}\r\n{part}\r\n", part.len()))
                .collect();
            write!(wire, "*{}\r\n{parts}", command.len()).unwrap();
            let mut answer = [0; 1024];
            let read = wire.read(&mut answer).unwrap();
            assert!(
                !answer.starts_with(b"-"),
                "{command:?}: {}",
                String::from_utf8_lossy(&answer[..read])
            );
        }
        assert_eq!(redis.cli(&["HGET", "shop:meta", "layout"]), "1");
    }

    /// The pushed listings that are whole, in the order of their keys.
    pub fn listings(&self) -> Vec<Listing> {
        let mut entries: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
        for command in self
            .0
            .iter()
            .filter(|command| command[0] == "XADD" && command[1].contains(":gen:"))
        {
            let items = command[3..].chunks(2).filter(|item| !item[0].is_empty());
            let items = items.map(|item| (item[0].clone(), item[1].clone()));
            entries.entry(&command[1]).or_default().extend(items);
        }
        let heads = self
            .0
            .iter()
            .filter(|command| command[0] == "HSET" && command[1].contains(":head:"));
        let listings = heads.filter_map(|command| {
            let (partition, key) = command[1].split_once("head:").unwrap();
            let fields: BTreeMap<&str, &str> = command[2..]
                .chunks(2)
                .map(|field| (field[0].as_str(), field[1].as_str()))
                .collect();
            let is_damaged = DAMAGED.iter().any(|(damaged, _)| *damaged == key);
            if is_damaged || fields.contains_key("deleted") || fields["definition"] != "0000000000000000" {
                return None;
            }
            let stream = format!("{partition}gen:{}-{}:{key}", fields["id"], fields["nonce"]);
            let listing = ListingKey::parse(key).unwrap();
            Some(Listing {
                name: listing.name().as_str().to_owned(),
                encoded_name: listing.name().encoded().into_owned(),
                sort: listing.sort().as_str().to_owned(),
                items: entries.get(stream.as_str()).cloned().unwrap_or_default(),
            })
        });
        let mut listings: Vec<Listing> = listings.collect();
        listings.sort_by_key(|listing| listing.as_exported().0);
        listings
    }
}

/// Every key of a server, with its value and the time at which it expires.
pub fn all_keys(redis: &RedisServer) -> Vec<[String; 3]> {
    let mut keys = redis.cli_lines(&["KEYS", "*"]);
    keys.sort();
    let of = |key: String| [redis.cli(&["DUMP", &key]), redis.cli(&["PEXPIRETIME", &key]), key];
    keys.into_iter().map(of).collect()
}
