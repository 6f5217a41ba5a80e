//! JSON pointers (RFC 6901): where in a document a value stands.

use std::fmt;

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
}
