//! Variants: parameters of a closed list of values, and what queries need to know of each value.

use std::sync::Arc;

/// A parameter of a closed list of values, bound in the query by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The parameter.
    pub parameter: Arc<str>,
    /// At least one; the first is the default.
    pub values: Vec<Arc<str>>,
    /// What queries and requests may name besides the value itself, as `:store.website`.
    pub properties: Vec<VariantProperty>,
}

/// A property of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantProperty {
    /// Its name, without the variant's.
    pub name: Arc<str>,
    /// One for each of the variant's values.
    pub of_values: Vec<Arc<str>>,
}

impl VariantProperty {
    /// Whether a property's value may stand in a statement as it is.
    pub fn is_identifier(of_value: &str) -> bool {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        !of_value.is_empty() && of_value.bytes().all(fits)
    }
}

impl Variant {
    /// The full names of its properties, `store.website`, with what they are for one of its values.
    pub(super) fn properties_of<'v>(&'v self, value: &'v str) -> impl Iterator<Item = (Arc<str>, Arc<str>)> + 'v {
        let at = self.values.iter().position(|declared| **declared == *value);
        let of_value = move |property: &'v VariantProperty| {
            let name = format!("{}.{}", self.parameter, property.name);
            Some((Arc::from(name), property.of_values.get(at?)?.clone()))
        };
        self.properties.iter().filter_map(of_value)
    }
}
