//! Reading the file of an export, part by part; nothing of it is believed.

use std::io::{self, BufRead, BufReader, Read};

use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3;

use super::format::VERSION;
use crate::listing::{Item, ItemId, ListingName, SortName, document::BadItem, item_json::check_readable};

/// Bytes of a line beside an item's JSON: its id, or a name, each letter escaped.
const LINE_BYTES: usize = 8 * 1024;

/// Any line but an item's.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Mark {
    listcache_export: Option<u32>,
    name: Option<String>,
    sort: Option<String>,
    items: Option<u64>,
    end: bool,
    sum: Option<String>,
    broken: Option<serde_json::Value>,
    reason: Option<String>,
    listings: Option<u64>,
}

/// A piece of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A listing begins.
    Listing { name: ListingName, sort: SortName },
    /// Its next item.
    Item(Item),
    /// It is whole.
    Whole,
    /// The export could not read this listing, or not to its end: what came of it does not count.
    Broken { listing: String, reason: String },
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadExport {
    #[error("cannot read it")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Line(#[from] BadItem),
    /// Its first line is another one.
    #[error(
        "not written by `listcache export`; to push a file as one listing, give its name first: `listcache load NAME FILE`"
    )]
    NoExport,
    #[error("written by a newer version of listcache (format {0})")]
    Newer(u32),
    #[error("cut off after line {0}: an export ends with the number of its listings")]
    CutOff(u64),
}

/// Reads a file, part by part.
pub(super) struct ExportReader<R> {
    from: BufReader<R>,
    item_bytes_max: usize,
    line: Vec<u8>,
    number: u64,
    /// Of the listing under way: how many items it has, how many have come, and their sum.
    listing: Option<(u64, u64, Xxh3)>,
    whole: u64,
    is_over: bool,
}

impl<R: Read> ExportReader<R> {
    pub(super) fn begin(from: R, item_bytes_max: usize) -> Result<Self, BadExport> {
        let mut reader = Self {
            from: BufReader::with_capacity(64 * 1024, from),
            item_bytes_max,
            line: Vec::new(),
            number: 0,
            listing: None,
            whole: 0,
            is_over: false,
        };
        reader.next_line().map_err(|error| match error {
            BadExport::Line(_) => BadExport::NoExport,
            error => error,
        })?;
        let first: Option<Mark> = serde_json::from_slice(&reader.line).ok();
        match first.and_then(|first| first.listcache_export) {
            Some(VERSION) => Ok(reader),
            Some(newer) => Err(BadExport::Newer(newer)),
            None => Err(BadExport::NoExport),
        }
    }

    /// The next part; `None` behind the last line of a whole file.
    pub(super) fn next(&mut self) -> Result<Option<Part>, BadExport> {
        if self.is_over {
            return Ok(None);
        }
        if !self.next_line()? {
            return Err(BadExport::CutOff(self.number));
        }
        match self.line.first() {
            Some(b'[') => self.item().map(Some),
            _ => self.mark(),
        }
    }

    fn item(&mut self) -> Result<Part, BadExport> {
        let bad = |wrong: String| BadItem::at(self.number, wrong);
        let Some((items, come, sum)) = &mut self.listing else {
            return Err(bad("an item outside of a listing".to_owned()).into());
        };
        if come == items {
            return Err(bad(format!("an item too many: the listing has {items}")).into());
        }
        *come += 1;
        sum.update(&self.line);
        sum.update(b"\n");
        let read = |line| -> Result<(String, String), serde_json::Error> {
            let (id, json): (String, &RawValue) = serde_json::from_slice(line)?;
            let json = json.get();
            match json.starts_with('"') {
                true => {
                    let text: String = serde_json::from_str(json)?;
                    serde_json::from_str::<&RawValue>(&text)?;
                    Ok((id, text))
                }
                false => Ok((id, json.to_owned())),
            }
        };
        let (id, json) = read(&self.line).map_err(|error| bad(format!("not an id and an item: {error}")))?;
        if json.len() > self.item_bytes_max {
            return Err(too_large(self.number, self.item_bytes_max).into());
        }
        if !(json.starts_with('{') && json.ends_with('}')) {
            return Err(bad("an item must be a JSON object".to_owned()).into());
        }
        check_readable(json.as_bytes()).map_err(|error| bad(error.to_string()))?;
        let id = ItemId::parse(&id).ok_or_else(|| bad("an id must have 1 to 256 bytes".to_owned()))?;
        let json = json.into();
        Ok(Part::Item(Item { id, json }))
    }

    fn mark(&mut self) -> Result<Option<Part>, BadExport> {
        let bad = |wrong: &str| BadItem::at(self.number, wrong);
        let mark: Mark = serde_json::from_slice(&self.line).map_err(|error| bad(&error.to_string()))?;
        if let (Some(reason), Some(serde_json::Value::String(listing))) = (mark.reason, &mark.broken) {
            self.listing = None;
            let listing = listing.clone();
            return Ok(Some(Part::Broken { listing, reason }));
        }
        if mark.end {
            let Some((items, come, sum)) = self.listing.take() else {
                return Err(bad("the end of a listing that has not begun").into());
            };
            if items != come {
                return Err(bad(&format!("the listing has {items} items, and {come} are here")).into());
            }
            if mark
                .sum
                .is_some_and(|expected| expected != format!("{:016x}", sum.digest()))
            {
                let wrong =
                    "the listing's sum is another: its items were changed; remove the member `sum` to accept them";
                return Err(bad(wrong).into());
            }
            self.whole += 1;
            return Ok(Some(Part::Whole));
        }
        if self.listing.is_some() {
            return Err(bad("a listing without its end").into());
        }
        if let (Some(name), Some(sort), Some(items)) = (&mark.name, &mark.sort, mark.items) {
            let name = ListingName::parse(name).map_err(|error| bad(&format!("the name: {error}")))?;
            let sort = SortName::parse(sort).ok_or_else(|| bad(&format!("the sort: {}", SortName::RULE)))?;
            self.listing = Some((items, 0, Xxh3::new()));
            return Ok(Some(Part::Listing { name, sort }));
        }
        let Some(listings) = mark.listings else {
            return Err(bad("a line that this version does not know").into());
        };
        if listings != self.whole {
            return Err(bad(&format!(
                "the file has {listings} listings, and {} are here",
                self.whole
            ))
            .into());
        }
        if self.next_line()? {
            return Err(BadItem::at(self.number, "a line behind the end of the export").into());
        }
        self.is_over = true;
        Ok(None)
    }

    /// Reads a line without its end. `false` where there is none, or only a part of one.
    fn next_line(&mut self) -> Result<bool, BadExport> {
        self.line.clear();
        // An item as a text has each of its bytes escaped at most.
        let longest = self.item_bytes_max.saturating_mul(2).saturating_add(LINE_BYTES);
        let limit = u64::try_from(longest).unwrap_or(u64::MAX);
        self.from.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
        if self.line.pop_if(|last| *last == b'\n').is_some() {
            self.line.pop_if(|last| *last == b'\r');
            self.number += 1;
            return Ok(true);
        }
        match self.line.len() < longest {
            true => Ok(false),
            false => Err(too_large(self.number + 1, self.item_bytes_max).into()),
        }
    }
}

fn too_large(line: u64, max: usize) -> BadItem {
    BadItem {
        too_large: true,
        ..BadItem::at(line, format!("an item of more than {max} bytes (http.limits.item_max)"))
    }
}

#[cfg(test)]
mod tests;
