//! Columns that a definition names and no item has, of filters and of hidden members. For `check-config --origins`.

use super::{
    cells::CellReader,
    members::{Member, WantedFields, members_of},
};
use crate::listing::{
    Definition, Field, Taken,
    filtering::{Cell, FilterColumn},
};

/// Letters of a value that a message shows.
const SHOWN: usize = 40;

/// A search for them. The items must have all that the origin gave: hidden members too.
#[derive(Debug)]
pub struct Unmet<'d> {
    wanted: WantedFields,
    /// Of each wanted field what it is for, and whether an item has had it.
    fields: Vec<(Purpose<'d>, bool)>,
    cells: CellReader,
    /// Of each filter whether an item has had a value of it, and the first that is there and is none.
    values: Vec<(&'d FilterColumn, bool, Option<String>)>,
}

#[derive(Debug)]
enum Purpose<'d> {
    Filter(&'d FilterColumn),
    Hidden,
}

impl<'d> Unmet<'d> {
    /// All that a definition names.
    pub fn of(definition: &'d Definition) -> Self {
        let filters = &definition.filters;
        let read = filters.iter().flat_map(|filter| {
            let fields = filter.fields();
            fields.map(move |field| (field.clone(), Purpose::Filter(filter)))
        });
        let hidden = definition.hidden.iter().map(|name| (Field::new(name), Purpose::Hidden));
        let (wanted, purposes): (Vec<Field>, Vec<Purpose<'_>>) = read.chain(hidden).unzip();
        Self {
            wanted: WantedFields::new(wanted),
            fields: purposes.into_iter().map(|purpose| (purpose, false)).collect(),
            cells: CellReader::new(filters),
            values: filters.iter().map(|filter| (filter, false, None)).collect(),
        }
    }

    /// Looks at an item's JSON.
    pub fn look_at(&mut self, json: &[u8]) {
        let members = members_of(json, &self.wanted).unwrap_or_default();
        for (member, (_, had)) in members.iter().zip(&mut self.fields) {
            *had |= !matches!(member, Member::Missing);
        }
        for (cell, (filter, had, other)) in self.cells.read(json).into_iter().zip(&mut self.values) {
            *had |= cell != Cell::Nothing;
            if !*had && other.is_none() {
                let place = self.wanted.fields.iter().position(|field| *field == filter.field);
                let member = place.and_then(|place| members.get(place));
                *other = member.and_then(shown);
            }
        }
    }

    /// What is wrong with it, a line each, once all items were looked at.
    pub fn complaints(&self) -> Vec<String> {
        let fields = self.fields.iter().zip(&self.wanted.fields);
        let missing = fields.filter(|((_, had), field)| !had && !field.optional);
        let missing = missing.map(|((purpose, _), field)| match purpose {
            Purpose::Filter(filter) => format!("no item has `{field}`, which the filter `{}` reads", filter.name),
            Purpose::Hidden => format!("no item has `{field}`, which `hidden` names"),
        });
        let unusable = self.values.iter().filter_map(|(filter, had, other)| {
            let (name, field, other) = (&filter.name, &filter.field, other.as_ref().filter(|_| !had)?);
            Some(match filter.is_range() && field.taken != Taken::Number {
                true => format!("no item has a number at `{field}`, which the filter `{name}` reads; the first has `{other}`. Where numbers are written as texts, say `as = \"number\"`"),
                false => format!("no item has a value that the filter `{name}` can take at `{field}`; the first has `{other}`"),
            })
        });
        missing.chain(unusable).collect()
    }
}

/// Some of a value that is there. An empty text is no value of any filter.
fn shown(member: &Member) -> Option<String> {
    let text = match member {
        Member::Missing | Member::Null => return None,
        Member::Nested(json) => json.to_string(),
        member => member.text(Taken::Text).ok()??.into_owned(),
    };
    (!text.is_empty()).then(|| text.chars().take(SHOWN).collect())
}
