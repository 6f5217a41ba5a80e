//! Which names exist: the definitions' enumerations, read from the origin or a file now and then, and asked of memory on
//! each request.
//!
//! A name outside the enumeration is 404 at once, so a scanner of random names costs neither Redis nor the origin anything.
//!
//! An enumeration that loses too many names is doubted, as items are ([`belief`](crate::engine::refreshing::belief)): a table that is being rebuilt
//! must not make a shop's pages 404. Meanwhile the names before exist, with those that came to them, and any other name that has
//! a live head. The doubt ends when a read gives enough names again; when few names were left and a read `fresh_for` later
//! finds none either; when the names before are `keep_for` old; or when somebody accepts it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tracing::Instrument;

use crate::{
    engine::{error::Chain, loads::coalesce::Coalescer},
    listing::{
        Definition, Definitions, Field, ListingName, Refusal,
        definition::{Defined, Names},
    },
    origin::{Origins, names_in_file},
};

/// A definition enumerates at most so many names; more are an error of the query.
pub(crate) const NAMES_MAX: usize = 1_000_000;

/// How long work that no request waits for waits for an enumeration; the origin's own time-out is shorter, most likely.
const ENUMERATED_WITHIN: Duration = Duration::from_secs(3600);

/// Between two attempts to read an enumeration that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Between two readings of names that are doubted, at most.
const DOUBTED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Characters of a name that is no listing, as the log shows it.
const SHOWN_CHARS_MAX: usize = 300;

/// Whether a name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existence {
    /// Its definition enumerates it.
    Enumerated,
    /// Its definition enumerates names, and this is none of them.
    Outside,
    /// Its definition enumerates nothing: a name exists when it has items.
    ByItems,
    /// It is none of the names, but these may be wrong, or do not count now: it exists if it has a live head, and is not filled.
    ByHead,
    /// The enumeration could not be read yet, or the first one is empty.
    Unknown,
}

/// The enumerations of all definitions.
pub(crate) struct KnownNames {
    origins: Origins,
    by_pattern: HashMap<Box<str>, Arc<Enumeration>>,
    loads: Coalescer<Box<str>, bool>,
    wait_max: Duration,
}

struct Enumeration {
    /// The origin, and what is asked of it.
    source: (Box<str>, Option<Names>),
    names: ArcSwapOption<NameSet>,
    failure: parking_lot::Mutex<Option<Failure>>,
    doubt: parking_lot::Mutex<Option<Doubt>>,
}

/// Why the last read gave no names.
#[derive(Clone, Debug)]
struct Failure {
    at: Instant,
    why: Arc<str>,
}

/// Since when reads have given names that are not believed.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: Instant,
    looked_at: Instant,
    /// Somebody has looked: the next read is believed.
    is_accepted: bool,
}

struct NameSet {
    /// In the enumeration's order, for warming up.
    names: Vec<ListingName>,
    set: HashSet<ListingName>,
    read_at: Instant,
}

impl NameSet {
    fn new(names: Vec<ListingName>) -> Self {
        Self {
            set: names.iter().cloned().collect(),
            names,
            read_at: Instant::now(),
        }
    }

    /// The same, and names that came to them; as old as before.
    fn with(&self, more: &[ListingName]) -> Option<Self> {
        let new = more.iter().filter(|name| !self.set.contains(*name)).cloned();
        let new: Vec<_> = new.take(NAMES_MAX.saturating_sub(self.names.len())).collect();
        (!new.is_empty()).then(|| Self {
            read_at: self.read_at,
            ..Self::new([self.names.as_slice(), &new].concat())
        })
    }
}

impl Enumeration {
    fn fails(&self, why: String) {
        let (at, why) = (Instant::now(), why.into());
        *self.failure.lock() = Some(Failure { at, why });
    }

    fn is_doubted(&self) -> bool {
        self.doubt.lock().is_some()
    }

    /// Whether these names may take the place of those before; says since when they are doubted otherwise.
    fn believes(&self, definition: &Definition, names: usize) -> bool {
        let policy = &definition.policy;
        let (pattern, before) = (definition.pattern.as_str(), self.names.load());
        let count = before.as_ref().map_or(0, |before| before.names.len());
        let refusal = match (&*before, names) {
            (None, 0) if policy.max_shrink < 1.0 => Some(Refusal::Emptied { before: 0 }),
            (None, _) => None,
            (Some(_), _) => policy.believes_shrink(count as u64, names as u64).err(),
        };
        let now = Instant::now();
        let mut doubt = self.doubt.lock();
        let Some(refusal) = refusal else {
            if doubt.take().is_some() {
                tracing::info!(
                    definition = pattern,
                    before = count,
                    after = names,
                    "names are believed again"
                );
            }
            return true;
        };
        let since = doubt.map_or(now, |doubt| doubt.since);
        let is_accepted = doubt.is_some_and(|doubt| doubt.is_accepted);
        let is_confirmed = matches!(refusal, Refusal::Emptied { .. }) && now - since >= policy.fresh_for;
        let is_old = before
            .as_ref()
            .is_some_and(|before| before.read_at.elapsed() >= policy.keep_for);
        if is_accepted || is_confirmed || is_old {
            tracing::warn!(
                definition = pattern,
                before = count,
                after = names,
                "fewer names are believed"
            );
            *doubt = None;
            return true;
        }
        if doubt.is_none() {
            tracing::warn!(
                definition = pattern,
                before = count,
                after = names,
                max_shrink = policy.max_shrink,
                "names refused: the names before stay; to accept the new ones: POST /v1/listings/NAME/refresh?accept_shrink=true, of one \
                 of the names and on each node"
            );
        }
        *doubt = Some(Doubt {
            since,
            looked_at: now,
            is_accepted,
        });
        false
    }
}

impl KnownNames {
    /// Lists are known at once; queries are asked, and files read, when first needed.
    ///
    /// A request waits at most `wait_max` for an enumeration that was never read.
    /// Names that were read `before` are known if their enumeration did not change.
    pub(crate) fn new(
        definitions: &Definitions,
        origins: Origins,
        wait_max: Duration,
        runtime: Handle,
        before: Option<&Self>,
    ) -> Self {
        let enumeration = |definition: &Arc<Definition>| {
            let pattern = definition.pattern.as_str();
            let source = (definition.origin.clone(), definition.names.clone());
            let read = before.and_then(|before| before.by_pattern.get(pattern));
            if let Some(read) = read.filter(|read| read.source == source) {
                return (pattern.into(), read.clone());
            }
            let enumeration = Enumeration {
                source,
                names: ArcSwapOption::empty(),
                failure: parking_lot::Mutex::default(),
                doubt: parking_lot::Mutex::default(),
            };
            if let Some(Names::List(values)) = &definition.names {
                let names = names_from(definition, values.iter().map(|value| [value]));
                enumeration.names.store(Some(Arc::new(NameSet::new(names))));
            }
            (pattern.into(), Arc::new(enumeration))
        };
        Self {
            origins,
            by_pattern: definitions.defined.iter().map(enumeration).collect(),
            loads: Coalescer::new(runtime),
            wait_max,
        }
    }

    /// Whether a name of a definition exists.
    pub(crate) async fn existence(&self, defined: &Defined, name: &ListingName) -> Existence {
        let definition = &defined.definition;
        if definition.names.is_none() {
            return if definition.enumerates() {
                Existence::Enumerated
            } else {
                Existence::ByItems
            };
        }
        match self.names_of(definition).await {
            None => Existence::Unknown,
            Some(names) if names.set.contains(name) => Existence::Enumerated,
            Some(_) if self.is_doubted(definition) => Existence::ByHead,
            Some(_) => Existence::Outside,
        }
    }

    fn is_doubted(&self, definition: &Definition) -> bool {
        let enumeration = self.by_pattern.get(definition.pattern.as_str());
        enumeration.is_some_and(|enumeration| enumeration.is_doubted())
    }

    /// Believes the next reading of a definition's names that are doubted, whatever it gives, and begins it.
    pub(crate) async fn accept(&self, definition: &Arc<Definition>) {
        if let Some(enumeration) = self.by_pattern.get(definition.pattern.as_str()) {
            if let Some(doubt) = &mut *enumeration.doubt.lock() {
                doubt.is_accepted = true;
            }
            self.names_of(definition).await;
        }
    }

    /// The patterns whose names are doubted, at most so many.
    pub(crate) fn doubted(&self, limit: usize) -> Vec<Box<str>> {
        let doubted = self
            .by_pattern
            .iter()
            .filter(|(_, enumeration)| enumeration.is_doubted());
        doubted.map(|(pattern, _)| pattern.clone()).take(limit).collect()
    }

    /// The patterns whose names could not be read last, at most so many.
    pub(crate) fn unread(&self, limit: usize) -> Vec<Box<str>> {
        let unread = self
            .by_pattern
            .iter()
            .filter(|(_, enumeration)| enumeration.failure.lock().is_some());
        unread.map(|(pattern, _)| pattern.clone()).take(limit).collect()
    }

    /// Why a definition's names could not be read last.
    pub(crate) fn failure(&self, definition: &Definition) -> Option<Arc<str>> {
        let enumeration = self.by_pattern.get(definition.pattern.as_str())?;
        let failure = enumeration.failure.lock();
        failure.as_ref().map(|failure| failure.why.clone())
    }

    /// Every name of a definition, in the enumeration's order; empty where it enumerates none.
    pub(crate) async fn all(&self, definition: &Arc<Definition>) -> Option<Vec<ListingName>> {
        if definition.names.is_none() {
            return Some(name_of::<&str>(definition, &[]).into_iter().collect());
        }
        let names = self.names_within(definition, ENUMERATED_WITHIN).await;
        names.map(|names| names.names.clone())
    }

    async fn names_of(&self, definition: &Arc<Definition>) -> Option<Arc<NameSet>> {
        self.names_within(definition, self.wait_max).await
    }

    /// Waits at most so long where they were never read.
    async fn names_within(&self, definition: &Arc<Definition>, wait_max: Duration) -> Option<Arc<NameSet>> {
        let enumeration = self.by_pattern.get(definition.pattern.as_str())?;
        let source = definition.names.as_ref()?;
        if matches!(source, Names::List(_)) {
            return enumeration.names.load_full();
        }
        let known = enumeration.names.load_full();
        let fresh_for = definition.policy.fresh_for;
        let due = match *enumeration.doubt.lock() {
            Some(doubt) => doubt.is_accepted || doubt.looked_at.elapsed() >= DOUBTED_AGAIN_AFTER.min(fresh_for),
            None => known.as_ref().is_none_or(|names| names.read_at.elapsed() >= fresh_for),
        };
        let resting = || {
            enumeration
                .failure
                .lock()
                .as_ref()
                .is_some_and(|failure| failure.at.elapsed() < RETRY_AFTER)
        };
        if !due || resting() {
            return known;
        }
        let load = || self.load(definition.clone(), source.clone(), enumeration.clone());
        let key = Box::from(definition.pattern.as_str());
        let joined = self.loads.join(&key, load);
        match known {
            // Those known are good enough while they are read again: the load is spawned by the first poll.
            Some(known) => {
                let _ = futures_util::poll!(std::pin::pin!(joined));
                Some(known)
            }
            None => {
                // Past the time the name's existence is unknown; the load goes on.
                let _ = tokio::time::timeout(wait_max, joined).await;
                enumeration.names.load_full()
            }
        }
    }

    fn load(
        &self,
        definition: Arc<Definition>,
        source: Names,
        enumeration: Arc<Enumeration>,
    ) -> impl Future<Output = bool> + Send + use<> {
        let origin = self.origins.get(&definition.origin);
        async move {
            let parameters = definition.pattern.parameters();
            let fields: Vec<Field> = parameters.map(|parameter| definition.field_of(parameter)).collect();
            let rows = match (&source, origin) {
                (Names::Query(query), Some(origin)) => {
                    // An origin that leaves rows out tells of it, and does not know for which listings it reads.
                    let span = tracing::warn_span!("names", definition = definition.pattern.as_str());
                    origin.names(query, &fields).instrument(span).await
                }
                (Names::File(path), _) => names_in_file(path).await,
                (Names::Query(_), None) | (Names::List(_), _) => return false,
            };
            match rows {
                Ok(rows) if rows.len() > NAMES_MAX => {
                    tracing::error!(
                        definition = definition.pattern.as_str(),
                        names = rows.len(),
                        "too many names"
                    );
                    enumeration.fails(format!("there are more than {NAMES_MAX} names"));
                    false
                }
                Ok(rows) => {
                    let names = names_from(&definition, rows.iter());
                    *enumeration.failure.lock() = None;
                    let is_believed = enumeration.believes(&definition, names.len());
                    let before = enumeration.names.load();
                    let names = match is_believed {
                        true => Some(NameSet::new(names)),
                        false => before.as_ref().and_then(|before| before.with(&names)),
                    };
                    if let Some(names) = names {
                        enumeration.names.store(Some(Arc::new(names)));
                    }
                    is_believed
                }
                Err(error) => {
                    let why = Chain(&error).to_string();
                    tracing::warn!(
                        definition = definition.pattern.as_str(),
                        error = why,
                        "names could not be read"
                    );
                    enumeration.fails(why);
                    false
                }
            }
        }
    }
}

/// The names that rows of values make. Rows that make none are left out, and the log says how many and why.
fn names_from<V: AsRef<str>>(definition: &Definition, rows: impl Iterator<Item = impl AsRef<[V]>>) -> Vec<ListingName> {
    let (mut left_out, mut first) = (0_u64, None);
    let names = rows.filter_map(|values| match name_of(definition, values.as_ref()) {
        Ok(name) => Some(name),
        Err(why) => {
            left_out += 1;
            // A value may be as long as it likes.
            first.get_or_insert_with(|| why.chars().take(SHOWN_CHARS_MAX).collect::<String>());
            None
        }
    });
    let names = names.collect();
    if let Some(first) = first {
        let definition = definition.pattern.as_str();
        tracing::warn!(
            definition,
            names = left_out,
            first,
            "enumerated names were left out: they are no listings"
        );
    }
    names
}

fn name_of<V: AsRef<str>>(definition: &Definition, values: &[V]) -> Result<ListingName, String> {
    let pattern = &definition.pattern;
    let Some(name) = pattern.fill(values) else {
        let wanted = pattern.parameters().count();
        return Err(format!("{} values for {wanted} parameters", values.len()));
    };
    if !pattern.reads_back(&name, values) {
        let values: Vec<_> = values.iter().map(AsRef::as_ref).collect();
        let read = pattern.matches(&name).unwrap_or_default();
        let read: Vec<_> = read.iter().map(|(_, value)| &**value).collect();
        return Err(format!("`{name}` is made of {values:?}, but is read as {read:?}"));
    }
    ListingName::parse(&name).map_err(|error| format!("`{name}`: {error}"))
}
