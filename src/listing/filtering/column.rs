//! Columns: for each position of a generation the value that the item there has.
//!
//! Values are numbered in the order in which they come, and a column holds numbers. A new generation takes over the part of its
//! column that belongs to unchanged chunks, by [`ColumnBuilder::take_over`].

use std::{borrow::Cow, collections::HashMap, ops::Range, sync::Arc};

use foldhash::fast::RandomState;

/// The number of no value.
pub(super) const NONE: u32 = u32::MAX;

/// What an item has in a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'i> {
    /// No value.
    Nothing,
    /// One value.
    One(Valued<'i>),
    /// Several values.
    Many(Vec<Cow<'i, str>>),
    /// A number.
    Number(f64),
}

/// A value, with what is shown for it and by what it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Valued<'i> {
    /// The value.
    pub text: Cow<'i, str>,
    /// What is shown.
    pub label: Option<Cow<'i, str>>,
    /// By what values are listed, the least first.
    pub rank: Option<f64>,
}

/// A value that some item has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub text: Arc<str>,
    pub label: Option<Arc<str>>,
    pub rank: Option<f64>,
}

/// The values of one filter.
#[derive(Clone, Debug)]
pub struct Column(pub(super) Held);

#[derive(Clone, Debug)]
pub(super) enum Held {
    /// One a position, by its number.
    One(Values, Vec<u32>),
    /// Several a position: the numbers of all, and where those of each position end.
    Many(Values, Vec<u32>, Vec<u32>),
    /// A number a position, NaN where there is none.
    Numbers(Vec<f64>),
}

/// The values of a column by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    pub all: Vec<Value>,
    by_text: HashMap<Arc<str>, u32, RandomState>,
}

impl Values {
    /// The number of a value, if any item has it.
    pub(super) fn number_of(&self, text: &str) -> Option<u32> {
        self.by_text.get(text).copied()
    }

    /// The number of a value, which may be new. What is shown for it is what was said last.
    fn number(&mut self, valued: &Valued<'_>) -> u32 {
        if let Some(number) = self.number_of(&valued.text) {
            if let Some(value) = self.all.get_mut(number as usize) {
                value.rank = valued.rank;
                if value.label.as_deref() != valued.label.as_deref() {
                    value.label = valued.label.as_deref().map(Arc::from);
                }
            }
            return number;
        }
        let text: Arc<str> = Arc::from(&*valued.text);
        // There are fewer than items, and of these far fewer than that.
        let number = u32::try_from(self.all.len()).unwrap_or(NONE);
        self.all.push(Value {
            text: text.clone(),
            label: valued.label.as_deref().map(Arc::from),
            rank: valued.rank,
        });
        self.by_text.insert(text, number);
        number
    }

    fn bytes(&self) -> usize {
        const ENTRY_BYTES: usize = size_of::<Value>() + size_of::<(Arc<str>, u32)>() + 48;
        let texts = self
            .all
            .iter()
            .map(|value| value.text.len() + value.label.as_ref().map_or(0, |label| label.len()));
        texts.sum::<usize>() + self.all.len() * ENTRY_BYTES
    }
}

impl Column {
    /// How many positions it has.
    pub fn len(&self) -> usize {
        match &self.0 {
            Held::One(_, numbers) => numbers.len(),
            Held::Many(_, _, ends) => ends.len(),
            Held::Numbers(numbers) => numbers.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it takes up in memory, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.0 {
                Held::One(values, numbers) => values.bytes() + size_of_val(&**numbers),
                Held::Many(values, numbers, ends) => values.bytes() + size_of_val(&**numbers) + size_of_val(&**ends),
                Held::Numbers(numbers) => size_of_val(&**numbers),
            }
    }
}

/// Which kind of column is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    One,
    Many,
    Numbers,
}

/// Makes a column, position by position.
#[derive(Debug)]
pub struct ColumnBuilder {
    column: Column,
    /// The numbers that the values of the column which is taken over have in this one.
    taken: Vec<u32>,
}

impl ColumnBuilder {
    /// An empty column of a filter.
    pub fn new(filter: &super::FilterColumn) -> Self {
        let held = match kind_of(filter) {
            Kind::One => Held::One(Values::default(), Vec::new()),
            Kind::Many => Held::Many(Values::default(), Vec::new(), Vec::new()),
            Kind::Numbers => Held::Numbers(Vec::new()),
        };
        Self {
            column: Column(held),
            taken: Vec::new(),
        }
    }

    /// Adds the next position. A cell of another kind than the column's counts as none.
    pub fn push(&mut self, cell: &Cell<'_>) {
        match (&mut self.column.0, cell) {
            (Held::One(values, numbers), Cell::One(value)) => numbers.push(values.number(value)),
            (Held::One(_, numbers), _) => numbers.push(NONE),
            (Held::Many(values, numbers, ends), cell) => {
                let start = numbers.len();
                let mut add = |number| {
                    // An item that has a value twice has it once.
                    if numbers.get(start..).is_some_and(|own| !own.contains(&number)) {
                        numbers.push(number);
                    }
                };
                match cell {
                    Cell::One(value) => add(values.number(value)),
                    Cell::Many(texts) => texts.iter().for_each(|text| {
                        add(values.number(&Valued {
                            text: Cow::Borrowed(text),
                            label: None,
                            rank: None,
                        }));
                    }),
                    Cell::Nothing | Cell::Number(_) => {}
                }
                ends.push(u32::try_from(numbers.len()).unwrap_or(NONE));
            }
            (Held::Numbers(numbers), Cell::Number(number)) => numbers.push(*number),
            (Held::Numbers(numbers), _) => numbers.push(f64::NAN),
        }
    }

    /// Adds positions of another column of the same filter, always of the same one. `false` where it does not have them all: then none is
    /// added.
    pub fn take_over(&mut self, from: &Column, positions: Range<usize>) -> bool {
        let taken = &mut self.taken;
        let mut renumbered = |values: &mut Values, of: &Values, number: u32| {
            let at = number as usize;
            let Some(value) = of.all.get(at) else { return NONE };
            if taken.len() < of.all.len() {
                taken.resize(of.all.len(), NONE);
            }
            match taken.get_mut(at) {
                Some(known) if *known == NONE => {
                    *known = values.number(&Valued {
                        text: Cow::Borrowed(&value.text),
                        label: value.label.as_deref().map(Cow::Borrowed),
                        rank: value.rank,
                    });
                    *known
                }
                Some(known) => *known,
                None => NONE,
            }
        };
        match (&mut self.column.0, &from.0) {
            (Held::One(values, numbers), Held::One(of, from)) => {
                let Some(from) = from.get(positions) else { return false };
                numbers.extend(from.iter().map(|number| renumbered(values, of, *number)));
            }
            (Held::Many(values, numbers, ends), Held::Many(of, from, from_ends)) => {
                let Some(own_ends) = from_ends.get(positions.clone()) else {
                    return false;
                };
                let mut start = positions
                    .start
                    .checked_sub(1)
                    .and_then(|at| from_ends.get(at))
                    .copied()
                    .unwrap_or(0);
                for end in own_ends {
                    let own = from.get(start as usize..*end as usize).unwrap_or_default();
                    numbers.extend(own.iter().map(|number| renumbered(values, of, *number)));
                    ends.push(u32::try_from(numbers.len()).unwrap_or(NONE));
                    start = *end;
                }
            }
            (Held::Numbers(numbers), Held::Numbers(from)) => {
                let Some(from) = from.get(positions) else { return false };
                numbers.extend_from_slice(from);
            }
            _ => return false,
        }
        true
    }

    /// How many positions there are so far.
    pub fn len(&self) -> usize {
        self.column.len()
    }

    /// Whether there are none so far.
    pub fn is_empty(&self) -> bool {
        self.column.is_empty()
    }

    /// The column.
    pub fn finish(self) -> Column {
        self.column
    }
}

pub(super) fn kind_of(filter: &super::FilterColumn) -> Kind {
    match &filter.kind {
        super::FilterKind::Numbers { .. } => Kind::Numbers,
        super::FilterKind::Values {
            each: super::Each::One, ..
        } => Kind::One,
        super::FilterKind::Values { .. } => Kind::Many,
    }
}

/// The columns of one generation: one for each filter that its definition declares, in that order.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// How many items the generation has.
    pub total: usize,
    /// Each has as many positions.
    pub columns: Vec<Column>,
}

impl Columns {
    /// What they take up in memory, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.columns.iter().map(Column::bytes).sum::<usize>()
    }
}
