//! Header names of HTTP/1.1 that the framework cannot take: it panics on one of 64 KiB.
//!
//! A name is what stands between a line end and a colon, if all its bytes may stand in a name (RFC 9110, 5.6.2). This
//! watch needs no knowledge of where a body ends. A body that looks like such a name is a chunk which begins with 64 KiB of letters
//! and digits and then a colon: it is refused too.

/// The longest name that the framework takes.
const NAME_BYTES_MAX: usize = u16::MAX as usize;

/// Finds the colon of a name that is too long. Pure.
#[derive(Debug)]
pub(super) struct LongNames {
    /// The length of what may be a name, since the last line end. `None` where it is none.
    name_bytes: Option<usize>,
}

impl LongNames {
    /// At the beginning of a line.
    pub(super) fn new() -> Self {
        Self { name_bytes: Some(0) }
    }

    /// Whether the next byte begins a line.
    pub(super) fn is_at_line_start(&self) -> bool {
        self.name_bytes == Some(0)
    }

    /// The place of the first colon among these bytes that ends a name which is too long.
    pub(super) fn colon_in(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.name_bytes {
                Some(before) => {
                    let more = rest.iter().take_while(|byte| may_stand_in_a_name(**byte)).count();
                    let name_bytes = before + more;
                    at += more;
                    match bytes.get(at) {
                        None => self.name_bytes = Some(name_bytes),
                        Some(b'\n') => {
                            self.name_bytes = Some(0);
                            at += 1;
                        }
                        Some(ends) => {
                            self.name_bytes = None;
                            if name_bytes > NAME_BYTES_MAX && *ends == b':' {
                                return Some(at);
                            }
                        }
                    }
                }
                None => match rest.iter().position(|byte| *byte == b'\n') {
                    Some(line_end) => {
                        self.name_bytes = Some(0);
                        at += line_end + 1;
                    }
                    None => break,
                },
            }
        }
        None
    }
}

fn may_stand_in_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&str], expect: Option<(usize, usize)>) {
        let mut names = LongNames::new();
        let found = (0..)
            .zip(pieces)
            .find_map(|(number, piece)| Some((number, names.colon_in(piece.as_bytes())?)));
        assert_eq!(found, expect);
    }

    #[test]
    fn a_name_is_too_long_at_64_kib_however_it_is_cut() {
        let (longest, longer) = ("n".repeat(NAME_BYTES_MAX), "n".repeat(NAME_BYTES_MAX + 1));
        let request = "GET / HTTP/1.1\r\n";
        check(&[&format!("{request}{longest}: x\r\n\r\n")], None);
        let whole = format!("{request}{longer}: x\r\n\r\n");
        let colon = request.len() + longer.len();
        check(&[&whole], Some((0, colon)));
        check(&[&whole[..colon], &whole[colon..]], Some((1, 0)));
        check(
            &[&whole[..100], &whole[100..60_000], &whole[60_000..]],
            Some((2, colon - 60_000)),
        );
        // Behind a body, on a connection that goes on.
        check(
            &["POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", &whole],
            Some((1, colon)),
        );
    }

    #[test]
    fn long_values_targets_and_bodies_are_no_names() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        check(&[&format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")], None);
        check(&[&format!("GET / HTTP/1.1\r\nHost: {long}:1\r\n\r\n")], None);
        check(
            &[&format!("PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{{\"{long}\":1}}")],
            None,
        );
        check(&[&format!("\r\n{long}\r\n: x")], None);
        check(&[&long, "/", ":"], None);
    }

    #[test]
    fn it_says_where_a_line_begins() {
        let mut names = LongNames::new();
        for (bytes, expect) in [
            ("", true),
            ("GET", false),
            (" /\r\n", true),
            ("\r\n", true),
            ("Host", false),
            ("\n", true),
        ] {
            assert_eq!(names.colon_in(bytes.as_bytes()), None);
            assert_eq!(names.is_at_line_start(), expect, "{bytes:?}");
        }
    }
}
