//! `load`: pushes a file as a listing.

use std::{fs::File, io::Read, path::Path, process::ExitCode};

use super::{CommandError, Outcome};
use crate::{
    app::{App, say},
    engine::{EngineError, Shrink},
    listing::{
        Item, ListingName, SortName,
        document::{BadItem, DocumentFormat, DocumentReader},
    },
    origin::Unpacked,
};

/// Bytes read from the file at once.
const READ_BYTES: usize = 64 * 1024;

/// Everything is checked before the first byte is written, and nothing changes unless the last one is good.
pub(super) async fn run(
    app: &App,
    name: &str,
    file: &Path,
    sort: Option<&str>,
    id_field: &str,
    shrink: Shrink,
) -> Outcome {
    let name = parse_name(name)?;
    let sort = parse_sort(sort)?.unwrap_or_else(SortName::default_sort);
    let shown = file.display().to_string();
    let (format, is_gz) = format_of(file).ok_or_else(|| {
        CommandError::Refused(format!(
            "`{shown}`: the name must end in .ndjson, .jsonl or .json, with or without .gz: it tells the format"
        ))
    })?;
    let file = File::open(file).map_err(CommandError::io(format!("cannot read `{shown}`")))?;
    let mut bytes: Box<dyn Read + Send> = if is_gz {
        Box::new(Unpacked::new(file))
    } else {
        Box::new(file)
    };

    let item_bytes_max = app.config.http.limits.item_bytes_max;
    let mut document = DocumentReader::new(format, id_field, item_bytes_max);
    let mut push = app
        .engine
        .writes
        .push(&name, sort, shrink)
        .await
        .map_err(|error| match error {
            EngineError::NotAllowed => CommandError::Refused(format!(
                "cannot push `{name}`: no glob of `pushed.names` matches it, and these are the names that may be pushed"
            )),
            error => CommandError::engine(format!("cannot push `{name}`"))(error),
        })?;
    let bad_item = |source: BadItem| CommandError::BadItem {
        file: shown.clone(),
        source,
    };
    let mut buffer = vec![0; READ_BYTES];
    let mut items: Vec<Item> = Vec::new();
    loop {
        // A file, and nobody else on this runtime waits: to block for it is fine.
        let read = bytes
            .read(&mut buffer)
            .map_err(CommandError::io(format!("cannot read `{shown}`")))?;
        match buffer.get(..read) {
            Some(part) if read > 0 => document.feed(part, &mut items).map_err(bad_item)?,
            _ => document.end(&mut items).map_err(bad_item)?,
        }
        for item in items.drain(..) {
            push.append(item)
                .await
                .map_err(CommandError::engine(format!("cannot push `{name}`")))?;
        }
        if read == 0 {
            break;
        }
    }
    let pushed = push.finish().await.map_err(|error| match &error {
        EngineError::Shrunk(refusal) => {
            CommandError::Refused(format!("cannot push `{name}`: {refusal}; --accept-shrink accepts it"))
        }
        _ => CommandError::engine(format!("cannot push `{name}`"))(error),
    })?;
    let verb = if pushed.created { "created" } else { "replaced" };
    say(&format!(
        "{verb} {}: {} items, generation {}",
        pushed.listing, pushed.total, pushed.generation
    ));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn parse_name(name: &str) -> Result<ListingName, CommandError> {
    ListingName::parse(name).map_err(|error| CommandError::Refused(format!("`{}`: {error}", name.escape_debug())))
}

pub(super) fn parse_sort(sort: Option<&str>) -> Result<Option<SortName>, CommandError> {
    let parse = |sort: &str| {
        SortName::parse(sort)
            .ok_or_else(|| CommandError::Refused(format!("`{sort}` is no name of a sort: {}", SortName::RULE)))
    };
    sort.map(parse).transpose()
}

/// The format of a file, by its name, and whether it is compressed.
fn format_of(file: &Path) -> Option<(DocumentFormat, bool)> {
    let name = file.file_name()?.to_str()?;
    let (name, is_gz) = match name.strip_suffix(".gz") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let format = match name.rsplit_once('.')?.1 {
        "ndjson" | "jsonl" => DocumentFormat::NdJson,
        "json" => DocumentFormat::JsonArray,
        _ => return None,
    };
    Some((format, is_gz))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_format() {
        for (name, expect) in [
            ("a/b.ndjson", Some((DocumentFormat::NdJson, false))),
            ("b.jsonl.gz", Some((DocumentFormat::NdJson, true))),
            ("b.2026.json", Some((DocumentFormat::JsonArray, false))),
            ("b.json.gz", Some((DocumentFormat::JsonArray, true))),
            ("b.gz", None),
            ("b.csv", None),
            ("json", None),
            ("..", None),
        ] {
            assert_eq!(format_of(Path::new(name)), expect, "{name}");
        }
    }
}
