//! Query strings, parsed by hand: which parameters are known depends on the listing, all errors are told at once, and
//! what is unknown must reach no key.
//!
//! Values are decoded as HTML forms and `URLSearchParams` write them: `+` is a space, and a plus sign is `%2B`. That
//! `+` is literal is said of names, which stand in the path. No parameter of ours holds a space or a plus, so the choice
//! shows only in the values of filters (`f.brand=ACME+CO`) and in the `prefix` of the list; links spell both as escapes.

use std::{borrow::Cow, num::NonZeroU32, sync::Arc};

use crate::{
    engine::{Asked, DeclaredParameters, ParameterError, Place},
    listing::{
        Cursor, Generation, Order, SortName, filtering::PREFIX, name::decode_strictly, pattern::PAGE_PARAMETERS,
    },
};

/// The known parameters of a query, each at most once.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    given: Vec<(&'a str, Cow<'a, str>)>,
    /// Filters by their names, without [`PREFIX`], with their values, where they are taken: they alone may repeat.
    filters: Vec<(Box<str>, Box<str>)>,
    takes_filters: bool,
    errors: Vec<ParameterError>,
}

impl<'a> Query<'a> {
    /// Reads a raw query string. Parameters outside `known` are ignored, whatever their spelling.
    pub(crate) fn read(raw: &'a str, known: &[&'a str]) -> Self {
        Self::read_all(raw, known, false)
    }

    /// The same where a parameter outside `known` is an error.
    pub(crate) fn strict(raw: &'a str, known: &[&'a str]) -> Self {
        let mut query = Self::read(raw, known);
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            let name = decode(name).unwrap_or(Cow::Borrowed(name));
            if !known.contains(&&*name) {
                let known = known
                    .iter()
                    .map(|known| format!("`{known}`"))
                    .collect::<Vec<_>>()
                    .join(", ");
                query.refuse(&name, format!("is unknown here; known: {known}"));
            }
        }
        query
    }

    /// The same with filters: every parameter whose name begins with [`PREFIX`].
    fn with_filters(raw: &'a str, known: &[&'a str]) -> Self {
        Self::read_all(raw, known, true)
    }

    fn read_all(raw: &'a str, known: &[&'a str], takes_filters: bool) -> Self {
        let mut query = Self {
            given: Vec::new(),
            filters: Vec::new(),
            takes_filters,
            errors: Vec::new(),
        };
        for pair in raw.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A name that cannot be decoded is no name of ours.
            let Ok(name) = decode(name) else { continue };
            if let Some(filter) = name.strip_prefix(PREFIX).filter(|_| query.takes_filters) {
                query.take_filter(filter, value);
                continue;
            }
            let Some(&name) = known.iter().find(|known| **known == name) else {
                continue;
            };
            query.take_in(name, value);
        }
        query
    }

    fn take_in(&mut self, name: &'a str, value: &'a str) {
        if self.holds(name) {
            // Said once, however often it is given.
            if !self
                .errors
                .iter()
                .any(|error| error.parameter == name && error.detail == TWICE)
            {
                self.refuse(name, TWICE);
            }
            return;
        }
        let value = match decode(value) {
            Ok(value) if value.is_empty() => {
                self.refuse(name, "must not be empty");
                value
            }
            Ok(value) => value,
            Err(reason) => {
                self.refuse(name, reason);
                Cow::Borrowed("")
            }
        };
        self.given.push((name, value));
    }

    fn take_filter(&mut self, filter: &str, value: &str) {
        match decode(value) {
            Ok(value) if value.is_empty() => self.refuse(&format!("{PREFIX}{filter}"), "must not be empty"),
            Ok(value) => self.filters.push((filter.into(), value.into())),
            Err(reason) => self.refuse(&format!("{PREFIX}{filter}"), reason),
        }
    }

    /// Whether the parameter was given at all, well or badly.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| *given == name)
    }

    /// The value of a parameter that was given well.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.given.iter().find(|(given, _)| *given == name)?;
        (!value.is_empty()).then_some(value)
    }

    /// Adds an error.
    pub(crate) fn refuse(&mut self, parameter: &str, detail: impl Into<String>) {
        self.errors.push(ParameterError {
            parameter: parameter.to_owned(),
            detail: detail.into(),
        });
    }

    /// A whole number in its one spelling, from `least` to `most`.
    pub(crate) fn number(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        match parse_number(self.text(name)?, least, most) {
            Ok(number) => Some(number),
            Err(detail) => {
                self.refuse(name, detail);
                None
            }
        }
    }

    /// `true` or `false`; false where it is not given.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        match self.text(name) {
            Some("true") => true,
            None | Some("false") => false,
            Some(_) => {
                self.refuse(name, "must be `true` or `false`");
                false
            }
        }
    }

    /// The parameter `sort`, where any well-formed name will do.
    pub(crate) fn sort_name(&mut self) -> Option<SortName> {
        let sort = SortName::parse(self.text("sort")?);
        if sort.is_none() {
            self.refuse("sort", format!("must be {}", SortName::RULE));
        }
        sort
    }

    /// All errors at once, if there is one.
    pub(crate) fn finish(self) -> Result<(), Vec<ParameterError>> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(self.errors)
        }
    }
}

const TWICE: &str = "given more than once";

fn decode(text: &str) -> Result<Cow<'_, str>, &'static str> {
    // `+` first: a `%2B` must stay a plus sign.
    let spaced: Cow<'_, str> = if text.contains('+') {
        text.replace('+', " ").into()
    } else {
        text.into()
    };
    let decoded = match &spaced {
        Cow::Borrowed(text) => decode_strictly(text),
        Cow::Owned(text) => decode_strictly(text).map(|decoded| Cow::Owned(decoded.into_owned())),
    };
    decoded.map_err(|_| "is not percent-encoded UTF-8")
}

/// The greatest page and offset.
pub(crate) const PLACE_MAX: u64 = Cursor::PLACE_MAX;

fn parse_number(text: &str, least: u64, most: u64) -> Result<u64, String> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("must be a whole number, in digits only".to_owned());
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err("must not begin with 0".to_owned());
    }
    // Digits only: a number that does not parse is too large.
    match text.parse::<u64>() {
        Ok(number) if number < least => Err(format!("must be at least {least}")),
        Ok(number) if number <= most => Ok(number),
        _ if most == PLACE_MAX => Err("is too large".to_owned()),
        _ => Err(format!("must be at most {most}")),
    }
}

/// How many items a page may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Where nothing is said.
    pub default: NonZeroU32,
    /// At most.
    pub max: NonZeroU32,
}

impl Sizes {
    /// From checked settings: the check refuses zeros, and a one is the least harm if it did not.
    pub(crate) fn new(default: u32, max: u32) -> Self {
        let at_least_one = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            default: at_least_one(default),
            max: at_least_one(max),
        }
    }
}

/// A query for a page, as far as it can be checked without the listing.
#[derive(Debug)]
pub(crate) struct PageQuery {
    sort: Option<Box<str>>,
    /// Declared variants and filters that are families of their own, with their values.
    choices: Vec<(Arc<str>, Box<str>)>,
    /// Filters with their values.
    filters: Vec<(Box<str>, Box<str>)>,
    /// Filters whose values are to be counted.
    facets: Vec<Box<str>>,
    order: Order,
    /// The place in the listing. Means nothing where there are errors.
    pub place: Place,
    /// The errors so far.
    pub errors: Vec<ParameterError>,
}

impl PageQuery {
    /// Reads a query for a page of a listing that declares further parameters. Errors are kept, see [`Self::errors`].
    pub(crate) fn read(raw: &str, declared: &DeclaredParameters, sizes: Sizes) -> Self {
        let known = PAGE_PARAMETERS
            .into_iter()
            .chain(declared.names.iter().map(|name| &**name));
        let mut known: Vec<&str> = known.collect();
        // A filter without its prefix would be ignored, and all items be shown.
        let bare = declared.filters.iter().map(|name| &**name);
        let bare: Vec<&str> = bare.filter(|name| !known.contains(name)).collect();
        known.extend(&bare);
        let mut query = Query::with_filters(raw, &known);
        for name in bare {
            if query.holds(name) {
                query.refuse(name, format!("a filter is asked for as `{PREFIX}{name}`"));
            }
        }
        let facets = facets(&mut query);
        let order = match query.text("order") {
            None | Some("asc") => Order::Asc,
            Some("desc") => Order::Desc,
            Some(_) => {
                query.refuse("order", "must be `asc` or `desc`");
                Order::Asc
            }
        };
        let (order, place) = if query.holds("cursor") {
            place_of_cursor(&mut query, sizes)
        } else {
            (order, place_of_numbers(&mut query, sizes))
        };
        let choice = |name: &Arc<str>| Some((name.clone(), query.text(name)?.into()));
        Self {
            sort: query.text("sort").map(Box::from),
            choices: declared.names.iter().filter_map(choice).collect(),
            facets,
            order,
            place,
            filters: query.filters,
            errors: query.errors,
        }
    }

    /// The choices: sort, order, variants and filters.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked {
            sort: self.sort.as_deref(),
            order: self.order,
            choices: self.choices.iter().map(|(name, value)| (&**name, &**value)).collect(),
            filters: self.filters.iter().map(|(name, value)| (&**name, &**value)).collect(),
            facets: self.facets.iter().map(|name| &**name).collect(),
            is_pinned: self.place.is_pinned(),
        }
    }
}

/// The filters whose values are to be counted: `brand,price_cents`.
fn facets(query: &mut Query<'_>) -> Vec<Box<str>> {
    let Some(text) = query.text("facets") else {
        return Vec::new();
    };
    let names: Vec<Box<str>> = text.split(',').map(Box::from).collect();
    if names.iter().any(|name| name.is_empty()) {
        query.refuse("facets", "names filters, with commas between them");
        return Vec::new();
    }
    names
}

fn place_of_cursor(query: &mut Query<'_>, sizes: Sizes) -> (Order, Place) {
    for name in ["page", "size", "offset", "limit", "order", "generation"] {
        if query.holds(name) {
            query.refuse(name, "cannot stand beside `cursor`, which holds the place already");
        }
    }
    let text = query.text("cursor").unwrap_or_default().to_owned();
    // Which stream the cursor is of depends on its order. Whether it is a good one, the engine decides.
    let claimed = Cursor::claimed(&text);
    // Anybody can make a cursor, for its check sum is no secret: it gets no larger page than others.
    if claimed.as_ref().is_some_and(|cursor| cursor.limit > sizes.max) {
        query.refuse("cursor", format!("holds a page of more than {} items", sizes.max));
    }
    (
        claimed.map_or_else(Order::default, |cursor| cursor.order),
        Place::Cursor(text),
    )
}

fn place_of_numbers(query: &mut Query<'_>, sizes: Sizes) -> Place {
    let max = u64::from(sizes.max.get());
    let by_page = query.holds("page") || query.holds("size");
    let by_offset = query.holds("offset") || query.holds("limit");
    if by_page && by_offset {
        for name in ["page", "size"] {
            if query.holds(name) {
                query.refuse(name, "cannot stand beside `offset` or `limit`");
            }
        }
    }
    let page = query.number("page", 1, PLACE_MAX);
    let size = query.number("size", 1, max);
    let offset = query.number("offset", 0, PLACE_MAX);
    let limit = query.number("limit", 1, max);
    let pinned = pinned(query);
    let limit = size
        .or(limit)
        .and_then(|number| NonZeroU32::new(u32::try_from(number).ok()?))
        .unwrap_or(sizes.default);
    let offset = match page {
        None => offset.unwrap_or(0),
        Some(page) => {
            let offset = (page - 1).checked_mul(limit.get().into());
            offset.filter(|offset| *offset <= PLACE_MAX).unwrap_or_else(|| {
                query.refuse("page", "is too large for this size");
                0
            })
        }
    };
    Place::Offset { offset, limit, pinned }
}

fn pinned(query: &mut Query<'_>) -> Option<Generation> {
    match query.text("generation")?.parse() {
        Ok(generation) => Some(generation),
        Err(error) => {
            let error: crate::listing::generation::InvalidGeneration = error;
            query.refuse("generation", error.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests;
