//! Publishing: one script moves the head, retires the generations before it, and announces it.

use std::time::Duration;

use redis::{Cmd, Value};

use super::{
    aside::finished::{FinishedGeneration, Written},
    leases::Lease,
    lives::Named,
};
use crate::{
    listing::{Codec, DataVersion, Generation, Head, HeadState, ListingKey, Policy, Timestamp},
    store::{
        error::StoreError,
        layout::{
            announcements::{Announcement, LOG_ENTRIES_MAX, VERSION, live_body},
            head_codec::{StoredHead, sum_of, write_next_change},
            kept_codec::{KeptGeneration, Placed},
            keys::{Keys, Partition},
            numbers::{hex, millis},
        },
        scripts,
        wire::reply,
    },
};

/// How a generation is published.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// Lives and limits.
    pub policy: &'a Policy,
    /// With a lease it is fenced by it.
    pub lease: Option<&'a Lease>,
    /// When the family is due next; `None` leaves that as it is.
    pub next_due: Option<Duration>,
    /// The last of the listing's changes that are in it: it is [overtaken](Published::Overtaken) where later ones are recorded. `None`: no
    /// change matters.
    pub follows: Option<u64>,
    /// Whether only some items were read anew: a failure of full reads stays remembered.
    pub is_patch: bool,
    /// Whether no generation before it may be read or gone back to any more.
    pub recalls: bool,
    /// The next instant at which something of the listing begins or ends.
    pub next_change: NextChangeIs,
}

/// What a publication knows of the listing's next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextChangeIs {
    /// Nothing: what the head before says stays.
    AsBefore,
    /// Nobody knows of any, or it is this.
    Told(Option<Timestamp>),
}

impl NextChangeIs {
    /// The next change after a head.
    pub(super) fn after(self, before: &HeadState) -> Option<Timestamp> {
        match self {
            Self::AsBefore => before.live().and_then(|head| head.next_change),
            Self::Told(next) => next,
        }
    }
}

impl<'a> Publication<'a> {
    /// Of a generation that nobody's lease fences, whatever was changed.
    pub fn plain(policy: &'a Policy) -> Self {
        Self {
            policy,
            lease: None,
            next_due: None,
            follows: None,
            is_patch: false,
            recalls: false,
            next_change: NextChangeIs::AsBefore,
        }
    }
}

impl<'a> Publication<'a> {
    /// Of a generation in which some items were exchanged.
    pub fn patch(policy: &'a Policy) -> Self {
        Self {
            is_patch: true,
            ..Self::plain(policy)
        }
    }
}

/// The outcome of a publish.
#[derive(Debug)]
pub enum Published {
    /// The head moved; `replaced` is what it was before.
    Moved {
        /// To be applied to L1 before anybody is answered.
        announcement: Announcement,
        /// The head before.
        replaced: Box<HeadState>,
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
    /// Items have changed since it was drawn: by changes that it does not have, or by a later generation of an earlier read. Nothing was done;
    /// the caller may bring it up to date.
    Overtaken(Box<FinishedGeneration>),
}

/// Whether some items of an earlier read were changed in the generation that is current: a read must follow that before it is published.
pub(crate) fn is_overtaken(current: &HeadState, head: &Head, as_of: Timestamp) -> bool {
    let is_later = |current: &Head| current.generation.id > head.generation.id && current.as_of < as_of;
    current.live().is_some_and(is_later)
}

/// The answer of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Moved,
    Older(Generation),
    Fenced,
    Incomplete,
    Retry,
    Changed,
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
    /// See [`Publication::follows`].
    pub follows: Option<u64>,
    /// See [`Publication::is_patch`].
    pub is_patch: bool,
    /// See [`Publication::recalls`].
    pub recalls: bool,
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
            follows,
            is_patch,
            recalls,
        } = self;
        let pin_for = if *recalls { Duration::ZERO } else { policy.pin_for };
        let (listing, family, partition) = (&draft.key, &draft.key.family, Partition::of(draft.key.name()));
        let mut key_names = vec![
            keys.head(listing).into(),
            keys.log(partition),
            keys.names(partition),
            keys.due(partition),
            keys.failure(family),
            lease.map_or_else(|| keys.lease(family), |(key, _)| key.to_owned()),
            keys.kept(listing).into(),
            keys.changes(partition),
        ];
        let (new, replaced) = (Placed::of(head), self.replaced());
        let generations = [Some(&new), replaced.as_ref().map(|replaced| &replaced.placed)];
        let ended = self.ended().iter().map(|kept| &kept.placed);
        let generations = generations.into_iter().flatten().chain(ended);
        let named = Named::new(keys, listing, generations, key_names.len());
        key_names.extend_from_slice(named.keys());

        let mut call = scripts::PUBLISH.call(&key_names);
        call.arg(head.generation.id)
            .arg(hex(head.generation.nonce))
            .arg(head.total)
            .arg(head.group_chunks())
            .arg(head.chunk_len.get())
            .arg(head.as_of.0)
            .arg(format!("{:016x}", head.definition))
            .arg(head.pins_from)
            .arg(&before.as_read)
            .arg(lease.map_or("", |(_, value)| value))
            .arg(millis(policy.keep_for))
            .arg(millis(policy.keep_for.saturating_add(policy.pin_for)))
            .arg(millis(pin_for))
            .arg(self.written.bytes.after(before.bytes).to_string())
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
            .arg(head.layered_chunks())
            .arg(match head.codec {
                Codec::Plain => String::new(),
                packed => packed.to_string(),
            })
            .arg(u8::from(replaced.is_some()))
            .arg(replaced.as_ref().map_or_else(String::new, ToString::to_string))
            .arg(follows.map_or_else(String::new, |change| change.to_string()))
            .arg(u8::from(*is_patch))
            .arg(write_next_change(
                draft.stream_key.listing(),
                head.generation,
                head.next_change,
            ))
            .arg(named.count());
        named.add_arguments(&mut call);
        for ended in self.ended() {
            call.arg(format!("-{ended}"));
        }
        for undone in self.undone() {
            call.arg(format!("!{undone}"));
        }
        call
    }

    /// The generation that is replaced.
    fn replaced(&self) -> Option<KeptGeneration> {
        let head = self.before.state.live()?;
        Some(KeptGeneration {
            placed: Placed::of(head),
            bytes: self.before.bytes,
            ends: self.head.as_of,
            is_undone: self.written.draft.undoes(&head.generation),
        })
    }

    /// The kept generations that end: where they are too much, or all.
    fn ended(&self) -> &[KeptGeneration] {
        if self.recalls {
            return &self.before.kept.read;
        }
        let (kept, bytes_max) = (&self.before.kept, self.policy.pinned_bytes_max);
        kept.beyond(self.before.bytes, bytes_max, self.head.as_of)
    }

    /// Those that a rollback undoes: they are pinned like the others, and never gone back to.
    fn undone(&self) -> impl Iterator<Item = &KeptGeneration> {
        let ended = self.ended();
        self.before.kept.read.iter().filter(|kept| {
            let is_undone = self.written.draft.undoes(&kept.placed.generation);
            is_undone && !kept.is_undone && !ended.contains(kept)
        })
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
        ["changed"] => Ok(Answer::Changed),
        ["older", id, nonce] => {
            let current = format!("{id}-{nonce}").parse();
            current.map(Answer::Older).map_err(|_| StoreError::odd_reply("publish"))
        }
        _ => Err(StoreError::odd_reply("publish")),
    }
}
