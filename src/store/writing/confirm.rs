//! Confirming: what is kept is still what the origin has. Its age begins anew, and nothing else changes: entity tags, links
//! and caches downstream stay good.

use std::time::Duration;

use redis::{Pipeline, Value};

use crate::{
    listing::{DataVersion, Head, HeadState, ListingKey, Policy, Timestamp},
    store::{
        Store,
        error::StoreError,
        layout::{
            head_codec::{FIELDS, decode_head, sum_of},
            keys::Partition,
            numbers::{hex, millis},
        },
        leases::Lease,
        scripts,
        wire::reply,
    },
};

/// A head, and by what a refresh recognises its generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The head.
    pub state: HeadState,
    /// What its generation holds, see [`ContentHasher`](crate::listing::ContentHasher).
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

/// What a confirmation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// The generation is as old as the reading now, and lives on.
    Yes,
    /// The lease names another generation.
    Fenced,
    /// The head names another generation, or its stream is not whole.
    Gone,
}

impl Store {
    /// What is kept of several listings, in one turn. A head that cannot be read counts as absent.
    pub async fn read_kept(&self, listings: &[ListingKey]) -> Result<Vec<Kept>, StoreError> {
        const OPERATION: &str = "read heads";
        let keys: Vec<String> = listings.iter().map(|listing| self.head_key(listing)).collect();
        let mut turn = Pipeline::new();
        for key in &keys {
            turn.cmd("HMGET")
                .arg(key)
                .arg(&FIELDS)
                .arg(&["content", "version", "read_at"]);
        }
        // Through the writing connection, which is the one that the next step needs anyway.
        let replies = self.inner.connections.write(OPERATION, &turn).await?;
        let mut kept = Vec::with_capacity(keys.len());
        for ((key, listing), reply) in keys.iter().zip(listings).zip(replies) {
            let found = match decode_kept(reply, key) {
                Err(StoreError::Corrupt { .. }) => Kept::NOTHING,
                found => found?,
            };
            self.inner.seen.raise(Partition::of(listing.name()), found.state.id());
            kept.push(found);
        }
        Ok(kept)
    }

    /// The origin still has what a head names.
    pub async fn confirm(&self, confirmation: &Confirmation<'_>) -> Result<Confirmed, StoreError> {
        const OPERATION: &str = "confirm";
        let Confirmation {
            listing,
            head,
            policy,
            lease,
            ..
        } = confirmation;
        let (keys, family) = (&self.inner.keys, &listing.family);
        let key_names = [
            keys.head(listing),
            keys.stream(listing, head.generation),
            keys.due(Partition::of(listing.name())),
            keys.failure(family),
            lease.key().to_owned(),
        ];
        let mut call = scripts::CONFIRM.call(&key_names);
        call.arg(head.generation.id)
            .arg(hex(head.generation.nonce))
            .arg(head.total.div_ceil(head.chunk_len.get().into()))
            .arg(confirmation.as_of.0)
            .arg(confirmation.version.map_or("", DataVersion::as_str))
            .arg(lease.value())
            .arg(millis(policy.keep_for))
            .arg(millis(policy.keep_for.saturating_add(policy.pin_for)))
            .arg(family.to_string())
            .arg(
                confirmation
                    .next_due
                    .map_or_else(String::new, |after| millis(after).to_string()),
            )
            .arg(sum_of(&Head {
                as_of: confirmation.as_of,
                ..**head
            }))
            .arg(u8::from(confirmation.is_read));
        let reply = self
            .inner
            .connections
            .script(OPERATION, &scripts::CONFIRM, &call)
            .await?;
        let reply = reply::answered(reply, OPERATION, &key_names[0])?;
        match reply::text(reply).as_deref() {
            Some("confirmed") => {
                self.inner.liveness.tell_full(false);
                Ok(Confirmed::Yes)
            }
            Some("fenced") => Ok(Confirmed::Fenced),
            Some("gone") => Ok(Confirmed::Gone),
            _ => Err(StoreError::odd_reply(OPERATION)),
        }
    }
}

fn decode_kept(reply: Value, key: &str) -> Result<Kept, StoreError> {
    let reply = reply::answered(reply, "read head", key)?;
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

    const SUM: &str = "38c296a3e0d95bd4";

    #[test]
    fn what_is_not_recognised_is_nothing_and_no_error() {
        let text = |text: &str| Value::BulkString(text.into());
        let head = ["5", "000000ab", "1", "12", "7", "1", "0"].map(text);
        let reply = |content: Value, version: Value| {
            let rest = [Value::Nil, text(""), Value::Nil, text(SUM), content, version, text("9")];
            Value::Array(head.iter().cloned().chain(rest).collect())
        };
        let kept = decode_kept(reply(text("ff"), text("a")), "k").unwrap();
        assert_eq!((kept.content, kept.version), (Some(255), DataVersion::parse("a")));
        assert_eq!(kept.read_at, Some(Timestamp(9)));
        assert_eq!(kept.state.id(), 5);
        let kept = decode_kept(reply(Value::Nil, text("")), "k").unwrap();
        assert_eq!((kept.content, kept.version), (None, None));
        assert_eq!(kept.state.id(), 5);
    }
}
