//! Which logs have news, for those that read the logs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::{listing::ListingName, store::LogReader};

/// Tells each reader of logs which of them have news.
#[derive(Debug, Default)]
pub(crate) struct Touched(RwLock<Vec<Arc<News>>>);

/// The news of one reader: a bit a log.
#[derive(Debug, Default)]
pub(crate) struct News {
    logs: AtomicU64,
    some: Notify,
}

impl Touched {
    /// All logs.
    pub(crate) const ALL: u64 = u64::MAX;

    /// A reader for as long as the process lives.
    pub(crate) fn reader(&self) -> Arc<News> {
        let news: Arc<News> = Arc::default();
        self.0.write().push(news.clone());
        news
    }

    /// A head of this name has moved.
    pub(super) fn note(&self, name: &ListingName) {
        self.add(1 << LogReader::log_of(name));
    }

    /// Any head may have moved.
    pub(super) fn note_all(&self) {
        self.add(Self::ALL);
    }

    fn add(&self, logs: u64) {
        for news in &*self.0.read() {
            if news.logs.fetch_or(logs, Ordering::AcqRel) & logs != logs {
                news.some.notify_one();
            }
        }
    }
}

impl News {
    /// The logs with news since the last call.
    pub(crate) fn take(&self) -> u64 {
        self.logs.swap(0, Ordering::AcqRel)
    }

    /// Returns when a log has news.
    pub(crate) async fn some(&self) {
        self.some.notified().await;
    }
}

const _: () = assert!(LogReader::LOGS == u64::BITS as usize);
