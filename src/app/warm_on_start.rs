//! A service that begins with a warm-up: it listens, and is ready once everything has something fresh to serve, at its
//! deadline in any case. The warm-up goes on behind; services that start together share its work.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    config::WarmConfig,
    engine::{
        Chain, Engine, EngineError, Shrink,
        warm_up::{Effort, Ended, Step, Why},
    },
    http::Readiness,
};

/// A failed step is tried again after this.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A service that starts takes up the warm-up of another one that was at work within this time. An older one may be stale by
/// now.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(120);

/// Begins to warm up what the configuration says; from here on the service is not ready.
pub(super) fn begin(
    engine: Arc<Engine>,
    warm: WarmConfig,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let began = Instant::now();
    let deadline = began + warm.deadline;
    readiness.warming_up(deadline);
    tokio::spawn(async move {
        tokio::select! {
            () = warm_until(&engine, &warm, began, deadline, &stop) => readiness.warmed_up(),
            // A service that stops has become ready for nothing.
            () = stop.cancelled() => {}
        }
    })
}

/// Until all is warm, or the deadline is past.
async fn warm_until(engine: &Engine, warm: &WarmConfig, began: Instant, deadline: Instant, stop: &CancellationToken) {
    loop {
        match warm_once(engine, warm, stop).await {
            Ok(Counted {
                ended,
                failed: 0,
                warmed,
            }) if ended.why == Why::Finished => {
                tracing::info!(
                    families = warmed,
                    duration_ms = began.elapsed().as_millis() as u64,
                    "warm"
                );
                break;
            }
            Ok(Counted { failed, warmed, .. }) => {
                tracing::warn!(families = warmed, failed, "not all is warm");
            }
            Err(error) => tracing::warn!(error = %Chain(&error), "the warm-up could not begin"),
        }
        // A listing that still fails is filled on demand.
        if Instant::now() >= deadline {
            tracing::warn!("ready without being warm: the deadline is past");
            break;
        }
        tokio::time::sleep(TRY_AGAIN_AFTER).await;
    }
}

struct Counted {
    ended: Ended,
    warmed: usize,
    failed: usize,
}

async fn warm_once(engine: &Engine, warm: &WarmConfig, stop: &CancellationToken) -> Result<Counted, EngineError> {
    let reads = engine.warm_ups.recorded_reads().await?;
    let mut targets = engine.warm_ups.targets(&warm.scope, &reads).await?;
    targets.sort_by_key(|target| std::cmp::Reverse(reads.of(&target.family)));
    let effort = Effort {
        concurrency: warm.concurrency,
        rate: warm.rate,
        origin_latency_max: warm.origin_latency_max,
        shrink: Shrink::Refused,
        skip_fresh: true,
        stop_at: None,
    };
    let job = engine.warm_ups.begin(&warm.scope, true, false, TAKEN_UP_WITHIN).await?;
    let (mut warmed, mut failed) = (0, 0);
    let ended = engine
        .warm_ups
        .run(Some(&job), targets, &effort, stop, &mut |target, step| match step {
            Step::Failed(error) => {
                failed += 1;
                tracing::warn!(listing = %target.family, error = %Chain(error), "not warmed");
            }
            _ => warmed += 1,
        })
        .await;
    if ended.why == Why::Finished {
        job.end().await;
    }
    Ok(Counted { ended, warmed, failed })
}
