//! An origin whose reads can be counted and held up.

use std::{collections::HashMap, sync::Arc, time::Instant};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use listcache::{
    listing::Field,
    origin::{Items, Origin, OriginError, OriginItem, Read, SortValue},
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::support::shop::items;

/// An origin that notes when each name was read. Reads of `held…` wait until they are let go.
pub(super) struct Diary {
    pub reads: Mutex<HashMap<String, Vec<Instant>>>,
    pub held: Semaphore,
}

impl Diary {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            reads: Mutex::default(),
            held: Semaphore::new(0),
        })
    }

    pub(super) fn count(&self) -> usize {
        self.reads.lock().values().map(Vec::len).sum()
    }

    /// How often each name was read since.
    pub(super) fn since(&self, began: Instant) -> Vec<usize> {
        let reads = self.reads.lock();
        let later = |times: &Vec<Instant>| times.iter().filter(|time| **time >= began).count();
        reads.values().map(later).collect()
    }
}

#[async_trait]
impl Origin for Diary {
    async fn read(&self, read: Read) -> Result<Items, OriginError> {
        let name = read.defined.parameters[0].1.to_string();
        self.reads.lock().entry(name.clone()).or_default().push(Instant::now());
        if name.starts_with("held") {
            let _permit = self.held.acquire().await.unwrap();
        }
        let count = if name.starts_with("nothing") { 0 } else { 5 };
        let items = items(count, 0).into_iter().enumerate().map(|(at, item)| OriginItem {
            item,
            id: SortValue::Integer(at as i64),
            keys: Box::default(),
        });
        Ok(stream::iter([Ok(items.collect())]).boxed())
    }

    async fn names(&self, _: &str, _: &[Field]) -> Result<Vec<Vec<String>>, OriginError> {
        let names = (0..100).map(|number| format!("held{number}"));
        Ok(names.chain(["held-too".into()]).map(|name| vec![name]).collect())
    }
}
