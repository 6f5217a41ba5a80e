//! Which items are taken, and what is wanted of them, where no database selects: by way of their members.
//!
//! A database says which column it does not have. Here a misspelt member would only be missing, in every item: everything
//! would be sorted by the id, or nothing found, in silence. So it is counted what the items have, those of other
//! families too, and a read ends in an error where none of them has a member that is wanted.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::{
    OriginError, OriginItem, Read, ReadOrder, SortValue,
    members::{Member, NoNumber, WantedFields},
    number,
};
use crate::listing::{Field, Item, Taken, definition::Defined};

/// Members of an item that a message names.
const MEMBERS_NAMED_MAX: usize = 30;

/// One item, seen by way of its members. Its JSON is made only when it is wanted.
pub(super) trait Candidate {
    /// The values of the fields that were asked for.
    fn members(&self) -> &[Member];

    /// The item, with the id that the first of those fields is.
    fn item(&mut self) -> Result<Item, String>;

    /// The names of some of its members, for messages.
    fn names(&self, max: usize) -> Vec<String>;
}

/// A family of items, or the items of a name.
pub(super) struct Selection {
    /// Distinct fields that must be read of each item. Of a family's items the first is the id.
    pub wanted: WantedFields,
    /// The purpose of each of them.
    uses: Vec<&'static str>,
    /// Positions in `wanted`, and the texts that must stand there; none where no text can.
    conditions: Vec<(usize, Option<Arc<str>>)>,
    /// Positions in `wanted` of what the items are sorted by, or of the fields that make a row.
    kept: Vec<usize>,
    /// The content of [`OriginItem::keys`].
    pub columns: Vec<Field>,
    seen: Vec<SeenValues>,
    /// The names of the first item's members.
    first: OnceLock<Vec<String>>,
}

/// The values of a field so far.
#[derive(Default)]
struct SeenValues {
    /// The field, were it null.
    had: AtomicBool,
    /// A number, where one is wanted.
    numbers: AtomicBool,
    /// Values that are none.
    others: AtomicU64,
    /// The first of them.
    other: OnceLock<String>,
}

impl Selection {
    /// The items of a family, told by the name's parameters and the choices.
    pub(super) fn of_family(read: &Read) -> Self {
        let conditions = read.defined.parameters.iter().chain(read.choices.iter());
        Self::of_read(read, conditions)
    }

    /// The items of a read whose parameters have these values, whatever else selected them.
    pub(super) fn of_read<'a>(read: &Read, conditions: impl Iterator<Item = &'a (Arc<str>, Arc<str>)>) -> Self {
        let Defined { definition, .. } = &read.defined;
        let columns = match &read.order {
            ReadOrder::Any { columns } => columns.clone(),
            ReadOrder::By(by) => by.iter().map(|sort| sort.column.clone()).collect(),
        };
        let conditions = conditions.map(|(parameter, value)| (definition.field_of(parameter), value.clone()));
        Self::new(Some(definition.id.clone()), conditions, columns, "sorts go by")
    }

    /// Rows of these fields, of items whose fields have these values.
    pub(super) fn of_fields(fields: Vec<Field>, among: impl Iterator<Item = (Field, Arc<str>)>) -> Self {
        Self::new(None, among, fields, "names go by")
    }

    fn new(
        id: Option<Field>,
        conditions: impl Iterator<Item = (Field, Arc<str>)>,
        columns: Vec<Field>,
        use_of_columns: &'static str,
    ) -> Self {
        let mut wanted: Vec<Field> = Vec::new();
        let mut uses = Vec::new();
        let mut place_of = |field: Field, used: &'static str| {
            wanted.iter().position(|one| *one == field).unwrap_or_else(|| {
                wanted.push(field);
                uses.push(used);
                wanted.len() - 1
            })
        };
        if let Some(id) = id {
            place_of(id, "is the id");
        }
        let conditions = conditions
            .map(|(field, value)| {
                let text = match field.taken {
                    Taken::Number => number::canonical(&value).map(Arc::from),
                    Taken::AsIs | Taken::Text => Some(value),
                };
                (place_of(field, "items are found by"), text)
            })
            .collect();
        let kept = columns.iter().map(|column| place_of(column.clone(), use_of_columns));
        let kept = kept.collect();
        Self {
            seen: wanted.iter().map(|_| SeenValues::default()).collect(),
            wanted: WantedFields::new(wanted),
            uses,
            conditions,
            kept,
            columns,
            first: OnceLock::new(),
        }
    }

    /// The item, if it belongs to the family.
    pub(super) fn select(&self, position: u64, item: &mut dyn Candidate) -> Result<Option<OriginItem>, OriginError> {
        self.note(item);
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

    /// The texts of the fields, if the item is among those that are meant and none of them is null.
    pub(super) fn texts(&self, position: u64, item: &dyn Candidate) -> Result<Option<Vec<String>>, OriginError> {
        self.note(item);
        let members = item.members();
        if !self.holds(position, members)? {
            return Ok(None);
        }
        let mut row = Vec::with_capacity(self.kept.len());
        for at in &self.kept {
            let (member, field) = self.member(position, members, *at)?;
            match member.text(field.taken) {
                Ok(Some(text)) => row.push(text.into_owned()),
                Ok(None) | Err(NoNumber) => return Ok(None),
            }
        }
        Ok(Some(row))
    }

    /// Fields that some item had.
    pub(super) fn had(&self) -> impl Iterator<Item = &Field> {
        let seen = self.wanted.fields.iter().zip(&self.seen);
        seen.filter(|(_, seen)| seen.had.load(Ordering::Relaxed))
            .map(|(field, _)| field)
    }

    /// Ends a read: an error where no item had what is wanted, unless it is known to be there. Without items nothing is missing.
    pub(super) fn judge(&self, is_known: impl Fn(&Field) -> bool) -> Result<(), OriginError> {
        let Some(first) = self.first.get() else { return Ok(()) };
        for ((field, used), seen) in self.wanted.fields.iter().zip(&self.uses).zip(&self.seen) {
            if !seen.had.load(Ordering::Relaxed) && !field.optional && !is_known(field) {
                return Err(OriginError::Misdeclared(missing(field, used, first)));
            }
            let others = seen.others.load(Ordering::Relaxed);
            let other = seen.other.get().map_or("", |other| other);
            if others > 0 && !seen.numbers.load(Ordering::Relaxed) {
                return Err(OriginError::Misdeclared(format!(
                    "no item has a number at `{field}`, which {used}; the first has `{other}`{}",
                    match number::with_point(other).and_then(|text| number::of_text(&text)) {
                        Some(_) => ". Where a file writes numbers with a comma, say `decimal = \",\"` for its origin",
                        None => "",
                    }
                )));
            }
            if others > 0 {
                tracing::warn!(%field, values = others, first = other, "values are no numbers, and are taken for null");
            }
        }
        Ok(())
    }

    /// Counts what an item has.
    fn note(&self, item: &dyn Candidate) {
        self.first.get_or_init(|| item.names(MEMBERS_NAMED_MAX));
        for ((member, field), seen) in item.members().iter().zip(&self.wanted.fields).zip(&self.seen) {
            if matches!(member, Member::Missing) {
                continue;
            }
            seen.had.store(true, Ordering::Relaxed);
            if field.taken == Taken::Number {
                match member.sort_value(Taken::Number) {
                    Ok(SortValue::Null) => {}
                    Ok(_) => seen.numbers.store(true, Ordering::Relaxed),
                    Err(NoNumber) => {
                        seen.others.fetch_add(1, Ordering::Relaxed);
                        seen.other.get_or_init(|| shown(member));
                    }
                }
            }
        }
    }

    fn holds(&self, position: u64, members: &[Member]) -> Result<bool, OriginError> {
        for (at, value) in &self.conditions {
            let (member, field) = self.member(position, members, *at)?;
            match (member.text(field.taken), value) {
                (Ok(Some(text)), Some(value)) if text == **value => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    fn sort_value(&self, position: u64, members: &[Member], at: usize) -> Result<SortValue, OriginError> {
        let (member, field) = self.member(position, members, at)?;
        Ok(member.sort_value(field.taken).unwrap_or(SortValue::Null))
    }

    /// A member that is compared: no object and no array.
    fn member<'m>(
        &'m self,
        position: u64,
        members: &'m [Member],
        at: usize,
    ) -> Result<(&'m Member, &'m Field), OriginError> {
        let field = self.wanted.fields.get(at);
        match (members.get(at), field) {
            (Some(Member::Nested(_)), Some(field)) => Err(OriginError::Misdeclared(format!(
                "the member `{field}` of item {position} is an object or array, and cannot be compared"
            ))),
            (Some(member), Some(field)) => Ok((member, field)),
            // There is a member for each field.
            _ => Err(OriginError::Misdeclared(format!(
                "item {position} was read without field {at}"
            ))),
        }
    }
}

/// Some of a value, for messages.
fn shown(member: &Member) -> String {
    const LETTERS: usize = 40;
    let text = member.text(Taken::Text).ok().flatten().unwrap_or_default();
    text.chars().take(LETTERS).collect()
}

fn missing(field: &Field, used: &str, first: &[String]) -> String {
    let place = field.as_str();
    let names: Vec<String> = first.iter().map(|name| format!("`{name}`")).collect();
    let mut text = format!(
        "no item has `{place}`, which {used}; the first item has {}",
        if names.is_empty() {
            "no members".to_owned()
        } else {
            names.join(", ")
        }
    );
    if place.contains('.') && !place.starts_with('/') {
        text.push_str(&format!(
            ". A member of a member is a JSON pointer: `/{}`",
            place.replace('.', "/")
        ));
    }
    if used != "is the id" {
        text.push_str(". Where all items may lack it, say `optional = true`");
    }
    text
}
