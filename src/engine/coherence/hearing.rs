//! Hearing: news from Redis reaches the announcer, in order.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::announcer::Announcer;
use crate::{
    store::{Announcement, Heard, Store},
    telemetry::Metrics,
};

/// Hears announcements.
pub(crate) struct Hearing {
    /// Taken when the engine starts: from then on nothing is missed.
    pub heard: mpsc::Receiver<Heard>,
    pub announcer: Arc<Announcer>,
    pub store: Store,
    /// Each is told when Redis may have lost its memory.
    pub forgotten: [Arc<Notify>; 2],
    pub metrics: Arc<Metrics>,
}

impl Hearing {
    /// Runs until the engine stops.
    pub(crate) async fn run(mut self, stopping: CancellationToken) {
        let mut first = true;
        loop {
            let message = tokio::select! {
                message = self.heard.recv() => message,
                () = stopping.cancelled() => return,
            };
            let Some(message) = message else { return };
            self.announcer.hear(&message, first);
            if let Heard::Announcement(Announcement {
                written: Some(written), ..
            }) = &message
            {
                let took = self.store.now().since(*written);
                self.metrics.announcement_seconds.observe(took.as_secs_f64());
            }
            if message == Heard::NewEpoch && !first {
                self.forgotten.iter().for_each(|told| told.notify_one());
            }
            first = false;
        }
    }
}
