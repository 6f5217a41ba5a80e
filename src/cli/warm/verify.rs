//! `warm --verify`: reads back what lies in Redis after a warm-up, and lists what differs.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    cli::{CommandError, progress::Progress},
    engine::warm_up::{Step, Target, Verified},
    listing::{Family, Generation, ListingKey},
};

/// The events of each target while it was warmed.
pub(super) struct Verifying {
    targets: HashMap<Family, Target>,
    /// In the order of their ends.
    good: Vec<Target>,
    read: HashMap<ListingKey, (Generation, u64)>,
}

impl Verifying {
    pub(super) fn new(targets: &[Target]) -> Self {
        let targets = targets.iter().map(|target| (target.family.clone(), target.clone()));
        Self {
            targets: targets.collect(),
            good: Vec::new(),
            read: HashMap::new(),
        }
    }

    /// A target that failed is reported already.
    pub(super) fn heard(&mut self, target: &Target, step: &Step) {
        match step {
            Step::Failed(_) => return,
            Step::Refreshed { listings, .. } => {
                let read = listings
                    .iter()
                    .map(|one| (one.listing.clone(), (one.generation, one.total)));
                self.read.extend(read);
            }
            Step::Fresh | Step::Done | Step::Frozen => {}
        }
        self.good.extend(self.targets.remove(&target.family));
    }

    /// Compares; returns how many targets differ. A signal ends it early.
    pub(super) async fn run(
        self,
        app: &App,
        progress: &mut Progress,
        shutdown: &CancellationToken,
    ) -> Result<usize, CommandError> {
        let mut verified = Verified::default();
        let mut different = 0;
        for target in &self.good {
            if shutdown.is_cancelled() {
                break;
            }
            let doing = || CommandError::engine(format!("cannot read back {}", target.family));
            let read = |key: &ListingKey| self.read.get(key).copied();
            let (right, differences) = app.engine.warm_ups.verify(target, read).await.map_err(doing())?;
            verified.listings += right.listings;
            verified.items += right.items;
            different += usize::from(!differences.is_empty());
            differences.iter().for_each(|difference| progress.differs(difference));
        }
        progress.verified(verified);
        Ok(different)
    }
}
