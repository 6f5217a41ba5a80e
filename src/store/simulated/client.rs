//! The turns of a node with Redis: built and taken apart by the store's own code.

use std::{ops::Range, sync::Arc, time::Duration};

use redis::Cmd;

use super::{
    logs::Logs,
    server::{Replies, Turn},
};
use crate::{
    listing::{Chunk, Codec, Delta, Family, Generation, Head, HeadState, ListingKey, Policy, Timestamp},
    store::{
        dictionaries::Dictionaries,
        error::StoreError,
        layout::{
            chunk_codec::Undecoded,
            head_codec::{StoredHead, decode_for_writing, decode_head, read_for_writing, read_head},
            kept_codec::{Bytes, KeptRead},
            keys::{Keys, Partition},
            seen::Seen,
        },
        reading::pages::{Lying, PinnedRead},
        records::due::{bringing_forward, claimed, claiming, due_times, parse_family, reading_later},
        scripts,
        wire::{commands::Commands, reply, resp},
        writing::{
            aside::finished::{Draft, Written, head_of},
            delete::{self, Deleting},
            draw::{self, Drawing, Drawn},
            leases::{extending, releasing},
            publish::{self, Answer, Publishing},
        },
    },
};

/// As what an item, or a changed chunk, is counted.
const BYTES_EACH: u64 = 100;

/// A lease that was granted.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedLease {
    pub(super) key: String,
    /// The key's value while the lease is its holder's.
    pub value: String,
}

/// A head as a writer has read it.
pub(crate) struct Before(pub(super) StoredHead);

/// How a generation is published.
#[derive(Clone, Copy)]
pub(crate) struct How<'a> {
    pub policy: &'a Policy,
    pub lease: Option<&'a SimulatedLease>,
    pub next_due: Option<Duration>,
    pub follows: Option<u64>,
    pub is_patch: bool,
}

/// One node's side.
pub(crate) struct Client {
    pub(super) keys: Keys,
    pub(super) seen: Arc<Seen>,
    pub logs: Logs,
}

pub(super) fn turn(commands: impl IntoIterator<Item = Cmd>) -> Turn {
    Turn(commands.into_iter().collect())
}

impl Client {
    pub(crate) fn new() -> Self {
        let seen = Arc::new(Seen::new());
        let keys = Keys::new("simulated");
        let logs = Logs::new(keys.clone(), seen.clone());
        Self { keys, seen, logs }
    }

    fn seen_head(&self, key: &ListingKey, reply: redis::Value) -> Result<HeadState, StoreError> {
        let head = decode_head(reply, &self.keys.head(key))?;
        self.seen.raise_to(Partition::of(key.name()), &head);
        Ok(head)
    }

    pub(crate) fn read_head(&self, key: &ListingKey) -> Turn {
        let mut commands = Commands::default();
        read_head(&mut commands, self.keys.head(key).key());
        turn(commands.parsed())
    }

    pub(crate) fn take_head(&self, key: &ListingKey, replies: Replies) -> Result<HeadState, StoreError> {
        self.seen_head(key, replies.0.into_iter().next().unwrap_or_default())
    }

    pub(crate) fn read_chunks(
        &self,
        key: &ListingKey,
        generation: Generation,
        delta: Option<&Delta>,
        chunks: &Range<u64>,
    ) -> Turn {
        let mut commands = Commands::default();
        Lying::of(&self.keys, key, generation, delta, chunks.clone()).read(&mut commands);
        turn(commands.parsed())
    }

    pub(crate) fn take_chunks(
        &self,
        key: &ListingKey,
        generation: Generation,
        delta: Option<&Delta>,
        chunks: &Range<u64>,
        replies: Replies,
    ) -> Result<Vec<Chunk>, StoreError> {
        let lying = Lying::of(&self.keys, key, generation, delta, chunks.clone());
        let mut replies = replies.0.iter().map(|reply| resp::written(reply).into());
        decoded(lying.decode(&mut replies, &Dictionaries::new()))
    }

    pub(crate) fn read_pinned(
        &self,
        key: &ListingKey,
        generation: Generation,
        delta: Option<&Delta>,
        chunks: &Range<u64>,
    ) -> Turn {
        let mut commands = Commands::default();
        read_head(&mut commands, self.keys.head(key).key());
        commands.call(&[b"PTTL", self.keys.sidecar(key, generation).key().as_bytes()]);
        Lying::of(&self.keys, key, generation, delta, chunks.clone()).read(&mut commands);
        turn(commands.parsed())
    }

    pub(crate) fn take_pinned(
        &self,
        key: &ListingKey,
        generation: Generation,
        delta: Option<&Delta>,
        chunks: &Range<u64>,
        replies: Replies,
    ) -> Result<PinnedRead, StoreError> {
        let mut replies = replies.0.into_iter();
        let head = self.seen_head(key, replies.next().unwrap_or_default())?;
        let left = reply::time_left(replies.next(), "sidecar")?;
        let lying = Lying::of(&self.keys, key, generation, delta, chunks.clone());
        let mut replies = replies.map(|reply| resp::written(&reply).into());
        let chunks = decoded(lying.decode(&mut replies, &Dictionaries::new()))?;
        Ok(PinnedRead {
            head,
            chunks,
            left,
            description: None,
        })
    }

    /// For a refresh, with its lease.
    pub(crate) fn draw(&self, family: &Family, owner: &str, nonces: &[u32], insist: bool) -> Turn {
        let drawing = Drawing {
            family,
            seen: self.seen.greatest(Partition::of(&family.name)),
            owner,
            nonces,
            insist,
            coalescing: None,
        };
        turn([drawing.call(&self.keys)])
    }

    /// For a push.
    pub(crate) fn draw_without_lease(&self, family: &Family) -> Turn {
        let partition = Partition::of(&family.name);
        let mut call = scripts::DRAW.call(&[self.keys.last(partition)]);
        call.arg(1).arg(self.seen.greatest(partition));
        turn([call])
    }

    pub(crate) fn take_draw(&self, family: &Family, nonces: &[u32], replies: Replies) -> Option<Drawn> {
        let drawn = draw::decode(replies.0.into_iter().next()?, nonces)?;
        if let Drawn::Granted(grant) = &drawn
            && let Some(last) = grant.generations.last()
        {
            self.seen.raise(Partition::of(&family.name), last.id);
        }
        Some(drawn)
    }

    /// The lease that was granted with a generation.
    pub(crate) fn lease_of(&self, family: &Family, owner: &str, generation: Generation) -> SimulatedLease {
        SimulatedLease {
            key: self.keys.lease(family),
            value: format!("{owner} {generation}"),
        }
    }

    /// A sign of life.
    pub(crate) fn ping() -> Turn {
        turn([redis::cmd("PING")])
    }

    /// The holder of the lease, as Redis has it.
    pub(crate) fn read_lease(&self, family: &Family) -> Turn {
        let mut get = redis::cmd("GET");
        get.arg(self.keys.lease(family));
        turn([get])
    }

    pub(crate) fn extend(&self, lease: &SimulatedLease) -> Turn {
        turn([extending(&lease.key, &lease.value)])
    }

    pub(crate) fn release(&self, lease: &SimulatedLease) -> Turn {
        turn([releasing(&lease.key, &lease.value)])
    }

    /// The first reply as a number.
    pub(crate) fn number(replies: &Replies) -> Option<i64> {
        reply::integer(replies.0.first()?)
    }

    /// The first reply as text.
    pub(crate) fn text(replies: Replies) -> Option<String> {
        reply::text(replies.0.into_iter().next()?)
    }

    /// The head, for a writer.
    pub(crate) fn read_before(&self, key: &ListingKey) -> Turn {
        let mut commands = Commands::default();
        read_for_writing(&mut commands, &self.keys, key, KeptRead::All);
        turn(commands.parsed())
    }

    pub(crate) fn take_before(&self, key: &ListingKey, replies: Replies) -> Result<Before, StoreError> {
        // Whatever was written before comes first.
        let before = replies.0.len().saturating_sub(3);
        let stored = decode_for_writing(&mut replies.0.into_iter().skip(before), &self.keys, key)?;
        self.seen.raise(Partition::of(key.name()), stored.state.id());
        Ok(Before(stored))
    }

    /// The head that a publish sets, and the call.
    pub(crate) fn publish(&self, written: &SimulatedGeneration, before: &Before, how: &How<'_>) -> (Head, Turn) {
        let How { policy, lease, .. } = *how;
        let SimulatedGeneration {
            key,
            generation,
            as_of,
            total,
            delta,
        } = written;
        let written = Written {
            draft: Draft {
                key: key.clone(),
                generation: *generation,
                as_of: *as_of,
                definition: u64::from(lease.is_some()),
                definition_version: 0,
                version: None,
                chunk_len: policy.chunk_len,
                stream_key: self.keys.stream(key, *generation),
                sidecar_key: self.keys.sidecar(key, *generation),
                packing: None,
                copy_of: None,
            },
            total: *total,
            content: 0,
            has_keys: false,
            delta: delta.clone(),
            codec: Codec::Plain,
            bytes: match delta {
                None => Bytes::whole(BYTES_EACH * *total),
                Some(delta) => before
                    .0
                    .bytes
                    .next(BYTES_EACH * delta.layers.last().map_or(0, |own| own.chunks.len())),
            },
        };
        let head = head_of(&written, &before.0.state);
        let publishing = Publishing {
            written: &written,
            head: &head,
            before: &before.0,
            policy,
            lease: lease.map(|lease| (lease.key.as_str(), lease.value.as_str())),
            next_due: how.next_due,
            follows: how.follows,
            is_patch: how.is_patch,
            recalls: false,
        };
        let call = publishing.call(&self.keys);
        (head, turn([call]))
    }

    pub(crate) fn take_published(&self, key: &ListingKey, replies: Replies) -> Option<Answer> {
        publish::decode(replies.0.into_iter().next()?, key).ok()
    }

    pub(crate) fn delete(&self, key: &ListingKey, nonce: u32, before: &Before, policy: &Policy) -> Turn {
        let deleting = Deleting {
            listing: key,
            seen: self.seen.greatest(Partition::of(key.name())),
            nonce,
            before: &before.0,
            policy,
        };
        turn([deleting.call(&self.keys)])
    }

    /// The tombstone's generation; `None` where another was quicker, or nobody knows.
    pub(crate) fn take_deleted(&self, key: &ListingKey, nonce: u32, replies: Replies) -> Option<Generation> {
        let id = delete::decode(replies.0.into_iter().next()?)??;
        self.seen.raise(Partition::of(key.name()), id);
        Some(Generation { id, nonce })
    }

    pub(crate) fn claim(&self, families: &[Family], claim_for: Duration) -> Turn {
        turn(
            partitions_of(families)
                .into_iter()
                .map(|partition| claiming(&self.keys.due(partition), 2, claim_for)),
        )
    }

    pub(crate) fn take_claims(replies: Replies) -> Vec<Family> {
        let claims = replies.0.into_iter().filter_map(claimed);
        let members = claims.flat_map(|(_, members)| members);
        members.filter_map(|member| parse_family(&member)).collect()
    }

    /// The families that are due later than a time.
    pub(crate) fn due_later(&self, families: &[Family], than: Timestamp) -> Turn {
        let partitions = partitions_of(families).into_iter();
        turn(partitions.map(|partition| reading_later(&self.keys.due(partition), than)))
    }

    pub(crate) fn take_due_later(replies: Replies) -> Vec<(Family, Timestamp)> {
        replies.0.into_iter().filter_map(due_times).flatten().collect()
    }

    pub(crate) fn bring_forward(&self, families: &[Family], at: Timestamp) -> Turn {
        let key = |family: &Family| self.keys.due(Partition::of(&family.name));
        turn(families.iter().map(|family| bringing_forward(&key(family), family, at)))
    }

    pub(crate) fn record_failure(&self, family: &Family, back_off: Duration) -> Turn {
        let keys = [self.keys.failure(family), self.keys.due(Partition::of(&family.name))];
        let mut call = scripts::RECORD_FAILURE.call(&keys);
        call.arg("the origin failed")
            .arg(back_off.as_millis() as u64)
            .arg(60_000);
        call.arg(family.to_string());
        turn([call])
    }

    pub(crate) fn due(&self, family: &Family) -> Turn {
        let mut score = redis::cmd("ZSCORE");
        score
            .arg(self.keys.due(Partition::of(&family.name)))
            .arg(family.to_string());
        turn([score])
    }

    pub(crate) fn score(replies: &Replies) -> Option<u64> {
        reply::score(replies.0.first()?)
    }
}

fn decoded<T>(found: Result<T, Undecoded>) -> Result<T, StoreError> {
    found.map_err(|undecoded| match undecoded {
        Undecoded::Error(error) => error,
        Undecoded::Dictionary(hash) => panic!("nobody packs here, and {hash} is needed"),
    })
}

fn partitions_of(families: &[Family]) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = families.iter().map(|family| Partition::of(&family.name)).collect();
    partitions.sort_unstable();
    partitions.dedup();
    partitions
}

/// A generation that was written.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedGeneration {
    pub key: ListingKey,
    pub generation: Generation,
    pub as_of: Timestamp,
    pub total: u64,
    /// Its delta; `None` where it is whole.
    pub delta: Option<Arc<Delta>>,
}
