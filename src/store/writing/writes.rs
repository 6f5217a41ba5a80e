//! Writes: a generation begins, is published, confirmed, renewed or deleted.
//!
//! `publish`, `confirm` and `delete` make the calls of the scripts and read the answers, as values; this file sends them, and repeats
//! a call when that is right.

use std::{sync::Arc, time::Duration};

use redis::Pipeline;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    aside::{
        base::Base,
        finished::{Draft, FinishedGeneration, head_of},
        generations::GenerationWriter,
    },
    confirm::{Confirmation, Confirmed, Kept, kept, reading_kept},
    delete::{self, Deleting},
    leases::Lease,
    lives::Named,
    publish::{self, Answer, Publication, Published, Publishing},
};
use crate::{
    listing::{Delta, Generation, Head, HeadState, ListingKey, Policy, Timestamp},
    store::{
        access::Access,
        dictionaries::DictionaryScope,
        error::StoreError,
        layout::{
            announcements::Announcement,
            kept_codec::{KeptRead, Placed},
            keys::Partition,
            numbers::{hex, millis, nonce},
        },
        reading::{heads::HeadReads, pages::PageReads},
        scripts,
        wire::reply,
    },
};

/// How often a writer reads the head again because another has moved it in between. Each time another got on, so this is
/// far more than any contention needs.
const ATTEMPTS_MAX: usize = 32;
/// How often a publish is sent again whose reply was lost: done twice it is done once.
const UNANSWERED_MAX: usize = 2;
/// Before it is sent again: time for a connection to come back.
const UNANSWERED_PAUSE: Duration = Duration::from_millis(100);

/// Which chunks are alike: those of a definition, or of a pushed listing.
fn scope_of(key: &ListingKey, definition: u64) -> DictionaryScope {
    DictionaryScope(match definition {
        0 => xxh3_64(key.name().as_str().as_bytes()),
        definition => definition,
    })
}

/// Writes generations and moves heads.
#[derive(Clone)]
pub struct GenerationWrites(pub(crate) Arc<Access>);

impl GenerationWrites {
    /// Begins to write a generation aside.
    pub fn begin(
        &self,
        key: &ListingKey,
        generation: Generation,
        as_of: Timestamp,
        definition: u64,
        policy: &Policy,
    ) -> GenerationWriter {
        let draft = Draft {
            key: key.clone(),
            generation,
            as_of,
            definition,
            definition_version: policy.definition_version,
            version: None,
            chunk_len: policy.chunk_len,
            stream_key: self.0.keys.stream(key, generation),
            sidecar_key: self.0.keys.sidecar(key, generation),
            packing: policy.compress.then(|| scope_of(key, definition)),
            copy_of: None,
        };
        GenerationWriter::begin(self.0.clone(), draft)
    }

    /// The base for a new generation after a head: only chunks that differ from it are written. `None` where it is not there, or was cut
    /// into other chunks.
    pub async fn base(&self, key: &ListingKey, head: &Head, policy: &Policy) -> Result<Option<Base>, StoreError> {
        let base = Base::of(&self.0, key, head, policy.chunk_len, None).await?;
        self.adopt_dictionary(key, head.definition, base.as_ref());
        Ok(base)
    }

    /// The same after a generation that is not published yet.
    pub async fn base_of_finished(&self, finished: &FinishedGeneration) -> Result<Option<Base>, StoreError> {
        let (head, bytes) = (finished.head(), finished.written.bytes);
        Base::of(&self.0, finished.key(), &head, head.chunk_len, Some(bytes)).await
    }

    /// Of another node, or of before a restart: this one need not train its own.
    fn adopt_dictionary(&self, key: &ListingKey, definition: u64, base: Option<&Base>) {
        if let Some(dictionary) = base.and_then(|base| base.dictionary.as_ref()) {
            self.0.dictionaries.adopt(scope_of(key, definition), dictionary);
        }
    }

    /// The bases of other listings of the same name, which a new generation of a listing may be much like: of those that were shaped by the
    /// same definition. Each stays in Redis as long as one of its holders, whatever becomes of the listing that it was of.
    pub async fn bases_of_others(
        &self,
        key: &ListingKey,
        others: Vec<ListingKey>,
        definition: u64,
        policy: &Policy,
    ) -> Result<Vec<Base>, StoreError> {
        Base::of_others(&self.0, key, others, definition, policy.chunk_len).await
    }

    /// A generation was found damaged: no other is compared with it, or with its base, any more, nor does anybody take it for whole.
    pub async fn distrust(&self, key: &ListingKey, head: &Head) -> Result<(), StoreError> {
        let mut sidecars = vec![self.0.keys.sidecar(key, head.generation)];
        if let Some(delta) = &head.delta {
            sidecars.push(self.0.keys.sidecar(delta.base_listing(key), delta.base));
        }
        let mut turn = Pipeline::new();
        for sidecar in sidecars {
            turn.cmd("UNLINK").arg(sidecar);
        }
        let replies = self.0.redis.write("unlink sidecars", &turn).await?;
        for reply in replies {
            reply::answered(reply, "unlink sidecars", key.name().as_str())?;
        }
        Ok(())
    }

    /// A new generation that takes all from one that is kept; `None` where that is gone. What it writes is a sidecar.
    pub async fn copy(
        &self,
        key: &ListingKey,
        from: Generation,
        to: Generation,
        as_of: Timestamp,
        definition: u64,
        policy: &Policy,
    ) -> Result<Option<FinishedGeneration>, StoreError> {
        let (heads, pages) = (HeadReads(self.0.clone()), PageReads(self.0.clone()));
        let Some((mut described, mut content)) = pages.describe_with_content(key, from).await? else {
            return Ok(None);
        };
        let kept = heads.read_for_writing(key, KeptRead::All).await?.kept.read;
        let kept = kept.iter().find(|kept| kept.placed.generation == from);
        let base_chunks = described.total.div_ceil(described.chunk_len.get().into());
        if described.delta.is_none() && base_chunks > 0 {
            content.chunks.clear();
            described.delta = Some(Arc::new(Delta {
                base: from,
                base_of: None,
                base_chunks,
                layers: Vec::new(),
            }));
        }
        let writer = self.begin(key, to, as_of, definition, policy);
        let bytes = kept.map(|kept| kept.bytes.next(0)).unwrap_or_default();
        let copied = writer.copied(from, described, bytes);
        copied.write_sidecar(&content).await?;
        Ok(Some(copied))
    }

    /// Makes a finished generation current and announces it. With a lease it is fenced by it; `next_due`: when the family is
    /// due next.
    ///
    /// A refused stream is unlinked. Where the outcome is unknown the stream is left to its expiry, for it may be current.
    pub async fn publish(
        &self,
        finished: FinishedGeneration,
        policy: &Policy,
        lease: Option<&Lease>,
        next_due: Option<Duration>,
    ) -> Result<Published, StoreError> {
        let publication = Publication {
            lease,
            next_due,
            ..Publication::plain(policy)
        };
        self.publish_over(finished, publication, |_| true).await
    }

    /// The same, if the caller wants it in the place of the head that it would replace, and of no other.
    pub async fn publish_over(
        &self,
        mut finished: FinishedGeneration,
        publication: Publication<'_>,
        mut is_wanted_over: impl FnMut(&HeadState) -> bool,
    ) -> Result<Published, StoreError> {
        // Before the first call: a caller that goes away must not unlink what the script has made current.
        finished.keep();
        let (heads, partition) = (HeadReads(self.0.clone()), Partition::of(finished.key().name()));
        let mut unanswered = 0;
        let mut replaced = None;
        for _ in 0..ATTEMPTS_MAX {
            // A rollback marks those that it undoes, and a recall ends all.
            let which = match finished.written.draft.copy_of.is_some() || publication.recalls {
                true => KeptRead::All,
                false => KeptRead::Oldest,
            };
            let before = heads.read_for_writing(finished.key(), which).await?;
            // After an attempt without an answer, what is current may be this generation itself.
            if unanswered == 0 && !is_wanted_over(&before.state) {
                finished.unlink().await;
                return Ok(Published::Unwanted);
            }
            let (mut head, as_of) = (head_of(&finished.written, &before.state), finished.written.draft.as_of);
            head.next_change = publication.next_change.after(&before.state);
            if publication.recalls {
                head.pins_from = head.generation.id;
            }
            let is_read = publication.lease.is_some() && !publication.is_patch;
            if is_read && unanswered == 0 && publish::is_overtaken(&before.state, &head, as_of) {
                finished.is_unpublished();
                return Ok(Published::Overtaken(finished.into()));
            }
            let publishing = Publishing {
                written: &finished.written,
                head: &head,
                before: &before,
                policy: publication.policy,
                lease: publication.lease.map(|lease| (lease.key(), lease.value())),
                next_due: publication.next_due,
                follows: publication.follows,
                is_patch: publication.is_patch,
                recalls: publication.recalls,
            };
            let call = publishing.call(&self.0.keys);
            let was = replaced.get_or_insert_with(|| before.state.clone()).clone();
            let answer = match self.0.redis.script("publish", &scripts::PUBLISH, &call).await {
                Ok(reply) => publish::decode(reply, finished.key()),
                Err(StoreError::Unavailable { .. }) if unanswered < UNANSWERED_MAX => {
                    unanswered += 1;
                    tokio::time::sleep(UNANSWERED_PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let refused = match answer {
                // A script is refused before it does anything.
                Err(error @ (StoreError::Full { .. } | StoreError::Refusing { .. })) => {
                    finished.unlink().await;
                    return Err(error);
                }
                Err(error) => return Err(error),
                Ok(Answer::Moved) => {
                    self.0.liveness.tell_full(false);
                    let head = HeadState::Live(head);
                    self.0.seen.raise_to(partition, &head);
                    let announcement = Announcement {
                        listing: finished.key().clone(),
                        head,
                        written: None,
                    };
                    return Ok(Published::Moved {
                        announcement,
                        replaced: Box::new(was),
                    });
                }
                Ok(Answer::Retry) => {
                    replaced = None;
                    continue;
                }
                Ok(Answer::Older(current)) => {
                    self.0.seen.raise(partition, current.id);
                    Published::Older { current }
                }
                Ok(Answer::Changed) => {
                    finished.is_unpublished();
                    return Ok(Published::Overtaken(finished.into()));
                }
                Ok(Answer::Fenced) => Published::Fenced,
                Ok(Answer::Incomplete) => Published::Incomplete,
            };
            finished.unlink().await;
            return Ok(refused);
        }
        Err(StoreError::unavailable("publish", "others kept moving the head"))
    }

    /// Lets the generation that a head names live for so long from now at least, and `pin_for` longer for pins. Without effect
    /// where the head has moved on.
    pub async fn renew(
        &self,
        key: &ListingKey,
        head: &Head,
        life: Duration,
        pin_for: Duration,
    ) -> Result<(), StoreError> {
        let mut key_names = vec![String::from(self.0.keys.head(key))];
        let generation = Named::new(&self.0.keys, key, [&Placed::of(head)], key_names.len());
        key_names.extend_from_slice(generation.keys());
        let mut call = scripts::RENEW.call(&key_names);
        call.arg(head.generation.id)
            .arg(hex(head.generation.nonce))
            .arg(millis(life))
            .arg(millis(life.saturating_add(pin_for)));
        generation.add_arguments(&mut call);
        self.0.redis.run("renew", &scripts::RENEW, &call, &key_names[0]).await?;
        Ok(())
    }

    /// The kept heads of several listings, in one turn. A head that cannot be read counts as absent.
    pub async fn kept(&self, listings: &[ListingKey]) -> Result<Vec<Kept>, StoreError> {
        let keys: Vec<_> = listings.iter().map(|listing| self.0.keys.head(listing)).collect();
        let mut turn = Pipeline::new();
        for key in &keys {
            turn.add_command(reading_kept(key.key()));
        }
        // Through the writing connection, which is the one that the next step needs anyway.
        let replies = self.0.redis.write("read heads", &turn).await?;
        let read = keys.iter().zip(listings).zip(replies).map(|((key, listing), reply)| {
            let found = kept(reply, key)?;
            self.0.seen.raise(Partition::of(listing.name()), found.state.id());
            Ok(found)
        });
        read.collect()
    }

    /// The origin still has what a head names.
    pub async fn confirm(&self, confirmation: &Confirmation<'_>) -> Result<Confirmed, StoreError> {
        const OPERATION: &str = "confirm";
        let (call, head_key) = (confirmation.call(&self.0.keys), self.0.keys.head(confirmation.listing));
        let reply = self
            .0
            .redis
            .run(OPERATION, &scripts::CONFIRM, &call, head_key.key())
            .await?;
        match reply::text(reply).as_deref() {
            Some("confirmed") => {
                self.0.liveness.tell_full(false);
                Ok(Confirmed::Yes)
            }
            Some("fenced") => Ok(Confirmed::Fenced),
            Some("gone") => Ok(Confirmed::Gone),
            _ => Err(StoreError::odd_reply(OPERATION)),
        }
    }

    /// Leaves tombstones; every generation of these listings is unlinked. Returns what to apply to L1; `existed` tells which
    /// had a current generation.
    ///
    /// A listing at a time: where one fails, those before it are deleted.
    pub async fn delete(
        &self,
        listings: &[ListingKey],
        policy: &Policy,
    ) -> Result<Vec<(Announcement, bool)>, StoreError> {
        let mut deleted = Vec::with_capacity(listings.len());
        for listing in listings {
            deleted.push(self.delete_one(listing, policy).await?);
        }
        Ok(deleted)
    }

    async fn delete_one(&self, listing: &ListingKey, policy: &Policy) -> Result<(Announcement, bool), StoreError> {
        const OPERATION: &str = "delete";
        let (heads, partition, nonce) = (HeadReads(self.0.clone()), Partition::of(listing.name()), nonce());
        for _ in 0..ATTEMPTS_MAX {
            let before = heads.read_for_writing(listing, KeptRead::All).await?;
            let deleting = Deleting {
                listing,
                seen: self.0.seen.greatest(partition),
                nonce,
                before: &before,
                policy,
            };
            let (call, name) = (deleting.call(&self.0.keys), listing.name().as_str());
            let reply = self.0.redis.run(OPERATION, &scripts::DELETE, &call, name).await?;
            let Some(id) = delete::decode(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))? else {
                continue;
            };
            self.0.seen.raise(partition, id);
            let announcement = Announcement {
                listing: listing.clone(),
                head: HeadState::Deleted(Generation { id, nonce }),
                written: None,
            };
            return Ok((announcement, before.state.live().is_some()));
        }
        Err(StoreError::unavailable(OPERATION, "others kept moving the head"))
    }
}
