//! From what a client chose to one listing in one order: checked against the definition, before anything is read.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use moka::sync::Cache;
use tokio::runtime::Handle;

use super::{
    Engine,
    coalesce::Coalescer,
    error::{Chain, EngineError, ParameterError},
    head_table::Lookup,
    names::Existence,
};
use crate::listing::{
    Definition, Direction, Family, HeadState, ListingKey, ListingName, Order, Policy, SortName, StoredSort,
    definition::{Defined, Filter, Links, Resolved},
};

/// Parameters a name's definition declares, beyond those every listing has.
#[derive(Clone, Debug, Default)]
pub struct DeclaredParameters {
    /// Variants and filters, in the order of declaration.
    pub names: Vec<Arc<str>>,
}

impl DeclaredParameters {
    /// Empty for pushed and unknown names.
    pub fn of(resolved: &Resolved) -> Self {
        let Resolved::Defined(defined) = resolved else {
            return Self::default();
        };
        let variants = defined.definition.variants.iter().map(|variant| &variant.parameter);
        let filters = defined.definition.filters.iter().map(|filter| &filter.parameter);
        Self {
            names: variants.chain(filters).cloned().collect(),
        }
    }
}

/// What a client chose, as text, each known parameter at most once.
#[derive(Clone, Debug, Default)]
pub struct Asked<'a> {
    /// The sort, if not the default.
    pub sort: Option<&'a str>,
    /// The order.
    pub order: Order,
    /// Declared variants and filters with their values.
    pub choices: Vec<(&'a str, &'a str)>,
}

/// One listing in one order, chosen and checked.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The listing whose stream is read.
    pub key: ListingKey,
    /// The order asked for.
    pub order: Order,
    /// Which way the stream is read for it.
    pub direction: Direction,
    /// Lives and limits.
    pub policy: Arc<Policy>,
    /// What links carry.
    pub links: Links,
    /// Choices that are not the defaults, for canonical URLs.
    pub canonical_choices: Vec<(Arc<str>, Arc<str>)>,
    /// Whether the sort is the name's default, which canonical URLs drop.
    pub sort_is_default: bool,
    /// What fills the listing; `None` where it is pushed.
    pub(super) defined: Option<Defined>,
    /// Whether the name exists, so that an empty listing is a listing.
    pub(super) existence: Existence,
    /// How long the choice took, of the time that a request may wait in all.
    pub(super) waited: Duration,
}

impl Selection {
    /// A pushed listing, which has no definition: descending is its stream backwards.
    pub fn pushed(key: ListingKey, order: Order, policy: Arc<Policy>) -> Self {
        Self {
            sort_is_default: key.sort().as_str() == SortName::DEFAULT,
            key,
            order,
            direction: match order {
                Order::Asc => Direction::Forward,
                Order::Desc => Direction::Reverse,
            },
            policy,
            links: Links::Pinned,
            canonical_choices: Vec::new(),
            defined: None,
            existence: Existence::Enumerated,
            waited: Duration::ZERO,
        }
    }
}

/// A name, and a filter of its definition.
type FilterKey = (ListingName, Arc<str>);
/// The values that a filter may have.
type FilterValues = Arc<HashSet<String>>;

/// What was learnt lately of pushed sorts and filters' values.
pub struct SelectionMemory {
    pushed_sorts: Cache<ListingName, Arc<[SortName]>>,
    filter_values: Cache<FilterKey, FilterValues>,
    /// Failed a moment ago: the origin is not asked by each request that comes.
    filter_failures: Cache<FilterKey, ()>,
    filter_loads: Coalescer<FilterKey, Option<FilterValues>>,
}

const REMEMBERED_MAX: u64 = 10_000;
/// Values of filters that are remembered.
const FILTER_VALUES_MAX: u64 = 1_000_000;
/// Readings of filters' values at once; a request that needs one more is shed.
const FILTER_LOADS_MAX: usize = 256;

impl SelectionMemory {
    /// Nothing yet. What is remembered of pushed sorts is as short-lived as L1 heads.
    pub fn new(l1_ttl: Duration, runtime: Handle) -> Self {
        Self {
            pushed_sorts: Cache::builder()
                .max_capacity(REMEMBERED_MAX)
                .time_to_live(l1_ttl)
                .build(),
            filter_values: Cache::builder()
                .weigher(|_, values: &FilterValues| u32::try_from(values.len()).unwrap_or(u32::MAX).saturating_add(1))
                .max_capacity(FILTER_VALUES_MAX)
                .time_to_live(Duration::from_secs(60))
                .build(),
            filter_failures: Cache::builder()
                .max_capacity(REMEMBERED_MAX)
                .time_to_live(Duration::from_secs(1))
                .build(),
            filter_loads: Coalescer::new(runtime),
        }
    }

    /// A listing of the name came or went.
    pub fn forget(&self, name: &ListingName) {
        self.pushed_sorts.invalidate(name);
    }
}

impl Engine {
    /// What stands behind a name: what [`DeclaredParameters`] and [`Engine::select_from`] go by.
    pub fn resolve(&self, name: &ListingName) -> Resolved {
        self.definitions.resolve(name)
    }

    /// Chooses the listing.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for a name that cannot exist; [`EngineError::Invalid`] with every parameter that does not fit.
    pub async fn select(&self, name: &ListingName, asked: Asked<'_>) -> Result<Selection, EngineError> {
        self.select_from(self.resolve(name), name, asked).await
    }

    /// Chooses the listing of a name that was resolved before.
    ///
    /// # Errors
    /// As [`Engine::select`].
    pub async fn select_from(
        &self,
        resolved: Resolved,
        name: &ListingName,
        asked: Asked<'_>,
    ) -> Result<Selection, EngineError> {
        match resolved {
            Resolved::Unknown => Err(EngineError::NotFound),
            Resolved::Pushed => self.select_pushed(name, &asked).await,
            Resolved::Defined(defined) => {
                let began = Instant::now();
                let existence = self.names.existence(&defined, name).await;
                if existence == Existence::Outside {
                    return Err(EngineError::NotFound);
                }
                let mut selection = self.select_defined(name, defined, &asked, existence, began).await?;
                selection.waited = began.elapsed();
                Ok(selection)
            }
        }
    }

    async fn select_defined(
        &self,
        name: &ListingName,
        defined: Defined,
        asked: &Asked<'_>,
        existence: Existence,
        began: Instant,
    ) -> Result<Selection, EngineError> {
        let definition = &defined.definition;
        let mut errors = Vec::new();
        let stream = match definition.sort(asked.sort) {
            None => {
                errors.push(unknown_sort(definition));
                None
            }
            Some(sort) => {
                let stream = sort.stream(asked.order);
                if stream.is_none() {
                    errors.push(invalid(
                        "order",
                        format!("the sort {} has no descending order", sort.name),
                    ));
                }
                stream
            }
        };
        let given: BTreeMap<&str, &str> = asked.choices.iter().copied().collect();
        for variant in &definition.variants {
            if let Some(value) = given.get(&*variant.parameter)
                && !variant.values.iter().any(|declared| **declared == **value)
            {
                let values: Vec<_> = variant.values.iter().map(|value| &**value).collect();
                errors.push(invalid(
                    &variant.parameter,
                    format!("not declared; one of {}", values.join(", ")),
                ));
            }
        }
        for filter in &definition.filters {
            if let Some(value) = given.get(&*filter.parameter)
                && !self
                    .filter_values(name, &defined, filter, began + self.fill_wait)
                    .await?
                    .contains(*value)
            {
                errors.push(invalid(&filter.parameter, "no item has this value".into()));
            }
        }
        let (Some((stored, direction)), true) = (stream, errors.is_empty()) else {
            return Err(EngineError::Invalid(errors));
        };
        let choices = definition.choices(&given);
        let is_default = |parameter: &str, value: &str| {
            let variant = definition
                .variants
                .iter()
                .find(|variant| *variant.parameter == *parameter);
            variant.is_some_and(|variant| variant.values.first().is_some_and(|first| **first == *value))
        };
        let canonical_choices = choices
            .iter()
            .filter(|(parameter, value)| !is_default(parameter, value))
            .cloned()
            .collect();
        let family = Family {
            name: name.clone(),
            choices,
        };
        Ok(Selection {
            sort_is_default: definition.sorts.first().is_some_and(|sort| sort.name == stored.sort),
            key: family.listing(stored),
            order: asked.order,
            direction,
            policy: definition.policy.clone(),
            links: definition.links,
            canonical_choices,
            existence,
            waited: Duration::ZERO,
            defined: Some(defined),
        })
    }

    async fn filter_values(
        &self,
        name: &ListingName,
        defined: &Defined,
        filter: &Filter,
        deadline: Instant,
    ) -> Result<FilterValues, EngineError> {
        let key = (name.clone(), filter.parameter.clone());
        if let Some(values) = self.memory.filter_values.get(&key) {
            return Ok(values);
        }
        let retry_after = Duration::from_secs(1);
        let failed = EngineError::NothingYet {
            reason: "the filter's values could not be read",
            retry_after,
        };
        if self.memory.filter_failures.contains_key(&key) {
            return Err(failed);
        }
        if self.memory.filter_loads.len() >= FILTER_LOADS_MAX {
            return Err(EngineError::Overloaded { retry_after });
        }
        let load = || {
            let (origin, defined, filter) = (
                self.origins.get(&defined.definition.origin),
                defined.clone(),
                filter.clone(),
            );
            let (memory, key) = (self.memory.clone(), key.clone());
            // Kept by the load itself: those who asked for it may have gone.
            async move {
                match origin?.filter_values(&defined, &filter).await {
                    Ok(values) => {
                        let values: FilterValues = Arc::new(values.into_iter().collect());
                        memory.filter_values.insert(key, values.clone());
                        Some(values)
                    }
                    Err(error) => {
                        tracing::warn!(filter = &*filter.parameter, error = %Chain(&error), "filter values could not be read");
                        memory.filter_failures.insert(key, ());
                        None
                    }
                }
            }
        };
        let joined = tokio::time::timeout_at(deadline.into(), self.memory.filter_loads.join(&key, load)).await;
        let values = joined.ok().and_then(|joined| joined.value).flatten();
        values.ok_or(failed)
    }

    async fn select_pushed(&self, name: &ListingName, asked: &Asked<'_>) -> Result<Selection, EngineError> {
        let sort = match asked.sort {
            Some(given) => match SortName::parse(given) {
                Some(sort) => sort,
                None => {
                    let detail = "a sort is named by 1 to 32 of a-z, 0-9, _ and -".into();
                    return Err(EngineError::Invalid(vec![invalid("sort", detail)]));
                }
            },
            None => self.pushed_default(name).await?,
        };
        let key = Family::plain(name.clone()).listing(StoredSort::ascending(sort));
        Ok(Selection::pushed(
            key,
            asked.order,
            self.definitions.pushed.policy.clone(),
        ))
    }

    /// `default` where it is there, else the first sort by name.
    async fn pushed_default(&self, name: &ListingName) -> Result<SortName, EngineError> {
        let default = SortName::default_sort();
        let key = Family::plain(name.clone()).listing(StoredSort::ascending(default.clone()));
        if let (Lookup::Usable(HeadState::Live(_)) | Lookup::Recheck(HeadState::Live(_)), _) = self.l1.heads.peek(&key)
        {
            return Ok(default);
        }
        let sorts = self.pushed_sorts(name).await?;
        let chosen = sorts.iter().find(|sort| **sort == default).or(sorts.first());
        // A name with nothing under it is asked for under `default`, so that its absence is remembered.
        Ok(chosen.cloned().unwrap_or(default))
    }

    /// The sorts that a pushed name has.
    pub(super) async fn pushed_sorts(&self, name: &ListingName) -> Result<Arc<[SortName]>, EngineError> {
        if let Some(sorts) = self.memory.pushed_sorts.get(name) {
            return Ok(sorts);
        }
        let _permit = self.permits.take()?;
        let listings = self.store.listings_of(name).await?;
        let sorts: Arc<[SortName]> = listings.into_iter().map(|key| key.stored.sort).collect();
        self.memory.pushed_sorts.insert(name.clone(), sorts.clone());
        Ok(sorts)
    }
}

pub(super) fn unknown_sort(definition: &Definition) -> ParameterError {
    let sorts: Vec<_> = definition.sorts.iter().map(|sort| sort.name.as_str()).collect();
    invalid("sort", format!("unknown; this listing has {}", sorts.join(", ")))
}

pub(super) fn invalid(parameter: &str, detail: String) -> ParameterError {
    ParameterError {
        parameter: parameter.to_owned(),
        detail,
    }
}
