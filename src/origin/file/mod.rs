//! Files as origins: NDJSON, a JSON array, CSV or TSV, plain or packed with gzip.
//!
//! There is no query: the items of a name are those whose members of the names of the pattern's parameters have the
//! parameters' values; variants narrow by their members likewise. `names` are names of members. The file is read anew each time, on a thread that may block, and nothing of it is kept. A program
//! that replaces it should write another beside it and rename that: then a reader has the old one whole or the new one.

mod csv_quotes;
mod csv_rows;
mod decoded;
mod json_items;
mod reading;
mod watch;

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use tokio::time::Instant;

use self::reading::{Each, ReadError};
use super::{
    Items, Origin, OriginError, Read, ReadOrder, Unpacked,
    batches::{ItemSender, batches},
    finishing::finished,
    members::WantedFields,
    names_bound::NamesBound,
    ordering::in_order,
    selection::Selection,
};
use crate::{
    config::CsvConfig,
    listing::{DataVersion, Field, definition::Defined, document::DocumentFormat, key::Choices},
};

/// A file of items.
#[derive(Clone, Debug)]
pub struct FileOrigin {
    path: PathBuf,
    format: FileFormat,
    packed: bool,
    timeout: Duration,
    /// Whether its changes are told.
    pub(super) watched: bool,
    /// How it is written, where it has rows.
    pub(super) csv: CsvConfig,
    /// Whether `9,50` is a number, where one is wanted of a text.
    pub(super) decimal_comma: bool,
    /// Columns without a name, as they were told last.
    unnamed_told: Arc<AtomicUsize>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileFormat {
    Document(DocumentFormat),
    /// Rows, with what stands between two cells unless something else is said.
    Csv(u8),
}

impl FileOrigin {
    /// A file whose name ends in `.ndjson`, `.jsonl`, `.json`, `.csv` or `.tsv`, or one of these and `.gz`. It need not exist yet.
    pub fn open(path: &Path, timeout: Duration) -> Result<Self, OriginError> {
        let name = path.to_string_lossy().to_ascii_lowercase();
        let (name, packed) = match name.strip_suffix(".gz") {
            Some(inner) => (inner, true),
            None => (&*name, false),
        };
        let format = match Path::new(name).extension().and_then(|extension| extension.to_str()) {
            Some("ndjson" | "jsonl") => FileFormat::Document(DocumentFormat::NdJson),
            Some("json") => FileFormat::Document(DocumentFormat::JsonArray),
            Some("csv") => FileFormat::Csv(b','),
            Some("tsv") => FileFormat::Csv(b'\t'),
            _ => {
                return Err(OriginError::Misdeclared(format!(
                    "the name of the file `{}` must end in .ndjson, .jsonl, .json, .csv or .tsv, or one of these and .gz",
                    path.display()
                )));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            format,
            packed,
            timeout,
            watched: false,
            csv: CsvConfig::default(),
            decimal_comma: false,
            unnamed_told: Arc::default(),
        })
    }

    /// Hands on the items one by one with the values of `wanted` members, the first of which is the id's.
    fn each_item(&self, wanted: &WantedFields, each: &mut Each<'_>) -> Result<(), OriginError> {
        let file = File::open(&self.path).map_err(|error| self.unreadable(error))?;
        let written = last_written(&file);
        let again = file.try_clone().map_err(|error| self.unreadable(error))?;
        let bytes: Box<dyn io::Read> = if self.packed {
            Box::new(Unpacked::new(file))
        } else {
            Box::new(file)
        };
        let outcome = match self.format {
            FileFormat::Document(format) => json_items::read(bytes, format, wanted, self.decimal_comma, each),
            FileFormat::Csv(delimiter) => {
                let rows = csv_rows::Rows {
                    path: &self.path,
                    delimiter: self.csv.delimiter.unwrap_or(delimiter),
                    encoding: self.csv.encoding,
                    decimal_comma: self.decimal_comma,
                    unnamed_told: &self.unnamed_told,
                };
                rows.read(bytes, wanted, each)
            }
        };
        // Whatever came of it: half of a file that is being written says nothing.
        if last_written(&again) != written {
            return Err(OriginError::Shifted(
                "the file was written to while it was read".to_owned(),
            ));
        }
        outcome.map_err(|error| match error {
            ReadError::Io(error) => self.unreadable(error),
            ReadError::Origin(error) => error,
        })
    }

    fn unreadable(&self, source: io::Error) -> OriginError {
        OriginError::Unavailable(Box::new(UnreadableFile {
            path: self.path.clone(),
            source,
        }))
    }

    /// Reads a family on a thread that may block.
    fn read_family(&self, selection: &Selection, read: &Read, to: &mut ItemSender) -> Result<(), OriginError> {
        let mut unsorted = Vec::new();
        let sorted = matches!(read.order, ReadOrder::By(_));
        // Of a file every item is seen, so what none of them has is nowhere.
        self.each_item(&selection.wanted, &mut |position, item| {
            if to.is_gone() {
                return Ok(false);
            }
            let Some(item) = selection.select(position, item)? else {
                return Ok(true);
            };
            if sorted {
                unsorted.push(item);
                return Ok(true);
            }
            Ok(to.push_blocking(item).is_ok())
        })?;
        selection.judge(|_| false)?;
        if let ReadOrder::By(by) = &read.order {
            for item in in_order(unsorted, &selection.columns, by) {
                if to.push_blocking(item).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Distinct rows of members' texts, in bytewise order. Rows with a null in them are left out.
    async fn distinct(
        &self,
        fields: Vec<Field>,
        among: Vec<(Field, Arc<str>)>,
    ) -> Result<Vec<Vec<String>>, OriginError> {
        let origin = self.clone();
        let deadline = Instant::now() + self.timeout;
        let rows = tokio::task::spawn_blocking(move || {
            let selection = Selection::of_fields(fields, among.into_iter());
            let (mut rows, mut bound) = (BTreeSet::new(), NamesBound::default());
            origin.each_item(&selection.wanted, &mut |position, item| {
                if Instant::now() > deadline {
                    return Err(OriginError::TimedOut);
                }
                if let Some(row) = selection.texts(position, item)?
                    && !rows.contains(&row)
                {
                    bound.take(&row)?;
                    rows.insert(row);
                }
                Ok(true)
            })?;
            selection.judge(|_| false)?;
            Ok(rows.into_iter().collect())
        });
        match tokio::time::timeout_at(deadline, rows).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(died)) => Err(OriginError::Unavailable(Box::new(died))),
            Err(_) => Err(OriginError::TimedOut),
        }
    }
}

#[async_trait]
impl Origin for FileOrigin {
    fn versions_are_certain(&self) -> bool {
        true
    }

    /// Which file lies there and when it was last written. Tools that keep the time of a copy give it another inode.
    async fn version(&self, _: &Defined, _: &Choices) -> Result<Option<DataVersion>, OriginError> {
        use std::os::unix::fs::MetadataExt;
        let file = tokio::fs::metadata(&self.path)
            .await
            .map_err(|error| self.unreadable(error))?;
        let written = (file.mtime(), file.mtime_nsec());
        let (dev, ino, len) = (file.dev(), file.ino(), file.len());
        Ok(DataVersion::parse(&format!("{dev}:{ino}:{len}:{written:?}")))
    }

    async fn read(&self, read: Read) -> Result<Items, OriginError> {
        let selection = Selection::of_family(&read);
        let (mut sender, items) = batches(Instant::now() + self.timeout);
        let items = finished(items, &read)?;
        let origin = self.clone();
        tokio::task::spawn_blocking(move || {
            let outcome = origin.read_family(&selection, &read, &mut sender);
            sender.end_blocking(outcome);
        });
        Ok(items)
    }

    async fn names(&self, query: &str, fields: &[Field]) -> Result<Vec<Vec<String>>, OriginError> {
        let members: Vec<&str> = query.split(',').map(str::trim).collect();
        if members.len() != fields.len() || members.contains(&"") {
            let fields: Vec<&str> = fields.iter().map(Field::as_str).collect();
            return Err(OriginError::Misdeclared(format!(
                "`names` must give a member of the file's items for each parameter of the pattern ({}), not `{query}`",
                fields.join(", ")
            )));
        }
        // The values of a name are read in the same way as those by which items are found.
        let fields = members
            .iter()
            .zip(fields)
            .map(|(member, field)| match *member == field.as_str() {
                true => field.clone(),
                false => Field::new(member),
            });
        self.distinct(fields.collect(), Vec::new()).await
    }

    fn changes(&self) -> Option<BoxStream<'static, std::time::Instant>> {
        self.watched.then(|| watch::changes(self.path.clone()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the file `{}` cannot be read", path.display())]
struct UnreadableFile {
    path: PathBuf,
    source: io::Error,
}

/// Length and time of the last write, of a file that has them.
fn last_written(file: &File) -> Option<(u64, std::time::SystemTime)> {
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some((metadata.len(), metadata.modified().ok()?))
}

#[cfg(test)]
mod tests;
