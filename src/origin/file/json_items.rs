//! Items of NDJSON and JSON arrays.

use std::io;

use super::reading::{Each, READ_BYTES, ReadError, read_some, with_commas};
use crate::{
    listing::{
        Field, Item,
        document::{BadItem, DocumentFormat, DocumentSplitter},
        item_json::parse_item,
    },
    origin::{
        ITEM_BYTES_MAX, OriginError,
        members::{Member, WantedFields, members_of, names_of},
        selection::Candidate,
    },
};

/// Hands on each item of a document.
pub(super) fn read(
    mut bytes: Box<dyn io::Read>,
    format: DocumentFormat,
    wanted: &WantedFields,
    decimal_comma: bool,
    each: &mut Each<'_>,
) -> Result<(), ReadError> {
    let mut splitter = DocumentSplitter::new(format, ITEM_BYTES_MAX);
    let mut position = 0;
    let mut take = |line: u64, json: &[u8]| {
        position += 1;
        let mut members = members_of(json, wanted).map_err(|reason| OriginError::BadItem {
            position,
            reason: format!("line {line}: {reason}"),
        })?;
        if decimal_comma {
            members = with_commas(members.into_iter(), wanted).collect();
        }
        let mut item = JsonItem {
            line,
            json,
            members,
            id: wanted.fields.first(),
        };
        if each(position, &mut item)? {
            Ok(())
        } else {
            Err(Stop::Enough)
        }
    };
    let mut piece = vec![0; READ_BYTES];
    let outcome = loop {
        let read = read_some(&mut bytes, &mut piece).map_err(ReadError::Io)?;
        let outcome = match piece.get(..read) {
            Some([]) | None => break splitter.end(&mut take),
            Some(piece) => splitter.feed(piece, &mut take),
        };
        if outcome.is_err() {
            break outcome;
        }
    };
    match outcome {
        Ok(()) | Err(Stop::Enough) => Ok(()),
        Err(Stop::Failed(error)) => Err(error.into()),
        Err(Stop::Bad(bad)) => Err(ReadError::Origin(OriginError::BadItem {
            // The splitter refused it, so it is not counted yet.
            position: position + 1,
            reason: bad.to_string(),
        })),
    }
}

/// Why reading stopped before the document's end.
enum Stop {
    Bad(BadItem),
    Failed(OriginError),
    Enough,
}

impl From<BadItem> for Stop {
    fn from(bad: BadItem) -> Self {
        Self::Bad(bad)
    }
}

impl From<OriginError> for Stop {
    fn from(error: OriginError) -> Self {
        Self::Failed(error)
    }
}

struct JsonItem<'j> {
    line: u64,
    json: &'j [u8],
    members: Vec<Member>,
    id: Option<&'j Field>,
}

impl Candidate for JsonItem<'_> {
    fn members(&self) -> &[Member] {
        &self.members
    }

    fn item(&mut self) -> Result<Item, String> {
        let id = self.id.ok_or("no id is wanted")?;
        parse_item(self.json, id).map_err(|error| format!("line {}: {error}", self.line))
    }

    fn names(&self, max: usize) -> Vec<String> {
        names_of(self.json, max)
    }
}
