//! `load` of an export: all its listings.
//!
//! The file is read twice: first to its end, so that nothing is written of one that is cut off or changed, then to push its listings one after
//! the other. Each is published when its last item is there.

use std::{collections::BTreeMap, fs::File, io::Read, path::Path, process::ExitCode};

use super::{
    many,
    reader::{BadExport, ExportReader, Part},
};
use crate::{
    app::{App, say},
    cli::outcome::{CommandError, Outcome},
    engine::{EngineError, Push, Shrink},
    listing::{ListingName, SortName, definition::Resolved},
    origin::Unpacked,
    telemetry::complain,
};

/// The exit code if a part was loaded.
const IN_PART: u8 = 2;
/// Names that are shown where the configuration does not allow some.
const NAMES_SHOWN_MAX: usize = 5;

/// Bytes of the first line: a prefix and a glob stand in it.
const FIRST_LINE_MAX: usize = 1024;

/// What reading a file in advance tells.
#[derive(Default)]
struct Plan {
    listings: u64,
    items: u64,
    /// Listings of which the file holds nothing whole, and why.
    broken: BTreeMap<String, String>,
}

pub(in crate::cli) async fn run(app: &App, file: &Path, shrink: Shrink) -> Outcome {
    let shown = file.display().to_string();
    let plan = plan(app, file, &shown)?;
    say(&format!(
        "`{shown}` is whole: {}, {}",
        many(plan.listings, "listing"),
        many(plan.items, "item")
    ));
    for (listing, reason) in &plan.broken {
        complain(&format!("not in the file: {listing}: {reason}"));
    }
    let mut reader = open(file, &shown, app.config.http.limits.item_bytes_max)?;
    let (mut loaded, mut refused) = (0_u64, 0_u64);
    let mut push: Option<(Push, String)> = None;
    while let Some(part) = reader.next().map_err(bad(&shown))? {
        match part {
            Part::Listing { name, sort } => {
                let doing = format!("cannot push `{name}`");
                match app.engine.writes.push(&name, sort, shrink).await {
                    Ok(begun) => push = Some((begun, doing)),
                    Err(EngineError::HasOrigin) => {
                        complain(&format!(
                            "{name} is left out: it has an origin now, and refills by itself"
                        ));
                    }
                    Err(error) => return Err(CommandError::engine(doing)(error)),
                }
            }
            Part::Item(item) => {
                if let Some((push, doing)) = &mut push {
                    push.append(item).await.map_err(CommandError::engine(doing.as_str()))?;
                }
            }
            Part::Broken { .. } => push = None,
            Part::Whole => {
                let Some((push, doing)) = push.take() else {
                    continue;
                };
                match push.finish().await {
                    Ok(pushed) => {
                        loaded += 1;
                        let verb = if pushed.created { "created" } else { "replaced" };
                        say(&format!(
                            "{verb} {}: {} items, generation {}",
                            pushed.listing, pushed.total, pushed.generation
                        ));
                    }
                    Err(EngineError::Shrunk(refusal)) => {
                        refused += 1;
                        complain(&format!("{doing}: {refusal}; --accept-shrink accepts it"));
                    }
                    Err(error @ EngineError::Superseded { .. }) => {
                        refused += 1;
                        complain(&format!("{doing}: {error}"));
                    }
                    Err(error) => return Err(CommandError::engine(doing)(error)),
                }
            }
        }
    }
    say(&format!("loaded {}", many(loaded, "listing")));
    match (refused == 0 && plan.broken.is_empty(), loaded) {
        (true, _) => Ok(ExitCode::SUCCESS),
        (false, 0) => Ok(ExitCode::FAILURE),
        (false, _) => Ok(ExitCode::from(IN_PART)),
    }
}

/// Refuses what is no export before anything is connected to: a name without its file, most likely.
pub(in crate::cli) fn refuse_other_files(file: &Path) -> Result<(), CommandError> {
    let shown = file.display().to_string();
    if !file.exists() {
        return Err(CommandError::Refused(format!(
            "there is no file `{shown}`; to push a file as one listing: `listcache load NAME FILE`"
        )));
    }
    open(file, &shown, FIRST_LINE_MAX).map(drop)
}

/// Reads the file to its end.
fn plan(app: &App, file: &Path, shown: &str) -> Result<Plan, CommandError> {
    let mut reader = open(file, shown, app.config.http.limits.item_bytes_max)?;
    let mut plan = Plan::default();
    let mut not_allowed: Vec<ListingName> = Vec::new();
    let mut under_way: Option<(ListingName, SortName, u64)> = None;
    while let Some(part) = reader.next().map_err(bad(shown))? {
        match part {
            Part::Listing { name, sort } => {
                let is_allowed = !matches!(app.engine.declaration.resolve(&name), Resolved::Unknown);
                if !is_allowed && not_allowed.len() <= NAMES_SHOWN_MAX && not_allowed.last() != Some(&name) {
                    not_allowed.push(name.clone());
                }
                under_way = Some((name, sort, 0));
            }
            Part::Item(_) => under_way.iter_mut().for_each(|(_, _, items)| *items += 1),
            Part::Whole => {
                plan.listings += 1;
                if let Some((name, sort, items)) = under_way.take() {
                    plan.items += items;
                    plan.broken.remove(&format!("{}/{sort}", name.encoded()));
                }
            }
            Part::Broken { listing, reason } => {
                plan.broken.insert(listing, reason);
            }
        }
    }
    if not_allowed.is_empty() {
        return Ok(plan);
    }
    let more = if not_allowed.len() > NAMES_SHOWN_MAX {
        ", …"
    } else {
        ""
    };
    not_allowed.truncate(NAMES_SHOWN_MAX);
    let names: Vec<String> = not_allowed.iter().map(|name| format!("`{name}`")).collect();
    Err(CommandError::Refused(format!(
        "`{shown}`: nothing was loaded: no glob of `pushed.names` matches {}{more}, and these are the names that may be pushed",
        names.join(", ")
    )))
}

fn open(file: &Path, shown: &str, item_bytes_max: usize) -> Result<ExportReader<Box<dyn Read + Send>>, CommandError> {
    let is_gz = file.extension().is_some_and(|extension| extension == "gz");
    let file = File::open(file).map_err(CommandError::io(format!("cannot read `{shown}`")))?;
    let bytes: Box<dyn Read + Send> = match is_gz {
        true => Box::new(Unpacked::new(file)),
        false => Box::new(file),
    };
    ExportReader::begin(bytes, item_bytes_max).map_err(bad(shown))
}

fn bad(shown: &str) -> impl FnOnce(BadExport) -> CommandError {
    move |source| CommandError::BadExport {
        file: shown.to_owned(),
        source: Box::new(source),
    }
}
