//! Writing an item's JSON from columns: members in the columns' order, no space.

/// An object of the same members each time; its memory is used again.
pub(super) struct ObjectWriter {
    /// Of each member: what stands before its value.
    openings: Vec<Box<[u8]>>,
    json: Vec<u8>,
}

impl ObjectWriter {
    /// A writer of objects with these members.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut openings = Vec::new();
        for (at, name) in names.into_iter().enumerate() {
            let mut opening = vec![if at == 0 { b'{' } else { b',' }];
            write_text(&mut opening, name);
            opening.push(b':');
            openings.push(opening.into());
        }
        Self {
            openings,
            json: Vec::new(),
        }
    }

    /// Begins the next object.
    pub fn begin(&mut self) {
        self.json.clear();
    }

    /// Begins a member; its value must follow. Members come in their order.
    pub fn member(&mut self, at: usize) {
        self.json
            .extend_from_slice(self.openings.get(at).map_or(&[], |opening| opening));
    }

    /// A null.
    pub fn null(&mut self) {
        self.json.extend_from_slice(b"null");
    }

    /// An integer.
    pub fn integer(&mut self, number: i64) {
        // Writing to memory cannot fail; neither can it for the rest of this file.
        let _ = serde_json::to_writer(&mut self.json, &number);
    }

    /// A finite number.
    pub fn real(&mut self, number: f64) {
        let _ = serde_json::to_writer(&mut self.json, &number);
    }

    /// A finite number of single precision.
    pub fn single(&mut self, number: f32) {
        let _ = serde_json::to_writer(&mut self.json, &number);
    }

    /// A string.
    pub fn text(&mut self, text: &str) {
        write_text(&mut self.json, text);
    }

    /// JSON that is known to be sound.
    pub fn raw(&mut self, json: &str) {
        self.json.extend_from_slice(json.as_bytes());
    }

    /// Ends the object.
    pub fn end(&mut self) -> &[u8] {
        if self.openings.is_empty() {
            self.json.push(b'{');
        }
        self.json.push(b'}');
        &self.json
    }
}

fn write_text(json: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(json, text);
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
                std::str::from_utf8(object.end()).unwrap(),
                "{\"id\":-7,\"a \\\"b\\\"\":\"x\\n\\\"é\\\"\u{7f}\\u0000\",\"c\":1.0,\"d\":null,\"e\":[ 1 ]}"
            );
        }
        let mut empty = ObjectWriter::new([]);
        empty.begin();
        assert_eq!(empty.end(), b"{}");
    }
}
