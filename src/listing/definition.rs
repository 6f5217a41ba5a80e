//! Definitions: how a listing is filled, and which sorts, variants and filters it has.

mod sort;
mod variant;

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, OnceLock},
};

use globset::{GlobMatcher, GlobSet};
use xxhash_rust::xxh3::xxh3_64;

pub use self::{
    sort::{Descending, Sort, SortColumn},
    variant::{Variant, VariantProperty},
};
use super::{
    collate::Collate,
    field::{Field, Taken},
    filtering::Filters,
    head::Head,
    key::{Choices, Family, SortName, StoredSort},
    name::ListingName,
    pattern::NamePattern,
    policy::Policy,
};

/// One `[[listings]]` of the configuration: a pattern of names, and how their items are read and sorted.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Which names it fills.
    pub pattern: NamePattern,
    /// The origin, by its name in the configuration.
    pub origin: Box<str>,
    /// The query that reads the items of one name, for origins that take one. Parameters and variants are bound by name.
    pub query: Option<Box<str>>,
    /// Reads one value that changes whenever the items of a name do, for origins that take a query: while it stays, so do
    /// the items, and nothing is read.
    pub version_query: Option<Box<str>>,
    /// The column or member that is the item's id.
    pub id: Field,
    /// The enumeration of the names that exist. Without it a name exists when it has items.
    pub names: Option<Names>,
    /// The query that tells which names an item belongs to: its id, and the pattern's parameters.
    pub names_of: Option<Box<str>>,
    /// The query that tells when something of one name begins or ends next, without a write.
    pub next_change_query: Option<Box<str>>,
    /// The request that reads some items of one name alone, for origins that are asked by requests.
    pub item_query: Option<Box<str>>,
    /// At least one; the first is the default.
    pub sorts: Vec<Sort>,
    /// Parameters of a closed list of values; the first value is the default.
    pub variants: Vec<Variant>,
    /// Columns of the items by which they are filtered, in any combination.
    pub filters: Arc<Filters>,
    /// Members that items are stored and served without.
    pub hidden: Arc<[Box<str>]>,
    /// Columns or members of parameters, where they are not spelt as the parameter is.
    pub fields: Vec<(Arc<str>, Field)>,
    /// Lives and limits.
    pub policy: Arc<Policy>,
    /// The form of `next` and `prev` links.
    pub links: Links,
    /// Made when first asked for, since every page asks.
    pub hashes: StreamHashes,
}

/// The hashes of a definition's streams, see [`Definition::hash_of`].
#[derive(Clone, Debug, Default)]
pub struct StreamHashes(OnceLock<Vec<(StoredSort, u64)>>);

/// The enumeration of a definition's names, as values of its pattern's parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Asked of the origin: a query for `sql`, a member's name for `file`. A row holds the parameters' values in the pattern's order.
    Query(Box<str>),
    /// Values of the one parameter.
    List(Vec<Box<str>>),
    /// A file of them, a line each, read again now and then.
    File(Box<str>),
}

impl Names {
    /// The values in a file of them, with their line numbers. Empty lines are left out, and the byte order mark that some
    /// editors put in front.
    pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty())
    }
}

/// The form of a page's `self`, `prev` and `next` links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Links {
    /// A cursor: a client that follows it stays in one generation.
    #[default]
    Pinned,
    /// Offset and limit: few objects for a cache in front, the newest generation on each page.
    Plain,
}

/// One stream to build: where it is kept and how its items are ordered.
#[derive(Clone, Copy, Debug)]
pub struct StreamOrder<'a> {
    /// The sort that it belongs to.
    pub sort: &'a SortName,
    /// Whether it is the descending stream.
    pub own_desc: bool,
    /// Its columns, the id not among them.
    pub by: &'a [SortColumn],
}

impl StreamOrder<'_> {
    /// The name under which the stream is stored.
    pub fn stored(&self) -> StoredSort {
        StoredSort {
            sort: self.sort.clone(),
            own_desc: self.own_desc,
        }
    }
}

/// A name with the definition that fills it.
#[derive(Clone, Debug)]
pub struct Defined {
    /// The definition.
    pub definition: Arc<Definition>,
    /// The values of the pattern's parameters, in its order.
    pub parameters: Vec<(Arc<str>, Arc<str>)>,
}

impl Defined {
    /// The family of this name with the default of every variant.
    pub fn default_family(&self, name: &ListingName) -> Family {
        Family {
            name: name.clone(),
            choices: self.definition.choices(&BTreeMap::new()),
        }
    }
}

/// The source of a name's items.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// A definition fills it.
    Defined(Defined),
    /// It may be pushed, and has these filters.
    Pushed(Arc<Filters>),
    /// Neither: it cannot exist.
    Unknown,
}

/// Which names may be pushed, and how pushed listings live.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Globs of names.
    pub names: GlobSet,
    /// `fresh_for` of this is `pushed.max_age`, the most that `max-age` says.
    pub policy: Arc<Policy>,
    /// Filters by globs of names: the first that fits counts.
    pub filters: Vec<(GlobMatcher, Arc<Filters>)>,
}

impl Pushed {
    /// The filters of a name; none where no glob fits it.
    fn filters_of(&self, name: &ListingName) -> Arc<Filters> {
        let fits = |(glob, _): &&(GlobMatcher, Arc<Filters>)| glob.is_match(name.as_str());
        let found = self.filters.iter().find(fits);
        found.map(|(_, filters)| filters.clone()).unwrap_or_default()
    }
}

/// All that the configuration says of listings.
#[derive(Clone, Debug)]
pub struct Definitions {
    /// In the file's order: the first whose pattern fits a name fills it.
    pub defined: Vec<Arc<Definition>>,
    /// Pushed listings.
    pub pushed: Pushed,
}

impl Definitions {
    /// The source of a name's items.
    pub fn resolve(&self, name: &ListingName) -> Resolved {
        for definition in &self.defined {
            if let Some(parameters) = definition.pattern.matches(name.as_str()) {
                return Resolved::Defined(Defined {
                    definition: definition.clone(),
                    parameters,
                });
            }
        }
        if self.pushed.names.is_match(name.as_str()) {
            Resolved::Pushed(self.pushed.filters_of(name))
        } else {
            Resolved::Unknown
        }
    }
}

impl Definition {
    /// Whether it is known which names exist. Where it is not, a name exists when it has items.
    pub fn enumerates(&self) -> bool {
        self.names.is_some() || self.pattern.parameters().next().is_none()
    }

    /// The column or member that a parameter or variant is compared with: that of its own name, unless another is bound to it.
    pub fn field_of(&self, parameter: &str) -> Field {
        let bound = self.fields.iter().find(|(of, _)| **of == *parameter);
        bound.map_or_else(|| Field::new(parameter), |(_, field)| field.clone())
    }

    /// The properties of chosen values, by their full names: `store.website`.
    pub fn properties(&self, choices: &Choices) -> Vec<(Arc<str>, Arc<str>)> {
        let of_choice = |(parameter, value): &(Arc<str>, Arc<str>)| {
            let variant = self.variants.iter().find(|variant| variant.parameter == *parameter);
            let properties = variant.map(|variant| variant.properties_of(value).collect::<Vec<_>>());
            properties.unwrap_or_default()
        };
        choices.iter().flat_map(of_choice).collect()
    }

    /// The locale by which a column is sorted in a family of these choices; `None` where no such variant was chosen.
    pub fn locale_of(&self, collate: &Collate, choices: &Choices) -> Option<Arc<str>> {
        let variant = match collate {
            Collate::Locale(locale) => return Some(locale.clone()),
            Collate::OfVariant(variant) => variant,
        };
        let properties = self.properties(choices);
        let mut named = choices.iter().chain(&properties);
        named
            .find(|(name, _)| name == variant)
            .map(|(_, locale)| locale.clone())
    }

    /// Whether these choices could still be made: a family with an undeclared variant has no definition.
    pub fn declares(&self, choices: &Choices) -> bool {
        let given: BTreeMap<&str, &str> = choices
            .iter()
            .map(|(parameter, value)| (&**parameter, &**value))
            .collect();
        let known = |variant: &Variant| match given.get(&*variant.parameter) {
            Some(value) => variant.values.iter().any(|declared| **declared == **value),
            None => false,
        };
        self.variants.iter().all(known) && self.choices(&given) == *choices
    }

    /// The sort of a name, or the default.
    pub fn sort(&self, name: Option<&str>) -> Option<&Sort> {
        match name {
            None => self.sorts.first(),
            Some(name) => self.sorts.iter().find(|sort| sort.name.as_str() == name),
        }
    }

    /// Every stream that a refresh builds.
    pub fn streams(&self) -> impl Iterator<Item = StreamOrder<'_>> {
        self.sorts.iter().flat_map(|sort| {
            let ascending = StreamOrder {
                sort: &sort.name,
                own_desc: false,
                by: &sort.by,
            };
            let own = match &sort.desc {
                Descending::Own(by) => Some(StreamOrder {
                    sort: &sort.name,
                    own_desc: true,
                    by,
                }),
                _ => None,
            };
            std::iter::once(ascending).chain(own)
        })
    }

    /// A hash of all that shapes one stream: a head with another one is stale, and never "unchanged".
    pub fn hash_of(&self, stored: &StoredSort) -> Option<u64> {
        let hashes = self.hashes.0.get_or_init(|| {
            self.streams()
                .map(|stream| (stream.stored(), self.hash(stream)))
                .collect()
        });
        hashes
            .iter()
            .find(|(stream, _)| stream == stored)
            .map(|(_, hash)| *hash)
    }

    /// A hash of all that shapes the streams of a family: what a read by another definition came to says nothing of this one.
    pub fn hash_of_all(&self) -> u64 {
        let hashes = self.streams().filter_map(|stream| self.hash_of(&stream.stored()));
        hashes.fold(0, |all, hash| all.rotate_left(1) ^ hash)
    }

    /// Whether a head was shaped by another definition than this one, which is at least as new.
    pub fn reshapes(&self, stored: &StoredSort, head: &Head) -> bool {
        !self.is_outdated(head) && self.hash_of(stored).is_some_and(|hash| hash != head.definition)
    }

    /// Whether a newer edition of this definition has made a head.
    pub fn is_outdated(&self, head: &Head) -> bool {
        self.policy.definition_version < head.definition_version
    }

    fn hash(&self, stream: StreamOrder<'_>) -> u64 {
        let mut text = String::new();
        // Lengths keep neighbouring texts apart.
        for part in [
            self.pattern.as_str(),
            &self.origin,
            self.query.as_deref().unwrap_or_default(),
            self.id.as_str(),
        ] {
            let _ = write!(text, "{}:{part};", part.len());
        }
        let _ = write!(text, "chunk_len {};", self.policy.chunk_len);
        for column in stream.by {
            let name = column.column.as_str();
            let _ = write!(text, "{}:{name} {};", name.len(), column.descending);
        }
        // Only where something is said, so that a definition that says nothing keeps its hash.
        let sorted_by = stream.by.iter().map(|column| ("", &column.column));
        let bound = self.fields.iter().map(|(parameter, field)| (&**parameter, field));
        for (of, field) in sorted_by.chain([("", &self.id)]).chain(bound) {
            if !of.is_empty() || field.taken != Taken::AsIs {
                let _ = write!(text, "field {of}={field} {:?};", field.taken);
            }
        }
        for collate in stream.by.iter().filter_map(|sort| sort.column.collate.as_ref()) {
            let _ = write!(text, "collate {collate};");
        }
        for member in self.hidden.iter() {
            let _ = write!(text, "hidden {}:{member};", member.len());
        }
        for variant in &self.variants {
            for VariantProperty { name, of_values } in &variant.properties {
                let _ = write!(text, "property {}.{name}={:?};", variant.parameter, of_values);
            }
        }
        // 0 is the hash of pushed listings.
        xxh3_64(text.as_bytes()).max(1)
    }

    /// The families of a name that are known without asking anybody: one a combination of variants. At most so many.
    pub fn families(&self, name: &ListingName, max: usize) -> Vec<Family> {
        let mut choices: Vec<Vec<(Arc<str>, Arc<str>)>> = vec![Vec::new()];
        for variant in &self.variants {
            let with = |before: &Vec<_>, value: &Arc<str>| {
                let mut choice = before.clone();
                choice.push((variant.parameter.clone(), value.clone()));
                choice
            };
            choices = choices
                .iter()
                .flat_map(|before| variant.values.iter().map(move |value| with(before, value)))
                .take(max)
                .collect();
        }
        let family = |choices: Vec<_>| Family {
            name: name.clone(),
            choices: choices.into(),
        };
        choices.into_iter().map(family).collect()
    }

    /// The choices that given values make, in the order of declaration, defaults filled in. Values are not checked here.
    pub fn choices(&self, given: &BTreeMap<&str, &str>) -> Choices {
        let variants = self.variants.iter().filter_map(|variant| {
            let value = match given.get(&*variant.parameter) {
                Some(value) => Arc::from(*value),
                None => variant.values.first()?.clone(),
            };
            Some((variant.parameter.clone(), value))
        });
        variants.collect()
    }
}
