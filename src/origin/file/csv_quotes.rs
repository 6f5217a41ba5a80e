//! CSV's quotes, checked on their way to the parser.
//!
//! The parser repairs whatever it is given, in silence: a quote without its partner swallows the rows behind it, and what
//! follows a closing quote becomes part of the cell. So a damaged file would be another listing. RFC 4180 says which quotes
//! are sound: those round a whole cell, and two in a row within them. A quote in a cell that does not begin with one is no
//! doubt either (`5" pipe`), and is taken.

use std::io::{self, Read};

use super::reading::Damaged;

/// Hands bytes on as they are, until a quote is not sound.
pub(super) struct SoundQuotes<R> {
    from: R,
    delimiter: u8,
    place: QuotePlace,
    line: u64,
    /// Where the quotes were opened that are open now.
    opened: u64,
    /// The byte before was a carriage return: a line feed behind it ends the same line.
    after_return: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QuotePlace {
    CellStart,
    Bare,
    Quoted,
    /// Behind a quote that closes the cell, or is the first of two.
    AfterQuote,
}

impl<R: Read> SoundQuotes<R> {
    /// Begins at a line of the file.
    pub(super) fn new(from: R, delimiter: u8, line: u64) -> Self {
        Self {
            from,
            delimiter,
            place: QuotePlace::CellStart,
            line,
            opened: line,
            after_return: false,
        }
    }

    fn take(&mut self, byte: u8) -> io::Result<()> {
        let ends_line = matches!(byte, b'\n' | b'\r');
        self.place = match self.place {
            QuotePlace::CellStart if byte == b'"' => {
                self.opened = self.line;
                QuotePlace::Quoted
            }
            QuotePlace::Quoted if byte == b'"' => QuotePlace::AfterQuote,
            QuotePlace::Quoted => QuotePlace::Quoted,
            QuotePlace::AfterQuote if byte == b'"' => QuotePlace::Quoted,
            _ if ends_line || byte == self.delimiter => QuotePlace::CellStart,
            QuotePlace::AfterQuote => {
                let opened = match self.opened {
                    opened if opened == self.line => String::new(),
                    opened => format!(" (the cell begins in line {opened})"),
                };
                return Err(Damaged::error(format!(
                    "line {}: something stands behind the quote that closes a cell{opened}; a quote within a quoted cell is written twice",
                    self.line
                )));
            }
            QuotePlace::CellStart | QuotePlace::Bare => QuotePlace::Bare,
        };
        if ends_line && !(byte == b'\n' && self.after_return) {
            self.line += 1;
        }
        self.after_return = byte == b'\r';
        Ok(())
    }
}

impl<R: Read> Read for SoundQuotes<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(to)?;
        if read == 0 && !to.is_empty() && self.place == QuotePlace::Quoted {
            return Err(Damaged::error(format!(
                "line {}: the quoted cell that begins here does not end; the file was cut, or a quote is missing",
                self.opened
            )));
        }
        for byte in to.get(..read).unwrap_or_default() {
            self.take(*byte)?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(csv: &str, expect: Result<(), &str>) {
        let mut read = Vec::new();
        let outcome = SoundQuotes::new(csv.as_bytes(), b',', 1).read_to_end(&mut read);
        let damage = outcome.err().map(|error| error.to_string());
        assert_eq!(damage.as_deref(), expect.err(), "{csv}");
        if expect.is_ok() {
            assert_eq!(read, csv.as_bytes());
        }
    }

    #[test]
    fn quotes_stand_round_a_cell_or_in_pairs() {
        for sound in [
            "",
            "a,b\n1,2",
            "\"a\",\"b\"\r\n\"1,\"\"x\"\"\",\"2\n3\"\r\n",
            "\"\",\"\"\"\"\n",
            "a\r\"b\"\r",
            "5\" pipe,x\"y\"\n",
        ] {
            check(sound, Ok(()));
        }
    }

    #[test]
    fn what_is_not_sound_is_told_with_its_line() {
        const TWICE: &str = "; a quote within a quoted cell is written twice";
        let behind = "something stands behind the quote that closes a cell";
        check(
            "a,b\r\n1,\"TV 55\" Smart\"\r\n",
            Err(&format!("line 2: {behind}{TWICE}")),
        );
        check("\"a\" ,b\n", Err(&format!("line 1: {behind}{TWICE}")));
        check(
            "id,name\n1,\"TV\n2,Radio\n3,\"Lamp\"\n",
            Err(&format!("line 4: {behind} (the cell begins in line 2){TWICE}")),
        );
        let cut = "the quoted cell that begins here does not end; the file was cut, or a quote is missing";
        check("id\n\"a\"\n\"b\n\"\"c\n", Err(&format!("line 3: {cut}")));
        check("id\r\n\r\n\"", Err(&format!("line 3: {cut}")));
    }
}
