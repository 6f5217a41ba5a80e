//! Publishing: one script moves the head, retires the generations before it, and announces it.

use std::time::Duration;

use redis::{Cmd, Value};

use super::{
    finished::Written,
    lives::{Named, current_of, generations_of},
};
use crate::{
    listing::{DataVersion, Generation, Head, HeadState, ListingKey, Policy},
    store::{
        error::StoreError,
        layout::{
            announcements::{Announcement, LOG_ENTRIES_MAX, VERSION, live_body},
            head_codec::{StoredHead, sum_of},
            keys::{Keys, Partition},
            numbers::{hex, millis},
        },
        scripts,
        wire::reply,
    },
};

/// The outcome of a publish.
#[derive(Debug)]
pub enum Published {
    /// The head moved; `replaced` is what it was before.
    Moved {
        /// To be applied to L1 before anybody is answered.
        announcement: Announcement,
        /// The head before.
        replaced: HeadState,
    },
    /// A later generation is current already.
    Older {
        /// Which one.
        current: Generation,
    },
    /// The lease names another generation.
    Fenced,
    /// The stream does not hold what was written.
    Incomplete,
    /// The caller does not want it in the place of what is current.
    Unwanted,
}

/// The answer of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Moved,
    Older(Generation),
    Fenced,
    Incomplete,
    Retry,
}

/// One call of the script.
pub(crate) struct Publishing<'a> {
    pub written: &'a Written,
    /// The new head.
    pub head: &'a Head,
    /// The head when it was read.
    pub before: &'a StoredHead,
    pub policy: &'a Policy,
    /// Key and value.
    pub lease: Option<(&'a str, &'a str)>,
    pub next_due: Option<Duration>,
}

impl Publishing<'_> {
    pub(crate) fn call(&self, keys: &Keys) -> Cmd {
        let Self {
            written: Written { draft, .. },
            head,
            before,
            policy,
            lease,
            next_due,
        } = self;
        let (listing, family, partition) = (&draft.key, &draft.key.family, Partition::of(draft.key.name()));
        let retired = generations_of(before);
        let named = Named::new(std::iter::once(current_of(head)).chain(retired.iter().copied()));
        let mut key_names = vec![
            keys.head(listing).into(),
            keys.log(partition),
            keys.names(partition),
            keys.due(partition),
            keys.failure(family),
            lease.map_or_else(|| keys.lease(family), |(key, _)| key.to_owned()),
        ];
        let keys_before = key_names.len();
        named.add_keys(&mut key_names, keys, listing);

        let mut call = scripts::PUBLISH.call(&key_names);
        call.arg(head.generation.id)
            .arg(hex(head.generation.nonce))
            .arg(head.total)
            .arg(head.own_chunks())
            .arg(head.chunk_len.get())
            .arg(head.as_of.0)
            .arg(format!("{:016x}", head.definition))
            .arg(head.pins_from)
            .arg(&before.as_read)
            .arg(lease.map_or("", |(_, value)| value))
            .arg(millis(policy.keep_for))
            .arg(millis(policy.keep_for.saturating_add(policy.pin_for)))
            .arg(millis(policy.pin_for))
            .arg(policy.pinned_generations_max)
            .arg(listing.to_string())
            .arg(family.to_string())
            .arg(next_due.map_or_else(String::new, |after| millis(after).to_string()))
            .arg(LOG_ENTRIES_MAX)
            .arg(keys.channel())
            .arg(partition.0)
            .arg(VERSION)
            .arg(live_body(listing, head))
            .arg(head.definition_version)
            .arg(format!("{:032x}", self.written.content))
            .arg(draft.version.as_ref().map_or("", DataVersion::as_str))
            .arg(sum_of(draft.stream_key.listing(), head))
            .arg(head.delta.as_ref().map_or_else(String::new, ToString::to_string))
            .arg(base_chunks(head))
            .arg(named.count());
        named.add_arguments(&mut call, keys_before);
        for kept in &retired {
            // Pinned like the others, and never gone back to.
            let is_undone = draft.undoes(&kept.generation);
            call.arg(if is_undone { String::new() } else { kept.to_string() });
        }
        call
    }
}

/// How many entries the stream of a head's base must have.
pub(super) fn base_chunks(head: &Head) -> u64 {
    head.delta.as_ref().map_or(0, |delta| delta.base_chunks)
}

/// The head that what was written would be, after the one before it.
pub(crate) fn head_of(
    Written {
        draft, total, delta, ..
    }: &Written,
    before: &HeadState,
) -> Head {
    Head {
        generation: draft.generation,
        total: *total,
        chunk_len: draft.chunk_len,
        as_of: draft.as_of,
        definition: draft.definition,
        definition_version: draft.definition_version,
        pins_from: before.pins_from(),
        delta: delta.clone(),
    }
}

pub(crate) fn decode(reply: Value, key: &ListingKey) -> Result<Answer, StoreError> {
    let reply = reply::answered(reply, "publish", &key.to_string())?;
    let parts: Option<Vec<String>> = reply::array(reply).and_then(|parts| parts.into_iter().map(reply::text).collect());
    let parts: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
    match parts[..] {
        ["moved" | "same"] => Ok(Answer::Moved),
        ["fenced"] => Ok(Answer::Fenced),
        ["incomplete"] => Ok(Answer::Incomplete),
        ["retry"] => Ok(Answer::Retry),
        ["older", id, nonce] => {
            let current = format!("{id}-{nonce}").parse();
            current.map(Answer::Older).map_err(|_| StoreError::odd_reply("publish"))
        }
        _ => Err(StoreError::odd_reply("publish")),
    }
}
