//! One definition's names: what was read last, whether it is believed, and the next read.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tracing::Instrument;

use crate::{
    engine::error::Chain,
    listing::{Definition, Field, ListingName, Refusal, definition::Names},
    origin::{NAMES_MAX, Origin, names_in_file},
};

/// Between two attempts to read an enumeration that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Between two readings of names that are doubted, at most.
const DOUBTED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Characters of a name that is no listing, as the log shows it.
const SHOWN_CHARS_MAX: usize = 300;

/// The names of one definition.
pub(super) struct Enumeration {
    /// The origin, and what is asked of it.
    source: (Box<str>, Option<Names>),
    pub(super) names: ArcSwapOption<NameSet>,
    failure: Mutex<Option<Failure>>,
    doubt: Mutex<Option<Doubt>>,
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

/// Names that were read.
pub(super) struct NameSet {
    /// In the enumeration's order, for warming up.
    pub(super) names: Vec<ListingName>,
    pub(super) set: HashSet<ListingName>,
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
    /// A list is known at once; a query is asked, and a file read, when first needed.
    pub(super) fn new(definition: &Definition) -> Self {
        let names = match &definition.names {
            Some(Names::List(values)) => Some(names_from(definition, values.iter().map(|value| [value]))),
            _ => None,
        };
        Self {
            source: (definition.origin.clone(), definition.names.clone()),
            names: ArcSwapOption::new(names.map(|names| Arc::new(NameSet::new(names)))),
            failure: Mutex::default(),
            doubt: Mutex::default(),
        }
    }

    /// Whether a definition enumerates its names as the one of this enumeration does.
    pub(super) fn is_of(&self, definition: &Definition) -> bool {
        self.source.0 == definition.origin && self.source.1 == definition.names
    }

    /// Why the last read gave no names.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.failure.lock().as_ref().map(|failure| failure.why.clone())
    }

    /// Believes the next read, whatever it gives, where the names are doubted.
    pub(super) fn accept(&self) {
        if let Some(doubt) = &mut *self.doubt.lock() {
            doubt.is_accepted = true;
        }
    }

    /// Whether the names are to be read again now.
    pub(super) fn is_due(&self, fresh_for: Duration) -> bool {
        let is_due = match *self.doubt.lock() {
            Some(doubt) => doubt.is_accepted || doubt.looked_at.elapsed() >= DOUBTED_AGAIN_AFTER.min(fresh_for),
            None => {
                let names = self.names.load();
                names.as_ref().is_none_or(|names| names.read_at.elapsed() >= fresh_for)
            }
        };
        let is_resting = |failure: &Failure| failure.at.elapsed() < RETRY_AFTER;
        is_due && !self.failure.lock().as_ref().is_some_and(is_resting)
    }

    /// Reads the names again. Says whether they are believed.
    pub(super) async fn read(&self, definition: &Definition, source: &Names, origin: Option<Arc<dyn Origin>>) -> bool {
        let parameters = definition.pattern.parameters();
        let fields: Vec<Field> = parameters.map(|parameter| definition.field_of(parameter)).collect();
        let rows = match (source, origin) {
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
                self.fails(format!("there are more than {NAMES_MAX} names"));
                false
            }
            Ok(rows) => {
                let names = names_from(definition, rows.iter());
                *self.failure.lock() = None;
                let is_believed = self.believes(definition, names.len());
                let before = self.names.load();
                let names = match is_believed {
                    true => Some(NameSet::new(names)),
                    false => before.as_ref().and_then(|before| before.with(&names)),
                };
                if let Some(names) = names {
                    self.names.store(Some(Arc::new(names)));
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
                self.fails(why);
                false
            }
        }
    }

    fn fails(&self, why: String) {
        let (at, why) = (Instant::now(), why.into());
        *self.failure.lock() = Some(Failure { at, why });
    }

    /// Whether the last read was not believed.
    pub(super) fn is_doubted(&self) -> bool {
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

/// The name that values make, or why they make none.
pub(super) fn name_of<V: AsRef<str>>(definition: &Definition, values: &[V]) -> Result<ListingName, String> {
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
