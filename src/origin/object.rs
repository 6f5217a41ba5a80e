//! Writing an item's JSON from columns: members in the columns' order, no space.

use bytes::{BufMut, Bytes, BytesMut};

/// Objects are written one after the other into blocks of this size, and handed out as parts of them: one allocation for
/// many, and none is copied.
const BLOCK_BYTES: usize = 16 * 1024;

/// An object of the same members each time.
pub(super) struct ObjectWriter {
    /// Of each member: the text before its value.
    openings: Vec<Box<[u8]>>,
    json: BytesMut,
}

impl ObjectWriter {
    /// A writer of objects with these members.
    pub(super) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut openings = Vec::new();
        for (at, name) in names.into_iter().enumerate() {
            let mut opening = BytesMut::new();
            opening.put_u8(if at == 0 { b'{' } else { b',' });
            write_text(&mut opening, name);
            opening.put_u8(b':');
            openings.push(Box::from(&*opening));
        }
        Self {
            openings,
            json: BytesMut::with_capacity(BLOCK_BYTES),
        }
    }

    /// Begins the next object.
    pub(super) fn begin(&mut self) {
        self.json.clear();
    }

    /// Begins a member; its value must follow. Members come in their order.
    pub(super) fn member(&mut self, at: usize) {
        self.json
            .extend_from_slice(self.openings.get(at).map_or(&[], |opening| opening));
    }

    /// A null.
    pub(super) fn null(&mut self) {
        self.json.extend_from_slice(b"null");
    }

    /// An integer.
    pub(super) fn integer(&mut self, number: i64) {
        // Writing to memory cannot fail; neither can it for the rest of this file.
        let _ = serde_json::to_writer((&mut self.json).writer(), &number);
    }

    /// A finite number.
    pub(super) fn real(&mut self, number: f64) {
        let _ = serde_json::to_writer((&mut self.json).writer(), &number);
    }

    /// A finite number of single precision.
    pub(super) fn single(&mut self, number: f32) {
        let _ = serde_json::to_writer((&mut self.json).writer(), &number);
    }

    /// A string.
    pub(super) fn text(&mut self, text: &str) {
        write_text(&mut self.json, text);
    }

    /// JSON that is known to be sound.
    pub(super) fn raw(&mut self, json: &str) {
        self.json.extend_from_slice(json.as_bytes());
    }

    /// Ends the object.
    pub(super) fn end(&mut self) -> Bytes {
        if self.openings.is_empty() {
            self.json.put_u8(b'{');
        }
        self.json.put_u8(b'}');
        self.json.split().freeze()
    }
}

fn write_text(json: &mut BytesMut, text: &str) {
    // Most texts stand in JSON as they are, and seeing that takes a tenth of the time of writing byte by byte.
    if text.as_bytes().chunks(64).any(needs_escape) {
        let _ = serde_json::to_writer(json.writer(), text);
    } else {
        json.reserve(text.len() + 2);
        json.put_u8(b'"');
        json.put_slice(text.as_bytes());
        json.put_u8(b'"');
    }
}

/// Whether any of the bytes cannot stand for itself in a string (RFC 8259, section 7). Without a branch a byte, so that
/// many are looked at in one step.
fn needs_escape(bytes: &[u8]) -> bool {
    let special = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    bytes.iter().fold(false, |found, byte| found | special(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_their_order_without_space() {
        let mut object = ObjectWriter::new(["id", "a \"b\"", "c", "d", "e"]);
        for _ in 0..2 {
            object.begin();
            object.member(0);
            object.integer(-7);
            object.member(1);
            object.text("x\n\"é\"\u{7f}\u{0}");
            object.member(2);
            object.real(1.0);
            object.member(3);
            object.null();
            object.member(4);
            object.raw("[ 1 ]");
            assert_eq!(
                std::str::from_utf8(&object.end()).unwrap(),
                "{\"id\":-7,\"a \\\"b\\\"\":\"x\\n\\\"é\\\"\u{7f}\\u0000\",\"c\":1.0,\"d\":null,\"e\":[ 1 ]}"
            );
        }
        let mut empty = ObjectWriter::new([]);
        empty.begin();
        assert_eq!(empty.end(), "{}");
    }

    #[test]
    fn a_byte_that_must_be_escaped_is_found_wherever_it_stands() {
        for place in 0..200 {
            for special in ['"', '\\', '\n', '\u{1f}'] {
                let text: String = (0..200).map(|at| if at == place { special } else { 'x' }).collect();
                let mut json = BytesMut::new();
                write_text(&mut json, &text);
                assert_eq!(
                    std::str::from_utf8(&json).unwrap(),
                    serde_json::to_string(&text).unwrap()
                );
            }
        }
    }

    #[test]
    fn an_object_that_was_handed_out_stays_as_it_was() {
        let mut object = ObjectWriter::new(["id"]);
        let written: Vec<Bytes> = (0..10_000)
            .map(|number| {
                object.begin();
                object.member(0);
                object.integer(number);
                object.end()
            })
            .collect();
        for (number, json) in written.iter().enumerate() {
            assert_eq!(json, format!("{{\"id\":{number}}}").as_bytes());
        }
    }
}
