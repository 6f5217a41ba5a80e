//! Refreshes, pushes and deletes: as the engine does them, which awaits where this goes on with an event.

use std::time::Duration;

use super::{
    network::{Number, Tick},
    node::{HeldLease, Operation, ReadBefore},
    truth::{Place, Violation, Written, item_text},
    world::{LISTINGS, MILLISECOND, PUSHED, READ_TIMEOUT, SECOND, WRITE_TIMEOUT, World},
};
use crate::{
    listing::{Family, HeadState, Item, ItemId},
    store::{
        Announcement, Drawn, Heard,
        simulated::{Answer, Client, How, Replies, SimulatedGeneration},
    },
};

/// How long a lease lasts without a heartbeat, in microseconds.
const LEASE: u64 = 1200 * MILLISECOND;
const CLAIM_FOR: Duration = Duration::from_secs(30);
const BACK_OFF: Duration = Duration::from_secs(1);
const ATTEMPTS_MAX: u32 = 8;
/// Refreshes of one node at once.
const RUNNING_MAX: usize = 4;

/// One family being read and written, or one listing being pushed.
pub(super) struct Refresh {
    pub place: Place,
    pub lease: Option<HeldLease>,
    /// The lease lapses at the earliest then.
    until: u64,
    /// Redis said that it is not ours any more.
    taken: bool,
    pub generation: SimulatedGeneration,
    /// What the origin held; `None` before it was read.
    written: Option<Written>,
    next_chunk: u64,
    attempts: u32,
}

impl World {
    pub(super) fn look_for_due(&mut self, node: Number) {
        if self.nodes[node].refreshes.len() >= RUNNING_MAX {
            return;
        }
        let families: Vec<Family> = self.listings[..PUSHED].iter().map(|key| key.family.clone()).collect();
        let turn = self.nodes[node].client.claim(&families, CLAIM_FOR);
        self.send(node, turn, Operation::Claim, WRITE_TIMEOUT);
    }

    pub(super) fn claimed(&mut self, node: Number, replies: Replies) {
        for family in Client::take_claims(replies) {
            let place = self.listings.iter().position(|key| key.family == family).unwrap();
            self.begin_refresh(node, place);
        }
    }

    /// Looks for what is due too late.
    pub(super) fn look_far_off(&mut self, node: Number) {
        let families: Vec<Family> = self.listings[..PUSHED].iter().map(|key| key.family.clone()).collect();
        let than = self.wall_ms().after(self.policy.due_within());
        let turn = self.nodes[node].client.due_later(&families, than);
        self.send(node, turn, Operation::DueLater, READ_TIMEOUT);
    }

    pub(super) fn far_off(&mut self, node: Number, replies: Replies) {
        let (now, due_within) = (self.wall_ms(), self.policy.due_within());
        let mut due = Client::take_due_later(replies);
        due.retain(|(_, at)| at.since(now) > due_within);
        let families: Vec<Family> = due.into_iter().map(|(family, _)| family).collect();
        if !families.is_empty() {
            self.tally.count("brought_forward");
            let turn = self.nodes[node].client.bring_forward(&families, now);
            self.send(node, turn, Operation::Forgotten, WRITE_TIMEOUT);
        }
    }

    pub(super) fn begin_refresh(&mut self, node: Number, place: Place) {
        let drawing =
            |operation: &Operation| matches!(operation, Operation::Draw { place: drawn, .. } if *drawn == place);
        let state = &self.nodes[node];
        if state.refreshes.values().any(|refresh| refresh.place == place) || state.operations.values().any(drawing) {
            return;
        }
        let owner = format!("{node}.{:x}", self.random.u64(..));
        let nonce = self.random.u32(..);
        let turn = self.nodes[node]
            .client
            .draw(&self.listings[place].family, &owner, &[nonce], false);
        let operation = Operation::Draw {
            place,
            owner: Some(owner),
            nonce,
            asked: self.now,
        };
        self.send(node, turn, operation, WRITE_TIMEOUT);
    }

    /// Somebody pushes, or deletes.
    pub(super) fn write(&mut self, node: Number) {
        match self.random.u32(..10) {
            0 => {
                let place = self.random.usize(..LISTINGS);
                let turn = self.nodes[node].client.read_before(&self.listings[place]);
                self.send(node, turn, Operation::BeforeDelete { place }, WRITE_TIMEOUT);
            }
            _ => {
                let nonce = self.random.u32(..);
                let turn = self.nodes[node]
                    .client
                    .draw_without_lease(&self.listings[PUSHED].family);
                let operation = Operation::Draw {
                    place: PUSHED,
                    owner: None,
                    nonce,
                    asked: self.now,
                };
                self.send(node, turn, operation, WRITE_TIMEOUT);
            }
        }
    }

    pub(super) fn drawn(
        &mut self,
        node: Number,
        place: Place,
        owner: Option<String>,
        nonce: u32,
        asked: u64,
        replies: Replies,
    ) -> Result<(), Violation> {
        let key = self.listings[place].clone();
        let drawn = self.nodes[node].client.take_draw(&key.family, &[nonce], replies);
        let Some(Drawn::Granted(grant)) = drawn else {
            return Ok(());
        };
        let generation = grant.generations[0];
        if owner.is_none() {
            // What is pushed is as new as its draw.
            self.origins[place] += 1;
        }
        let lease = owner.map(|owner| self.nodes[node].client.lease_of(&key.family, &owner, generation));
        let refresh = Refresh {
            place,
            lease,
            until: asked + LEASE,
            taken: false,
            generation: SimulatedGeneration {
                key,
                generation,
                as_of: grant.as_of,
                total: 0,
                delta: None,
            },
            written: None,
            next_chunk: 0,
            attempts: 0,
        };
        if place == PUSHED {
            // Pushes carry what they bring: which of two is the later one the draw decides.
            let (written, delta) = self.some_items(place, generation.id, generation)?;
            self.truth.begin_generation(generation, written)?;
            let mut refresh = refresh;
            refresh.generation.delta = delta;
            self.start(node, refresh, Some(written));
        } else {
            self.start(node, refresh, None);
        }
        Ok(())
    }

    fn start(&mut self, node: Number, mut refresh: Refresh, written: Option<Written>) {
        refresh.written = written;
        refresh.generation.total = written.map_or(0, |written| written.total);
        let number = self.next_number();
        self.nodes[node].refreshes.insert(number, refresh);
        let after = self.random.u64(MILLISECOND..50 * MILLISECOND);
        self.tick_later(node, after, Tick::Refresh(number));
    }

    /// The next chunk is written, or all is published.
    pub(super) fn go_on_refreshing(&mut self, node: Number, number: u64) -> Result<(), Violation> {
        let (now, chunk_len) = (self.now, u64::from(self.policy.chunk_len.get()));
        let Some(refresh) = self.nodes[node].refreshes.get_mut(&number) else {
            return Ok(());
        };
        if refresh.lease.is_some() && (refresh.taken || now >= refresh.until) {
            self.tally.count("lapsed");
            self.abandon(node, number, None);
            return Ok(());
        }
        let written = match refresh.written {
            Some(written) => written,
            None => {
                let place = refresh.place;
                if self.random.u32(..15) == 0 {
                    self.abandon(node, number, Some(BACK_OFF));
                    return Ok(());
                }
                let generation = refresh.generation.generation;
                let (written, delta) = self.some_items(place, self.origins[place], generation)?;
                let refresh = self.nodes[node].refreshes.get_mut(&number).unwrap();
                refresh.written = Some(written);
                (refresh.generation.total, refresh.generation.delta) = (written.total, delta);
                self.truth.begin_generation(generation, written)?;
                written
            }
        };
        let refresh = self.nodes[node].refreshes.get_mut(&number).unwrap();
        let (own, delta) = (refresh.generation.generation, &refresh.generation.delta);
        let is_own = |chunk: u64| delta.as_ref().is_none_or(|delta| delta.layer_of(chunk) == Some(own));
        let chunks = 0..written.total.div_ceil(chunk_len);
        let is_first = !(0..refresh.next_chunk).any(is_own);
        let next = (refresh.next_chunk..chunks.end).find(|chunk| is_own(*chunk));
        let next = next.unwrap_or(chunks.end);
        refresh.next_chunk = next;
        let first = refresh.next_chunk * chunk_len;
        let refresh = &self.nodes[node].refreshes[&number];
        if first < written.total {
            let items: Vec<Item> = (first..written.total.min(first + chunk_len))
                .map(|position| Item {
                    id: ItemId::from_integer(position as i64),
                    json: item_text(written, position).into_bytes().into(),
                })
                .collect();
            let turn = self.nodes[node]
                .client
                .write_chunk(&refresh.generation, refresh.next_chunk, &items, is_first);
            self.send(node, turn, Operation::Chunk { refresh: number }, WRITE_TIMEOUT);
        } else {
            let refresh = &self.nodes[node].refreshes[&number];
            let turn = self.nodes[node].client.finish(&refresh.generation, &self.policy);
            self.send(node, turn, Operation::Before { refresh: number }, WRITE_TIMEOUT);
        }
        Ok(())
    }

    pub(super) fn chunk_written(&mut self, node: Number, number: u64, replies: Option<Replies>) {
        if !self.nodes[node].refreshes.contains_key(&number) {
            return;
        }
        if !replies.is_some_and(Client::is_written) {
            return self.abandon(node, number, Some(BACK_OFF));
        }
        self.nodes[node].refreshes.get_mut(&number).unwrap().next_chunk += 1;
        // Some origins are slow.
        let after = match self.random.u32(..60) {
            0 => self.random.u64(SECOND / 10..3 * SECOND),
            _ => self.random.u64(MILLISECOND..20 * MILLISECOND),
        };
        self.tick_later(node, after, Tick::Refresh(number));
    }

    pub(super) fn publish_after(&mut self, node: Number, number: u64, before: &ReadBefore) {
        let (seconds, jitter) = (self.policy.fresh_for.as_secs_f64() * 0.9, self.random.f64() * 0.2 + 0.9);
        let refresh = &self.nodes[node].refreshes[&number];
        let next_due = refresh
            .lease
            .is_some()
            .then(|| Duration::from_secs_f64(seconds * jitter));
        let how = How {
            policy: &self.policy,
            lease: refresh.lease.as_ref(),
            next_due,
            follows: None,
            is_patch: false,
        };
        let (head, turn) = self.nodes[node].client.publish(&refresh.generation, before, &how);
        let operation = Operation::Publish {
            refresh: number,
            head: HeadState::Live(head),
        };
        self.send(node, turn, operation, WRITE_TIMEOUT);
    }

    pub(super) fn published(&mut self, node: Number, number: u64, head: HeadState, replies: Option<Replies>) {
        let Some(refresh) = self.nodes[node].refreshes.get_mut(&number) else {
            return;
        };
        refresh.attempts += 1;
        let (place, attempts, pushed) = (refresh.place, refresh.attempts, refresh.lease.is_none());
        let key = self.listings[place].clone();
        let answer = replies.map(|replies| self.nodes[node].client.take_published(&key, replies));
        match answer.flatten() {
            // Nobody knows whether it was done: done twice it is done once.
            None | Some(Answer::Retry) if attempts < ATTEMPTS_MAX => {
                let turn = self.nodes[node].client.read_before(&key);
                self.send(node, turn, Operation::Before { refresh: number }, WRITE_TIMEOUT);
            }
            Some(Answer::Moved) => {
                if pushed {
                    self.tally.count("pushed");
                } else {
                    self.tally.count("published");
                }
                let announcement = Announcement {
                    listing: key,
                    head,
                    written: None,
                };
                self.apply(node, vec![Heard::Announcement(announcement)], true);
                self.end(node, number);
            }
            refused => {
                match refused {
                    Some(Answer::Fenced) => self.tally.count("fenced"),
                    Some(Answer::Older(_)) => self.tally.count("older"),
                    _ => {}
                }
                self.abandon(node, number, None);
            }
        }
    }

    pub(super) fn abandon(&mut self, node: Number, number: u64, back_off: Option<Duration>) {
        let refresh = &self.nodes[node].refreshes[&number];
        let SimulatedGeneration { key, generation, .. } = &refresh.generation;
        let unlink = self.nodes[node].client.unlink(key, *generation);
        let failure = back_off
            .filter(|_| refresh.lease.is_some())
            .map(|back_off| self.nodes[node].client.record_failure(&key.family, back_off));
        self.send(node, unlink, Operation::Forgotten, WRITE_TIMEOUT);
        if let Some(failure) = failure {
            self.send(node, failure, Operation::Forgotten, WRITE_TIMEOUT);
        }
        self.end(node, number);
    }

    fn end(&mut self, node: Number, number: u64) {
        let refresh = self.nodes[node].refreshes.remove(&number).unwrap();
        if let Some(lease) = refresh.lease {
            let release = self.nodes[node].client.release(&lease);
            self.send(node, release, Operation::Forgotten, WRITE_TIMEOUT);
        }
    }

    pub(super) fn heartbeat(&mut self, node: Number) {
        let leases: Vec<(u64, HeldLease)> = self.nodes[node]
            .refreshes
            .iter()
            .filter_map(|(number, refresh)| Some((*number, refresh.lease.clone()?)))
            .collect();
        for (refresh, lease) in leases {
            let turn = self.nodes[node].client.extend(&lease);
            let asked = self.now;
            self.send(node, turn, Operation::Extend { refresh, asked }, 400 * MILLISECOND);
        }
    }

    pub(super) fn extended(&mut self, node: Number, refresh: u64, asked: u64, replies: &Replies) {
        if let Some(refresh) = self.nodes[node].refreshes.get_mut(&refresh) {
            match Client::number(replies) {
                Some(1) => refresh.until = asked + LEASE,
                _ => refresh.taken = true,
            }
        }
    }

    pub(super) fn deleted(&mut self, node: Number, place: Place, nonce: u32, replies: Replies) {
        let key = self.listings[place].clone();
        if let Some(generation) = self.nodes[node].client.take_deleted(&key, nonce, replies) {
            self.tally.count("deleted");
            let announcement = Announcement {
                listing: key,
                head: HeadState::Deleted(generation),
                written: None,
            };
            self.apply(node, vec![Heard::Announcement(announcement)], true);
        }
    }
}
