//! The outcome of changes that were recorded together, a hash a token: how many they are, which partitions have worked them off, and what was done
//! with each family.

use std::{sync::Arc, time::Duration};

use redis::Pipeline;

use crate::{
    listing::{ChangeToken, ChangesOutcome},
    store::{
        access::Access,
        error::StoreError,
        layout::{
            keys::PARTITIONS,
            numbers::{millis, nonce},
        },
        wire::reply,
    },
};

/// An outcome is kept so long.
const OUTCOME_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// Families whose outcome is kept by their names.
const FAMILIES_TOLD_MAX: usize = 1000;

/// The outcomes of changes.
#[derive(Clone)]
pub struct ChangeOutcomes(pub(crate) Arc<Access>);

impl ChangeOutcomes {
    /// A new token.
    pub fn new_token(&self) -> ChangeToken {
        let parts = [(); 4].map(|()| u128::from(nonce()));
        ChangeToken(parts.into_iter().fold(0, |all, part| all << 32 | part))
    }

    /// Changes are about to be recorded in so many partitions.
    pub(super) async fn begin(&self, token: ChangeToken, changes: usize, of: usize) -> Result<(), StoreError> {
        let key = self.0.keys.change_outcome(token.0);
        let mut turn = Pipeline::new();
        turn.cmd("HSET").arg(&key).arg("changes").arg(changes).arg("of").arg(of);
        turn.cmd("PEXPIRE").arg(&key).arg(millis(OUTCOME_KEPT_FOR));
        self.0.redis.change("record changes", &key, &turn).await
    }

    /// Adds that partitions have worked changes off.
    pub(super) fn done(&self, done: &[(ChangeToken, u8)], to: &mut Pipeline) {
        for (token, partition) in done {
            let key = self.0.keys.change_outcome(token.0);
            to.cmd("HSET").arg(&key).arg(format!("done:{partition}")).arg(1);
            to.cmd("PEXPIRE").arg(&key).arg(millis(OUTCOME_KEPT_FOR)).arg("NX");
        }
    }

    /// Remembers what was done with a family. Beyond a thousand families they are only counted.
    pub async fn note(&self, told: &[(ChangeToken, String, &str)]) -> Result<(), StoreError> {
        const OPERATION: &str = "note the outcome of changes";
        let mut lengths = Pipeline::new();
        for (token, ..) in told {
            lengths.cmd("HLEN").arg(self.0.keys.change_outcome(token.0));
        }
        let lengths = self.0.redis.write(OPERATION, &lengths).await?;
        let mut turn = Pipeline::new();
        for ((token, family, outcome), length) in told.iter().zip(lengths) {
            let key = self.0.keys.change_outcome(token.0);
            let length = reply::unsigned(&reply::answered(length, OPERATION, &key)?).unwrap_or_default();
            if length < (FAMILIES_TOLD_MAX + usize::from(PARTITIONS)) as u64 {
                turn.cmd("HSET").arg(&key).arg(format!("family:{family}")).arg(*outcome);
            } else {
                turn.cmd("HINCRBY").arg(&key).arg("more").arg(1);
            }
            turn.cmd("PEXPIRE").arg(&key).arg(millis(OUTCOME_KEPT_FOR)).arg("NX");
        }
        self.0.redis.change(OPERATION, "change", &turn).await
    }

    /// The outcome of changes; `None` where nothing is known of the token.
    pub async fn of(&self, token: ChangeToken) -> Result<Option<ChangesOutcome>, StoreError> {
        const OPERATION: &str = "read the outcome of changes";
        let key = self.0.keys.change_outcome(token.0);
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let reply = self.0.redis.read_one(OPERATION, &key, &command).await?;
        let fields = reply::pairs(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
        let (mut outcome, mut of, mut done) = (ChangesOutcome::default(), None, 0);
        for (name, value) in fields {
            let (Some(name), number) = (reply::text(name), reply::unsigned(&value)) else {
                continue;
            };
            match (name.split_once(':'), name.as_str()) {
                (None, "changes") => outcome.changes = number.unwrap_or_default(),
                (None, "of") => of = number,
                (None, "more") => outcome.more = number.unwrap_or_default(),
                (Some(("done", _)), _) => done += 1,
                (Some(("family", family)), _) => {
                    outcome
                        .families
                        .insert(family.to_owned(), reply::text(value).unwrap_or_default());
                }
                _ => {}
            }
        }
        Ok(of.map(|of| {
            outcome.left = of.saturating_sub(done);
            outcome
        }))
    }
}
