//! Which head may be served, and how fresh its pages are. A head that is getting old starts a refresh.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    page::{PageFreshness, PageMeta, Served, millis},
    selection::Selection,
};
use crate::{
    engine::{
        fetching::heads::HeadFrom,
        refreshing::{means::Means, page_state::PageState, runs::Refresher},
    },
    listing::{Freshness, Head, HeadState, Timestamp, Window, definition::Defined},
    store::Refused,
};

/// So long after an instant a page does not start a refresh: that is for the [clock](crate::engine::refreshing::clock), which may know the items
/// that have changed.
const LEFT_TO_CLOCK: Duration = Duration::from_secs(10);

/// Decides which heads may be served.
pub(crate) struct Freshener {
    pub means: Arc<Means>,
    pub refresher: Arc<Refresher>,
}

/// A head that may be served, and how long its pages may be used.
#[derive(Clone, Debug)]
pub(crate) struct Servable {
    pub head: Head,
    freshness: PageFreshness,
}

impl Servable {
    /// The meta of a page of it.
    pub(crate) fn meta(&self, selection: &Selection, window: Window, served: Served) -> PageMeta {
        PageMeta {
            generation: self.head.generation,
            total: self.head.total,
            chunk_len: self.head.chunk_len,
            delta: self.head.delta.clone(),
            offset: window.offset,
            limit: window.limit,
            order: selection.order,
            pinned: false,
            freshness: self.freshness,
            served,
            narrowed: None,
        }
    }
}

impl Freshener {
    /// The head to serve and how fresh it is; `None` where there is nothing to serve. A stale one starts a refresh.
    pub(crate) fn servable(&self, selection: &Selection, state: &HeadState, from: HeadFrom) -> Option<Servable> {
        let head = state.live()?;
        let freshness = match &selection.defined {
            None => self.of_pushed(selection, from)?,
            Some(defined) => self.of_defined(selection, defined, head, from)?,
        };
        Some(Servable {
            head: head.clone(),
            freshness,
        })
    }

    /// A pushed listing is the truth until it is pushed again; `max_age` says how often to ask.
    fn of_pushed(&self, selection: &Selection, from: HeadFrom) -> Option<PageFreshness> {
        let ttl_ms = millis(selection.policy.fresh_for);
        let state = if let HeadFrom::Memory { refused } = from {
            let (_, known_for) = self.means.l1.heads.peek(&selection.key);
            (known_for <= selection.policy.stale_if_error).then_some(())?;
            PageState::from_memory(refused)
        } else {
            PageState::Fresh
        };
        let until_ms = PageFreshness::NEVER;
        Some(PageFreshness {
            ttl_ms,
            state,
            until_ms,
        })
    }

    fn of_defined(
        &self,
        selection: &Selection,
        defined: &Defined,
        head: &Head,
        from: HeadFrom,
    ) -> Option<PageFreshness> {
        let reshaped = defined.definition.reshapes(&selection.key.stored, head);
        let now = self.means.store.now();
        let is_frozen = || self.means.frozen.until(selection.key.name(), now).is_some();
        // A frozen listing stays as it is past the instant.
        let awaited = head.awaits().filter(|next| *next > now || !is_frozen());
        let until_ms = awaited.map_or(PageFreshness::NEVER, |next| until(next, now));
        let freshness = selection.policy.freshness(head.as_of, now);
        let stale_for = match freshness {
            Freshness::Fresh(left) if !reshaped && until_ms > 0 => {
                let state = if let HeadFrom::Memory { refused } = from {
                    PageState::from_memory(refused)
                } else {
                    // Nearly always false, so it is asked first.
                    if is_early(selection, head, left) && !is_frozen() {
                        self.refresh_early(selection, defined, head);
                    }
                    PageState::Fresh
                };
                let ttl_ms = millis(left).min(until_ms);
                return Some(PageFreshness {
                    ttl_ms,
                    state,
                    until_ms,
                });
            }
            Freshness::Fresh(_) => awaited.map_or(Duration::ZERO, |next| now.since(next)),
            Freshness::Stale(by) => by,
            Freshness::Expired => {
                is_frozen().then_some(())?;
                now.since(head.as_of).saturating_sub(selection.policy.fresh_for)
            }
        };
        let state = if let HeadFrom::Memory { refused } = from {
            (stale_for <= selection.policy.stale_if_error).then_some(())?;
            PageState::from_memory(refused)
        } else if is_frozen() {
            PageState::OriginError
        } else if let Some(state) = self
            .means
            .failures
            .why_backing_off(&defined.definition, &selection.key.family)
        {
            state
        } else {
            // The clock's own work comes first: it may be a patch.
            let is_clocks = matches!(freshness, Freshness::Fresh(_)) && !reshaped && stale_for < LEFT_TO_CLOCK;
            if !defined.definition.is_outdated(head) && !is_clocks {
                drop(self.refresher.trigger(defined, &selection.key));
            }
            self.refreshing()
        };
        let ttl_ms = -millis(stale_for).max(1);
        Some(PageFreshness {
            ttl_ms,
            state,
            until_ms,
        })
    }

    /// The state of a stale page whose refresh has just begun: that it will fail, where this process knows so.
    fn refreshing(&self) -> PageState {
        if self.means.store.refused().iter().any(Refused::is_of_refreshes) {
            PageState::RedisRefuses
        } else if self.means.store.is_full() {
            PageState::RedisFull
        } else {
            PageState::Refreshing
        }
    }

    /// A head that is read near the end of its freshness is refreshed before it is stale.
    fn refresh_early(&self, selection: &Selection, defined: &Defined, head: &Head) {
        let (definition, family) = (&defined.definition, &selection.key.family);
        if !definition.is_outdated(head) && self.means.failures.backing_off(definition, family).is_none() {
            drop(self.refresher.trigger_after(defined, &selection.key, head.as_of));
        }
    }
}

/// Milliseconds until an instant, negative after it.
fn until(next: Timestamp, now: Timestamp) -> i64 {
    match next > now {
        true => millis(next.since(now)),
        false => -millis(now.since(next)),
    }
}

/// Whether a head is near the end of its freshness.
fn is_early(selection: &Selection, head: &Head, left: Duration) -> bool {
    // A generation's nonce is as good as chance, and the same for all readers.
    let spread = f64::from(head.generation.nonce) / f64::from(u32::MAX);
    selection.policy.is_early(left, spread)
}

/// The greatest staleness served since it was last taken.
#[derive(Default)]
pub(crate) struct OldestStale {
    millis: AtomicU64,
}

impl OldestStale {
    /// A page was served so long past `fresh_for`.
    pub(crate) fn saw(&self, stale_for: Duration) {
        let millis = u64::try_from(stale_for.as_millis()).unwrap_or(u64::MAX);
        self.millis.fetch_max(millis, Ordering::Relaxed);
    }

    /// Takes it, and begins anew.
    pub(crate) fn take(&self) -> Duration {
        Duration::from_millis(self.millis.swap(0, Ordering::Relaxed))
    }
}
