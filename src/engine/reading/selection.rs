//! From what a client chose to one listing in one order: checked against the definition, before anything is read.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;

use crate::{
    engine::{
        Engine,
        declared::names::Existence,
        error::{EngineError, ParameterError},
    },
    listing::{
        Definition, Direction, Family, HeadState, ListingKey, ListingName, Order, Policy, SortName, StoredSort,
        definition::{Defined, Links, Resolved},
    },
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
    /// Whether a generation is asked for, by its name or a cursor.
    pub is_pinned: bool,
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
    pub(crate) defined: Option<Defined>,
    /// Whether the name exists, so that an empty listing is a listing.
    pub(crate) existence: Existence,
    /// How long others were waited for, of the time that a request may wait in all.
    pub(crate) waited: Duration,
    pub(crate) lasts: Lasts,
}

/// How long who asks for the same again may go by a selection, as long as the configuration is not replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// For this request only.
    Once,
    /// As long as its listing is there: where a pushed name has no default sort, it has another one.
    WhileLive,
    /// As long as [`Engine::stands_by`] it.
    WhileItStands,
}

impl Selection {
    /// When the choice was made that began then.
    pub fn made_at(&self, began: Instant) -> Instant {
        began + self.waited
    }

    /// How long it may be kept.
    pub fn lasts(&self) -> Lasts {
        self.lasts
    }

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
            lasts: Lasts::Once,
        }
    }
}

impl Engine {
    /// Chooses the listing.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for a name that cannot exist; [`EngineError::Invalid`] with every parameter that does not fit.
    pub async fn select(&self, name: &ListingName, asked: Asked<'_>) -> Result<Selection, EngineError> {
        self.select_from(self.resolve(name), name, asked, Instant::now()).await
    }

    /// Chooses the listing of a name that was resolved before, by who has begun just now.
    ///
    /// # Errors
    /// As [`Engine::select`].
    pub async fn select_from(
        &self,
        resolved: Resolved,
        name: &ListingName,
        asked: Asked<'_>,
        began: Instant,
    ) -> Result<Selection, EngineError> {
        let selection = match resolved {
            Resolved::Unknown => return Err(EngineError::NotFound),
            Resolved::Pushed => self.select_pushed(name, &asked).await?,
            Resolved::Defined(defined) => self.select_defined(name, defined, &asked, began).await?,
        };
        Ok(Selection {
            waited: began.elapsed(),
            ..selection
        })
    }

    /// The same, if nobody has to be waited for.
    pub fn select_here(
        &self,
        resolved: Resolved,
        name: &ListingName,
        asked: Asked<'_>,
        began: Instant,
    ) -> Option<Result<Selection, EngineError>> {
        match resolved {
            Resolved::Unknown => Some(Err(EngineError::NotFound)),
            Resolved::Pushed => self.select_pushed_here(name, &asked).transpose(),
            // What it would wait for goes on by itself, and serves the next who asks.
            Resolved::Defined(defined) => self.select_defined(name, defined, &asked, began).now_or_never(),
        }
    }

    /// Whether a selection that was made before would be made again.
    pub fn stands_by(&self, kept: &Selection) -> bool {
        match &kept.defined {
            Some(defined) if defined.definition.names.is_some() => {
                let declared = self.declaration.take();
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
        began: Instant,
    ) -> Result<Selection, EngineError> {
        let declared = self.declaration.take();
        let mut existence = declared.names.existence(&defined, name).await;
        if existence == Existence::Outside {
            // What is frozen lives on, and whoever follows links comes to their end.
            if !asked.is_pinned && self.frozen_until(name).is_none() {
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
        let mut lasts = match existence {
            Existence::ByHead => Lasts::Once,
            _ => Lasts::WhileItStands,
        };
        for filter in &definition.filters {
            let Some(value) = given.get(&*filter.parameter) else {
                continue;
            };
            // Which values there are changes with the items.
            lasts = Lasts::Once;
            let deadline = began + self.fill_wait(&definition.policy);
            let is_known = existence == Existence::Enumerated || self.has_head(name, &defined);
            let values = declared
                .filters
                .values(name, &defined, filter, is_known, deadline)
                .await?;
            if !values.contains(*value) {
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
            lasts,
            defined: Some(defined),
        })
    }

    /// Whether a head of the name's default listing is known here.
    fn has_head(&self, name: &ListingName, defined: &Defined) -> bool {
        let stream = defined.definition.streams().next();
        let key = stream.map(|stream| defined.default_family(name).listing(stream.stored()));
        let known = key.and_then(|key| self.l1.heads.last_known(&key));
        known.is_some_and(|state| state != HeadState::Absent)
    }

    async fn select_pushed(&self, name: &ListingName, asked: &Asked<'_>) -> Result<Selection, EngineError> {
        if let Some(selection) = self.select_pushed_here(name, asked)? {
            return Ok(selection);
        }
        let sorts = self.pushed_sorts.of(name).await?;
        Ok(self.pushed(name, default_of(&sorts), asked.order))
    }

    /// `None` where Redis must be asked which sorts there are.
    fn select_pushed_here(&self, name: &ListingName, asked: &Asked<'_>) -> Result<Option<Selection>, EngineError> {
        if let Some(given) = asked.sort {
            let Some(sort) = SortName::parse(given) else {
                let detail = format!("a sort is named by {}", SortName::RULE);
                return Err(EngineError::Invalid(vec![invalid("sort", detail)]));
            };
            return Ok(Some(Selection {
                lasts: Lasts::WhileItStands,
                ..self.pushed(name, sort, asked.order)
            }));
        }
        let default = Selection {
            lasts: Lasts::WhileLive,
            ..self.pushed(name, SortName::default_sort(), asked.order)
        };
        if let Some(HeadState::Live(_)) = self.l1.heads.last_known(&default.key) {
            return Ok(Some(default));
        }
        let sorts = self.pushed_sorts.known(name);
        Ok(sorts.map(|sorts| self.pushed(name, default_of(&sorts), asked.order)))
    }

    fn pushed(&self, name: &ListingName, sort: SortName, order: Order) -> Selection {
        let key = Family::plain(name.clone()).listing(StoredSort::ascending(sort));
        Selection::pushed(key, order, self.declared().definitions.pushed.policy.clone())
    }
}

/// `default` where it is there, else the first sort by name. A name with nothing under it is asked for under `default`, so that
/// its absence is remembered.
fn default_of(sorts: &[SortName]) -> SortName {
    let default = SortName::default_sort();
    let chosen = sorts.iter().find(|sort| **sort == default).or(sorts.first());
    chosen.cloned().unwrap_or(default)
}

pub(crate) fn unknown_sort(definition: &Definition) -> ParameterError {
    let sorts: Vec<_> = definition.sorts.iter().map(|sort| sort.name.as_str()).collect();
    invalid("sort", format!("unknown; this listing has {}", sorts.join(", ")))
}

pub(crate) fn invalid(parameter: &str, detail: String) -> ParameterError {
    ParameterError {
        parameter: parameter.to_owned(),
        detail,
    }
}
