//! Which items of a file are read, and what is wanted of them.

use std::sync::Arc;

use super::{super::SortValue, FileItem};
use crate::{
    listing::definition::Defined,
    origin::{OriginError, OriginItem, Read, ReadOrder, members::Member},
};

/// A family of a file's items, or the items of a name.
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
    /// The items of a family.
    pub fn of_family(read: &Read) -> Self {
        let Defined { definition, parameters } = &read.defined;
        let columns = match &read.order {
            ReadOrder::Any { columns } => columns.clone(),
            ReadOrder::By(by) => by.iter().map(|sort| sort.column.clone()).collect(),
        };
        let conditions = parameters.iter().chain(read.choices.iter());
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
    pub fn select(&self, position: u64, item: &mut dyn FileItem) -> Result<Option<OriginItem>, OriginError> {
        if !self.holds(position, item.members())? {
            return Ok(None);
        }
        let taken = item
            .item()
            .map_err(|reason| OriginError::BadItem { position, reason })?;
        let members = item.members();
        let keys = self.kept.iter().map(|at| self.sort_value(position, members, *at));
        Ok(Some(OriginItem {
            item: taken,
            keys: keys.collect::<Result<_, _>>()?,
            id: self.sort_value(position, members, 0)?,
        }))
    }

    /// The texts of the members, if the item is among those that are meant and none of them is null.
    pub fn texts(&self, position: u64, item: &dyn FileItem) -> Result<Option<Vec<String>>, OriginError> {
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
