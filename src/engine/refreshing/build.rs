//! Building: from the origin's items to finished generations, one a stream, written aside.
//!
//! Families of at most `sort_in_memory_max` items, and not too many bytes, are read once and sorted here for all their sorts; larger ones are read
//! once a stream, in the origin's order, so that memory stays bounded whatever the length.

use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{belief::Standing, build_error::BuildError, means::Means, request::Request};
use crate::{
    engine::declared::budget::Budget,
    listing::{
        Content, ContentHasher, DataVersion, Field, Head, Policy, StoredSort,
        definition::{Defined, SortColumn, StreamOrder},
        sidecar::Keyed,
    },
    origin::{
        Items, Origin, OriginError, OriginItem, Read, ReadOrder, Reading,
        ordering::order_by,
        sort_key::{BatchKeys, SortKeys},
    },
    store::{Base, FinishedGeneration, GenerationWriter, Grant, Lease},
};

/// One family being built.
pub(crate) struct Build<'a> {
    pub means: &'a Means,
    pub origin: &'a dyn Origin,
    pub budget: &'a Budget,
    pub request: &'a Request,
    pub grant: &'a Grant,
    /// The streams, in the order they are to be built; the grant has a generation for each.
    pub streams: &'a [StreamOrder<'a>],
    /// Decides whether the items are believed.
    pub standing: &'a Standing<'a>,
    /// For each stream what its current generation holds, where that counts if it is found again.
    pub recognised: &'a [Option<u128>],
    /// For each stream its kept head, where the generation is whole: chunks that have not changed since need not be written.
    pub kept: &'a [Option<&'a Head>],
}

/// Items being read, for one stream or for all.
pub(crate) struct Reader {
    items: Items,
    version: Option<DataVersion>,
}

/// One stream built.
pub(crate) struct Built {
    /// Written aside, to be published; `None` where its current generation holds the same.
    pub finished: Option<FinishedGeneration>,
    /// The version of the origin's data that it was read from.
    pub version: Option<DataVersion>,
}

/// How long items are waited for before what is written so far is kept from expiring.
const WRITER_IDLE_MAX: Duration = Duration::from_secs(10);
/// Families with more bytes of items than this are read once a stream too, however few their items.
const SORT_IN_MEMORY_BYTES_MAX: usize = 64 << 20;

impl<'a> Build<'a> {
    fn policy(&self) -> &Policy {
        &self.request.defined.definition.policy
    }

    /// Whether one read is to serve all streams.
    pub(crate) fn in_memory(&self) -> bool {
        let sort_max = self.policy().sort_in_memory_max;
        self.is_collated() || self.streams.len() > 1 && self.standing.before.is_none_or(|before| before <= sort_max)
    }

    /// Whether a sort goes by the order of a language, which only this process knows.
    fn is_collated(&self) -> bool {
        let mut by = self.streams.iter().flat_map(|stream| stream.by);
        by.any(|column| column.column.collate.is_some())
    }

    /// The columns that any stream is sorted by.
    fn columns(&self) -> Vec<Field> {
        let by = self.streams.iter().flat_map(|stream| stream.by);
        let columns: BTreeSet<Field> = by.map(|column| column.column.clone()).collect();
        columns.into_iter().collect()
    }

    /// Begins the first read: for all streams where one is to serve them, else for the first. `None` where the origin says
    /// that its data is of the known version.
    pub(crate) async fn begin(&self, known: Option<&DataVersion>) -> Result<Option<Reader>, BuildError> {
        let order = match self.in_memory() {
            true => ReadOrder::Any {
                columns: self.columns(),
            },
            false => self.order_of(0),
        };
        self.read(order, known).await
    }

    /// Begins a read for one stream.
    pub(crate) async fn begin_one(&self, at: usize) -> Result<Reader, BuildError> {
        let reader = self.read(self.order_of(at), None).await?;
        reader.ok_or_else(|| OriginError::Unavailable("it says that nothing has changed since never".into()).into())
    }

    fn order_of(&self, at: usize) -> ReadOrder {
        let by = self.streams.get(at).map(|stream| stream.by.to_vec());
        ReadOrder::By(by.unwrap_or_default())
    }

    /// Builds every stream from one read; `None` where the family turned out to be too large for it.
    pub(crate) async fn all(&self, reader: Reader) -> Result<Option<Vec<Built>>, BuildError> {
        let Reader { mut items, version } = reader;
        let columns = self.columns();
        let mut all: Vec<OriginItem> = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = items.try_next().await? {
            bytes += bytes_of(&batch);
            all.extend(batch);
            self.check(all.len() as u64)?;
            if all.len() as u64 > self.policy().sort_in_memory_max || bytes > SORT_IN_MEMORY_BYTES_MAX {
                return match self.is_collated() {
                    true => Err(BuildError::TooManyToCollate {
                        max: self.policy().sort_in_memory_max,
                        bytes: SORT_IN_MEMORY_BYTES_MAX,
                    }),
                    false => Ok(None),
                };
            }
        }
        self.standing.believe(all.len() as u64).await?;
        let all = Arc::new(all);
        let columns: Arc<[Field]> = columns.into();
        let mut built = Vec::new();
        for (at, stream) in self.streams.iter().enumerate() {
            let (order, content) = in_order(&all, &columns, stream.by, self.policy().chunk_len).await?;
            if self.is_recognised(at, content.whole()) {
                built.push(Built {
                    finished: None,
                    version: version.clone(),
                });
                continue;
            }
            let base = self.base(at, Some(&content)).await?;
            let mut writer = self.writer(at)?.of_version(version.clone()).over(base);
            let mut writing = self.budget.writing();
            let (keys, mut key) = (SortKeys::of_columns(&columns, stream.by), Vec::new());
            for index in order {
                // The order is a permutation of the items' positions.
                if let Some(item) = all.get(index as usize) {
                    key.clear();
                    let keyed = Keyed {
                        key: keys.write(item, &mut key),
                        item: item.item.clone(),
                    };
                    writer.append(keyed).await?;
                    writing.wrote(item.item.json.len()).await;
                }
            }
            self.check_lease()?;
            built.push(Built {
                finished: Some(writer.finish().await?),
                version: version.clone(),
            });
        }
        Ok(Some(built))
    }

    /// Builds one stream from a read in its order.
    pub(crate) async fn one(&self, at: usize, reader: Reader) -> Result<Built, BuildError> {
        let Reader { mut items, version } = reader;
        let base = self.base(at, None).await?;
        let mut writer = self.writer(at)?.of_version(version.clone()).over(base);
        let mut writing = self.budget.writing();
        let by = self.streams.get(at).map(|stream| stream.by);
        let (keys, mut batch_keys) = (SortKeys::of_order(by.unwrap_or_default()), BatchKeys::default());
        loop {
            let Ok(batch) = timeout(WRITER_IDLE_MAX, items.try_next()).await else {
                writer.keep_alive().await?;
                self.check_lease()?;
                continue;
            };
            let Some(batch) = batch? else { break };
            self.check(writer.items() + batch.len() as u64)?;
            let bytes = bytes_of(&batch);
            batch_keys.replace(&keys, &batch);
            writer.append_all(batch_keys.join(batch)).await?;
            writing.wrote(bytes).await;
        }
        self.check_lease()?;
        self.standing.believe(writer.items()).await?;
        let finished = writer.finish().await?;
        // Written streams that are not needed are unlinked.
        let finished = Some(finished).filter(|finished| !self.is_recognised(at, finished.content()));
        Ok(Built { finished, version })
    }

    /// The base of a stream, of which only chunks that differ are written: its own, else one of other variants. Where the content is known
    /// it must suit; else the writer finds out.
    async fn base(&self, at: usize, content: Option<&Content>) -> Result<Option<Base>, BuildError> {
        let (Some(stream), Some(head)) = (self.streams.get(at), self.kept.get(at)) else {
            return Ok(None);
        };
        let (stored, writes) = (stream.stored(), &self.means.store.writes);
        let key = self.request.family.listing(stored);
        let suits = |base: &Base| content.is_none_or(|content| base.suits(&content.chunks));
        if let Some(head) = head
            && let Some(base) = writes.base(&key, head, self.policy()).await?.filter(suits)
        {
            return Ok(Some(base));
        }
        let definition = &self.request.defined.definition;
        if definition.variants.is_empty() {
            return Ok(None);
        }
        let hash = definition.hash_of(&key.stored).unwrap_or_default();
        let mut others = self.means.store.names.ever_of(key.name()).await?;
        others.retain(|other| other.stored == key.stored && *other != key);
        let others = writes.bases_of_others(&key, others, hash, self.policy()).await?;
        Ok(others.into_iter().find(suits))
    }

    fn is_recognised(&self, at: usize, content: u128) -> bool {
        self.recognised.get(at).is_some_and(|kept| *kept == Some(content))
    }

    async fn read(&self, order: ReadOrder, known: Option<&DataVersion>) -> Result<Option<Reader>, BuildError> {
        let read = Read {
            defined: self.request.defined.clone(),
            choices: self.request.family.choices.clone(),
            order,
            only: None,
        };
        let name = &self.request.defined.definition.origin;
        let reading = self.means.latencies.measure(name, self.origin.read_unless(read, known));
        let deadline = self.policy().origin_timeout.map(|timeout| Instant::now() + timeout);
        let reading = match deadline {
            Some(deadline) => timeout_at(deadline, reading)
                .await
                .unwrap_or(Err(OriginError::TimedOut)),
            None => reading.await,
        };
        if !matches!(reading, Ok(Reading::Unchanged)) {
            self.means.metrics.origin_reads.inc();
        }
        Ok(match reading? {
            Reading::Items { items, version } => Some(Reader {
                items: match deadline {
                    Some(deadline) => until(items, deadline),
                    None => items,
                },
                version,
            }),
            Reading::Unchanged => None,
        })
    }

    fn writer(&self, at: usize) -> Result<GenerationWriter, BuildError> {
        // A grant has a generation for each stream; without one nothing may be written.
        let (Some(stream), Some(generation)) = (self.streams.get(at), self.grant.generations.get(at)) else {
            return Err(BuildError::LeaseLost);
        };
        let key = self.request.family.listing(stream.stored());
        let hash = self
            .request
            .defined
            .definition
            .hash_of(&stream.stored())
            .unwrap_or_default();
        let writes = &self.means.store.writes;
        Ok(writes.begin(&key, *generation, self.grant.as_of, hash, self.policy()))
    }

    /// Whether so many may be built on.
    fn check(&self, items: u64) -> Result<(), BuildError> {
        let max = self.policy().max_items;
        if items > max {
            return Err(BuildError::TooManyItems { max });
        }
        self.check_lease()
    }

    fn check_lease(&self) -> Result<(), BuildError> {
        match self.grant.lease.as_ref().is_some_and(Lease::is_lost) {
            true => Err(BuildError::LeaseLost),
            false => Ok(()),
        }
    }
}

fn bytes_of(batch: &[OriginItem]) -> usize {
    batch.iter().map(|item| item.item.json.len()).sum()
}

/// The items, until the deadline: then an error, and the read ends.
fn until(items: Items, deadline: Instant) -> Items {
    let state = Some((items, Box::pin(sleep_until(deadline))));
    let next = |state: Option<(Items, _)>| async {
        let (mut items, mut deadline) = state?;
        tokio::select! {
            biased;
            batch = items.next() => batch.map(|batch| (batch, Some((items, deadline)))),
            () = &mut deadline => Some((Err(OriginError::TimedOut), None)),
        }
    };
    stream::unfold(state, next).boxed()
}

/// The order of the items, and what they come to in it. Sorted off the runtime's own threads: tens of thousands of items
/// take long enough to make a page's reads time out.
async fn in_order(
    items: &Arc<Vec<OriginItem>>,
    columns: &Arc<[Field]>,
    by: &[SortColumn],
    chunk_len: NonZeroU32,
) -> Result<(Vec<u32>, Content), OriginError> {
    let (items, columns, by) = (items.clone(), columns.clone(), by.to_vec());
    let sort = move || {
        let order = order_by(&items, &columns, &by);
        let mut content = ContentHasher::new(chunk_len);
        let (keys, mut key) = (SortKeys::of_columns(&columns, &by), Vec::new());
        for item in order.iter().filter_map(|index| items.get(*index as usize)) {
            key.clear();
            content.push(&item.item, keys.write(item, &mut key));
        }
        (order, content.finish())
    };
    tokio::task::spawn_blocking(sort)
        .await
        .map_err(|error| OriginError::Unavailable(error.into()))
}

/// The streams of a definition, the one that somebody waits for first.
pub(crate) fn streams_in_order<'a>(defined: &'a Defined, first: Option<&StoredSort>) -> Vec<StreamOrder<'a>> {
    let mut streams: Vec<_> = defined.definition.streams().collect();
    streams.sort_by_key(|stream| Some(&stream.stored()) != first);
    streams
}
