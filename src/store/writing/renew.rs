//! Renewing the life of what is read and has no origin to be filled from again, or whose origin is away for long.

use std::time::Duration;

use crate::{
    listing::{Generation, ListingKey},
    store::{
        Store,
        error::StoreError,
        layout::numbers::{hex, millis},
        scripts,
        wire::reply,
    },
};

impl Store {
    /// Lets a listing's current generation live for so long from now at least, and its stream `pin_for` longer. Without
    /// effect where the head has moved on.
    pub async fn renew(
        &self,
        key: &ListingKey,
        generation: Generation,
        life: Duration,
        pin_for: Duration,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "renew";
        let keys = &self.inner.keys;
        let key_names = [keys.head(key), keys.stream(key, generation)];
        let mut call = scripts::RENEW.call(&key_names);
        call.arg(generation.id)
            .arg(hex(generation.nonce))
            .arg(millis(life))
            .arg(millis(life.saturating_add(pin_for)));
        let reply = self.inner.connections.script(OPERATION, &scripts::RENEW, &call).await?;
        reply::answered(reply, OPERATION, &key_names[0]).map(drop)
    }
}
