//! Items that are recalled: no listing may show them, whatever an origin or a push has.

use std::collections::BTreeSet;

use redis::Pipeline;

use super::changes::ChangeRecords;
use crate::{
    listing::{ItemId, ListingName},
    store::{error::StoreError, layout::keys::Partition, wire::reply},
};

impl ChangeRecords {
    /// The items that are recalled, as far as a name may have them.
    pub async fn recalled(&self, name: &ListingName) -> Result<BTreeSet<ItemId>, StoreError> {
        const OPERATION: &str = "read recalled items";
        let key = self.0.keys.recalled(Partition::of(name));
        let mut turn = Pipeline::new();
        let now = self.0.clock.now().0;
        turn.cmd("ZRANGE").arg(&key).arg(now).arg("+inf").arg("BYSCORE");
        // Through the writing connection, which is the one that the next step needs anyway.
        let reply = self.0.redis.write(OPERATION, &turn).await?.into_iter().next();
        let reply = reply::answered(reply.unwrap_or_default(), OPERATION, &key)?;
        let ids = reply::array(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
        let ids = ids.into_iter().filter_map(reply::text);
        Ok(ids.filter_map(|id| ItemId::parse(&id)).collect())
    }
}
