//! Confirming: the origin still has the items that are kept. Their age begins anew, and nothing else changes: entity tags, links
//! and caches downstream stay valid.

use std::time::Duration;

use redis::{Cmd, Value};

use super::{leases::Lease, lives::Named};
use crate::{
    listing::{DataVersion, Head, HeadState, ListingKey, Policy, Timestamp},
    store::{
        error::StoreError,
        layout::{
            head_codec::{FIELDS, decode_head, sum_of},
            kept_codec::Placed,
            keys::{Keys, ListingPlace, Partition},
            numbers::{hex, millis},
        },
        scripts,
        wire::reply,
    },
};

/// A head, and by what a refresh recognises its generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The head.
    pub state: HeadState,
    /// The content of its generation, see [`ContentHasher`](crate::listing::ContentHasher).
    pub content: Option<u128>,
    /// The version of the origin's data that it was read from.
    pub version: Option<DataVersion>,
    /// When its items were read last, and not only said to be the same.
    pub read_at: Option<Timestamp>,
}

impl Kept {
    const NOTHING: Self = Self {
        state: HeadState::Absent,
        content: None,
        version: None,
        read_at: None,
    };
}

/// That the origin still has what a head names.
#[derive(Clone, Copy, Debug)]
pub struct Confirmation<'a> {
    /// Whose head.
    pub listing: &'a ListingKey,
    /// The head, as it was read under the lease.
    pub head: &'a Head,
    /// When the items were read, or were known to be the same.
    pub as_of: Timestamp,
    /// The version of the origin's data.
    pub version: Option<&'a DataVersion>,
    /// Whether the items were read, and not only said to be the same.
    pub is_read: bool,
    /// The lives that begin anew.
    pub policy: &'a Policy,
    /// The right to say so.
    pub lease: &'a Lease,
    /// When the family is due next; `None` leaves that as it is.
    pub next_due: Option<Duration>,
}

/// The outcome of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// The generation is as old as the reading now, and lives on.
    Yes,
    /// The lease names another generation.
    Fenced,
    /// The head names another generation, or its stream is not whole.
    Gone,
}

impl Confirmation<'_> {
    /// One call of the script.
    pub(super) fn call(&self, keys: &Keys) -> Cmd {
        let (listing, head, policy, family) = (self.listing, self.head, self.policy, &self.listing.family);
        let mut key_names = vec![
            keys.head(listing).into(),
            keys.due(Partition::of(listing.name())),
            keys.failure(family),
            self.lease.key().to_owned(),
        ];
        let generation = Named::new(keys, listing, [&Placed::of(head)], key_names.len());
        key_names.extend_from_slice(generation.keys());
        let mut call = scripts::CONFIRM.call(&key_names);
        call.arg(head.generation.id)
            .arg(hex(head.generation.nonce))
            .arg(head.group_chunks())
            .arg(self.as_of.0)
            .arg(self.version.map_or("", DataVersion::as_str))
            .arg(self.lease.value())
            .arg(millis(policy.keep_for))
            .arg(millis(policy.keep_for.saturating_add(policy.pin_for)))
            .arg(family.to_string())
            .arg(
                self.next_due
                    .map_or_else(String::new, |after| millis(after).to_string()),
            )
            .arg(sum_of(
                &listing.to_string(),
                &Head {
                    as_of: self.as_of,
                    ..head.clone()
                },
            ))
            .arg(u8::from(self.is_read))
            .arg(head.layered_chunks());
        generation.add_arguments(&mut call);
        call
    }
}

/// Reads what is kept of a listing.
pub(super) fn reading_kept(head_key: &str) -> Cmd {
    let mut read = redis::cmd("HMGET");
    read.arg(head_key).arg(&FIELDS).arg(&["content", "version", "read_at"]);
    read
}

/// Takes a reply to [`reading_kept`] apart. A head that cannot be read counts as absent.
pub(super) fn kept(reply: Value, key: &ListingPlace) -> Result<Kept, StoreError> {
    match decode_kept(reply, key) {
        Err(StoreError::Corrupt { .. }) => Ok(Kept::NOTHING),
        kept => kept,
    }
}

fn decode_kept(reply: Value, key: &ListingPlace) -> Result<Kept, StoreError> {
    let reply = reply::answered(reply, "read head", key.key())?;
    let mut fields = reply::array(reply).ok_or_else(|| StoreError::odd_reply("read head"))?;
    let mut number = || fields.pop().and_then(reply::text);
    // A release before this one has not written it.
    let read_at = number().and_then(|text| text.parse().ok()).map(Timestamp);
    // Missing or unreadable: then what is there is not recognised, and read anew.
    let version = number().and_then(|text| DataVersion::parse(&text));
    let content = number().and_then(|text| u128::from_str_radix(&text, 16).ok());
    Ok(Kept {
        state: decode_head(Value::Array(fields), key)?,
        content,
        version,
        read_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "6dffa3532e21a9cb";

    #[test]
    fn what_is_not_recognised_is_nothing_and_no_error() {
        let place = Keys::new("shop").head(&ListingKey::parse("x/price").unwrap());
        let text = |text: &str| Value::BulkString(text.into());
        let head = ["5", "000000ab", "1", "12", "7", "1", "0"].map(text);
        let reply = |content: Value, version: Value| {
            let rest = [
                Value::Nil,
                Value::Nil,
                text(SUM),
                Value::Nil,
                Value::Nil,
                Value::Nil,
                content,
                version,
                text("9"),
            ];
            Value::Array(head.iter().cloned().chain(rest).collect())
        };
        let kept = decode_kept(reply(text("ff"), text("a")), &place).unwrap();
        assert_eq!((kept.content, kept.version), (Some(255), DataVersion::parse("a")));
        assert_eq!(kept.read_at, Some(Timestamp(9)));
        assert_eq!(kept.state.id(), 5);
        let kept = decode_kept(reply(Value::Nil, text("")), &place).unwrap();
        assert_eq!((kept.content, kept.version), (None, None));
        assert_eq!(kept.state.id(), 5);
    }
}
