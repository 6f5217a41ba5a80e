//! The text of a file in whatever encoding, as UTF-8.
//!
//! A byte order mark decides, then the configuration; without both a file is UTF-8. Bytes that the encoding does not have
//! are an error with their line. They are never replaced: a replaced letter in an id is another product.

use std::{
    io::{self, BufRead, Read},
    ops::Range,
};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

use super::reading::{Damaged, READ_BYTES, read_some};

/// Reads UTF-8, whatever the bytes are encoded in.
pub(super) struct Decoded<R> {
    from: R,
    decoder: Decoder,
    raw: Box<[u8]>,
    /// The part of `raw` that is not decoded yet.
    raw_left: Range<usize>,
    text: Box<[u8]>,
    /// The part of `text` that is not handed on yet.
    text_left: Range<usize>,
    at_end: bool,
    is_done: bool,
    line: u64,
}

impl<R: Read> Decoded<R> {
    /// The text of these bytes.
    pub(super) fn new(from: R, encoding: Option<&'static Encoding>) -> Self {
        Self {
            from,
            decoder: encoding.unwrap_or(UTF_8).new_decoder(),
            raw: vec![0; READ_BYTES].into(),
            raw_left: 0..0,
            text: vec![0; READ_BYTES].into(),
            text_left: 0..0,
            at_end: false,
            is_done: false,
            line: 1,
        }
    }

    /// Decodes until there is text, or the end.
    fn decode(&mut self) -> io::Result<()> {
        while self.text_left.is_empty() && !self.is_done {
            if self.raw_left.is_empty() && !self.at_end {
                let read = read_some(&mut self.from, &mut self.raw)?;
                self.raw_left = 0..read;
                self.at_end = read == 0;
            }
            let raw = self.raw.get(self.raw_left.clone()).unwrap_or_default();
            let (result, read, written) =
                self.decoder
                    .decode_to_utf8_without_replacement(raw, &mut self.text, self.at_end);
            self.raw_left.start += read;
            self.text_left = 0..written;
            let text = self.text.get(..written).unwrap_or_default();
            self.line += text.iter().filter(|byte| **byte == b'\n').count() as u64;
            match result {
                DecoderResult::Malformed(..) => {
                    let encoding = self.decoder.encoding().name();
                    return Err(Damaged::error(format!(
                        "line {}: not {encoding}; name the file's encoding, such as `encoding = \"windows-1252\"`",
                        self.line
                    )));
                }
                DecoderResult::InputEmpty => self.is_done = self.at_end,
                DecoderResult::OutputFull => {}
            }
        }
        Ok(())
    }
}

impl<R: Read> BufRead for Decoded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.decode()?;
        Ok(self.text.get(self.text_left.clone()).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        self.text_left.start += bytes;
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(to)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], encoding: Option<&str>, expect: Result<&str, &str>) {
        /// Gives a byte at a time: a letter may be cut anywhere.
        struct Slowly<'b>(&'b [u8]);
        impl Read for Slowly<'_> {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                let to = to.get_mut(..1).unwrap_or_default();
                self.0.read(to)
            }
        }
        let encoding = encoding.map(|label| Encoding::for_label(label.as_bytes()).unwrap());
        let mut decoded = Decoded::new(Slowly(bytes), encoding);
        let mut text = String::new();
        let read = decoded.read_to_string(&mut text);
        let read = read.map(|_| &*text).map_err(|error| error.to_string());
        assert_eq!(read.as_deref().map_err(|error| &**error), expect, "{bytes:?}");
    }

    #[test]
    fn a_byte_order_mark_decides_then_the_configuration_then_it_is_utf_8() {
        check("größe\n".as_bytes(), None, Ok("größe\n"));
        check(b"", None, Ok(""));
        check("\u{feff}ö".as_bytes(), Some("windows-1252"), Ok("ö"));
        check(b"\xff\xfei\0d\0\n\0", None, Ok("id\n"));
        check(b"\xfe\xff\0i\0d", None, Ok("id"));
        check(b"i\0d\0", Some("utf-16le"), Ok("id"));
        check(b"gr\xf6\xdfe \x80", Some("windows-1252"), Ok("größe €"));
        check(b"\x82\xa0", Some("shift_jis"), Ok("あ"));
    }

    #[test]
    fn what_an_encoding_does_not_have_is_told_with_its_line() {
        let not = |line, encoding| {
            format!("line {line}: not {encoding}; name the file's encoding, such as `encoding = \"windows-1252\"`")
        };
        check(b"id\na\nb\xf6c\n", None, Err(&not(3, "UTF-8")));
        check(
            "größe".as_bytes().split_last().map(|(_, start)| &start[..3]).unwrap(),
            None,
            Err(&not(1, "UTF-8")),
        );
        check(b"a\n\x82", Some("shift_jis"), Err(&not(2, "Shift_JIS")));
    }
}
