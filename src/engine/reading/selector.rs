//! From the choices of a client to one listing in one order: checked against the definition, before anything is read.
//!
//! A name that its definition's `names` do not hold is 404 at once. All parameters that do not fit are told together.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;

use super::selection::{Asked, Lasts, Selection, invalid, unknown_sort};
use crate::{
    engine::{
        declared::names::Existence,
        error::{EngineError, ParameterError},
        refreshing::means::Means,
    },
    listing::{
        Family, Filtering, Filters, HeadState, ListingName, Policy, SortName, StoredSort,
        definition::{Defined, Resolved},
    },
};

/// Chooses listings.
pub struct Selector {
    pub(crate) means: Arc<Means>,
}

impl Selector {
    /// Chooses the listing.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for a name that cannot exist; [`EngineError::Invalid`] with every parameter that does not fit.
    pub async fn select(&self, name: &ListingName, asked: Asked<'_>) -> Result<Selection, EngineError> {
        self.select_from(self.means.declaration.resolve(name), name, asked, Instant::now())
            .await
    }

    /// Chooses the listing of a name that was resolved before, by a request that began just now.
    ///
    /// # Errors
    /// As [`Selector::select`].
    pub async fn select_from(
        &self,
        resolved: Resolved,
        name: &ListingName,
        asked: Asked<'_>,
        began: Instant,
    ) -> Result<Selection, EngineError> {
        let selection = match resolved {
            Resolved::Unknown => return Err(EngineError::NotFound),
            Resolved::Pushed(filters) => self.select_pushed(name, &filters, &asked).await?,
            Resolved::Defined(defined) => self.select_defined(name, defined, &asked).await?,
        };
        Ok(Selection {
            waited: began.elapsed(),
            ..selection
        })
    }

    /// The same without a future; `None` where it would have to wait.
    pub fn select_at_once(
        &self,
        resolved: Resolved,
        name: &ListingName,
        asked: Asked<'_>,
    ) -> Option<Result<Selection, EngineError>> {
        match resolved {
            Resolved::Unknown => Some(Err(EngineError::NotFound)),
            Resolved::Pushed(filters) => self.select_pushed_at_once(name, &filters, &asked).transpose(),
            // The load that it would wait for goes on by itself, and serves the next request.
            Resolved::Defined(defined) => self.select_defined(name, defined, &asked).now_or_never(),
        }
    }

    /// Whether a kept selection is still right where its page has no head in L1 that may be served.
    pub fn is_still_chosen(&self, kept: &Selection) -> bool {
        let known = || self.means.l1.heads.last_known(&kept.key);
        kept.lasts != Lasts::WhileLive || known().is_some_and(|state| state.live().is_some())
    }

    /// Whether a selection that was made before would be made again.
    pub fn stands_by(&self, kept: &Selection) -> bool {
        match &kept.defined {
            Some(defined) if defined.definition.names.is_some() => {
                let declared = self.means.declaration.take();
                let existence = declared.names.existence(defined, kept.key.name());
                existence.now_or_never() == Some(kept.existence)
            }
            _ => true,
        }
    }

    async fn select_defined(
        &self,
        name: &ListingName,
        defined: Defined,
        asked: &Asked<'_>,
    ) -> Result<Selection, EngineError> {
        let declared = self.means.declaration.take();
        let mut existence = declared.names.existence(&defined, name).await;
        if existence == Existence::Outside {
            // Frozen names live on, and links can be followed to their end.
            if !asked.is_pinned && self.means.frozen.until(name, self.means.store.now()).is_none() {
                return Err(EngineError::NotFound);
            }
            existence = Existence::ByHead;
        }
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
        let lasts = match existence {
            Existence::ByHead => Lasts::Once,
            _ => Lasts::WhileItStands,
        };
        let filters = &definition.filters;
        let (filtering, facets) = match filters_of(filters, asked, &definition.policy) {
            Ok(chosen) => chosen,
            Err(bad) => {
                errors.extend(bad);
                Default::default()
            }
        };
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
            filtering,
            facets,
            declared_filters: definition.filters.clone(),
            existence,
            waited: Duration::ZERO,
            lasts,
            defined: Some(defined),
        })
    }

    async fn select_pushed(
        &self,
        name: &ListingName,
        filters: &Arc<Filters>,
        asked: &Asked<'_>,
    ) -> Result<Selection, EngineError> {
        if let Some(selection) = self.select_pushed_at_once(name, filters, asked)? {
            return Ok(selection);
        }
        let sorts = self.means.pushed_sorts.of(name).await?;
        self.pushed(name, default_of(&sorts), filters, asked)
    }

    /// `None` where Redis must be asked which sorts there are.
    fn select_pushed_at_once(
        &self,
        name: &ListingName,
        filters: &Arc<Filters>,
        asked: &Asked<'_>,
    ) -> Result<Option<Selection>, EngineError> {
        if let Some(given) = asked.sort {
            let Some(sort) = SortName::parse(given) else {
                let detail = format!("a sort is named by {}", SortName::RULE);
                return Err(EngineError::Invalid(vec![invalid("sort", detail)]));
            };
            return Ok(Some(Selection {
                lasts: Lasts::WhileItStands,
                ..self.pushed(name, sort, filters, asked)?
            }));
        }
        let default = Selection {
            lasts: Lasts::WhileLive,
            ..self.pushed(name, SortName::default_sort(), filters, asked)?
        };
        if let Some(HeadState::Live(_)) = self.means.l1.heads.last_known(&default.key) {
            return Ok(Some(default));
        }
        let sorts = self.means.pushed_sorts.known(name);
        sorts
            .map(|sorts| self.pushed(name, default_of(&sorts), filters, asked))
            .transpose()
    }

    fn pushed(
        &self,
        name: &ListingName,
        sort: SortName,
        filters: &Arc<Filters>,
        asked: &Asked<'_>,
    ) -> Result<Selection, EngineError> {
        let policy = self.means.declaration.pushed_policy();
        let (filtering, facets) = filters_of(filters, asked, &policy).map_err(EngineError::Invalid)?;
        let key = Family::plain(name.clone()).listing(StoredSort::ascending(sort));
        Ok(Selection {
            filtering,
            facets,
            declared_filters: filters.clone(),
            ..Selection::pushed(key, asked.order, policy)
        })
    }
}

/// `default` where it is there, else the first sort by name. A name with nothing under it is asked for under `default`, so that
/// its absence is remembered.
fn default_of(sorts: &[SortName]) -> SortName {
    let default = SortName::default_sort();
    let chosen = sorts.iter().find(|sort| **sort == default).or(sorts.first());
    chosen.cloned().unwrap_or(default)
}

/// What is asked for of filters, and the filters whose values are to be counted.
type ChosenFilters = (Option<Arc<Filtering>>, Vec<usize>);

/// Checks what is asked for of filters: all that does not fit is told.
fn filters_of(filters: &Filters, asked: &Asked<'_>, policy: &Policy) -> Result<ChosenFilters, Vec<ParameterError>> {
    let values_max = usize::try_from(policy.filter_values_max).unwrap_or(usize::MAX);
    let mut errors = Vec::new();
    let filtering = match Filtering::of(filters, asked.filters.iter().copied(), values_max) {
        Ok(filtering) => filtering.map(Arc::new),
        Err(bad) => {
            errors.extend(bad.into_iter().map(|bad| invalid(&bad.parameter, bad.detail)));
            None
        }
    };
    let mut facets = Vec::new();
    for name in &asked.facets {
        match filters.position(name) {
            Some(at) if facets.contains(&at) => errors.push(invalid("facets", format!("names `{name}` twice"))),
            Some(at) => facets.push(at),
            None => errors.push(invalid("facets", no_filter(filters, name))),
        }
    }
    if errors.is_empty() {
        Ok((filtering, facets))
    } else {
        Err(errors)
    }
}

fn no_filter(filters: &Filters, name: &str) -> String {
    let names: Vec<&str> = filters.iter().map(|filter| &*filter.name).collect();
    match names.is_empty() {
        true => "this listing has no filters".to_owned(),
        false => format!("this listing has no filter `{name}`; it has {}", names.join(", ")),
    }
}
