//! Name patterns: `category:{category}` and the names that fit it.

use std::sync::Arc;

/// A pattern of names: literal text and parameters in braces.
///
/// A parameter takes at least one character, and as few as let the literal text after it fit; the last one takes the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    text: Box<str>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Parameter(Arc<str>),
}

/// Why a text is not a name pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// A brace without its partner.
    #[error("a brace without its partner")]
    Unbalanced,
    /// Not `[a-z_][a-z0-9_]*`.
    #[error("`{0}` is no parameter name: use [a-z_][a-z0-9_]*")]
    BadParameter(String),
    /// The same parameter again.
    #[error("the parameter `{0}` stands twice")]
    Repeated(String),
    /// Two parameters with nothing between them: no name says where one ends.
    #[error("two parameters need text between them")]
    Adjacent,
    /// Nothing at all.
    #[error("a pattern cannot be empty")]
    Empty,
}

impl NamePattern {
    /// Takes a pattern as the configuration gives it.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('{') {
                let (parameter, after) = inside.split_once('}').ok_or(InvalidPattern::Unbalanced)?;
                parts.push(Self::parameter(parameter, &parts)?);
                rest = after;
            } else {
                let end = rest.find('{').unwrap_or(rest.len());
                let (literal, after) = rest.split_at(end);
                if literal.contains('}') {
                    return Err(InvalidPattern::Unbalanced);
                }
                parts.push(Part::Literal(literal.into()));
                rest = after;
            }
        }
        if parts.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        Ok(Self {
            text: text.into(),
            parts,
        })
    }

    fn parameter(name: &str, before: &[Part]) -> Result<Part, InvalidPattern> {
        if !is_parameter_name(name) {
            return Err(InvalidPattern::BadParameter(name.to_owned()));
        }
        if matches!(before.last(), Some(Part::Parameter(_))) {
            return Err(InvalidPattern::Adjacent);
        }
        let part = Part::Parameter(name.into());
        if before.contains(&part) {
            return Err(InvalidPattern::Repeated(name.to_owned()));
        }
        Ok(part)
    }

    /// The pattern as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parameters in their order.
    pub fn parameters(&self) -> impl Iterator<Item = &Arc<str>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Parameter(name) => Some(name),
            Part::Literal(_) => None,
        })
    }

    /// The parameters' values in a name, in the pattern's order; `None` where the name does not fit.
    pub fn matches(&self, name: &str) -> Option<Vec<(Arc<str>, Arc<str>)>> {
        let mut values = Vec::new();
        let mut rest = name;
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(literal) => rest = rest.strip_prefix(&**literal)?,
                Part::Parameter(parameter) => {
                    let first = rest.chars().next()?.len_utf8();
                    let end = match self.parts.get(at + 1) {
                        Some(Part::Literal(literal)) if at + 2 == self.parts.len() => {
                            // The last literal must end the name.
                            rest.len().checked_sub(literal.len()).filter(|end| *end >= first)?
                        }
                        Some(Part::Literal(literal)) => first + rest.get(first..)?.find(&**literal)?,
                        _ => rest.len(),
                    };
                    values.push((parameter.clone(), rest.get(..end)?.into()));
                    rest = &rest[end..];
                }
            }
        }
        rest.is_empty().then_some(values)
    }

    /// Whether a name that was made of these values is read back as them. One whose value holds the text between two parameters is
    /// not: `FOOD/DRINK` and `TEA` make `FOOD/DRINK/TEA`, which is read as `FOOD` and `DRINK/TEA`.
    pub fn reads_back<V: AsRef<str>>(&self, name: &str, values: &[V]) -> bool {
        let read = self.matches(name);
        let given = values.iter().map(AsRef::as_ref);
        read.is_some_and(|read| read.iter().map(|(_, value)| &**value).eq(given))
    }

    /// The name with these values of the parameters, in the pattern's order; `None` where their number differs.
    pub fn fill<V: AsRef<str>>(&self, values: &[V]) -> Option<String> {
        let mut values = values.iter();
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => name.push_str(literal),
                Part::Parameter(_) => name.push_str(values.next()?.as_ref()),
            }
        }
        values.next().is_none().then_some(name)
    }
}

/// The parameters of every page. No listing can declare one of the same name.
pub const PAGE_PARAMETERS: [&str; 9] = [
    "sort",
    "order",
    "page",
    "size",
    "offset",
    "limit",
    "cursor",
    "generation",
    "facets",
];

/// Whether a text can be a parameter's name: `[a-z_][a-z0-9_]*`.
pub fn is_parameter_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, name: &str, expect: Option<&[&str]>) {
        let pattern = NamePattern::parse(pattern).unwrap();
        let values = pattern
            .matches(name)
            .map(|values| values.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
        let expect = expect.map(|values| values.iter().map(|value| Arc::from(*value)).collect::<Vec<Arc<str>>>());
        assert_eq!(values, expect);
        if let Some(values) = values {
            assert_eq!(pattern.fill(&values).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_name_fits_or_does_not() {
        check("category:{category}", "category:BREAD", Some(&["BREAD"]));
        check("category:{category}", "category:A:B/C", Some(&["A:B/C"]));
        check("category:{category}", "category:", None);
        check("category:{category}", "brand:X", None);
        check("all", "all", Some(&[]));
        check("all", "all of it", None);
        check("{a}-{b}", "x-y-z", Some(&["x", "y-z"]));
        check("{a}-{b}", "--z", Some(&["-", "z"]));
        check("shop {a} list", "shop x list list", Some(&["x list"]));
        check("shop {a} list", "shop x lis", None);
        check("{a}é", "éé", Some(&["é"]));
    }

    #[test]
    fn a_name_is_read_back_as_the_values_that_it_was_made_of_or_not() {
        for (pattern, values, reads_back) in [
            ("{a}/{b}", ["FOOD", "TEA"], true),
            ("{a}/{b}", ["FOOD", "DRINK/TEA"], true),
            ("{a}/{b}", ["FOOD/DRINK", "TEA"], false),
            ("{a}/{b}", ["FOOD/", "TEA"], false),
            ("{a}/{b}", ["", "TEA"], false),
            ("{a} of {b} list", ["x", "y list"], true),
            ("{a} of {b} list", ["x of z", "y"], false),
        ] {
            let pattern = NamePattern::parse(pattern).unwrap();
            let name = pattern.fill(&values).unwrap();
            assert_eq!(pattern.reads_back(&name, &values), reads_back, "{name}");
        }
    }

    #[test]
    fn a_bad_pattern_says_why() {
        for (bad, why) in [
            ("", InvalidPattern::Empty),
            ("a{b", InvalidPattern::Unbalanced),
            ("a}b", InvalidPattern::Unbalanced),
            ("{a}{b}", InvalidPattern::Adjacent),
            ("{a}:{a}", InvalidPattern::Repeated("a".into())),
            ("{A}", InvalidPattern::BadParameter("A".into())),
        ] {
            assert_eq!(NamePattern::parse(bad), Err(why), "{bad}");
        }
    }
}
