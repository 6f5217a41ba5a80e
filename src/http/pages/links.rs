//! URLs of pages: the links in a body, the canonical URL of a page, and where the newest generation is.
//!
//! Links are path-absolute, their parameters in one order: sort, order, choices, then the place. They name the sort and
//! every variant even where these are the defaults: a body may depend on nothing but listing, generation and window, and
//! a default can change (a pushed listing's does when the sort `default` arrives) while a cursor is being followed.
//! The canonical URL drops defaults instead: it is a header, and no part of the body.

use std::{fmt::Write, num::NonZeroU32, sync::Arc};

use crate::{
    engine::{PageMeta, Place, Selection},
    listing::{Cursor, Generation, ListingKey, Order, definition::Links, name::encode_query_value},
};

/// Where the pages of listings are.
pub(crate) const LISTINGS: &str = "/v1/listings";

/// The links of one page. A link that does not exist is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageLinks {
    /// This very page.
    pub this: String,
    /// The first page, unpinned.
    pub first: String,
    /// The page before.
    pub prev: Option<String>,
    /// The page after.
    pub next: Option<String>,
    /// The last page, unpinned; none where there are no items.
    pub last: Option<String>,
}

impl PageLinks {
    /// The links of a page.
    pub(crate) fn of(selection: &Selection, meta: &PageMeta) -> Self {
        let base = base_of(selection);
        let limit = u64::from(meta.limit.get());
        let listed = meta.listed();
        let plain = |mut url: Url, offset: u64| {
            if meta.order == Order::Desc {
                url.push("order", Order::Desc.as_str());
            }
            url.push_place(offset, meta.limit);
            url.text
        };
        let followed = |mut url: Url, offset: u64| match selection.links {
            _ if meta.is_direct() => plain(url, offset),
            Links::Plain => plain(url, offset),
            Links::Pinned => {
                let cursor = Cursor {
                    generation: meta.generation,
                    offset,
                    limit: meta.limit,
                    order: meta.order,
                    total: meta.total,
                    chunk_len: meta.chunk_len,
                    filters: selection.filters_hash(),
                };
                url.push("cursor", &cursor.encode(&selection.key));
                url.text
            }
        };
        // Pages of this limit counted from the first item, so that `last` is the end of the walk from `first`.
        let last = listed.checked_sub(1).map(|at| at / limit * limit);
        // Past the end the page before is the last one that has items.
        let prev = last
            .filter(|_| meta.offset > 0)
            .map(|last| meta.offset.saturating_sub(limit).min(last));
        let next = meta.offset.checked_add(limit).filter(|next| *next < listed);
        // Counts belong to the page that they were asked for with, and the way on need not pay for them.
        let mut this = base.clone();
        this.push_facets(selection);
        Self {
            this: followed(this, meta.offset),
            first: plain(base.clone(), 0),
            prev: prev.map(|offset| followed(base.clone(), offset)),
            next: next.map(|offset| followed(base.clone(), offset)),
            last: last.map(|offset| plain(base.clone(), offset)),
        }
    }
}

/// The one URL of a page: defaults dropped, a pin kept.
pub(crate) fn canonical(selection: &Selection, meta: &PageMeta, limit_default: NonZeroU32) -> String {
    let mut url = Url::new(&selection.key);
    if !selection.sort_is_default {
        url.push("sort", selection.key.sort().as_str());
    }
    if meta.order == Order::Desc {
        url.push("order", Order::Desc.as_str());
    }
    url.push_choices(&selection.canonical_choices);
    url.push_filters(selection);
    url.push_facets(selection);
    if meta.offset > 0 {
        url.push_number("offset", meta.offset);
    }
    if meta.limit != limit_default {
        url.push_number("limit", meta.limit.get().into());
    }
    if meta.pinned {
        url.push_generation(meta.generation);
    }
    url.text
}

/// The first page of what is selected, in the size of requests that say none.
pub(crate) fn first(selection: &Selection) -> String {
    let mut url = Url::new(&selection.key);
    if !selection.sort_is_default {
        url.push("sort", selection.key.sort().as_str());
    }
    if selection.order == Order::Desc {
        url.push("order", Order::Desc.as_str());
    }
    url.push_choices(&selection.canonical_choices);
    url.push_filters(selection);
    url.text
}

/// The window that was asked for, in the newest generation: for a request whose generation is gone.
pub(crate) fn newest(selection: &Selection, place: &Place) -> String {
    let mut url = base_of(selection);
    if selection.order == Order::Desc {
        url.push("order", Order::Desc.as_str());
    }
    match place {
        Place::Offset { offset, limit, .. } => url.push_place(*offset, *limit),
        Place::Cursor(text) => {
            if let Ok(cursor) = Cursor::decode(text, &selection.key, selection.filters_hash()) {
                url.push_place(cursor.offset, cursor.limit);
            }
        }
    }
    url.text
}

fn base_of(selection: &Selection) -> Url {
    let key = &selection.key;
    let mut url = Url::new(key);
    url.push("sort", key.sort().as_str());
    url.push_choices(&key.family.choices);
    url.push_filters(selection);
    url
}

/// The names of the filters whose values are counted, as they stand in a URL.
pub(crate) fn facets_text(selection: &Selection) -> String {
    let Some(filters) = selection.filters() else {
        return String::new();
    };
    let names: Vec<&str> = selection
        .facets
        .iter()
        .filter_map(|at| Some(&*filters.get(*at)?.name))
        .collect();
    names.join(",")
}

/// A URL being written: path first, then parameters in the order they are pushed.
#[derive(Clone)]
struct Url {
    text: String,
    separator: char,
}

impl Url {
    fn new(key: &ListingKey) -> Self {
        Self {
            text: format!("{LISTINGS}/{}", key.name().encoded()),
            separator: '?',
        }
    }

    fn push(&mut self, parameter: &str, value: &str) {
        self.text.push(self.separator);
        self.separator = '&';
        self.text.push_str(parameter);
        self.text.push('=');
        self.text.extend([encode_query_value(value)]);
    }

    fn push_number(&mut self, parameter: &str, value: u64) {
        // Writing to a String does not fail.
        let _ = write!(self.text, "{}{parameter}={value}", self.separator);
        self.separator = '&';
    }

    fn push_choices(&mut self, choices: &[(Arc<str>, Arc<str>)]) {
        for (parameter, value) in choices {
            self.push(parameter, value);
        }
    }

    /// What selects items, in its one spelling.
    fn push_filters(&mut self, selection: &Selection) {
        if let Some(filtering) = &selection.filtering {
            self.text.push(self.separator);
            self.separator = '&';
            self.text.push_str(filtering.query());
        }
    }

    /// The filters whose values are counted.
    fn push_facets(&mut self, selection: &Selection) {
        let facets = facets_text(selection);
        if !facets.is_empty() {
            self.push("facets", &facets);
        }
    }

    fn push_place(&mut self, offset: u64, limit: NonZeroU32) {
        self.push_number("offset", offset);
        self.push_number("limit", limit.get().into());
    }

    fn push_generation(&mut self, generation: Generation) {
        let _ = write!(self.text, "{}generation={generation}", self.separator);
        self.separator = '&';
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::pages::sample::{meta, selection};

    /// The place in a link, read back.
    fn place(selection: &Selection, link: Option<&String>) -> Option<(u64, u32)> {
        let link = link?;
        if let Some((_, cursor)) = link.split_once("cursor=") {
            let cursor = Cursor::decode(cursor, &selection.key, 0).unwrap();
            return Some((cursor.offset, cursor.limit.get()));
        }
        let (_, numbers) = link.split_once("offset=").unwrap();
        let (offset, limit) = numbers.split_once("&limit=").unwrap();
        Some((offset.parse().unwrap(), limit.parse().unwrap()))
    }

    /// Where prev, next and last lead from a window.
    #[track_caller]
    fn check(total: u64, offset: u64, limit: u32, expect: [Option<u64>; 3]) {
        for links in [Links::Pinned, Links::Plain] {
            let mut selection = selection("a/price");
            selection.links = links;
            let of = PageLinks::of(&selection, &meta(total, offset, limit));
            let at = |link: Option<&String>| place(&selection, link).map(|(offset, _)| offset);
            assert_eq!(
                [at(of.prev.as_ref()), at(of.next.as_ref()), at(of.last.as_ref())],
                expect
            );
            assert_eq!(place(&selection, Some(&of.this)), Some((offset, limit)));
            assert_eq!(place(&selection, Some(&of.first)), Some((0, limit)));
        }
    }

    #[test]
    fn links_lead_to_the_neighbours() {
        check(1434, 24, 24, [Some(0), Some(48), Some(1416)]);
        check(1434, 0, 24, [None, Some(24), Some(1416)]);
        check(1434, 1416, 24, [Some(1392), None, Some(1416)]);
        check(48, 24, 24, [Some(0), None, Some(24)]);
        check(10, 3, 4, [Some(0), Some(7), Some(8)]);
    }

    #[test]
    fn past_the_end_the_way_back_is_the_last_page() {
        check(10, 1000, 4, [Some(8), None, Some(8)]);
        check(10, Cursor::PLACE_MAX, 4, [Some(8), None, Some(8)]);
    }

    #[test]
    fn an_empty_listing_has_a_first_page_only() {
        check(0, 0, 24, [None, None, None]);
        check(0, 24, 24, [None, None, None]);
    }

    #[test]
    fn links_are_path_absolute_in_one_order() {
        let mut selection = selection("a%2Fb%20'c/price?brand=A%26B&currency=EUR");
        selection.links = Links::Plain;
        let mut meta = meta(100, 24, 24);
        meta.order = Order::Desc;
        assert_eq!(
            PageLinks::of(&selection, &meta).next.unwrap(),
            "/v1/listings/a%2Fb%20'c?sort=price&brand=A%26B&currency=EUR&order=desc&offset=48&limit=24"
        );
        selection.links = Links::Pinned;
        let next = PageLinks::of(&selection, &meta).next.unwrap();
        assert!(
            next.starts_with("/v1/listings/a%2Fb%20'c?sort=price&brand=A%26B&currency=EUR&cursor="),
            "{next}"
        );
    }

    #[test]
    fn the_canonical_url_drops_defaults_and_keeps_a_pin() {
        let limit = NonZeroU32::new(24).unwrap();
        let mut selection = selection("a/price?currency=EUR");
        let mut meta = meta(100, 0, 24);
        assert_eq!(canonical(&selection, &meta, limit), "/v1/listings/a");

        selection.sort_is_default = false;
        selection.canonical_choices = vec![("currency".into(), "EUR".into())];
        meta.order = Order::Desc;
        meta.offset = 7;
        meta.limit = NonZeroU32::MIN;
        meta.pinned = true;
        assert_eq!(
            canonical(&selection, &meta, limit),
            "/v1/listings/a?sort=price&order=desc&currency=EUR&offset=7&limit=1&generation=1795291200123456-9f1c02ab"
        );
    }

    #[test]
    fn the_newest_is_the_same_window_unpinned() {
        let selection = selection("a/price");
        let pinned = Place::Offset {
            offset: 48,
            limit: NonZeroU32::new(24).unwrap(),
            pinned: Some("5-00000001".parse().unwrap()),
        };
        let expect = "/v1/listings/a?sort=price&offset=48&limit=24";
        assert_eq!(newest(&selection, &pinned), expect);
        let followed = PageLinks::of(&selection, &meta(100, 48, 24)).this;
        let cursor = followed.split_once("cursor=").unwrap().1;
        assert_eq!(newest(&selection, &Place::Cursor(cursor.to_owned())), expect);
    }
}
