//! Entries: changes as a partition's stream has them. The calls that record and read them are values, and so are their replies: this file
//! waits for nothing. [`ChangeRecords`](super::ChangeRecords) sends them, and so does a seeded simulation.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use redis::{Cmd, Pipeline, Value};

use crate::{
    listing::{Change, ChangeOf, ChangeToken, GONE_MAX, ItemId, ItemState, ListingName, Timestamp},
    store::{
        error::StoreError,
        layout::{
            chunk_codec::entry_parts,
            keys::{Keys, Partition},
            numbers::millis,
        },
        scripts,
        wire::reply,
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
const READ: &str = "read changes";

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

/// The answer of the script that records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Under this id.
    Recorded(u64),
    /// Too many are kept.
    Full,
    /// Some items are gone: the ids that are back must be named.
    Gone,
}

/// One call of the script that records.
pub(crate) struct Recorder<'a> {
    /// As text; empty without.
    pub token: &'a str,
    /// Whether the ids that are gone no more are named.
    pub names_back: bool,
}

impl Recorder<'_> {
    /// `seen`: the greatest id that this node has seen in the partition.
    pub(crate) fn call(&self, keys: &Keys, partition: Partition, body: &Body, seen: u64) -> Cmd {
        let mut call = scripts::RECORD_CHANGES.call(&[
            keys.last(partition),
            keys.changes(partition),
            keys.gone(partition),
            keys.worked_off(partition),
            keys.recalled(partition),
        ]);
        let back: &[ItemId] = if self.names_back { &body.back } else { &[] };
        call.arg(seen)
            .arg(body.changes)
            .arg(KEPT_MAX)
            .arg(millis(KEPT_FOR))
            .arg(millis(KEPT_FOR_AT_LEAST))
            .arg(self.token)
            .arg(&body.bytes[..])
            .arg(u8::from(!self.names_back && !body.back.is_empty()))
            .arg(back.len())
            .arg(body.returned.len())
            .arg(body.gone.len());
        for id in back.iter().chain(body.returned.iter()) {
            call.arg(id.as_str());
        }
        for (id, gone_for) in body.gone.iter().chain(body.recalled.iter()) {
            call.arg(id.as_str()).arg(millis(*gone_for));
        }
        call
    }

    pub(crate) fn decode(&self, reply: Value, key: &str) -> Result<Answer, StoreError> {
        let parts = reply::array(reply::answered(reply, RECORD, key)?).unwrap_or_default();
        let parts: Vec<String> = parts.into_iter().filter_map(reply::text).collect();
        match parts.as_slice() {
            [full] if full == "full" => Ok(Answer::Full),
            [gone] if gone == "gone" && !self.names_back => Ok(Answer::Gone),
            [recorded, id] if recorded == "recorded" => Ok(Answer::Recorded(id.parse().unwrap_or_default())),
            _ => Err(StoreError::odd_reply(RECORD)),
        }
    }
}

/// Reads the entries of a partition behind an id, at most so many.
pub(crate) fn reading(keys: &Keys, partition: Partition, after: u64, at_most: usize) -> Cmd {
    let mut command = redis::cmd("XRANGE");
    command.arg(keys.changes(partition)).arg(format!("({after}-0"));
    command.arg("+").arg("COUNT").arg(at_most);
    command
}

/// Takes replies to [`reading`] apart. A body that concerns all partitions is the same in each: it is kept once.
#[derive(Default)]
pub(crate) struct Decoder {
    known: HashMap<Vec<u8>, Arc<[Change]>>,
}

impl Decoder {
    pub(crate) fn entries(
        &mut self,
        partition: Partition,
        reply: Value,
        key: &str,
    ) -> Result<Vec<RecordedChanges>, StoreError> {
        let entries = reply::array(reply::answered(reply, READ, key)?).ok_or_else(|| StoreError::odd_reply(READ))?;
        let decoded = entries.into_iter().map(|entry| {
            let entry = decode(partition, entry, &mut self.known);
            entry.ok_or_else(|| StoreError::corrupt(key, "an entry that this version did not write"))
        });
        decoded.collect()
    }
}

/// Reads the changes that were recorded behind an id and may concern a name, and the items that are gone or recalled: one turn.
pub(crate) fn reading_since(keys: &Keys, name: &ListingName, after: u64, now: Timestamp) -> Pipeline {
    let partition = Partition::of(name);
    let mut turn = Pipeline::new();
    turn.cmd("XRANGE")
        .arg(keys.changes(partition))
        .arg(format!("({after}-0"))
        .arg("+");
    for key in [keys.gone(partition), keys.recalled(partition)] {
        turn.cmd("ZRANGE").arg(&key).arg(now.0).arg("+inf").arg("BYSCORE");
    }
    turn
}

/// Takes the replies to [`reading_since`] apart.
pub(crate) fn decode_since(
    keys: &Keys,
    name: &ListingName,
    after: u64,
    replies: impl IntoIterator<Item = Value>,
) -> Result<ChangesSince, StoreError> {
    let (partition, mut replies) = (Partition::of(name), replies.into_iter());
    let mut since = ChangesSince {
        last: after,
        ..ChangesSince::default()
    };
    let entry = replies.next().unwrap_or_default();
    for entry in Decoder::default().entries(partition, entry, &keys.changes(partition))? {
        since.last = since.last.max(entry.id);
        let changes = entry.changes.iter().map(|change| (entry.id, change.clone()));
        since.changes.extend(changes);
    }
    for key in [keys.gone(partition), keys.recalled(partition)] {
        let reply = reply::answered(replies.next().unwrap_or_default(), READ, &key)?;
        let ids = reply::array(reply).ok_or_else(|| StoreError::odd_reply(READ))?;
        let ids = ids.into_iter().filter_map(reply::text);
        since.gone.extend(ids.filter_map(|id| ItemId::parse(&id)));
    }
    Ok(since)
}

/// The changes for each partition that they may concern.
pub(crate) fn bodies_of(changes: &[Change]) -> Vec<(Partition, Body)> {
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
    bodies
}

/// Changes as an entry has them.
#[derive(Clone)]
pub(crate) struct Body {
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
