//! Publishing: one script moves the head, retires the generations before it, and announces it.

use std::time::Duration;

use redis::{Cmd, Value};

use super::generations::{FinishedGeneration, Written};
use crate::{
    listing::{DataVersion, Generation, Head, HeadState, ListingKey, Policy},
    store::{
        Store,
        error::StoreError,
        layout::{
            announcements::{Announcement, LOG_ENTRIES_MAX, VERSION, live_body},
            head_codec::{StoredHead, sum_of},
            keys::{Keys, Partition},
            numbers::{hex, millis},
        },
        leases::Lease,
        scripts,
        wire::reply,
    },
};

/// How often a writer reads the head again because another has moved it in between. Each time another got on, so this is
/// far more than any contention needs.
pub(crate) const ATTEMPTS_MAX: usize = 32;
/// How often a publish is sent again whose reply was lost: done twice it is done once.
const UNANSWERED_MAX: usize = 2;
/// Before it is sent again: time for a connection to come back.
const UNANSWERED_PAUSE: Duration = Duration::from_millis(100);

/// What a publish came to.
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

/// What the script says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Moved,
    Older(Generation),
    Fenced,
    Incomplete,
    Retry,
}

impl Store {
    /// Makes a finished generation current and announces it. With a lease it is fenced by it; `next_due`: when the family is
    /// due next.
    ///
    /// What is refused is unlinked. Where the outcome is unknown the stream is left to its expiry, for it may be current.
    pub async fn publish(
        &self,
        finished: FinishedGeneration,
        policy: &Policy,
        lease: Option<&Lease>,
        next_due: Option<Duration>,
    ) -> Result<Published, StoreError> {
        self.publish_over(finished, policy, lease, next_due, |_| true).await
    }

    /// The same, if the caller wants it in the place of the head that it would replace, and of no other.
    pub async fn publish_over(
        &self,
        mut finished: FinishedGeneration,
        policy: &Policy,
        lease: Option<&Lease>,
        next_due: Option<Duration>,
        mut is_wanted_over: impl FnMut(&HeadState) -> bool,
    ) -> Result<Published, StoreError> {
        // Before the first call: a caller that goes away must not unlink what the script has made current.
        finished.keep();
        let partition = Partition::of(finished.key().name());
        let mut unanswered = 0;
        let mut replaced = None;
        for _ in 0..ATTEMPTS_MAX {
            let before = self.read_head_for_writing(finished.key()).await?;
            // After an attempt without an answer, what is current may be this generation itself.
            if unanswered == 0 && !is_wanted_over(&before.state) {
                finished.unlink().await;
                return Ok(Published::Unwanted);
            }
            let head = head_of(&finished.written, &before.state);
            let publishing = Publishing {
                written: &finished.written,
                head: &head,
                before: &before,
                policy,
                lease: lease.map(|lease| (lease.key(), lease.value())),
                next_due,
            };
            let call = publishing.call(&self.inner.keys);
            let was = *replaced.get_or_insert(before.state);
            let answer = match self.inner.connections.script("publish", &scripts::PUBLISH, &call).await {
                Ok(reply) => decode(reply, finished.key()),
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
                    self.inner.liveness.tell_full(false);
                    let head = HeadState::Live(head);
                    self.inner.seen.raise_to(partition, &head);
                    let announcement = Announcement {
                        listing: finished.key().clone(),
                        head,
                        written: None,
                    };
                    return Ok(Published::Moved {
                        announcement,
                        replaced: was,
                    });
                }
                Ok(Answer::Retry) => {
                    replaced = None;
                    continue;
                }
                Ok(Answer::Older(current)) => {
                    self.inner.seen.raise(partition, current.id);
                    Published::Older { current }
                }
                Ok(Answer::Fenced) => Published::Fenced,
                Ok(Answer::Incomplete) => Published::Incomplete,
            };
            finished.unlink().await;
            return Ok(refused);
        }
        Err(StoreError::unavailable("publish", "others kept moving the head"))
    }
}

/// One call of the script.
pub(crate) struct Publishing<'a> {
    pub written: &'a Written,
    /// What the head is to be.
    pub head: &'a Head,
    /// What it was when it was read.
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
        let mut key_names = vec![
            keys.head(listing),
            draft.stream_key.clone(),
            keys.log(partition),
            keys.names(partition),
            keys.due(partition),
            keys.failure(family),
            lease.map_or_else(|| keys.lease(family), |(key, _)| key.to_owned()),
        ];
        key_names.extend(retired.iter().map(|generation| keys.stream(listing, *generation)));

        let mut call = scripts::PUBLISH.call(&key_names);
        call.arg(head.generation.id)
            .arg(hex(head.generation.nonce))
            .arg(head.total)
            .arg(self.written.entries)
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
            .arg(sum_of(head));
        for generation in &retired {
            call.arg(generation.to_string());
        }
        call
    }
}

/// The head that what was written would be, after the one before it.
pub(crate) fn head_of(Written { draft, total, .. }: &Written, before: &HeadState) -> Head {
    Head {
        generation: draft.generation,
        total: *total,
        chunk_len: draft.chunk_len,
        as_of: draft.as_of,
        definition: draft.definition,
        definition_version: draft.definition_version,
        pins_from: before.pins_from(),
    }
}

/// The generations whose streams a head speaks for, newest first.
pub(crate) fn generations_of(head: &StoredHead) -> Vec<Generation> {
    let current = head.state.live().map(|head| head.generation);
    current.into_iter().chain(head.kept.iter().copied()).collect()
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
