//! How the server does, as all connections of a store know it together.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;

use super::refusals::{Refusals, WARN_EVERY};
use crate::telemetry::Metrics;

/// How the server does, as all connections know it together.
#[derive(Debug)]
pub(crate) struct Liveness {
    live: AtomicUsize,
    /// Whether the last write that grows something was refused.
    full: AtomicBool,
    /// Whether announcements should be heard and are not.
    deaf: AtomicBool,
    /// When it was told last that a reply is too large.
    too_large_told: Mutex<Option<Instant>>,
    pub refusals: Refusals,
    pub metrics: Arc<Metrics>,
}

impl Liveness {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            live: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            too_large_told: Mutex::default(),
            refusals: Refusals::new(metrics.clone()),
            metrics,
        })
    }

    /// Whether Redis takes no more data, as far as was heard.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Something was refused because Redis is full, or something large was taken.
    pub(crate) fn tell_full(&self, full: bool) {
        if self.full.swap(full, Ordering::Relaxed) != full {
            self.metrics.redis_full.set(i64::from(full));
            if full {
                tracing::error!("redis is full: kept listings stay, and nothing new is written");
            } else {
                tracing::info!("redis takes data again");
            }
        }
    }

    /// Whether announcements should be heard and are not.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed)
    }

    /// Announcements are heard, or not any more.
    pub(crate) fn tell_subscribed(&self, subscribed: bool) {
        self.deaf.store(!subscribed, Ordering::Relaxed);
        self.metrics.redis_subscribed.set(i64::from(subscribed));
    }

    /// A reply was larger than `redis.reply_max`. Told once a minute: any page may be what asks for it.
    pub(crate) fn tell_too_large(&self, operation: &'static str) {
        let mut told = self.too_large_told.lock();
        if told.is_none_or(|told| told.elapsed() >= WARN_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(
                operation,
                "redis sends more than redis.reply_max: its connection was closed; look for large values under the prefix, or raise redis.reply_max"
            );
        }
    }

    /// A connection was opened, or is lost.
    pub(crate) fn count(&self, up: bool) {
        let live = if up {
            self.live.fetch_add(1, Ordering::Relaxed) + 1
        } else {
            self.live.fetch_sub(1, Ordering::Relaxed) - 1
        };
        self.metrics.redis_up.set(i64::from(live > 0));
    }
}
