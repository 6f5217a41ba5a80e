//! JSON pointers (RFC 6901): where in a document a value stands.

use std::fmt;

use serde_json::Value;

/// A pointer such as `/hits/hits`, cut at its slashes. The empty one means the whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonPointer {
    text: Box<str>,
    steps: Box<[Box<str>]>,
}

/// Why a text is no JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    /// It begins with something else.
    #[error("a JSON pointer is empty or begins with `/`, such as \"/data/items\"")]
    NoSlash,
    /// `~` with something else behind it.
    #[error("in a JSON pointer `~` is written `~0`, and `/` inside a member's name `~1`")]
    BadEscape,
}

impl JsonPointer {
    /// Takes a pointer as the configuration gives it.
    pub fn parse(text: &str) -> Result<Self, InvalidPointer> {
        let steps = match text.strip_prefix('/') {
            Some(steps) => steps.split('/').map(step).collect::<Result<_, _>>()?,
            None if text.is_empty() => Box::default(),
            None => return Err(InvalidPointer::NoSlash),
        };
        Ok(Self {
            text: text.into(),
            steps,
        })
    }

    /// Names of members and positions in lists, outermost first.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| &**step)
    }

    /// The values at this place, in the order of the document. In an array `*` stands for each element; in an object it is a member's name.
    pub fn values<'d>(&self, document: &'d Value) -> Vec<&'d Value> {
        let mut found = vec![document];
        for step in self.steps() {
            let mut below = Vec::new();
            for value in found {
                match value {
                    Value::Array(elements) if step == EACH => below.extend(elements),
                    Value::Array(elements) => below.extend(position(step).and_then(|at| elements.get(at))),
                    Value::Object(members) => below.extend(members.get(step)),
                    _ => {}
                }
            }
            found = below;
        }
        found
    }
}

/// The step that stands for each element of an array.
const EACH: &str = "*";

/// A position in an array: digits without zeros before them (RFC 6901, section 4).
fn position(step: &str) -> Option<usize> {
    let is_number = step == "0" || !step.starts_with('0') && step.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| step.parse().ok()).flatten()
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn step(escaped: &str) -> Result<Box<str>, InvalidPointer> {
    let mut step = String::new();
    let mut letters = escaped.chars();
    while let Some(letter) = letters.next() {
        step.push(match (letter, letter == '~') {
            (letter, false) => letter,
            (_, true) => match letters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(InvalidPointer::BadEscape),
            },
        });
    }
    Ok(step.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<&[&str], InvalidPointer>) {
        let parsed = JsonPointer::parse(text);
        let steps = parsed.as_ref().map(|pointer| pointer.steps().collect::<Vec<_>>());
        assert_eq!(steps.map_err(|error| *error), expect.map(<[_]>::to_vec), "{text}");
    }

    #[test]
    fn a_pointer_is_cut_at_its_slashes() {
        check("", Ok(&[]));
        check("/", Ok(&[""]));
        check("/hits/hits", Ok(&["hits", "hits"]));
        check("/a~1b/m~0n/~01/0/", Ok(&["a/b", "m~n", "~1", "0", ""]));
        check("hits", Err(InvalidPointer::NoSlash));
        check("#/hits", Err(InvalidPointer::NoSlash));
        check("/a~", Err(InvalidPointer::BadEscape));
        check("/a~2", Err(InvalidPointer::BadEscape));
    }

    #[test]
    fn a_star_is_each_element_of_an_array() {
        let document = serde_json::json!({
            "id": 7, "a/b": "x", "variants": [{"product_id": 1}, {"sku": "s"}, {"product_id": "2"}, 3],
            "nested": [[1, 2], [], [3]], "named": {"*": 4, "0": 5},
        });
        for (pointer, expect) in [
            ("/id", serde_json::json!([7])),
            ("/a~1b", serde_json::json!(["x"])),
            ("/variants/*/product_id", serde_json::json!([1, "2"])),
            ("/variants/2/product_id", serde_json::json!(["2"])),
            ("/variants/02/product_id", serde_json::json!([])),
            ("/variants/9", serde_json::json!([])),
            ("/nested/*/*", serde_json::json!([1, 2, 3])),
            ("/named/*", serde_json::json!([4])),
            ("/named/0", serde_json::json!([5])),
            ("/id/*", serde_json::json!([])),
            ("/none", serde_json::json!([])),
        ] {
            let pointer = JsonPointer::parse(pointer).unwrap();
            assert_eq!(serde_json::json!(pointer.values(&document)), expect, "{pointer}");
        }
        assert_eq!(JsonPointer::default().values(&document), [&document]);
    }
}
