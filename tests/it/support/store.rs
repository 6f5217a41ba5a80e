//! Listings to write and publish without an engine.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use listcache::{
    listing::{Family, Generation, Head, HeadState, Item, ItemId, ListingKey, Policy},
    store::{
        Announcement, ConnectError, Drawn, Emptiness, Failing, FinishedGeneration, Grant, Heard, Published, Store,
        StoreOptions,
    },
    telemetry::Metrics,
};
use tokio::sync::mpsc;

/// Long enough for a busy machine; what is about time-outs sets its own.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

pub fn options(url: &str) -> StoreOptions {
    StoreOptions {
        url: url.to_owned(),
        prefix: "t".to_owned(),
        read_timeout: READ_TIMEOUT,
        read_connections: 1,
        reply_max: 256 << 20,
    }
}

pub async fn connect(url: &str) -> Store {
    try_connect(url).await.unwrap()
}

pub async fn try_connect(url: &str) -> Result<Store, ConnectError> {
    Store::connect(options(url), Arc::new(Metrics::new())).await
}

pub async fn connect_with_prefix(url: &str, prefix: &str) -> Store {
    let options = StoreOptions {
        prefix: prefix.to_owned(),
        ..options(url)
    };
    Store::connect(options, Arc::new(Metrics::new())).await.unwrap()
}

pub fn listing(text: &str) -> ListingKey {
    ListingKey::parse(text).unwrap()
}

pub fn family(text: &str) -> Family {
    Family::parse(text).unwrap()
}

/// Chunks of 4, so that small listings have several.
pub fn policy() -> Policy {
    Policy {
        chunk_len: NonZeroU32::new(4).unwrap(),
        // What these tests write is looked at as it lies there.
        compress: false,
        ..Policy::default()
    }
}

pub fn item(id: &str, json: &str) -> Item {
    Item {
        id: ItemId::parse(id).unwrap(),
        json: json.as_bytes().to_vec().into(),
    }
}

/// The JSON of the item at a position; it names its generation, so that a mix would show.
pub fn json(generation: Generation, position: u64) -> String {
    format!("{{\"at\":{position},\"of\":\"{generation}\"}}")
}

/// Writes a generation of so many items, which can then be published.
pub async fn finished(store: &Store, key: &ListingKey, grant: &Grant, total: u64) -> FinishedGeneration {
    let generation = grant.generations[0];
    let mut writer = store.writes.begin(key, generation, grant.as_of, 7, &policy());
    for position in 0..total {
        writer
            .append(item(&format!("p{position}"), &json(generation, position)))
            .await
            .unwrap();
    }
    writer.finish().await.unwrap()
}

/// Draws, writes and publishes; gives the new head.
pub async fn publish(store: &Store, key: &ListingKey, total: u64) -> Head {
    publish_as(store, key, total, &policy()).await
}

pub async fn publish_as(store: &Store, key: &ListingKey, total: u64, policy: &Policy) -> Head {
    let grant = store.draws.without_lease(key.name(), 1).await.unwrap();
    let finished = finished(store, key, &grant, total).await;
    moved(store.writes.publish(finished, policy, None, None).await.unwrap())
}

/// The head of a publish that must have moved it.
#[track_caller]
pub fn moved(published: Published) -> Head {
    match published {
        Published::Moved { announcement, .. } => announcement.head.live().unwrap().clone(),
        refused => panic!("{refused:?}"),
    }
}

#[track_caller]
pub fn granted(drawn: Drawn) -> Grant {
    match drawn {
        Drawn::Granted(grant) => grant,
        refused => panic!("{refused:?}"),
    }
}

/// A failure of which nothing is known but what failed; the family is due again after so long.
/// Makes a family due after so long.
pub async fn schedule(store: &Store, family: &Family, after: Duration) {
    let due = &store.due;
    due.schedule_all(std::slice::from_ref(family), Duration::ZERO)
        .await
        .unwrap();
    due.postpone(family, after).await.unwrap();
}

pub fn failing(error: &str, retry_after: Duration) -> Failing<'_> {
    Failing {
        definition: 1,
        error,
        retry_after,
        schedule: true,
        emptiness: Emptiness::Untold,
    }
}

/// Every item of a generation, as one text.
pub async fn items(store: &Store, key: &ListingKey, generation: Generation) -> Vec<String> {
    let described = store.pages.describe(key, generation).await.unwrap();
    let delta = described.and_then(|described| described.delta);
    let chunks = store.pages.chunks(key, generation, delta.as_deref(), 0..1000);
    let chunks = chunks.await.unwrap();
    let items = chunks
        .iter()
        .flat_map(|chunk| (0..chunk.len()).map(|at| chunk.item(at)));
    items.map(|item| String::from_utf8(item.to_vec()).unwrap()).collect()
}

/// Starts a subscriber and waits until it follows.
pub async fn subscribe(store: &Store) -> mpsc::Receiver<Heard> {
    let mut heard = store.announcements();
    assert_eq!(heard.recv().await, Some(Heard::NewEpoch));
    heard
}

/// The next announcement's listing and generation; anything else fails the test.
pub async fn next_moved(heard: &mut mpsc::Receiver<Heard>) -> (ListingKey, Generation) {
    let next = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
    match next.expect("nothing is heard") {
        Some(Heard::Announcement(Announcement {
            listing,
            head: HeadState::Live(head),
            ..
        })) => (listing, head.generation),
        other => panic!("{other:?}"),
    }
}
