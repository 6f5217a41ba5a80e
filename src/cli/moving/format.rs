//! The file of an export, and how it is written: listings one after the other, a JSON value a line (NDJSON), so that it is written and read in bounded memory.
//!
//! ```text
//! {"listcache_export":1,"layout":1,"prefix":"listcache","names":"*","at":"2026-11-30T06:45:00.000Z"}
//! {"name":"promo:summer","sort":"price","items":2,"generation":"1795291200123456-9f1c02ab","as_of":"2026-11-30T06:00:00.000Z"}
//! ["SKU-7",{"id":7,"name":"Sandals"}]          the id, and the item's JSON byte for byte
//! ["SKU-8","{\n  \"id\": 8\n}"]                one that stands over several lines: its bytes as a text
//! {"end":true,"sum":"1f0c93b2a0d45e77"}        XXH3-64 of the lines of its items, each with its line feed
//! {"broken":"promo:torn/default","reason":"…"} instead of, or within, a listing that could not be exported: its items do not count
//! {"listings":1,"broken":1}                    the file is whole
//! ```
//! An id stands beside its item, because the loader may have been given another member than `id`. A file without its last line was cut off. A
//! `sum` may be left out: a person who edits items removes it.

use std::io::{self, Write};

use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use crate::listing::Item;

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// The first line.
#[derive(Serialize)]
struct FileBegins<'a> {
    listcache_export: u32,
    layout: u32,
    prefix: &'a str,
    names: &'a str,
    at: &'a str,
}

/// The line before a listing's items.
#[derive(Serialize)]
pub(super) struct ListingBegins<'a> {
    pub name: &'a str,
    pub sort: &'a str,
    pub items: u64,
    pub generation: String,
    pub as_of: String,
}

#[derive(Serialize)]
struct ListingEnds {
    end: bool,
    sum: String,
}

#[derive(Serialize)]
struct ListingBreaks<'a> {
    broken: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct FileEnds {
    listings: u64,
    broken: u64,
}

/// Writes a file.
pub(super) struct ExportWriter<W> {
    to: W,
    line: Vec<u8>,
    sum: Xxh3,
}

impl<W: Write> ExportWriter<W> {
    pub(super) fn begin(to: W, layout: u32, prefix: &str, names: &str, at: &str) -> io::Result<Self> {
        let (line, sum) = (Vec::new(), Xxh3::new());
        let mut writer = Self { to, line, sum };
        writer.mark(&FileBegins {
            listcache_export: VERSION,
            layout,
            prefix,
            names,
            at,
        })?;
        Ok(writer)
    }

    pub(super) fn listing(&mut self, begins: &ListingBegins<'_>) -> io::Result<()> {
        self.sum = Xxh3::new();
        self.mark(begins)
    }

    pub(super) fn item(&mut self, item: &Item) -> io::Result<()> {
        self.line.clear();
        self.line.push(b'[');
        serde_json::to_writer(&mut self.line, item.id.as_str())?;
        self.line.push(b',');
        match std::str::from_utf8(&item.json) {
            Ok(text) if text.contains(['\n', '\r']) => serde_json::to_writer(&mut self.line, text)?,
            _ => self.line.extend_from_slice(&item.json),
        }
        self.line.extend_from_slice(b"]\n");
        self.sum.update(&self.line);
        self.to.write_all(&self.line)
    }

    pub(super) fn end_listing(&mut self) -> io::Result<()> {
        let sum = format!("{:016x}", self.sum.digest());
        self.mark(&ListingEnds { end: true, sum })
    }

    pub(super) fn break_listing(&mut self, broken: &str, reason: &str) -> io::Result<()> {
        self.mark(&ListingBreaks { broken, reason })
    }

    pub(super) fn end(mut self, listings: u64, broken: u64) -> io::Result<()> {
        self.mark(&FileEnds { listings, broken })?;
        self.to.flush()
    }

    fn mark(&mut self, mark: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, mark)?;
        self.line.push(b'\n');
        self.to.write_all(&self.line)
    }
}
