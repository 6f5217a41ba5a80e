//! What really happened, kept apart from what any node believes, and the invariants held against it.

use std::collections::BTreeMap;

use crate::listing::{Generation, HeadState};

/// Which listing of the simulation.
pub(super) type Place = usize;

/// Why a step is wrong.
pub(super) type Violation = String;

/// Everything that is counted.
const KINDS: [&str; 22] = [
    "deltas",
    "pages_of_l1",
    "pages_of_redis",
    "pages_of_memory",
    "walks_ended",
    "walks_gone",
    "published",
    "pushed",
    "deleted",
    "fenced",
    "older",
    "lapsed",
    "announcements",
    "epochs",
    "lost_messages",
    "cuts",
    "pauses",
    "kills",
    "histories",
    "clock_jumps",
    "brought_forward",
    "evictions",
];

/// What happened so far, and how often.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// Something of one of the [`KINDS`] happened.
    pub(super) fn count(&mut self, kind: &'static str) {
        debug_assert!(KINDS.contains(&kind), "{kind}");
        *self.0.entry(kind).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (kind, more) in &other.0 {
            *self.0.entry(kind).or_default() += more;
        }
    }

    pub(super) fn check_that_much_happened(&self) {
        let times = |kind: &&str| self.0.get(kind).copied().unwrap_or_default();
        let seldom: Vec<_> = KINDS.into_iter().filter(|kind| times(kind) < 10).collect();
        assert!(
            seldom.is_empty(),
            "these happened less than 10 times: {seldom:?} of {self:?}"
        );
    }
}

/// What a generation was written from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub place: Place,
    /// How often the origin had changed when it was read.
    pub version: u64,
    pub total: u64,
    /// The version that each chunk is of: a delta takes over chunks of earlier ones.
    pub chunks: [u64; CHUNKS_MAX],
}

/// The most items that a listing has.
pub(super) const ITEMS_MAX: u64 = 30;
/// The most chunks.
const CHUNKS_MAX: usize = 8;
/// Items a chunk.
pub(super) const CHUNK_LEN: u32 = 4;

/// One listing's heads in this history of Redis, the newest last, each with the time since which it was the head.
#[derive(Clone, Debug, Default)]
struct Heads(Vec<(u64, HeadState)>);

/// The record.
#[derive(Default)]
pub(super) struct Truth {
    written: BTreeMap<Generation, Written>,
    heads: Vec<Heads>,
    /// Redis's memory went back: what was before does not count any more.
    pub history_began: u64,
}

impl Truth {
    pub(super) fn new(listings: usize) -> Self {
        Self {
            heads: vec![Heads::default(); listings],
            ..Self::default()
        }
    }

    pub(super) fn begin_generation(&mut self, generation: Generation, written: Written) -> Result<(), Violation> {
        match self.written.insert(generation, written) {
            None => Ok(()),
            Some(before) => Err(format!("{generation} was drawn twice: {before:?} and {written:?}")),
        }
    }

    pub(super) fn written(&self, generation: Generation) -> Result<Written, Violation> {
        let written = self.written.get(&generation).copied();
        written.ok_or_else(|| format!("nobody wrote {generation}"))
    }

    /// Redis has this head now. Invariant 3: it never moves to an older generation, nor to an older reading of the origin.
    /// Returns whether it is another than before.
    pub(super) fn head_is(&mut self, place: Place, head: HeadState, now: u64) -> Result<bool, Violation> {
        let before = self.heads[place].0.last().map(|(_, head)| head.clone());
        if before.as_ref() == Some(&head) {
            return Ok(false);
        }
        if let Some(before) = before
            && head != HeadState::Absent
        {
            let newest = self.heads[place].0.iter().map(|(_, head)| head.id()).max().unwrap_or(0);
            // What expired or was evicted in between is forgotten, as is what it was.
            if head.id() < newest && before != HeadState::Absent {
                return Err(format!("the head of {place} went from {before:?} back to {head:?}"));
            }
            if let (Some(old), Some(new)) = (before.live(), head.live()) {
                let (old, new) = (self.written(old.generation)?, self.written(new.generation)?);
                if new.version < old.version {
                    return Err(format!("the head of {place} went back from {old:?} to {new:?}"));
                }
            }
        }
        self.heads[place].0.push((now, head));
        Ok(true)
    }

    /// Whether Redis had no head at some time since: what was there before is forgotten, and a write that was drawn earlier may
    /// publish.
    pub(super) fn was_gone_since(&self, place: Place, since: u64) -> bool {
        let heads = &self.heads[place].0;
        let lasted = |at: usize| heads.get(at + 1).is_none_or(|(until, _)| *until > since);
        let mut states = heads.iter().enumerate();
        states.any(|(at, (_, head))| *head == HeadState::Absent && lasted(at))
    }

    /// Redis was restarted, flushed or rewound, and has these heads.
    pub(super) fn begin_history(&mut self, heads: Vec<HeadState>, now: u64) {
        self.history_began = now;
        self.heads = heads.into_iter().map(|head| Heads(vec![(now, head)])).collect();
    }

    /// Invariant 1: these are the items of one whole generation, at their positions.
    pub(super) fn check_items(
        &self,
        place: Place,
        generation: Generation,
        total: u64,
        from: u64,
        items: &[u8],
    ) -> Result<u64, Violation> {
        let written = self.written(generation)?;
        if (written.place, written.total) != (place, total) {
            return Err(format!(
                "{generation} of {place} with {total} items, but it is {written:?}"
            ));
        }
        let mut count = 0;
        if !items.is_empty() {
            for item in items.split(|byte| *byte == b',') {
                if item != item_text(written, from + count).as_bytes() {
                    let item = String::from_utf8_lossy(item);
                    return Err(format!("{item} at {} of {generation}, {written:?}", from + count));
                }
                count += 1;
            }
        }
        Ok(count)
    }

    /// A head that a node served as known, at `now`, where nothing was amiss since `undisturbed` and messages take `delay`:
    /// it belongs to this history, and nothing newer was announced longer than `delay` ago. That a head is gone is told by
    /// nobody: it may be served for `ttl` more.
    pub(super) fn check_served(
        &self,
        place: Place,
        served: &HeadState,
        now: u64,
        delay: u64,
        ttl: u64,
    ) -> Result<(), Violation> {
        let heads = &self.heads[place].0;
        let announced_at = heads
            .iter()
            .rposition(|(since, head)| since + delay <= now && *head != HeadState::Absent);
        let announced = announced_at.and_then(|at| heads.get(at));
        // After an eviction a head may be older than the one before: the write that was drawn earlier publishes it.
        let follows = heads.iter().skip(announced_at.map_or(0, |at| at + 1));
        let is_later = follows.into_iter().any(|(_, head)| head.id() == served.id());
        let gone = heads.iter().enumerate().any(|(at, (_, head))| {
            *head == HeadState::Absent && heads.get(at + 1).is_none_or(|(until, _)| until + ttl + delay > now)
        });
        if *served == HeadState::Absent {
            return match announced {
                Some((since, head)) if !gone => Err(format!(
                    "{place} is said not to be there, but since {since} it is {head:?}"
                )),
                _ => Ok(()),
            };
        }
        let known = heads.iter().any(|(_, head)| head.id() == served.id());
        match announced {
            _ if !known => Err(format!(
                "{served:?} of {place} is not of this history, which began at {}",
                self.history_began
            )),
            Some((since, head)) if head.id() > served.id() && !is_later => Err(format!(
                "{served:?} of {place} is served at {now}, but since {since} it is {head:?}"
            )),
            _ => match heads.last() {
                Some((since, HeadState::Absent)) if since + ttl + delay <= now => Err(format!(
                    "{served:?} of {place} is served at {now}, but it is gone since {since}"
                )),
                _ => Ok(()),
            },
        }
    }
}

/// An item's JSON: what it was written from, and its position.
pub(super) fn item_text(written: Written, position: u64) -> String {
    let chunk = position / u64::from(CHUNK_LEN);
    let version = written.chunks[chunk as usize];
    format!("\"{}.{version}.{position}\"", written.place)
}
