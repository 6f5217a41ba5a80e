//! Fields: where in an item a value stands that the item is known, found or sorted by, and what the value is taken for.

use std::fmt;

use super::{collate::Collate, json_pointer::JsonPointer};

/// A column, or a member of an item's JSON.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Field {
    /// A column's or member's name. Where items are JSON, a text that begins with `/` is a JSON pointer.
    place: Box<str>,
    steps: Box<[Box<str>]>,
    /// How its values are read.
    pub taken: Taken,
    /// Whether all items may lack it.
    pub optional: bool,
    /// The language in whose order its texts are sorted; without one their bytes decide.
    pub collate: Option<Collate>,
}

/// How the values of a field are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Taken {
    /// For what they are.
    #[default]
    AsIs,
    /// For numbers, also where they are written as texts.
    Number,
    /// For texts: a number is its spelling.
    Text,
}

impl Field {
    /// The longest that a configuration may give, in bytes.
    pub const BYTES_MAX: usize = 1024;

    /// A field by a name or a pointer. A pointer that is none is a name.
    pub fn new(place: &str) -> Self {
        let steps = match JsonPointer::parse(place) {
            Ok(pointer) if !place.is_empty() => pointer.steps().map(Box::from).collect(),
            _ => [Box::from(place)].into(),
        };
        Self {
            place: place.into(),
            steps,
            taken: Taken::AsIs,
            optional: false,
            collate: None,
        }
    }

    /// The same, with its values taken for something else.
    pub fn taken_for(mut self, taken: Taken) -> Self {
        self.taken = taken;
        self
    }

    /// The name or the pointer, as it is written.
    pub fn as_str(&self) -> &str {
        &self.place
    }

    /// Names of members and positions in lists, outermost first; at least one.
    pub fn steps(&self) -> &[Box<str>] {
        &self.steps
    }
}

impl From<&str> for Field {
    fn from(place: &str) -> Self {
        Self::new(place)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_name_or_a_pointer() {
        for (place, expect) in [
            ("price", &["price"][..]),
            ("attributes.price", &["attributes.price"]),
            ("/attributes/price", &["attributes", "price"]),
            ("/a~1b/0", &["a/b", "0"]),
            ("/a~", &["/a~"]),
            ("", &[""]),
        ] {
            let field = Field::new(place);
            let steps: Vec<&str> = field.steps().iter().map(|step| &**step).collect();
            assert_eq!(steps, expect, "{place}");
        }
    }
}
