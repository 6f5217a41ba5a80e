//! Items on their way from the task that reads them to the poller of the stream.
//!
//! They travel in batches, all the way: a hand-over between threads costs more than reading an item does. The reader waits when
//! [`BATCHES_MAX`] are on the way. The time-out is the receiver's: it strikes when the next batch is not there, so a
//! slow writer behind the stream is not taken for a slow origin.

use futures_util::{StreamExt, stream};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{Items, OriginError, OriginItem};

/// Items in a batch.
const BATCH_ITEMS_MAX: usize = 128;
/// Bytes of JSON after which a batch is sent, however few its items.
const BATCH_BYTES_MAX: usize = 64 * 1024;
/// Batches on the way.
const BATCHES_MAX: usize = 4;

/// Those that are here already.
pub(super) fn in_batches(items: Vec<OriginItem>) -> Items {
    stream::iter(items).chunks(BATCH_ITEMS_MAX).map(Ok).boxed()
}

/// A stream of what the sender is given. The deadline is for the whole of it.
pub(super) fn batches(deadline: Instant) -> (ItemSender, Items) {
    let (channel, receiver) = mpsc::channel(BATCHES_MAX);
    let sender = ItemSender {
        channel,
        batch: Vec::new(),
        batch_bytes: 0,
    };
    let batches = stream::unfold(Some(receiver), move |receiver| async move {
        let mut receiver = receiver?;
        match timeout_at(deadline, receiver.recv()).await {
            Ok(Some(Message::Batch(batch))) => Some((Ok(batch), Some(receiver))),
            Ok(Some(Message::End(outcome))) => outcome.err().map(|error| (Err(error), None)),
            // A reader that dies must not look like one that has finished: half a listing would be published.
            Ok(None) => Some((Err(OriginError::Unavailable("the read broke off".into())), None)),
            Err(_) => Some((Err(OriginError::TimedOut), None)),
        }
    });
    (sender, batches.boxed())
}

enum Message {
    Batch(Vec<OriginItem>),
    /// Without it, the reader died.
    End(Result<(), OriginError>),
}

/// The stream was dropped: nobody waits for more.
#[derive(Debug)]
pub(super) struct Gone;

/// Where a reader puts its items.
pub(super) struct ItemSender {
    channel: mpsc::Sender<Message>,
    batch: Vec<OriginItem>,
    batch_bytes: usize,
}

impl ItemSender {
    /// Ready when the stream has been dropped.
    pub(super) async fn gone(&self) {
        self.channel.closed().await;
    }

    /// Whether the stream has been dropped.
    pub(super) fn is_gone(&self) -> bool {
        self.channel.is_closed()
    }

    /// Sends an item; waits while too many are on the way.
    pub(super) async fn push(&mut self, item: OriginItem) -> Result<(), Gone> {
        match self.fill(item) {
            Some(batch) => self.channel.send(batch).await.map_err(|_| Gone),
            None => Ok(()),
        }
    }

    /// As [`push`](Self::push), from a thread that may block.
    pub(super) fn push_blocking(&mut self, item: OriginItem) -> Result<(), Gone> {
        match self.fill(item) {
            Some(batch) => self.channel.blocking_send(batch).map_err(|_| Gone),
            None => Ok(()),
        }
    }

    /// Sends what is left, and how the read ended.
    pub(super) async fn end(mut self, outcome: Result<(), OriginError>) {
        for message in self.last(outcome) {
            if self.channel.send(message).await.is_err() {
                return;
            }
        }
    }

    /// As [`end`](Self::end), from a thread that may block.
    pub(super) fn end_blocking(mut self, outcome: Result<(), OriginError>) {
        for message in self.last(outcome) {
            if self.channel.blocking_send(message).is_err() {
                return;
            }
        }
    }

    fn fill(&mut self, item: OriginItem) -> Option<Message> {
        self.batch_bytes += item.item.json.len();
        self.batch.push(item);
        let full = self.batch.len() >= BATCH_ITEMS_MAX || self.batch_bytes >= BATCH_BYTES_MAX;
        full.then(|| {
            self.batch_bytes = 0;
            Message::Batch(std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_ITEMS_MAX)))
        })
    }

    fn last(&mut self, outcome: Result<(), OriginError>) -> [Message; 2] {
        [Message::Batch(std::mem::take(&mut self.batch)), Message::End(outcome)]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::{
        listing::{Item, ItemId},
        origin::SortValue,
    };

    fn item(id: i64) -> OriginItem {
        OriginItem {
            item: Item {
                id: ItemId::from_integer(id),
                json: Bytes::from_static(b"{}"),
            },
            id: SortValue::Integer(id),
            keys: Box::default(),
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    async fn collect(items: Items) -> (Vec<String>, Option<OriginError>) {
        let all: Vec<_> = items.collect().await;
        let mut ids = Vec::new();
        let mut failed = None;
        for batch in all {
            assert!(failed.is_none(), "something came after the error");
            match batch {
                Ok(batch) => ids.extend(batch.iter().map(|item| item.item.id.as_str().to_owned())),
                Err(error) => failed = Some(error),
            }
        }
        (ids, failed)
    }

    #[tokio::test]
    async fn what_is_here_already_comes_in_batches_too() {
        let all = (0..BATCH_ITEMS_MAX as i64 + 1).map(item).collect();
        let batches: Vec<usize> = in_batches(all).map(|batch| batch.unwrap().len()).collect().await;
        assert_eq!(batches, [BATCH_ITEMS_MAX, 1]);
    }

    #[tokio::test]
    async fn items_arrive_in_their_order() {
        let (mut sender, items) = batches(soon());
        tokio::spawn(async move {
            for id in 0..1000 {
                sender.push(item(id)).await.unwrap();
            }
            sender.end(Ok(())).await;
        });
        let (ids, failed) = collect(items).await;
        assert!(failed.is_none());
        assert_eq!(ids, (0..1000).map(|id| id.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_was_read_before_an_error_arrives_before_it() {
        let (mut sender, items) = batches(soon());
        sender.push(item(1)).await.unwrap();
        sender.end(Err(OriginError::Misdeclared("x".to_owned()))).await;
        let (ids, failed) = collect(items).await;
        assert_eq!(ids, ["1"]);
        assert!(matches!(failed, Some(OriginError::Misdeclared(_))));
    }

    #[tokio::test]
    async fn a_reader_that_dies_is_an_error() {
        let (mut sender, items) = batches(soon());
        for id in 0..BATCH_ITEMS_MAX as i64 + 1 {
            sender.push(item(id)).await.unwrap();
        }
        drop(sender);
        let (ids, failed) = collect(items).await;
        assert_eq!(ids.len(), BATCH_ITEMS_MAX);
        assert!(matches!(failed, Some(OriginError::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_late_item_is_a_time_out_and_an_item_that_waits_is_not() {
        let (mut sender, items) = batches(Instant::now());
        for id in 0..BATCH_ITEMS_MAX as i64 + 1 {
            sender.push(item(id)).await.unwrap();
        }
        let (ids, failed) = collect(items).await;
        assert_eq!(ids.len(), BATCH_ITEMS_MAX);
        assert!(matches!(failed, Some(OriginError::TimedOut)));
    }

    #[tokio::test]
    async fn a_reader_hears_that_nobody_waits() {
        let (mut sender, items) = batches(soon());
        assert!(!sender.is_gone());
        drop(items);
        sender.gone().await;
        assert!(sender.is_gone());
        let mut heard = Ok(());
        for id in 0..BATCH_ITEMS_MAX as i64 {
            heard = sender.push(item(id)).await;
        }
        assert!(heard.is_err());
    }
}
