//! Splitting a document into the pieces that should be items, a feed at a time.

use crate::listing::item_json::{InvalidItem, Nesting};

/// The byte order mark that some editors put before UTF-8.
const MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentFormat {
    /// An item a line; blank lines are skipped, a line may end in CR LF.
    NdJson,
    /// One array of items.
    JsonArray,
}

/// An item that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {detail}")]
pub struct BadItem {
    /// 1-based, in the document: where the item begins, or where something else stands than should.
    pub line: u64,
    /// The error.
    pub detail: String,
    /// It has more bytes than an item may have.
    pub too_large: bool,
}

impl BadItem {
    /// An error at a line.
    pub fn at(line: u64, wrong: impl ToString) -> Self {
        Self {
            line,
            detail: wrong.to_string(),
            too_large: false,
        }
    }
}

/// Takes a piece and the line where it begins. Its error ends the reading, and reaches the caller of the splitter.
pub(super) type Take<'t, E> = dyn FnMut(u64, &[u8]) -> Result<(), E> + 't;

/// Splits a document into pieces, each of which should be an item; holds at most one item's bytes.
///
/// After an error it is of no more use.
pub struct DocumentSplitter {
    format: DocumentFormat,
    item_bytes_max: usize,
    /// How many bytes of [`MARK`] have come; all of them once something else has.
    marked: usize,
    /// The line of the next byte.
    line: u64,
    /// Where in an array the next byte stands.
    place: ArrayPlace,
    /// Of the item under way in an array.
    nesting: Nesting,
    /// The item under way, as far as earlier feeds brought it; begins with no space.
    held: Vec<u8>,
    /// The line where the item under way begins.
    item_line: u64,
}

/// How far an array has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArrayPlace {
    /// Nothing.
    Before,
    /// The opening bracket.
    Opened,
    /// A comma.
    Comma,
    /// A part of an item.
    Inside,
    /// A whole item.
    Item,
    /// The closing bracket.
    Closed,
}

impl DocumentSplitter {
    /// At the start of a document.
    pub fn new(format: DocumentFormat, item_bytes_max: usize) -> Self {
        Self {
            format,
            item_bytes_max,
            marked: 0,
            line: 1,
            place: ArrayPlace::Before,
            nesting: Nesting::default(),
            held: Vec::new(),
            item_line: 1,
        }
    }

    /// Takes the next bytes and hands on the pieces they complete, each with the line where it begins and without the
    /// space around it. That a piece is JSON is for `take` to check.
    pub fn feed<E: From<BadItem>>(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let bytes = self.behind_mark(bytes)?;
        match self.format {
            DocumentFormat::NdJson => self.feed_lines(bytes, &mut take),
            DocumentFormat::JsonArray => self.feed_array(bytes, &mut take),
        }
    }

    /// The document ends here; the last line needs no line feed.
    pub fn end<E: From<BadItem>>(&mut self, mut take: impl FnMut(u64, &[u8]) -> Result<(), E>) -> Result<(), E> {
        if (1..MARK.len()).contains(&self.marked) {
            return Err(self.bad_here("not UTF-8"));
        }
        match (self.format, self.place) {
            (DocumentFormat::NdJson, _) => self.end_line(&[], &mut take),
            (_, ArrayPlace::Closed) => Ok(()),
            (_, ArrayPlace::Before) => Err(self.bad_here("the document is empty, and should be a JSON array")),
            (_, ArrayPlace::Inside) => Err(BadItem::at(self.item_line, "the document ends inside an item").into()),
            _ => Err(self.bad_here("the document ends without `]`")),
        }
    }

    /// The bytes without those of a byte order mark at the start of the document.
    fn behind_mark<'b>(&mut self, mut bytes: &'b [u8]) -> Result<&'b [u8], BadItem> {
        while let (Some(mark), Some((byte, rest))) = (MARK.get(self.marked), bytes.split_first()) {
            if byte == mark {
                self.marked += 1;
                bytes = rest;
            } else if self.marked == 0 {
                self.marked = MARK.len();
            } else {
                return Err(self.bad_here("not UTF-8"));
            }
        }
        Ok(bytes)
    }

    fn feed_lines<E: From<BadItem>>(&mut self, mut bytes: &[u8], take: &mut Take<'_, E>) -> Result<(), E> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.end_line(&bytes[..end], take)?;
            self.line += 1;
            bytes = &bytes[end + 1..];
        }
        Ok(self.hold(bytes)?)
    }

    /// Takes the last part of a line, without its line feed.
    fn end_line<E: From<BadItem>>(&mut self, last: &[u8], take: &mut Take<'_, E>) -> Result<(), E> {
        if self.held.is_empty() {
            self.item_line = self.line;
            return match trim_end(trim_start(last)) {
                [] => Ok(()),
                item => self.hand_on(item, take),
            };
        }
        self.hold(last)?;
        self.hand_on_held(take)
    }

    fn feed_array<E: From<BadItem>>(&mut self, mut bytes: &[u8], take: &mut Take<'_, E>) -> Result<(), E> {
        while let Some((byte, after)) = bytes.split_first() {
            if self.place == ArrayPlace::Inside {
                let Some(end) = self.nesting.close(bytes) else {
                    self.line += line_feeds(bytes);
                    return Ok(self.hold(bytes)?);
                };
                let (last, after) = bytes.split_at(end);
                if self.held.is_empty() {
                    self.hand_on(last, take)?;
                } else {
                    self.hold(last)?;
                    self.hand_on_held(take)?;
                }
                self.line += line_feeds(last);
                self.place = ArrayPlace::Item;
                bytes = after;
                continue;
            }
            match (self.place, byte) {
                (_, b'\n') => self.line += 1,
                (_, b' ' | b'\t' | b'\r') => {}
                (ArrayPlace::Before, b'[') => self.place = ArrayPlace::Opened,
                (ArrayPlace::Opened | ArrayPlace::Item, b']') => self.place = ArrayPlace::Closed,
                (ArrayPlace::Item, b',') => self.place = ArrayPlace::Comma,
                (ArrayPlace::Opened | ArrayPlace::Comma, b'{') => {
                    self.place = ArrayPlace::Inside;
                    self.nesting = Nesting::default();
                    self.item_line = self.line;
                    // The bracket belongs to the item.
                    continue;
                }
                (ArrayPlace::Before, _) => return Err(self.bad_here("the document must be a JSON array")),
                (ArrayPlace::Comma, b']') => return Err(self.bad_here("an item is missing after the comma")),
                (ArrayPlace::Opened | ArrayPlace::Comma, _) => return Err(self.bad_here(InvalidItem::NotAnObject)),
                (ArrayPlace::Item, _) => return Err(self.bad_here("`,` or `]` must follow an item")),
                (ArrayPlace::Closed, _) => return Err(self.bad_here("nothing may follow the array")),
                (ArrayPlace::Inside, _) => {}
            }
            bytes = after;
        }
        Ok(())
    }

    /// Keeps a part of an item for the feed that completes it. Space past the limit may be the end of a line, and is not kept.
    fn hold(&mut self, mut part: &[u8]) -> Result<(), BadItem> {
        if self.held.is_empty() {
            part = trim_start(part);
            if self.format == DocumentFormat::NdJson {
                self.item_line = self.line;
            }
        }
        let room = self.item_bytes_max.saturating_sub(self.held.len());
        if let Some((fits, beyond)) = part.split_at_checked(room) {
            if !trim_start(beyond).is_empty() {
                return Err(self.too_large());
            }
            part = fits;
        }
        self.held.extend_from_slice(part);
        Ok(())
    }

    fn hand_on_held<E: From<BadItem>>(&mut self, take: &mut Take<'_, E>) -> Result<(), E> {
        let mut held = std::mem::take(&mut self.held);
        let outcome = self.hand_on(trim_end(&held), take);
        // The next item needs about as much.
        held.clear();
        self.held = held;
        outcome
    }

    fn hand_on<E: From<BadItem>>(&self, piece: &[u8], take: &mut Take<'_, E>) -> Result<(), E> {
        if piece.len() > self.item_bytes_max {
            return Err(self.too_large().into());
        }
        take(self.item_line, piece)
    }

    fn bad_here<E: From<BadItem>>(&self, wrong: impl ToString) -> E {
        BadItem::at(self.line, wrong).into()
    }

    fn too_large(&self) -> BadItem {
        BadItem {
            line: self.item_line,
            detail: format!("an item may have {} bytes", self.item_bytes_max),
            too_large: true,
        }
    }
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_space(byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|byte| !is_space(byte))
        .map_or(0, |last| last + 1);
    &bytes[..end]
}

fn line_feeds(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
