//! Parameters that the configuration declares, for the description: sorts, variants, filters, and `facets`.
//!
//! The page operation is one for all names, so a parameter that several definitions declare is described once, with the values of all.
//! A client may then ask a listing for a value that only another listing has: the answer is 400, or the parameter is unknown there and
//! ignored.
//! An operation for each definition would be exact, but no path of OpenAPI tells `category:{category}` from `brand:{brand}`.
//!
//! Two bounds keep the description small: [`BYTES_MAX`] for all parameters, and [`PATTERNS_TOLD`] for the patterns in each text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use utoipa::openapi::{
    Object, Required, Schema, Type,
    path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
    schema::ArrayBuilder,
};

use crate::listing::{
    Definitions,
    filtering::{FilterColumn, FilterKind, write_number},
};

/// The most bytes of JSON that variants and filters take up: room for several hundred.
pub(super) const BYTES_MAX: usize = 256 * 1024;
/// At most this many patterns are named in a text.
const PATTERNS_TOLD: usize = 8;
/// At most this many sorts are named of a pattern. More sorts of all patterns together are not enumerated.
const SORTS_TOLD: usize = 32;
/// A longer pattern or column is cut in a text.
const CHARS_TOLD: usize = 80;
/// A well-formed name of a sort.
const SORT: &str = "^[a-z0-9_-]{1,32}$";
/// A whole number or one with a point, as ranges are asked for.
const RANGE: &str = r"^(-?[0-9]+(\.[0-9]+)?\.\.(<?-?[0-9]+(\.[0-9]+)?)?|\.\.<?-?[0-9]+(\.[0-9]+)?)$";

/// The parameters, each with another name.
pub(super) struct ConfiguredParameters {
    /// `sort`, for all that reads a listing.
    pub sort: Parameter,
    /// Variants, for all that reads a listing.
    pub variants: Vec<Parameter>,
    /// Filters and `facets`, for pages.
    pub filters: Vec<Parameter>,
    /// How many variants and filters had no room.
    pub left_out: usize,
}

impl ConfiguredParameters {
    pub(super) fn of(definitions: &Definitions) -> Self {
        let mut room = Room {
            bytes: BYTES_MAX,
            left_out: 0,
        };
        let variants = room.take(variants(definitions));
        let mut filters = room.take(filters(definitions));
        filters.extend(facets(&filters));
        Self {
            sort: sort(definitions),
            variants,
            filters,
            left_out: room.left_out,
        }
    }
}

/// The room that is left.
struct Room {
    bytes: usize,
    left_out: usize,
}

impl Room {
    fn take(&mut self, parameters: Vec<Parameter>) -> Vec<Parameter> {
        let mut fits = |parameter: &Parameter| {
            let bytes = serde_json::to_string(parameter).map_or(usize::MAX, |text| text.len());
            let left = self.bytes.checked_sub(bytes);
            match left {
                Some(left) => self.bytes = left,
                None => self.left_out += 1,
            }
            left.is_some()
        };
        parameters.into_iter().filter(|parameter| fits(parameter)).collect()
    }
}

fn in_query(name: &str, description: String, schema: impl Into<Schema>) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema.into()))
}

/// A closed list of sorts only where nothing may be pushed: a pushed listing has the sorts that its pusher names.
fn sort(definitions: &Definitions) -> Parameter {
    let mut names = BTreeSet::new();
    let mut told = Vec::new();
    for definition in &definitions.defined {
        let sorts = definition.sorts.iter().map(|sort| sort.name.as_str());
        names.extend(sorts.clone());
        let sorts = some_of(sorts.map(|name| format!("`{name}`")).collect(), SORTS_TOLD, ", ");
        told.push(format!("{} has {sorts}", quoted(definition.pattern.as_str())));
    }
    let mut description = "Without it the default one, which is the first of a listing.".to_owned();
    if !told.is_empty() {
        told.dedup();
        description = format!("{description} {}.", some_of(told, PATTERNS_TOLD, "; "));
    }
    let is_pushed = !definitions.pushed.names.is_empty();
    if is_pushed {
        description.push_str(" A pushed listing has the sorts under which it was pushed.");
    }
    let text = Object::builder().schema_type(Type::String);
    let schema = match names.len() {
        1..=SORTS_TOLD if !is_pushed => text.enum_values(Some(names)),
        _ => text.pattern(Some(SORT)),
    };
    in_query("sort", description, schema.build()).build()
}

/// A variant of all definitions that declare it.
#[derive(Default)]
struct VariantUse<'d> {
    values: Vec<&'d str>,
    defaults: BTreeSet<&'d str>,
    patterns: Vec<&'d str>,
}

fn variants(definitions: &Definitions) -> Vec<Parameter> {
    let mut all: BTreeMap<&str, VariantUse<'_>> = BTreeMap::new();
    for definition in &definitions.defined {
        for variant in &definition.variants {
            let found = all.entry(&variant.parameter).or_default();
            let mut known: BTreeSet<&str> = found.values.iter().copied().collect();
            let values = variant.values.iter().map(|value| &**value);
            found.values.extend(values.clone().filter(|value| known.insert(value)));
            found.defaults.extend(values.take(1));
            found.patterns.push(definition.pattern.as_str());
        }
    }
    all.into_iter().map(|(name, found)| found.parameter(name)).collect()
}

impl VariantUse<'_> {
    fn parameter(self, name: &str) -> Parameter {
        let mut default = self.defaults.iter();
        let default = default.next().filter(|_| self.defaults.len() == 1);
        let description = format!("A variant of {}.", patterns(&self.patterns));
        let example = self.values.first().map(|first| json!(first));
        let schema = Object::builder().schema_type(Type::String);
        let schema = schema.default(default.map(|default| json!(default)));
        let schema = schema.enum_values(Some(self.values)).build();
        in_query(name, description, schema).example(example).build()
    }
}

/// A filter of all listings that declare it.
struct FilterUse<'d> {
    columns: Vec<&'d FilterColumn>,
    /// The patterns of each kind of column.
    told: BTreeMap<String, Vec<&'d str>>,
    values_max: u32,
}

fn filters(definitions: &Definitions) -> Vec<Parameter> {
    let defined = definitions.defined.iter().map(|definition| {
        let values_max = definition.policy.filter_values_max;
        (definition.pattern.as_str(), &definition.filters, values_max)
    });
    let pushed = &definitions.pushed;
    let values_max = pushed.policy.filter_values_max;
    let pushed = pushed.filters.iter();
    let pushed = pushed.map(|(glob, filters)| (glob.glob().glob(), filters, values_max));
    let mut all: BTreeMap<String, FilterUse<'_>> = BTreeMap::new();
    for (pattern, filters, values_max) in defined.chain(pushed) {
        for filter in filters.iter() {
            let found = all.entry(filter.parameter()).or_insert_with(|| FilterUse {
                columns: Vec::new(),
                told: BTreeMap::new(),
                values_max: 1,
            });
            found.columns.push(filter);
            found.told.entry(told(filter)).or_default().push(pattern);
            found.values_max = found.values_max.max(values_max);
        }
    }
    all.into_iter().map(|(name, found)| found.parameter(&name)).collect()
}

/// The column of a filter, in words.
fn told(filter: &FilterColumn) -> String {
    let column = quoted(filter.field.as_str());
    match &filter.kind {
        FilterKind::Numbers { .. } => format!("ranges of {column}"),
        FilterKind::Values { label: None, .. } => format!("values of {column}"),
        FilterKind::Values { label: Some(label), .. } => {
            format!("values of {column} labelled by {}", quoted(label.as_str()))
        }
    }
}

impl FilterUse<'_> {
    fn parameter(self, name: &str) -> Parameter {
        let told = self.told.iter();
        let told = told.map(|(column, of)| format!("{column} in {}", patterns(of)));
        let told = some_of(told.collect(), PATTERNS_TOLD, "; ");
        let description = format!("Shows only items that have one of these. Declared: {told}.");
        let (value, example) = self.value();
        let schema = ArrayBuilder::new().items(value).min_items(Some(1));
        let schema = schema.max_items(usize::try_from(self.values_max).ok()).build();
        let parameter = in_query(name, description, schema).example(example.map(|value| json!([value])));
        parameter.style(Some(ParameterStyle::Form)).explode(Some(true)).build()
    }

    /// The schema of one value, and an example if one is known. If the listings differ in kind, any text is a value.
    fn value(&self) -> (Object, Option<Value>) {
        let text = Object::builder().schema_type(Type::String);
        if self.columns.iter().all(|column| column.is_range()) {
            let steps = self.columns.iter().find_map(|column| match &column.kind {
                FilterKind::Numbers { steps } => steps.first(),
                FilterKind::Values { .. } => None,
            });
            let example = steps.map_or_else(|| "100..".to_owned(), |step| format!("..<{}", write_number(*step)));
            (text.pattern(Some(RANGE)).build(), Some(json!(example)))
        } else if self.columns.iter().all(|column| column.is_boolean()) {
            (text.enum_values(Some(["true", "false"])).build(), Some(json!("true")))
        } else {
            (text.min_length(Some(1)).build(), None)
        }
    }
}

/// Which of the described filters are counted; none where there are none.
fn facets(filters: &[Parameter]) -> Option<Parameter> {
    let names = filters.iter().filter_map(|filter| filter.name.split_once('.'));
    let names: Vec<&str> = names.map(|(_, name)| name).collect();
    let example = names.first().map(|first| json!([first]))?;
    let name = Object::builder().schema_type(Type::String).enum_values(Some(names));
    let schema = ArrayBuilder::new().items(name.build());
    let schema = schema.min_items(Some(1)).unique_items(true).build();
    let description = "Names of filters, with commas between them, whose values are counted.";
    let parameter = in_query("facets", description.to_owned(), schema).example(Some(example));
    let parameter = parameter.style(Some(ParameterStyle::Form)).explode(Some(false));
    Some(parameter.build())
}

/// Some patterns, each named once.
fn patterns(all: &[&str]) -> String {
    let mut seen = BTreeSet::new();
    let once = all.iter().filter(|pattern| seen.insert(**pattern));
    some_of(once.map(|pattern| quoted(pattern)).collect(), PATTERNS_TOLD, ", ")
}

/// The first of these texts, and how many more there are.
fn some_of(mut texts: Vec<String>, told: usize, between: &str) -> String {
    let more = texts.len().saturating_sub(told);
    texts.truncate(told);
    match more {
        0 => texts.join(between),
        more => format!("{} and {more} more", texts.join(between)),
    }
}

/// A name from the configuration in a text. Backticks would end the quotation.
fn quoted(name: &str) -> String {
    let end = if name.chars().nth(CHARS_TOLD).is_some() {
        "…"
    } else {
        ""
    };
    let name: String = name.chars().take(CHARS_TOLD).filter(|one| *one != '`').collect();
    format!("`{name}{end}`")
}

#[cfg(test)]
mod tests;
