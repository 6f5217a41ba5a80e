//! Which items are taken, and what is wanted of them, where no database selects: by way of their members.

use std::sync::Arc;

use super::{OriginError, OriginItem, Read, ReadOrder, SortValue, members::Member};
use crate::listing::{Item, definition::Defined};

/// One item, seen by way of its members. Its JSON is made only when it is wanted.
pub(super) trait Candidate {
    /// The values of the members that were asked for.
    fn members(&self) -> &[Member];

    /// The item, with the id that the first of those members is.
    fn item(&mut self) -> Result<Item, String>;
}

/// A family of items, or the items of a name.
pub(super) struct Selection {
    /// Distinct members that must be read of each item. Of a family's items the first is the id.
    wanted: Vec<Box<str>>,
    /// Positions in `wanted`, and the texts that must stand there.
    conditions: Vec<(usize, Arc<str>)>,
    /// Positions in `wanted` of what the items are sorted by, or of the members that make a row.
    kept: Vec<usize>,
    columns: Vec<Box<str>>,
}

impl Selection {
    /// The items of a family, told by the name's parameters and the choices.
    pub fn of_family(read: &Read) -> Self {
        let conditions = read.defined.parameters.iter().chain(read.choices.iter());
        Self::of_read(read, conditions)
    }

    /// The items of a read that have these values, whatever else selected them.
    pub fn of_read<'a>(read: &Read, conditions: impl Iterator<Item = &'a (Arc<str>, Arc<str>)>) -> Self {
        let Defined { definition, .. } = &read.defined;
        let columns = match &read.order {
            ReadOrder::Any { columns } => columns.clone(),
            ReadOrder::By(by) => by.iter().map(|sort| sort.column.clone()).collect(),
        };
        Self::new(Some(&definition.id), conditions, columns)
    }

    /// Rows of these members, of items whose members have these values.
    pub fn of_members(members: &[Box<str>], among: &[(Arc<str>, Arc<str>)]) -> Self {
        Self::new(None, among.iter(), members.to_vec())
    }

    fn new<'a>(
        id: Option<&str>,
        conditions: impl Iterator<Item = &'a (Arc<str>, Arc<str>)>,
        columns: Vec<Box<str>>,
    ) -> Self {
        let mut wanted: Vec<Box<str>> = id.into_iter().map(Box::from).collect();
        let mut place_of = |member: &str| {
            wanted.iter().position(|one| **one == *member).unwrap_or_else(|| {
                wanted.push(member.into());
                wanted.len() - 1
            })
        };
        let conditions = conditions
            .map(|(member, value)| (place_of(member), value.clone()))
            .collect();
        let kept = columns.iter().map(|column| place_of(column)).collect();
        Self {
            wanted,
            conditions,
            kept,
            columns,
        }
    }

    /// The members that must be read.
    pub fn wanted(&self) -> &[Box<str>] {
        &self.wanted
    }

    /// What [`OriginItem::keys`] holds.
    pub fn columns(&self) -> &[Box<str>] {
        &self.columns
    }

    /// The item, if it belongs to the family.
    pub fn select(&self, position: u64, item: &mut dyn Candidate) -> Result<Option<OriginItem>, OriginError> {
        if !self.holds(position, item.members())? {
            return Ok(None);
        }
        let taken = item
            .item()
            .map_err(|reason| OriginError::BadItem { position, reason })?;
        let members = item.members();
        let keys = self.kept.iter().map(|at| self.sort_value(position, members, *at));
        Ok(Some(OriginItem {
            keys: keys.collect::<Result<_, _>>()?,
            id: match self.sort_value(position, members, 0)? {
                // A cell such as `90.750`: the id is a text.
                SortValue::Real(_) => SortValue::Text(taken.id.as_str().into()),
                id => id,
            },
            item: taken,
        }))
    }

    /// The texts of the members, if the item is among those that are meant and none of them is null.
    pub fn texts(&self, position: u64, item: &dyn Candidate) -> Result<Option<Vec<String>>, OriginError> {
        let members = item.members();
        if !self.holds(position, members)? {
            return Ok(None);
        }
        let mut row = Vec::with_capacity(self.kept.len());
        for at in &self.kept {
            let member = self.member(position, members, *at)?;
            let Some(text) = member.text() else { return Ok(None) };
            row.push(text.into_owned());
        }
        Ok(Some(row))
    }

    fn holds(&self, position: u64, members: &[Member]) -> Result<bool, OriginError> {
        for (at, value) in &self.conditions {
            if self.member(position, members, *at)?.text().as_deref() != Some(value) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn sort_value(&self, position: u64, members: &[Member], at: usize) -> Result<SortValue, OriginError> {
        let member = self.member(position, members, at)?;
        Ok(member.sort_value().unwrap_or(SortValue::Null))
    }

    /// A member that is compared: no object and no array.
    fn member<'m>(&self, position: u64, members: &'m [Member], at: usize) -> Result<&'m Member, OriginError> {
        match members.get(at) {
            Some(Member::Nested) => {
                let name = self.wanted.get(at).map_or("", |name| name);
                Err(OriginError::Misdeclared(format!(
                    "the member `{name}` of item {position} is an object or array, and cannot be compared"
                )))
            }
            Some(member) => Ok(member),
            None => Ok(&Member::Null),
        }
    }
}
