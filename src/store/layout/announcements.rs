//! Announcements: a head has moved. The log keeps them, and the channel carries them.
//!
//! A message is an envelope round the body that the log entry holds, byte for byte. The envelope names the entry and the entry
//! before it, so a receiver sees a gap. The body carries the new head itself, so no node reads Redis again because of it. Members
//! that a version does not know are skipped. A body of another version counts as not understood, and its hearers read heads again.

use std::{num::NonZeroU32, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use super::entry_id::EntryId;
use crate::listing::{Codec, Delta, Generation, Head, HeadState, ListingKey, Timestamp};

/// The version of envelope and body.
pub(crate) const VERSION: u32 = 1;
/// Entries that a partition's log keeps: a node that has missed more begins a new epoch.
pub(crate) const LOG_ENTRIES_MAX: usize = 1000;

/// A head that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Whose head.
    pub listing: ListingKey,
    /// The head as it is now; never [`HeadState::Absent`].
    pub head: HeadState,
    /// When it was written to the log, by Redis's clock; `None` where that was not heard.
    pub written: Option<Timestamp>,
}

/// The news for the subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A head moved.
    Announcement(Announcement),
    /// Announcements may have been lost for good (the subscription has just begun, or Redis was restarted, flushed or
    /// rewound): forget floors, suspect heads.
    NewEpoch,
    /// Some head moved, and this release cannot tell which: suspect heads.
    Unreadable,
    /// Changes were recorded, or somebody wants to know that all before this was heard: the number says which.
    Changes(u64),
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    listing: String,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    deleted: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<BodyHead>,
}

#[derive(Serialize, Deserialize)]
struct BodyHead {
    generation: String,
    total: u64,
    chunk_len: NonZeroU32,
    as_of: u64,
    /// Hexadecimal: programs that read numbers as doubles would round it.
    definition: String,
    pins_from: u64,
    /// Absent where a release before it wrote the body.
    #[serde(default)]
    definition_version: u32,
    /// Absent where the generation is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delta: Option<String>,
    /// Absent where its chunks are plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    codec: Option<String>,
    /// Absent where nothing is known to begin or end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_change: Option<u64>,
}

/// The body for a head that a publish sets.
pub(crate) fn live_body(listing: &ListingKey, head: &Head) -> String {
    let body = Body {
        listing: listing.to_string(),
        deleted: None,
        head: Some(BodyHead {
            generation: head.generation.to_string(),
            total: head.total,
            chunk_len: head.chunk_len,
            as_of: head.as_of.0,
            definition: format!("{:016x}", head.definition),
            pins_from: head.pins_from,
            definition_version: head.definition_version,
            delta: head.delta.as_ref().map(ToString::to_string),
            codec: (head.codec != Codec::Plain).then(|| head.codec.to_string()),
            next_change: head.next_change.map(|next| next.0),
        }),
    };
    // Texts and numbers only: this does not fail.
    serde_json::to_string(&body).unwrap_or_default()
}

/// The body for a tombstone, in two parts: the script that draws its generation puts it in between.
pub(crate) fn deleted_body(listing: &ListingKey) -> (String, &'static str) {
    let listing = serde_json::Value::from(listing.to_string());
    (format!("{{\"listing\":{listing},\"deleted\":\""), "\"}")
}

/// Reads a body of this version.
pub(crate) fn parse_body(text: &str) -> Option<Announcement> {
    let body: Body<'_> = serde_json::from_str(text).ok()?;
    let head = match (body.head, body.deleted) {
        (Some(head), _) => HeadState::Live(Head {
            generation: head.generation.parse().ok()?,
            total: head.total,
            chunk_len: head.chunk_len,
            as_of: Timestamp(head.as_of),
            definition: u64::from_str_radix(&head.definition, 16).ok()?,
            definition_version: head.definition_version,
            pins_from: head.pins_from,
            delta: match head.delta {
                None => None,
                Some(delta) => Some(Arc::new(Delta::parse(&delta)?)),
            },
            codec: match head.codec {
                None => Codec::Plain,
                Some(codec) => Codec::parse(&codec)?,
            },
            next_change: head.next_change.map(Timestamp),
        }),
        (None, Some(deleted)) => HeadState::Deleted(deleted.parse::<Generation>().ok()?),
        (None, None) => return None,
    };
    Some(Announcement {
        listing: ListingKey::parse(&body.listing)?,
        head,
        written: None,
    })
}

/// The message that changes were recorded. It moves no head, so no log has it: whoever needs the changes looks for them now and then.
pub(crate) fn wake_message(nonce: u64) -> String {
    format!("{{\"v\":{VERSION},\"changes\":\"{nonce:016x}\"}}")
}

/// Reads a [`wake_message`].
pub(crate) fn parse_wake(message: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Wake<'a> {
        changes: &'a str,
    }
    let wake: Wake<'_> = serde_json::from_slice(message).ok()?;
    u64::from_str_radix(wake.changes, 16).ok()
}

/// A message of the channel.
#[derive(Deserialize)]
pub(crate) struct Envelope<'a> {
    pub v: u32,
    pub partition: u8,
    #[serde(deserialize_with = "entry_id")]
    pub entry: EntryId,
    #[serde(deserialize_with = "entry_id")]
    pub after: EntryId,
    #[serde(borrow)]
    pub body: &'a RawValue,
}

fn entry_id<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<EntryId, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    EntryId::parse(text.as_bytes()).ok_or_else(|| serde::de::Error::custom("not an entry id"))
}

/// The mark that tells an entry from one with the same id in another history.
pub(crate) fn mark_of(body: &str) -> u64 {
    xxh3_64(body.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> ListingKey {
        ListingKey::parse("a%2Fb/price?currency=EUR").unwrap()
    }

    #[test]
    fn a_body_carries_the_whole_head() {
        let head = Head {
            generation: "1795291200123456-9f1c02ab".parse().unwrap(),
            total: 1434,
            chunk_len: NonZeroU32::new(12).unwrap(),
            as_of: Timestamp(1_795_291_200_123),
            definition: u64::MAX,
            definition_version: 2,
            pins_from: 7,
            delta: Delta::parse("7-000000ab 120 9-000000ab:3-4,7;").map(Arc::new),
            codec: Codec::parse("packed 00000000000000ab").unwrap(),
            next_change: Some(Timestamp(1_795_291_260_000)),
        };
        let body = live_body(&listing(), &head);
        let announcement = parse_body(&body).unwrap();
        assert_eq!(announcement.listing, listing());
        assert_eq!(announcement.head, HeadState::Live(head));
        assert!(body.len() < 500);
    }

    #[test]
    fn a_tombstone_is_put_together_from_parts() {
        let (before, after) = deleted_body(&listing());
        let announcement = parse_body(&format!("{before}8-000000ab{after}")).unwrap();
        assert_eq!(announcement.head, HeadState::Deleted(Generation { id: 8, nonce: 0xab }));
    }

    #[test]
    fn unknown_members_are_skipped_and_nonsense_is_refused() {
        assert!(parse_body(r#"{"listing":"a/b","deleted":"8-000000ab","later":[1]}"#).is_some());
        for bad in [
            "",
            "{}",
            r#"{"listing":"a/b"}"#,
            r#"{"listing":"a","deleted":"8-000000ab"}"#,
        ] {
            assert!(parse_body(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_envelope_keeps_the_body_letter_by_letter() {
        let text = r#"{"v":1,"partition":7,"entry":"5-1","after":"0-0","body":{ "listing" : "a/b" },"new":0}"#;
        let envelope: Envelope<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(envelope.entry, EntryId { ms: 5, seq: 1 });
        assert_eq!(envelope.body.get(), r#"{ "listing" : "a/b" }"#);
    }
}
