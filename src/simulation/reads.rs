//! Pages: as the engine reads them, which awaits where this goes on with an event.

use std::{num::NonZeroU32, ops::Range};

use super::{
    network::Number,
    node::{Operation, Reader, TTL_MS, Walk},
    truth::{Place, Violation},
    world::{DELAY, LISTINGS, MILLISECOND, PUSHED, READ_TIMEOUT, World},
};
use crate::{
    engine::{Layers, Shape, head_table::Lookup},
    listing::{Chunk, Direction, Freshness, HeadState, Window},
    store::simulated::Replies,
};

/// Chunks that a node keeps.
const CHUNKS_MAX: usize = 40;
/// Who follows links at the same time.
const WALKS_MAX: usize = 12;

/// Where a head came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    L1,
    Redis,
    /// Redis did not answer.
    Memory,
}

impl World {
    fn some_window(&mut self) -> Window {
        Window {
            offset: self.random.u64(..20),
            limit: NonZeroU32::new(self.random.u32(1..12)).unwrap(),
            direction: if self.random.bool() {
                Direction::Forward
            } else {
                Direction::Reverse
            },
        }
    }

    /// Somebody asks for a page.
    pub(super) fn read(&mut self, node: Number) -> Result<(), Violation> {
        // The first are asked for more often.
        let place = self.random.usize(..LISTINGS).min(self.random.usize(..LISTINGS));
        let reader = Reader {
            place,
            window: self.some_window(),
            tries: 0,
        };
        let now_ms = self.now_ms();
        match self.nodes[node].table.lookup(&self.listings[place], now_ms) {
            Lookup::Usable(head) => self.serve(node, reader, head, Source::L1),
            Lookup::Recheck(_) | Lookup::Unknown => {
                self.load(node, reader);
                Ok(())
            }
        }
    }

    /// Waits for the load of the head that is under way, or begins one.
    fn load(&mut self, node: Number, reader: Reader) {
        let place = reader.place;
        if let Some(load) = self.nodes[node].loads.get(&place).copied()
            && let Some(Operation::Head { waiting, .. }) = self.nodes[node].operations.get_mut(&load)
        {
            waiting.push(reader);
            return;
        }
        let (now_ms, key) = (self.now_ms(), &self.listings[place]);
        let ticket = self.nodes[node].table.begin_load(key, now_ms);
        let turn = self.nodes[node].client.read_head(key);
        let operation = Operation::Head {
            place,
            ticket,
            epoch: self.nodes[node].epoch,
            waiting: vec![reader],
        };
        let number = self.send(node, turn, operation, READ_TIMEOUT);
        self.nodes[node].loads.insert(place, number);
    }

    pub(super) fn head_read(
        &mut self,
        node: Number,
        number: u64,
        operation: Operation,
        replies: Option<Replies>,
    ) -> Result<(), Violation> {
        let Operation::Head {
            place,
            ticket,
            epoch,
            waiting,
        } = operation
        else {
            unreachable!()
        };
        let (now_ms, key) = (self.now_ms(), self.listings[place].clone());
        let state = &mut self.nodes[node];
        if state.loads.get(&place) == Some(&number) {
            state.loads.remove(&place);
        }
        let loaded = replies.map(|replies| state.client.take_head(&key, replies).unwrap());
        let head = state.table.end_load(&key, ticket, loaded, now_ms);
        let source = match (&head, epoch == state.epoch) {
            (Some(_), true) => Source::Redis,
            // A new epoch began meanwhile: it is served once.
            (Some(_), false) | (None, _) => Source::Memory,
        };
        let known = match state.table.peek(&key, now_ms).0 {
            Lookup::Usable(known) | Lookup::Recheck(known) => Some(known),
            Lookup::Unknown => None,
        };
        for reader in waiting {
            if let Some(head) = head
                .clone()
                .or_else(|| known.clone().filter(|known| known.live().is_some()))
            {
                self.serve(node, reader, head, source)?;
            }
        }
        Ok(())
    }

    fn serve(&mut self, node: Number, reader: Reader, head: HeadState, source: Source) -> Result<(), Violation> {
        let place = reader.place;
        self.check_head(node, place, &head, source)?;
        match source {
            Source::L1 => self.tally.count("pages_of_l1"),
            Source::Redis => self.tally.count("pages_of_redis"),
            Source::Memory => self.tally.count("pages_of_memory"),
        }
        let Some(live) = head.live() else {
            if place != PUSHED && self.random.u32(..3) == 0 {
                self.begin_refresh(node, place);
            }
            return Ok(());
        };
        if place != PUSHED
            && !matches!(self.policy.freshness(live.as_of, self.wall_ms()), Freshness::Fresh(_))
            && self.random.u32(..3) == 0
        {
            self.begin_refresh(node, place);
        }
        let layers = Layers::from(live);
        let Some(plan) = layers.shape.plan(reader.window) else {
            return Ok(());
        };
        let chunks = plan.chunks();
        if self.cut(node, place, &layers, reader.window)? {
            return Ok(());
        }
        let (generation, delta) = (live.generation, live.delta.as_deref());
        let client = &self.nodes[node].client;
        let turn = client.read_chunks(&self.listings[place], generation, delta, &chunks);
        self.send(node, turn, Operation::Chunks { reader, head, chunks }, READ_TIMEOUT);
        Ok(())
    }

    /// Invariants 4 and 5.
    fn check_head(&mut self, node: Number, place: Place, head: &HeadState, source: Source) -> Result<(), Violation> {
        if source == Source::Memory {
            return Ok(());
        }
        let state = &self.nodes[node];
        let (applied, at) = state.applied.get(&place).copied().unwrap_or_default();
        // Redis itself may have gone back, and this node has not noticed yet: then only what the table remembers counts.
        let counts = at >= self.truth.history_began || (source == Source::L1 && !state.evicts);
        let forgotten = || self.truth.was_gone_since(place, at);
        if counts && *head != HeadState::Absent && head.id() < applied && !forgotten() {
            return Err(format!(
                "{node} serves {head:?} of {place} from {source:?}, but {applied} was applied there"
            ));
        }
        if source == Source::Redis || state.disturbed_until > self.now {
            return Ok(());
        }
        // It may have expired since it was last looked at.
        self.observe(place)?;
        self.truth
            .check_served(place, head, self.now, DELAY, TTL_MS * MILLISECOND)
            .map_err(|violation| format!("{node}: {violation}"))
    }

    /// Makes the page of what is here. Returns whether it could.
    fn cut(&mut self, node: Number, place: Place, layers: &Layers, window: Window) -> Result<bool, Violation> {
        let shape = layers.shape;
        let Some(plan) = shape.plan(window) else {
            return Ok(true);
        };
        let here = |chunk: u64| self.nodes[node].chunks.get(&(layers.holder_of(chunk), chunk));
        let Some(chunks) = plan.chunks().map(here).collect::<Option<Vec<&Chunk>>>() else {
            return Ok(false);
        };
        let first = plan.chunks().start;
        let mut count = 0;
        for piece in plan.pieces() {
            let chunk = chunks[(piece.chunk.0 - first) as usize];
            let from = piece.chunk.0 * u64::from(shape.chunk_len.get()) + piece.items.start as u64;
            let items = chunk.items(piece.items.clone());
            count += self
                .truth
                .check_items(place, shape.generation, shape.total, from, &items)?;
        }
        if count != plan.count() {
            return Err(format!(
                "{count} items on a page of {}, {shape:?} {window:?}",
                plan.count()
            ));
        }
        Ok(true)
    }

    pub(super) fn chunks_read(
        &mut self,
        node: Number,
        reader: Reader,
        head: HeadState,
        chunks: &Range<u64>,
        replies: Option<Replies>,
    ) -> Result<(), Violation> {
        let (Some(replies), Some(live)) = (replies, head.live()) else {
            return Ok(());
        };
        let read = self.nodes[node].client.take_chunks(
            &self.listings[reader.place],
            live.generation,
            live.delta.as_deref(),
            chunks,
            replies,
        );
        let read = read.unwrap_or_default();
        let layers = Layers::from(live);
        let whole = layers.shape.whole_chunks(chunks.start, &read);
        self.keep(node, &layers, chunks.start, read.into_iter().take(whole));
        if whole as u64 == chunks.end - chunks.start {
            let made = self.cut(node, reader.place, &layers, reader.window)?;
            return if made {
                Ok(())
            } else {
                Err("a whole page that cannot be cut".into())
            };
        }
        // The head may have moved, or its stream is gone: the head as it is now says which.
        if reader.tries < 2 {
            self.nodes[node].loads.remove(&reader.place);
            let tries = reader.tries + 1;
            self.load(node, Reader { tries, ..reader });
        } else if reader.place != PUSHED {
            self.begin_refresh(node, reader.place);
        }
        Ok(())
    }

    fn keep(&mut self, node: Number, layers: &Layers, first: u64, chunks: impl Iterator<Item = Chunk>) {
        let kept = &mut self.nodes[node].chunks;
        while kept.len() > CHUNKS_MAX {
            let victim = kept.keys().nth(self.random.usize(..kept.len())).copied().unwrap();
            kept.remove(&victim);
        }
        kept.extend(
            (first..)
                .zip(chunks)
                .map(|(at, chunk)| ((layers.holder_of(at), at), chunk)),
        );
    }

    /// Somebody follows a link, on any node.
    pub(super) fn walk(&mut self, node: Number) {
        if self.walks.len() < WALKS_MAX {
            let place = self.random.usize(..LISTINGS);
            let now_ms = self.now_ms();
            if let Lookup::Usable(HeadState::Live(head)) = self.nodes[node].table.lookup(&self.listings[place], now_ms)
            {
                let window = Window {
                    offset: 0,
                    ..self.some_window()
                };
                self.walks.push_back(Walk {
                    place,
                    generation: head.generation,
                    total: head.total,
                    delta: head.delta,
                    window,
                });
            }
        }
        let Some(walk) = self.walks.pop_front() else { return };
        let layers = self.layers_of(&walk);
        let Some(plan) = layers.shape.plan(walk.window) else {
            self.tally.count("walks_ended");
            return;
        };
        let chunks = plan.chunks();
        let (client, delta) = (&self.nodes[node].client, walk.delta.as_deref());
        let turn = client.read_pinned(&self.listings[walk.place], walk.generation, delta, &chunks);
        self.send(node, turn, Operation::Pinned { walk, chunks }, READ_TIMEOUT);
    }

    fn layers_of(&self, walk: &Walk) -> Layers {
        let shape = Shape {
            generation: walk.generation,
            total: walk.total,
            chunk_len: self.policy.chunk_len,
        };
        Layers {
            shape,
            delta: walk.delta.clone(),
        }
    }

    /// Invariant 2: a page of the generation that the walk began with, or none.
    pub(super) fn pinned_read(
        &mut self,
        node: Number,
        mut walk: Walk,
        chunks: &Range<u64>,
        replies: Option<Replies>,
    ) -> Result<(), Violation> {
        let Some(replies) = replies else {
            // Asked again.
            self.walks.push_back(walk);
            return Ok(());
        };
        let (layers, key) = (self.layers_of(&walk), &self.listings[walk.place]);
        let pinned = self.nodes[node]
            .client
            .take_pinned(key, walk.generation, walk.delta.as_deref(), chunks, replies);
        let Ok(pinned) = pinned else {
            // A chunk is lost in between.
            self.tally.count("walks_gone");
            return Ok(());
        };
        let whole = layers.shape.whole_chunks(chunks.start, &pinned.chunks) as u64 == chunks.end - chunks.start;
        if pinned.left.is_none() || walk.generation.id < pinned.head.pins_from() || !whole {
            self.tally.count("walks_gone");
            return Ok(());
        }
        self.keep(node, &layers, chunks.start, pinned.chunks.into_iter());
        if !self.cut(node, walk.place, &layers, walk.window)? {
            return Err("a whole page that cannot be cut".into());
        }
        walk.window.offset += layers.shape.plan(walk.window).map_or(0, |plan| plan.count());
        self.walks.push_back(walk);
        Ok(())
    }
}
