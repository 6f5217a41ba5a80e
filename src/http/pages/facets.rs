//! The member `facets` of a page: the values of filters and how many of the selected items have each.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    engine::{PageMeta, Selection},
    listing::{Facet, filtering::write_number},
};

/// What the selected items have of one filter, whatever is selected of that filter itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Facet)]
pub(super) enum FacetDocument<'f> {
    /// Of a filter with values.
    #[schema(title = "Values")]
    Values {
        /// By rank where the filter has one, else the most frequent first.
        values: Vec<FacetValueDocument<'f>>,
        /// Values beyond `facet_values_max`, which are not listed.
        more: u64,
    },
    /// Of a filter with ranges.
    #[schema(title = "Ranges")]
    Ranges {
        /// How many items have a number.
        count: u64,
        /// The least number; null where no item has one.
        #[schema(value_type = Option<f64>, required = true)]
        min: Option<serde_json::Number>,
        /// The greatest.
        #[schema(value_type = Option<f64>, required = true)]
        max: Option<serde_json::Number>,
        /// How many lie between the declared steps.
        steps: Vec<FacetStepDocument<'f>>,
    },
}

/// A value, and how many have it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FacetValue)]
pub(super) struct FacetValueDocument<'f> {
    /// As it is asked for: `f.brand=<value>`.
    value: &'f str,
    /// What is shown for it; absent where the filter declares no label.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    label: Option<&'f str>,
    /// How many items have it.
    count: u64,
    /// Whether it is selected.
    selected: bool,
}

/// A range, and how many lie in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FacetStep)]
pub(super) struct FacetStepDocument<'f> {
    /// As it is asked for: `f.price_cents=<range>`.
    range: &'f str,
    /// How many items lie in it.
    count: u64,
}

impl<'f> From<&'f Facet> for FacetDocument<'f> {
    fn from(facet: &'f Facet) -> Self {
        match facet {
            Facet::Values { values, more } => Self::Values {
                values: values
                    .iter()
                    .map(|value| FacetValueDocument {
                        value: &value.value,
                        label: value.label.as_deref(),
                        count: value.count,
                        selected: value.is_selected,
                    })
                    .collect(),
                more: *more,
            },
            Facet::Numbers { count, bounds, steps } => Self::Ranges {
                count: *count,
                min: bounds.and_then(|(least, _)| json_number(least)),
                max: bounds.and_then(|(_, most)| json_number(most)),
                steps: steps
                    .iter()
                    .map(|step| FacetStepDocument {
                        range: &step.range,
                        count: step.count,
                    })
                    .collect(),
            },
        }
    }
}

/// A number as it is asked for: `349`, and not `349.0`.
pub(crate) fn json_number(number: f64) -> Option<serde_json::Number> {
    serde_json::from_str(&write_number(number)).ok()
}

/// Writes the member, where counts are asked for.
pub(super) fn write(text: &mut String, selection: &Selection, meta: &PageMeta) {
    let Some(filters) = selection.filters().filter(|_| !selection.facets.is_empty()) else {
        return;
    };
    text.push_str(",\"facets\":{");
    for (number, (at, facet)) in meta.facets(selection).into_iter().enumerate() {
        let Some(filter) = filters.get(at) else { continue };
        if number > 0 {
            text.push(',');
        }
        // The name of a filter holds nothing that JSON escapes; texts and numbers are always JSON.
        text.push_str(&format!("\"{}\":", filter.name));
        text.push_str(&serde_json::to_string(&FacetDocument::from(&facet)).unwrap_or_default());
    }
    text.push('}');
}
