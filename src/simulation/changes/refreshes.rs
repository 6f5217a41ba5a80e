//! Full reads, which follow the changes that were recorded since they were drawn; and deletes.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use super::{
    MILLISECOND, SECOND,
    exchanges::{Exchanged, Old, Published, Versions},
    node::{Held, Node},
    redis::{READ_TIMEOUT, WRITE_TIMEOUT},
    shop::{ITEMS, SORTS, id_of},
    truth::{Content, Place},
};
use crate::{
    engine::{due_after, patching::followed::Followed},
    listing::{Family, HeadState, ItemId},
    store::{
        Drawn, Grant,
        simulated::{Client, How, SimulatedGeneration},
    },
};

const LEASE_POLL: u64 = 50 * MILLISECOND;
const CLAIM_FOR: Duration = Duration::from_secs(5);
const DUE_PERIOD: u64 = SECOND / 2;
const BACK_OFF: Duration = Duration::from_secs(1);
/// So that nothing is due by itself: a full read would hide that a change is lost.
pub(super) const NEXT_DUE: Duration = Duration::from_secs(10 * 3600);
const FOLLOWED_ROUNDS: u32 = 3;
const ROUNDS_MAX: u32 = 16;

/// The changes that a read follows.
struct Following {
    followed: Followed,
    versions: Versions,
}

impl Node {
    pub(super) async fn refresh_what_is_due(self: Rc<Self>) {
        loop {
            self.sim.sleep(self.sim.between(DUE_PERIOD / 2, DUE_PERIOD)).await;
            let turn = self.client.borrow().claim(&self.sim.families, CLAIM_FOR);
            let Some(replies) = self.turn(turn, WRITE_TIMEOUT).await else {
                continue;
            };
            for family in Client::take_claims(replies) {
                let node = self.clone();
                self.sim.executor.spawn(Some(self.life), async move {
                    node.refresh(&family, false).await;
                });
            }
        }
    }

    /// Reads a family in full. Where another node does, that is waited for if it is `demanded`. `None`: it failed.
    pub(super) async fn refresh(self: &Rc<Self>, family: &Family, demanded: bool) -> Option<()> {
        let number = self.sim.family_of(family);
        let mut mark = None;
        loop {
            match self.draw(family, demanded).await? {
                Ok((grant, lease)) => {
                    let read = self.refresh_drawn(number, &grant, &lease).await;
                    if read.is_none() {
                        let turn = self.client.borrow().record_failure(family, BACK_OFF);
                        self.turn(turn, WRITE_TIMEOUT).await;
                    }
                    self.release(lease).await;
                    return read;
                }
                Err(Drawn::Leased { last_id, left }) if demanded => {
                    // Whatever is drawn above this mark is as good as drawn by us.
                    let mark = *mark.get_or_insert(last_id);
                    self.sim.sleep(LEASE_POLL.min(left.as_micros() as u64)).await;
                    let listings = &self.sim.listings[number * SORTS..][..SORTS];
                    let turn = self.client.borrow().read_heads(listings);
                    let replies = self.turn(turn, READ_TIMEOUT).await?;
                    let heads = self.client.borrow().take_heads(listings, replies);
                    if heads.iter().all(|head| head.live().is_some() && head.id() > mark) {
                        return Some(());
                    }
                }
                Err(_) => return None,
            }
        }
    }

    async fn refresh_drawn(self: &Rc<Self>, family: usize, grant: &Grant, lease: &Held) -> Option<()> {
        let sim = &self.sim;
        self.sim.ask_origin().await?;
        let versions = sim.shop.borrow().versions.map(Some);
        let slow = match sim.random(2) {
            0 => 3 * SECOND,
            _ => 50 * MILLISECOND,
        };
        sim.sleep(sim.between(1, slow)).await;
        let drawn = grant.generations.first()?.id;
        let mut following = Following {
            followed: Followed::new(drawn, drawn),
            versions: Versions::new(),
        };
        for sort in 0..SORTS {
            let place = Place { family, sort };
            let all: Versions = versions.iter().copied().enumerate().collect();
            let content = Content {
                place,
                versions,
                rows: self.rows_of(place, &all),
                over: None,
            };
            let finished = self.write(place, grant.generations[sort], grant.as_of, content).await?;
            if self.is_lost(lease) {
                return None;
            }
            self.publish_read(place, finished, &mut following, lease).await?;
        }
        Some(())
    }

    async fn publish_read(
        self: &Rc<Self>,
        place: Place,
        finished: SimulatedGeneration,
        following: &mut Following,
        lease: &Held,
    ) -> Option<()> {
        let sim = &self.sim;
        let mut finished = self.follow(place, finished, following, false).await?;
        let next_due = due_after(NEXT_DUE, place.sort + 1 == SORTS);
        let (mut rounds, mut is_behind) = (0, following.followed.is_behind);
        let published = loop {
            let how = How {
                policy: &sim.policy,
                lease: Some(&lease.lease),
                next_due: Some(if is_behind { Duration::ZERO } else { next_due }),
                follows: (rounds < FOLLOWED_ROUNDS).then_some(following.followed.last),
                is_patch: false,
            };
            match self.publish_over(&finished, &how, |_| true).await? {
                Published::Overtaken if rounds < ROUNDS_MAX => {
                    sim.count("overtaken");
                    rounds += 1;
                    finished = self.follow(place, finished, following, true).await?;
                    is_behind = rounds >= FOLLOWED_ROUNDS || following.followed.is_behind;
                }
                published => break published,
            }
        };
        if is_behind {
            sim.tell(|| "behind".into());
            let family = &sim.families[place.family];
            let turn = self
                .client
                .borrow()
                .bring_forward(std::slice::from_ref(family), sim.wall_ms());
            self.turn(turn, WRITE_TIMEOUT).await?;
        }
        match published {
            Published::Moved => sim.count("read_in_full"),
            Published::Refused => sim.tell(|| "superseded".into()),
            Published::Fenced | Published::Overtaken => return None,
        }
        Some(())
    }

    /// Brings a finished generation up to date. With `renew` its id becomes greater than all that are drawn.
    async fn follow(
        self: &Rc<Self>,
        place: Place,
        finished: SimulatedGeneration,
        following: &mut Following,
        renew: bool,
    ) -> Option<SimulatedGeneration> {
        let family = &self.sim.families[place.family];
        self.catch_up(family, following).await?;
        let ids: BTreeSet<ItemId> = following.followed.ids();
        if ids.is_empty() && !renew {
            return Some(finished);
        }
        let generation = self.draw_one(family).await?;
        let old = Old::finished(place, &finished);
        let exchanged = self
            .exchange(old, &ids, &following.versions, generation, (false, renew))
            .await?;
        Some(match exchanged {
            Exchanged::Unchanged => finished,
            Exchanged::Impossible => {
                following.followed.fall_behind();
                finished
            }
            Exchanged::Written(newer) => {
                self.sim.count("followed");
                newer
            }
        })
    }

    async fn catch_up(self: &Rc<Self>, family: &Family, following: &mut Following) -> Option<()> {
        let (after, now) = (following.followed.last, self.sim.wall_ms());
        let turn = self.client.borrow().read_since(&family.name, after, now);
        let replies = self.turn(turn, WRITE_TIMEOUT).await?;
        let since = self.client.borrow().take_since(&family.name, after, replies);
        let newly = following.followed.take(since, family);
        if !newly.is_empty() {
            following.versions.extend(self.read_rows(&newly).await?);
            following.followed.changed.extend(newly);
        }
        for (item, version) in &mut following.versions {
            if following.followed.gone.contains(&id_of(*item)) {
                *version = None;
            }
        }
        Some(())
    }

    /// Somebody deletes a listing.
    pub(super) async fn delete(self: &Rc<Self>, place: Place) -> Option<()> {
        let (key, nonce) = (&self.sim.listings[place.index()], self.sim.random(1 << 32) as u32);
        let turn = self.client.borrow().read_before(key);
        let replies = self.turn(turn, WRITE_TIMEOUT).await?;
        let before = self.client.borrow().take_before(key, replies).ok()?;
        let turn = self.client.borrow().delete(key, nonce, &before, &self.sim.policy);
        let replies = self.turn(turn, WRITE_TIMEOUT).await?;
        if let Some(generation) = self.client.borrow().take_deleted(key, nonce, replies) {
            self.sim.count("deleted");
            self.moves.note(key, &HeadState::Deleted(generation));
        }
        Some(())
    }
}

const _: () = assert!(ITEMS < 256);
