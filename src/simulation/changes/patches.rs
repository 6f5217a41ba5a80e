//! Patches and exchanges: as the engine makes them.

use std::{collections::BTreeSet, rc::Rc};

use super::{
    MILLISECOND, SECOND,
    exchanges::{Exchanged, Old, Published, Versions},
    node::{Held, Node},
    redis::{READ_TIMEOUT, WRITE_TIMEOUT},
    shop::{SORTS, id_of, number_of},
    truth::Place,
};
use crate::{
    engine::{
        ledger::Work,
        patching::{patch::steps, publishing::is_base, removal::remove_returned, rows::KeyedRow},
    },
    listing::{Family, Generation, HeadState, ItemId},
    store::{ChangesSince, Drawn, Grant, simulated::How},
};

const LEASE_POLL: u64 = 20 * MILLISECOND;
const LEASE_WAIT: u64 = 2 * SECOND;
const ATTEMPTS_MAX: usize = 16;

enum Patched {
    Done,
    NeedsRefresh,
}

impl Node {
    /// A patch, or a full read where none can be made. `None`: it is tried again.
    pub(super) async fn bring_up_to_date(self: &Rc<Self>, family: &Family, work: &Work) -> Option<()> {
        if !work.gone.is_empty() {
            let recorded = work.entries.iter().map(|(_, id)| *id).max().unwrap_or_default();
            let family = self.sim.family_of(family);
            // The first stream last, as with items that leave by a change.
            for sort in (0..SORTS).rev() {
                self.remove(Place { family, sort }, &work.gone, recorded).await?;
            }
        }
        if work.changed.is_empty() {
            return Some(());
        }
        match self.patch(family, &work.changed).await? {
            Patched::Done => Some(()),
            Patched::NeedsRefresh => {
                self.sim.count("needs_refresh");
                self.refresh(family, true).await
            }
        }
    }

    async fn patch(self: &Rc<Self>, family: &Family, changed: &BTreeSet<ItemId>) -> Option<Patched> {
        let number = self.sim.family_of(family);
        let listings = &self.sim.listings[number * SORTS..][..SORTS];
        let turn = self.client.borrow().read_heads(listings);
        let replies = self.turn(turn, WRITE_TIMEOUT).await?;
        let heads = self.client.borrow().take_heads(listings, replies);
        let live = heads.iter().filter(|head| head.live().is_some()).count();
        match live {
            0 => return Some(Patched::Done),
            SORTS => {}
            _ => return Some(Patched::NeedsRefresh),
        }
        let (grant, lease) = self.draw_in_time(family).await?;
        let patched = self.patch_drawn(number, changed, &grant, &lease).await;
        self.release(lease).await;
        patched
    }

    async fn draw_in_time(self: &Rc<Self>, family: &Family) -> Option<(Grant, Rc<Held>)> {
        let deadline = self.sim.now() + LEASE_WAIT;
        loop {
            match self.draw(family, true).await? {
                Ok(granted) => return Some(granted),
                Err(Drawn::Leased { .. }) if self.sim.now() < deadline => self.sim.sleep(LEASE_POLL).await,
                Err(_) => return None,
            }
        }
    }

    async fn patch_drawn(
        self: &Rc<Self>,
        family: usize,
        changed: &BTreeSet<ItemId>,
        grant: &Grant,
        lease: &Held,
    ) -> Option<Patched> {
        let mut versions = self.read_rows(changed).await?;
        self.leave_gone_out(&mut versions, family, grant.generations.first()?.id)
            .await?;
        let stay = self.ids_with_rows(family, &versions);
        for (sort, ids) in steps(changed, stay, SORTS) {
            let mut generation = grant.generations.get(sort).copied();
            match self
                .exchange_one(
                    Place { family, sort },
                    (&ids, &versions),
                    &mut generation,
                    (grant, lease),
                )
                .await?
            {
                Patched::Done => {}
                other => return Some(other),
            }
        }
        // Items may have gone while their rows were on their way here.
        let since = self.since(family, grant.generations.first()?.id).await?;
        let gone: BTreeSet<ItemId> = since.gone.into_iter().filter(|id| changed.contains(id)).collect();
        for sort in (0..SORTS).rev().filter(|_| !gone.is_empty()) {
            self.remove(Place { family, sort }, &gone, since.last).await?;
        }
        Some(Patched::Done)
    }

    /// The versions that the origin has of items now.
    pub(super) async fn read_rows(self: &Rc<Self>, ids: &BTreeSet<ItemId>) -> Option<Versions> {
        self.sim.ask_origin().await?;
        let versions = {
            let shop = self.sim.shop.borrow();
            let items = ids.iter().map(number_of);
            items.map(|item| (item, Some(shop.versions[item]))).collect()
        };
        self.sim.sleep(self.sim.between(1, 20 * MILLISECOND)).await;
        Some(versions)
    }

    fn ids_with_rows(&self, family: usize, versions: &Versions) -> BTreeSet<ItemId> {
        let rows = self.rows_of(Place { family, sort: 0 }, versions);
        rows.into_iter().map(|(_, item)| item.id).collect()
    }

    pub(super) fn rows_of(&self, place: Place, versions: &Versions) -> Vec<KeyedRow> {
        let shop = self.sim.shop.borrow();
        let there = versions.iter().filter_map(|(item, version)| Some((*item, (*version)?)));
        let mut rows: Vec<KeyedRow> = there
            .flat_map(|(item, version)| shop.rows(place.family, place.sort, item, version))
            .collect();
        rows.sort_by(|(left, _), (right, _)| left.cmp(right));
        rows
    }

    async fn exchange_one(
        self: &Rc<Self>,
        place: Place,
        (ids, versions): (&BTreeSet<ItemId>, &Versions),
        generation: &mut Option<Generation>,
        (grant, lease): (&Grant, &Held),
    ) -> Option<Patched> {
        let listing = &self.sim.listings[place.index()];
        let mut versions = versions.clone();
        versions.retain(|item, _| ids.contains(&id_of(*item)));
        for _ in 0..ATTEMPTS_MAX {
            let turn = self.client.borrow().read_head(listing);
            let replies = self.turn(turn, READ_TIMEOUT).await?;
            let HeadState::Live(head) = self.client.borrow().take_head(listing, replies).unwrap() else {
                return Some(Patched::NeedsRefresh);
            };
            // Asked after the head was read: nothing that is gone comes back.
            let since = self.since(place.family, grant.generations.first()?.id).await?;
            let gone: BTreeSet<ItemId> = since.gone.into_iter().collect();
            versions.retain(|item, _| !gone.contains(&id_of(*item)));
            let ids = &ids.difference(&gone).cloned().collect();
            let later = generation
                .take()
                .filter(|generation| generation.id > head.generation.id);
            let generation = match later {
                Some(generation) => generation,
                None => self.draw_one(&listing.family).await?,
            };
            let finished = match self
                .exchange(Old::of(place, &head), ids, &versions, generation, (true, false))
                .await?
            {
                Exchanged::Unchanged => {
                    self.sim.count("unchanged");
                    return Some(Patched::Done);
                }
                Exchanged::Impossible => return Some(Patched::NeedsRefresh),
                Exchanged::Written(finished) => finished,
            };
            let how = How {
                policy: &self.sim.policy,
                lease: Some(&lease.lease),
                next_due: None,
                follows: None,
                is_patch: true,
            };
            match self
                .publish_over(&finished, &how, |current| is_base(&head, current))
                .await?
            {
                Published::Moved => {
                    self.sim.count("patched");
                    return Some(Patched::Done);
                }
                Published::Refused => self.sim.count("rebased"),
                Published::Fenced | Published::Overtaken => return None,
            }
        }
        Some(Patched::NeedsRefresh)
    }

    /// All that is gone has no rows.
    async fn leave_gone_out(self: &Rc<Self>, versions: &mut Versions, family: usize, drawn: u64) -> Option<()> {
        let since = self.since(family, drawn).await?;
        for (item, version) in versions {
            if since.gone.contains(&id_of(*item)) {
                *version = None;
            }
        }
        Some(())
    }

    async fn since(self: &Rc<Self>, family: usize, after: u64) -> Option<ChangesSince> {
        let name = &self.sim.families[family].name;
        let turn = self.client.borrow().read_since(name, after, self.sim.wall_ms());
        let replies = self.turn(turn, WRITE_TIMEOUT).await?;
        Some(self.client.borrow().take_since(name, after, replies))
    }

    /// Items that are gone leave a stream at once, if no change after `recorded` says that they are there again.
    async fn remove(self: &Rc<Self>, place: Place, gone: &BTreeSet<ItemId>, recorded: u64) -> Option<()> {
        let (listing, mut ids) = (&self.sim.listings[place.index()], gone.clone());
        for _ in 0..ATTEMPTS_MAX {
            let turn = self.client.borrow().read_head(listing);
            let replies = self.turn(turn, READ_TIMEOUT).await?;
            let HeadState::Live(head) = self.client.borrow().take_head(listing, replies).unwrap() else {
                return Some(());
            };
            let since = self.since(place.family, recorded).await?;
            remove_returned(&mut ids, &since, &listing.family);
            let generation = self.draw_one(&listing.family).await?;
            let (old, none) = (Old::of(place, &head), Versions::new());
            let finished = match self.exchange(old, &ids, &none, generation, (true, false)).await? {
                Exchanged::Unchanged => return Some(()),
                Exchanged::Impossible => {
                    let turn = self
                        .client
                        .borrow()
                        .bring_forward(std::slice::from_ref(&listing.family), self.sim.wall_ms());
                    self.turn(turn, WRITE_TIMEOUT).await?;
                    return Some(());
                }
                Exchanged::Written(finished) => finished,
            };
            let how = How {
                policy: &self.sim.policy,
                lease: None,
                next_due: None,
                follows: None,
                is_patch: true,
            };
            if self
                .publish_over(&finished, &how, |current| is_base(&head, current))
                .await?
                == Published::Moved
            {
                self.sim.count("removed");
                return Some(());
            }
            self.sim.count("rebased");
        }
        None
    }

    pub(super) async fn draw_one(self: &Rc<Self>, family: &Family) -> Option<Generation> {
        let (turn, nonce) = (
            self.client.borrow().draw_without_lease(family),
            self.sim.random(1 << 32) as u32,
        );
        let replies = self.turn(turn, WRITE_TIMEOUT).await?;
        match self.client.borrow().take_draw(family, &[nonce], replies)? {
            Drawn::Granted(grant) => grant.generations.first().copied(),
            _ => None,
        }
    }
}
