//! Waiting for a state, never for a time.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// Far more than anything here takes: a test that fails is late, one that passes is not.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until the answer is `Ok`; reports the last other answer.
pub async fn eventually<T, E: Debug>(mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let begun = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(other) if begun.elapsed() > PATIENCE => panic!("after {PATIENCE:?} still {other:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Holds a check again and again for so long: for what must not happen.
pub async fn all_the_while(so_long: Duration, mut check: impl AsyncFnMut()) {
    let begun = Instant::now();
    while begun.elapsed() < so_long {
        check().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
