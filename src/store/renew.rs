//! Renewing the life of what is read and has no origin to be filled from again.

use super::{Store, draw::hex, error::StoreError, publish::millis, reply, scripts};
use crate::listing::{Generation, ListingKey, Policy};

impl Store {
    /// Gives a listing's current generation its full life again. Without effect where the head has moved on.
    pub async fn renew(&self, key: &ListingKey, generation: Generation, policy: &Policy) -> Result<(), StoreError> {
        const OPERATION: &str = "renew";
        let keys = &self.inner.keys;
        let key_names = [keys.head(key), keys.stream(key, generation)];
        let mut call = scripts::RENEW.call(&key_names);
        call.arg(generation.id)
            .arg(hex(generation.nonce))
            .arg(millis(policy.keep_for))
            .arg(millis(policy.keep_for.saturating_add(policy.pin_for)));
        let reply = self.inner.connections.script(OPERATION, &scripts::RENEW, &call).await?;
        reply::answered(reply, OPERATION, &key_names[0]).map(drop)
    }
}
