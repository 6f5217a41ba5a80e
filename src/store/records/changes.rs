//! Changes that shops tell of, until they are worked off: a stream a partition, in the order in which they were recorded.
//!
//! An entry has an id of the same clock as generations. So a generation that was drawn later was read later, and one that was drawn earlier may
//! lack the change: `publish` compares the two in the step that moves the head. A change that names no listings is recorded in all partitions,
//! because any listing may hold its item.
//!
//! A change is taken when all its partitions have recorded it. To record it twice does no harm.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use redis::{Pipeline, Value};

use super::{change_outcomes::ChangeOutcomes, changelogs::ChangelogPositions};
use crate::{
    listing::{Change, ChangeOf, ChangeToken, GONE_MAX, ItemId, ItemState, ListingName, Timestamp},
    store::{
        access::Access,
        error::StoreError,
        layout::{announcements::wake_message, chunk_codec::entry_parts, keys::Partition, numbers::millis},
        scripts,
        wire::{commands::Commands, connections::ReplySize, reply},
    },
};

/// Changes of one partition that may be kept.
const KEPT_MAX: usize = 1_000_000;
/// An entry is kept so long at least: longer than a read of an origin may take.
const KEPT_FOR: Duration = Duration::from_secs(2 * 3600);
/// The same where more would be kept: longer than nearly all reads.
const KEPT_FOR_AT_LEAST: Duration = Duration::from_secs(600);
/// An item that is gone is filtered so long, unless the change says otherwise.
const GONE_FOR: Duration = Duration::from_secs(3600);
/// Bodies above this are packed.
const PACKED_FROM: usize = 512;
/// Bytes of a body, unpacked.
const BODY_MAX: usize = 16 << 20;

const RECORD: &str = "record changes";

/// The outcome of recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// All partitions have them.
    Recorded,
    /// Too many wait. Some partitions may have them: they may be recorded again.
    Full,
}

/// Changes that were recorded together, in one partition.
#[derive(Clone, Debug)]
pub struct RecordedChanges {
    /// Which partition.
    pub partition: u8,
    /// Drawn: a generation with a greater id was read later.
    pub id: u64,
    /// By which the outcome is asked for, where anybody may.
    pub token: Option<ChangeToken>,
    /// The changes.
    pub changes: Arc<[Change]>,
}

/// Changes that a generation may lack, and items that it must not have.
#[derive(Clone, Debug, Default)]
pub struct ChangesSince {
    /// The last that was recorded.
    pub last: u64,
    /// In the order in which they were recorded, with the ids of their entries.
    pub changes: Vec<(u64, Change)>,
    /// Items that are gone or recalled, as it was told at any time.
    pub gone: Vec<ItemId>,
}

/// The records of changes.
#[derive(Clone)]
pub struct ChangeRecords(pub(crate) Arc<Access>);

impl ChangeRecords {
    /// The outcomes of what was recorded.
    pub fn outcomes(&self) -> ChangeOutcomes {
        ChangeOutcomes(self.0.clone())
    }

    /// The positions in changelogs of databases.
    pub fn changelogs(&self) -> ChangelogPositions {
        ChangelogPositions(self.0.clone())
    }

    /// The partition of a name.
    pub fn partition_of(&self, name: &ListingName) -> u8 {
        Partition::of(name).0
    }

    /// Records changes in all partitions that they may concern, and wakes the node that works them off.
    pub async fn record(&self, changes: &[Change], token: Option<ChangeToken>) -> Result<Recording, StoreError> {
        let all: Vec<&Change> = changes.iter().filter(|change| change.names.is_empty()).collect();
        let named: Vec<&Change> = changes.iter().filter(|change| !change.names.is_empty()).collect();
        let of_all = Body::of(&all);
        let mut bodies = Vec::new();
        for partition in Partition::all() {
            let here = |change: &&&Change| change.names.iter().any(|name| Partition::of(name) == partition);
            let here: Vec<&Change> = named.iter().filter(here).copied().collect();
            match (here.is_empty(), all.is_empty()) {
                (true, true) => {}
                (true, false) => bodies.push((partition, of_all.clone())),
                (false, _) => bodies.push((partition, Body::of(&[&all[..], &here].concat()))),
            }
        }
        if let Some(token) = token {
            self.outcomes().begin(token, changes.len(), bodies.len()).await?;
        }
        let token = token.map_or_else(String::new, |token| token.to_string());
        let mut recording = Recording::Recorded;
        let mut left = bodies;
        // The second time with the ids that are gone no more, where any are gone: there are rarely any.
        for names_back in [false, true] {
            let replies = self.record_bodies(&left, &token, names_back).await?;
            let mut again = Vec::new();
            for ((partition, body), reply) in left.into_iter().zip(replies) {
                match reply.as_slice() {
                    [full] if full == "full" => recording = Recording::Full,
                    [gone] if gone == "gone" && !names_back => again.push((partition, body)),
                    [recorded, id] if recorded == "recorded" => {
                        self.0.seen.raise(partition, id.parse().unwrap_or_default());
                    }
                    _ => return Err(StoreError::odd_reply(RECORD)),
                }
            }
            left = again;
            if left.is_empty() {
                break;
            }
        }
        self.wake(0).await?;
        Ok(recording)
    }

    async fn record_bodies(
        &self,
        bodies: &[(Partition, Body)],
        token: &str,
        names_back: bool,
    ) -> Result<Vec<Vec<String>>, StoreError> {
        let (keys, mut calls) = (&self.0.keys, Pipeline::new());
        for (partition, body) in bodies {
            let mut call = scripts::RECORD_CHANGES.call(&[
                keys.last(*partition),
                keys.changes(*partition),
                keys.gone(*partition),
                keys.worked_off(*partition),
                keys.recalled(*partition),
            ]);
            let back: &[ItemId] = if names_back { &body.back } else { &[] };
            call.arg(self.0.seen.greatest(*partition))
                .arg(body.changes)
                .arg(KEPT_MAX)
                .arg(millis(KEPT_FOR))
                .arg(millis(KEPT_FOR_AT_LEAST))
                .arg(token)
                .arg(&body.bytes[..])
                .arg(u8::from(!names_back && !body.back.is_empty()))
                .arg(back.len())
                .arg(body.returned.len())
                .arg(body.gone.len());
            for id in back.iter().chain(body.returned.iter()) {
                call.arg(id.as_str());
            }
            for (id, gone_for) in body.gone.iter().chain(body.recalled.iter()) {
                call.arg(id.as_str()).arg(millis(*gone_for));
            }
            calls.add_command(call);
        }
        let replies = self.0.redis.scripts(RECORD, &scripts::RECORD_CHANGES, &calls).await?;
        let of_partitions = bodies.iter().zip(replies).map(|((partition, _), reply)| {
            let reply = reply::answered(reply, RECORD, &keys.changes(*partition))?;
            let parts = reply::array(reply).unwrap_or_default();
            Ok(parts.into_iter().filter_map(reply::text).collect())
        });
        of_partitions.collect()
    }

    /// Sends a message that every node hears behind all announcements that were made before it.
    pub async fn wake(&self, nonce: u64) -> Result<(), StoreError> {
        const OPERATION: &str = "tell of changes";
        let mut command = redis::cmd("PUBLISH");
        command.arg(self.0.keys.channel()).arg(wake_message(nonce));
        let replies = self.0.redis.write(OPERATION, &command).await?;
        reply::done(replies, OPERATION, "channel")
    }

    /// Entries of all partitions behind these ids, at most so many of each, and the bytes that they take up.
    pub async fn read(&self, after: &[u64], at_most: usize) -> Result<(Vec<RecordedChanges>, usize), StoreError> {
        const OPERATION: &str = "read changes";
        let mut turn = Commands::default();
        for (partition, after) in Partition::all().zip(after) {
            let mut command = redis::cmd("XRANGE");
            command.arg(self.0.keys.changes(partition)).arg(format!("({after}-0"));
            turn.add(command.arg("+").arg("COUNT").arg(at_most));
        }
        let replies = self.0.redis.read_raw(ReplySize::Large, OPERATION, turn).await?;
        let (mut read, mut bytes) = (Vec::new(), 0);
        // A body that concerns all partitions is the same in each: it is kept once.
        let mut known = HashMap::new();
        for (partition, reply) in Partition::all().zip(replies) {
            bytes += reply.len();
            let key = self.0.keys.changes(partition);
            let reply = reply::answered(reply::value(&reply, OPERATION)?, OPERATION, &key)?;
            for entry in reply::array(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))? {
                let entry = decode(partition, entry, &mut known);
                read.push(entry.ok_or_else(|| StoreError::corrupt(&key, "an entry that this version did not write"))?);
            }
        }
        Ok((read, bytes))
    }

    /// The changes that were recorded behind an id and may concern a name, and the items that are gone or recalled: one turn.
    pub async fn since(&self, name: &ListingName, after: u64) -> Result<ChangesSince, StoreError> {
        const OPERATION: &str = "read changes";
        let (partition, keys) = (Partition::of(name), &self.0.keys);
        let (changes, gone) = (
            keys.changes(partition),
            [keys.gone(partition), keys.recalled(partition)],
        );
        let mut turn = Pipeline::new();
        turn.cmd("XRANGE").arg(&changes).arg(format!("({after}-0")).arg("+");
        let now = self.0.clock.now().0;
        for key in &gone {
            turn.cmd("ZRANGE").arg(key).arg(now).arg("+inf").arg("BYSCORE");
        }
        // Through the writing connection, which is the one that the next step needs anyway.
        let mut replies = self.0.redis.write(OPERATION, &turn).await?.into_iter();
        let mut next = |key: &str| {
            let reply = reply::answered(replies.next().unwrap_or_default(), OPERATION, key)?;
            reply::array(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))
        };
        let mut since = ChangesSince {
            last: after,
            ..ChangesSince::default()
        };
        let mut known = HashMap::new();
        for entry in next(&changes)? {
            let entry = decode(partition, entry, &mut known);
            let entry =
                entry.ok_or_else(|| StoreError::corrupt(&changes, "an entry that this version did not write"))?;
            since.last = since.last.max(entry.id);
            since
                .changes
                .extend(entry.changes.iter().map(|change| (entry.id, change.clone())));
        }
        for key in &gone {
            let ids = next(key)?.into_iter().filter_map(reply::text);
            since.gone.extend(ids.filter_map(|id| ItemId::parse(&id)));
        }
        Ok(since)
    }

    /// Up to where the changes of each partition are worked off.
    pub async fn worked_off(&self) -> Result<Vec<u64>, StoreError> {
        const OPERATION: &str = "read changes";
        let mut turn = Pipeline::new();
        for partition in Partition::all() {
            turn.cmd("GET").arg(self.0.keys.worked_off(partition));
        }
        let replies = self.0.redis.read(OPERATION, &turn).await?;
        let ids = replies.into_iter().map(|reply| {
            let reply = reply::answered(reply, OPERATION, "worked-off")?;
            Ok(reply::unsigned(&reply).unwrap_or_default())
        });
        ids.collect()
    }

    /// Remembers up to where the changes of partitions are worked off, and that these changes are.
    pub async fn work_off(&self, up_to: &[(u8, u64)], done: &[(ChangeToken, u8)]) -> Result<(), StoreError> {
        if up_to.is_empty() && done.is_empty() {
            return Ok(());
        }
        let mut turn = Pipeline::new();
        for (partition, id) in up_to {
            turn.cmd("SET")
                .arg(self.0.keys.worked_off(Partition(*partition)))
                .arg(*id);
        }
        self.outcomes().done(done, &mut turn);
        self.0.redis.change("work changes off", "worked-off", &turn).await
    }

    /// Redis's time, in the unit of ids.
    pub fn now_us(&self) -> u64 {
        let Timestamp(now) = self.0.clock.now();
        now.saturating_mul(1000)
    }
}

/// Changes as an entry has them.
#[derive(Clone)]
struct Body {
    changes: usize,
    bytes: Arc<[u8]>,
    /// Items that are gone from all listings, and for how long.
    gone: Arc<[(ItemId, Duration)]>,
    /// Items that have changed, wherever they are: they are gone no more.
    back: Arc<[ItemId]>,
    /// Items that are recalled, and for how long.
    recalled: Arc<[(ItemId, Duration)]>,
    /// Items that are recalled no more.
    returned: Arc<[ItemId]>,
}

impl Body {
    fn of(changes: &[&Change]) -> Self {
        let text: Vec<String> = changes.iter().map(|change| change.to_json()).collect();
        let text = text.join("\n").into_bytes();
        let packed = (text.len() >= PACKED_FROM)
            .then(|| zstd::bulk::compress(&text, 1).ok())
            .flatten();
        // The last word about an item counts.
        let mut last: BTreeMap<&ItemId, ItemState> = BTreeMap::new();
        // A change does not end a recall: that has a last word of its own.
        let mut recalls: BTreeMap<&ItemId, ItemState> = BTreeMap::new();
        for change in changes.iter().filter(|change| change.is_plain()) {
            if let ChangeOf::Item(id, state) = &change.of {
                match state {
                    ItemState::Changed | ItemState::Gone(_) => last.insert(id, *state),
                    ItemState::Recalled(_) => recalls.insert(id, *state),
                    ItemState::Returned => recalls.insert(id, *state).and(last.insert(id, *state)),
                };
            }
        }
        let gone = last.iter().filter_map(|(id, state)| match state {
            ItemState::Gone(gone_for) => Some(((*id).clone(), gone_for.unwrap_or(GONE_FOR))),
            _ => None,
        });
        let recalled = recalls.iter().filter_map(|(id, state)| match state {
            ItemState::Recalled(gone_for) => Some(((*id).clone(), gone_for.unwrap_or(GONE_MAX))),
            _ => None,
        });
        let there = |states: &BTreeMap<&ItemId, ItemState>| {
            let there = states.iter().filter(|(_, state)| state.is_there());
            there.map(|(id, _)| (*id).clone()).collect()
        };
        Self {
            changes: changes.len(),
            gone: gone.collect(),
            back: there(&last),
            recalled: recalled.collect(),
            returned: there(&recalls),
            bytes: packed.unwrap_or(text).into(),
        }
    }
}

/// A change that cannot be read is of a later version, and left out: the others must not wait for it.
fn decode(partition: Partition, entry: Value, known: &mut HashMap<Vec<u8>, Arc<[Change]>>) -> Option<RecordedChanges> {
    let (id, fields) = entry_parts(entry)?;
    let id = std::str::from_utf8(&id).ok()?.split('-').next()?.parse().ok()?;
    let (mut token, mut body) = (None, None);
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        match reply::bytes(name)?.as_slice() {
            b"token" => token = ChangeToken::parse(&reply::text(value)?),
            b"body" => body = reply::bytes(value),
            _ => {}
        }
    }
    let body = body?;
    let changes = match known.get(&body) {
        Some(changes) => changes.clone(),
        None => {
            let changes = changes_in(&body).unwrap_or_else(|| {
                tracing::error!(
                    partition = partition.0,
                    id,
                    "recorded changes cannot be read, and are left out: refresh what they concern"
                );
                Arc::default()
            });
            known.insert(body, changes.clone());
            changes
        }
    };
    Some(RecordedChanges {
        partition: partition.0,
        id,
        token,
        changes,
    })
}

fn changes_in(body: &[u8]) -> Option<Arc<[Change]>> {
    let unpacked = match body.first() {
        Some(b'{') => None,
        _ => Some(zstd::bulk::decompress(body, BODY_MAX).ok()?),
    };
    let text = std::str::from_utf8(unpacked.as_deref().unwrap_or(body)).ok()?;
    Some(text.lines().filter_map(|line| Change::parse(line).ok()).collect())
}
