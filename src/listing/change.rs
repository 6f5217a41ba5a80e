//! Changes: a shop says that an item has changed, that it is gone, or that all listings of a glob have changed.
//!
//! The form on the wire is the form in Redis: a JSON object a change.

use std::{collections::BTreeMap, time::Duration};

use globset::Glob;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

use super::{item::ItemId, key::Family, name::ListingName};

/// The most names that one change may give.
const NAMES_MAX: usize = 1000;
/// The longest that an item may be told to be gone.
pub(crate) const GONE_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The subject of the change.
    pub of: ChangeOf,
    /// Only listings of these names are concerned. Empty: any.
    pub names: Box<[ListingName]>,
    /// Only families with these choices are concerned. Empty: all.
    pub variants: BTreeMap<Box<str>, Box<str>>,
}

/// The subject of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeOf {
    /// An item.
    Item(ItemId, ItemState),
    /// All listings whose names fit a glob, as after a price rule.
    Listings(Box<str>),
}

/// The state that a change reports of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemState {
    /// It has changed: the origin knows how.
    Changed,
    /// The same, and it is recalled no more.
    Returned,
    /// It is gone, whatever the origin says. `None`: for the usual time.
    Gone(Option<Duration>),
    /// The same, and no generation that has it may be read or gone back to any more. `None`: for as long as can be told.
    Recalled(Option<Duration>),
}

impl ItemState {
    /// Whether the origin says what becomes of the item.
    pub fn is_there(self) -> bool {
        matches!(self, Self::Changed | Self::Returned)
    }
}

/// Why a text is no change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoChange(String);

/// Why a document holds no changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("change {number}: {reason}")]
pub struct BadChange {
    /// 1-based.
    pub number: usize,
    /// The error.
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default, deserialize_with = "id", skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    listings: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    variants: BTreeMap<Box<str>, Box<str>>,
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    gone: Option<bool>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    recall: bool,
    /// Seconds.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    gone_for: Option<u64>,
}

/// A member that is there has a value: null is none.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A text, or an integer: `48713` and `"48713"` are the same id.
fn id<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Text(String),
        Integer(i64),
        Unsigned(u64),
    }
    let id = Id::deserialize(from).map_err(|_| de::Error::custom("`id` must be a text or an integer"))?;
    Ok(Some(match id {
        Id::Text(text) => text,
        Id::Integer(number) => number.to_string(),
        Id::Unsigned(number) => number.to_string(),
    }))
}

impl Change {
    /// An item has changed.
    pub fn of_item(id: ItemId) -> Self {
        Self {
            of: ChangeOf::Item(id, ItemState::Changed),
            names: Box::default(),
            variants: BTreeMap::new(),
        }
    }

    /// Whether it concerns an item wherever it is.
    pub fn is_plain(&self) -> bool {
        self.names.is_empty() && self.variants.is_empty()
    }

    /// Reads one JSON object.
    ///
    /// # Errors
    /// The reason, for the client's developer.
    pub fn parse(json: &str) -> Result<Self, NoChange> {
        // A list would do for the parser.
        if !json.trim_start().starts_with('{') {
            return Err(NoChange("a change is an object".to_owned()));
        }
        let wire: Wire = serde_json::from_str(json).map_err(|error| NoChange(error.to_string()))?;
        let no = |reason: &str| Err(NoChange(reason.to_owned()));
        let of = match (wire.id, wire.listings) {
            (Some(id), None) => {
                let Some(id) = ItemId::parse(&id) else {
                    return no("`id` must have 1 to 256 bytes");
                };
                let is_gone = wire.gone == Some(true);
                if !is_gone && (wire.gone_for.is_some() || wire.recall) {
                    return no("`gone_for` and `recall` stand beside `\"gone\":true` only");
                }
                if wire.recall && !(wire.names.is_empty() && wire.variants.is_empty()) {
                    return no("a recall is of all listings: neither `names` nor `variants` may stand beside `recall`");
                }
                let gone_for = wire.gone_for.map(Duration::from_secs);
                if gone_for.is_some_and(|gone_for| gone_for.is_zero() || gone_for > GONE_MAX) {
                    return no("`gone_for` must lie between 1 second and 31 days");
                }
                let state = match wire.gone {
                    Some(true) if wire.recall => ItemState::Recalled(gone_for),
                    Some(true) => ItemState::Gone(gone_for),
                    Some(false) => ItemState::Returned,
                    None => ItemState::Changed,
                };
                ChangeOf::Item(id, state)
            }
            (None, Some(glob)) => {
                if wire.gone.is_some() || wire.gone_for.is_some() || wire.recall || !wire.names.is_empty() {
                    return no("beside `listings` only `variants` may stand");
                }
                // So that a name with such a character in it is not taken for a class of characters.
                let is_plain = |letter: char| !letter.is_control() && !"[]{}\\!?".contains(letter);
                let is_good = glob.chars().all(is_plain) && Glob::new(&glob).is_ok();
                if glob.is_empty() || glob.len() > ListingName::BYTES_MAX || !is_good {
                    return no("`listings` must be a glob of names, such as `category:*`");
                }
                ChangeOf::Listings(glob.into())
            }
            _ => return no("give either `id` or `listings`"),
        };
        if wire.names.len() > NAMES_MAX {
            return no("too many `names`: at most 1,000");
        }
        let names = wire.names.iter().map(|name| {
            ListingName::parse(name).map_err(|error| NoChange(format!("`names`: `{name}` is no name: {error}")))
        });
        Ok(Self {
            of,
            names: names.collect::<Result<_, _>>()?,
            variants: wire.variants,
        })
    }

    /// Reads one object, an array of objects, or objects one behind the other as in NDJSON.
    ///
    /// # Errors
    /// The first that is no change, or the one too many.
    pub fn parse_all(document: &[u8], max: usize) -> Result<Vec<Self>, BadChange> {
        let bad = |number: usize| {
            move |error: serde_json::Error| BadChange {
                number,
                reason: error.to_string(),
            }
        };
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document).trim_ascii();
        let mut changes = Vec::new();
        let mut take = |json: &RawValue| {
            let number = changes.len() + 1;
            if number > max {
                let reason = format!("more than {max} changes");
                return Err(BadChange { number, reason });
            }
            let change = Self::parse(json.get()).map_err(|NoChange(reason)| BadChange { number, reason })?;
            changes.push(change);
            Ok(())
        };
        if document.starts_with(b"[") {
            let all: Vec<&RawValue> = serde_json::from_slice(document).map_err(bad(1))?;
            all.into_iter().try_for_each(take)?;
        } else {
            let all = serde_json::Deserializer::from_slice(document).into_iter::<&RawValue>();
            for (at, json) in all.enumerate() {
                take(json.map_err(bad(at + 1))?)?;
            }
        }
        match changes.is_empty() {
            true => Err(BadChange {
                number: 1,
                reason: "there is none".to_owned(),
            }),
            false => Ok(changes),
        }
    }

    /// The JSON object that [`Change::parse`] reads.
    pub fn to_json(&self) -> String {
        let mut wire = Wire {
            id: None,
            listings: None,
            names: self.names.iter().map(ToString::to_string).collect(),
            variants: self.variants.clone(),
            gone: None,
            recall: false,
            gone_for: None,
        };
        match &self.of {
            ChangeOf::Listings(glob) => wire.listings = Some(glob.to_string()),
            ChangeOf::Item(id, state) => {
                wire.id = Some(id.as_str().to_owned());
                (wire.gone, wire.gone_for) = match state {
                    ItemState::Changed => (None, None),
                    ItemState::Returned => (Some(false), None),
                    ItemState::Gone(gone_for) | ItemState::Recalled(gone_for) => {
                        (Some(true), gone_for.map(|gone_for| gone_for.as_secs()))
                    }
                };
                wire.recall = matches!(state, ItemState::Recalled(_));
            }
        }
        // Texts and numbers only: this does not fail.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// The item, where it is about one.
    pub fn item(&self) -> Option<&ItemId> {
        match &self.of {
            ChangeOf::Item(id, _) => Some(id),
            ChangeOf::Listings(_) => None,
        }
    }

    /// Whether it may concern a family, as far as the change itself says.
    pub fn may_concern(&self, family: &Family) -> bool {
        let names_it = self.names.is_empty() || self.names.contains(&family.name);
        let has = |parameter: &str, value: &str| {
            let mut choices = family.choices.iter();
            choices.any(|(chosen, of)| **chosen == *parameter && **of == *value)
        };
        names_it && self.variants.iter().all(|(parameter, value)| has(parameter, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, written: &str) {
        let change = Change::parse(json).unwrap();
        assert_eq!(change.to_json(), written);
        assert_eq!(Change::parse(written), Ok(change));
    }

    #[test]
    fn a_change_is_written_as_it_is_read() {
        check(r#"{"id":48713}"#, r#"{"id":"48713"}"#);
        check(r#"{ "id": "48713", "gone": false }"#, r#"{"id":"48713","gone":false}"#);
        check(
            r#"{"recall":true,"gone_for":60,"id":7,"gone":true}"#,
            r#"{"id":"7","gone":true,"recall":true,"gone_for":60}"#,
        );
        check(r#"{"id":18446744073709551615}"#, r#"{"id":"18446744073709551615"}"#);
        check(r#"{"id":"a","gone":true}"#, r#"{"id":"a","gone":true}"#);
        check(
            r#"{"gone_for":60,"id":"a","gone":true,"names":["category:BREAD"],"variants":{"group":"2"}}"#,
            r#"{"id":"a","names":["category:BREAD"],"variants":{"group":"2"},"gone":true,"gone_for":60}"#,
        );
        check(r#"{"listings":"category:*"}"#, r#"{"listings":"category:*"}"#);
    }

    #[test]
    fn a_bad_change_is_refused_with_its_reason() {
        for (json, reason) in [
            ("{}", "either `id` or `listings`"),
            (r#"{"id":"a","listings":"x"}"#, "either `id` or `listings`"),
            (r#"{"id":1.5}"#, "a text or an integer"),
            (r#"{"id":null}"#, "a text or an integer"),
            (r#"{"id":""}"#, "1 to 256 bytes"),
            (r#"{"id":"a","gone_for":3}"#, "beside"),
            (r#"{"id":"a","gone":true,"gone_for":0}"#, "between"),
            (r#"{"id":"a","nmaes":[]}"#, "unknown field `nmaes`"),
            (r#"{"id":"a","names":[""]}"#, "is no name"),
            (r#"{"listings":"a[","variants":{}}"#, "a glob"),
            (r#"{"listings":"a?"}"#, "a glob"),
            (r#"{"id":1,"gone":true,"gone_for":null}"#, "null"),
            (r#"{"id":1,"gone":null}"#, "null"),
            (r#"{"id":1,"recall":true}"#, "beside"),
            (r#"{"id":1,"gone":false,"recall":true}"#, "beside"),
            (r#"{"id":1,"gone":true,"recall":true,"names":["x"]}"#, "all listings"),
            (
                r#"{"id":1,"gone":true,"recall":true,"variants":{"a":"b"}}"#,
                "all listings",
            ),
            (r#"{"listings":"a*","recall":true}"#, "only `variants`"),
            (r#"{"listings":"a*","gone":true}"#, "only `variants`"),
            ("[]", "is an object"),
            (r#"["a"]"#, "is an object"),
        ] {
            let error = Change::parse(json).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn a_document_is_an_object_an_array_or_lines() {
        let ids = |document: &str| {
            let changes = Change::parse_all(document.as_bytes(), 3)?;
            let ids = changes.iter().filter_map(Change::item);
            Ok::<_, BadChange>(ids.map(|id| id.as_str().to_owned()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(ids("{\n\"id\": 1\n}\n").unwrap(), "1");
        assert_eq!(ids("[{\"id\":1},{\"id\":\"2\"}]").unwrap(), "1 2");
        assert_eq!(ids("\u{feff}{\"id\":1}\r\n\n{\"id\":2}\n{\"id\":3}").unwrap(), "1 2 3");
        for (document, number) in [
            ("", 1),
            ("[]", 1),
            ("{\"id\":1}\n{\"id\":}", 2),
            ("[{\"id\":1},7]", 2),
            ("{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n{\"id\":4}", 4),
        ] {
            assert_eq!(ids(document).unwrap_err().number, number, "{document}");
        }
    }

    #[test]
    fn names_and_variants_narrow_a_change() {
        let family = Family::parse("category:BREAD?group=2").unwrap();
        let may = |json: &str| Change::parse(json).unwrap().may_concern(&family);
        assert!(may(r#"{"id":1}"#));
        assert!(may(
            r#"{"id":1,"names":["x","category:BREAD"],"variants":{"group":"2"}}"#
        ));
        assert!(!may(r#"{"id":1,"names":["x"]}"#));
        assert!(!may(r#"{"id":1,"variants":{"group":"3"}}"#));
        assert!(!may(r#"{"id":1,"variants":{"store":"2"}}"#));
    }
}
