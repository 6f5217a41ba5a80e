//! Changes are recorded: those that clients tell of, and those of the shop's outbox.

use std::{collections::BTreeSet, rc::Rc};

use super::{MILLISECOND, SECOND, node::Node, redis::WRITE_TIMEOUT};
use crate::{
    engine::outboxes::{Emptying, empty},
    listing::{Change, ItemId},
    origin::ChangeRow,
    store::simulated::Recordings,
};

const TAKE_PERIOD: u64 = SECOND;
const OUTBOX_PERIOD: u64 = SECOND / 2;

impl Node {
    /// Records changes, as it was asked to; `None`: nobody knows.
    pub(super) async fn record(self: &Rc<Self>, changes: &[Change]) -> Option<()> {
        let mut left = Some(Recordings::of(changes));
        while let Some(recordings) = left {
            let recordings = Rc::new(recordings);
            let turn = self.client.borrow().record(&recordings);
            let (sim, told, all) = (self.sim.clone(), recordings.clone(), changes.to_vec());
            let watch = move |replies: &_| {
                if told.are_whole(replies) {
                    sim.recorded(&all);
                }
            };
            let replies = self.turn_watched(turn, WRITE_TIMEOUT, watch).await?;
            let recordings = Rc::into_inner(recordings)?;
            left = self.client.borrow().take_recorded(recordings, replies);
        }
        let turn = self.client.borrow().wake(0);
        self.turn(turn, WRITE_TIMEOUT).await?;
        Some(())
    }

    pub(super) async fn read_outbox(self: Rc<Self>) {
        loop {
            self.sim.sleep(self.sim.between(1, TAKE_PERIOD)).await;
            let Some(lease) = self.role("outbox:shop").await else {
                continue;
            };
            while !self.is_lost(&lease) {
                let wait = match empty(&OutboxOf(&self)).await {
                    Ok(_) => OUTBOX_PERIOD,
                    Err(()) => SECOND,
                };
                self.sim.sleep(wait).await;
            }
        }
    }
}

/// The shop's outbox, and the node that reads it.
struct OutboxOf<'a>(&'a Rc<Node>);

impl Emptying for OutboxOf<'_> {
    type Error = ();

    async fn read(&self) -> Result<Vec<ChangeRow>, ()> {
        self.0.sim.ask_origin().await.ok_or(())?;
        let shop = self.0.sim.shop.borrow();
        Ok(shop.outbox.values().take(5).map(|(row, _)| row.clone()).collect())
    }

    async fn record(&self, rows: &[ChangeRow]) -> Result<(), ()> {
        let ids: BTreeSet<ItemId> = rows.iter().filter_map(|row| ItemId::parse(&row.id)).collect();
        let changes: Vec<Change> = ids.into_iter().map(Change::of_item).collect();
        match changes.is_empty() {
            true => Ok(()),
            false => self.0.record(&changes).await.ok_or(()),
        }
    }

    async fn delete(&self, rows: &[ChangeRow]) -> Result<(), ()> {
        let sim = &self.0.sim;
        sim.ask_origin().await.ok_or(())?;
        for row in rows {
            let deleted = sim.shop.borrow_mut().outbox.remove(&row.number);
            if let Some((row, written_at)) = deleted {
                sim.count("rows_deleted");
                let id = ItemId::parse(&row.id).unwrap();
                sim.check(sim.truth.borrow().row_deleted(&id, written_at));
            }
        }
        sim.sleep(sim.between(1, 5 * MILLISECOND)).await;
        Ok(())
    }
}
