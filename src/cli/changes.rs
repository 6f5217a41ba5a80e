//! `changes`: tells that items have changed, from a file or by their ids.

use std::{io::Read as _, path::Path, process::ExitCode, time::Duration};

use super::outcome::{CommandError, Outcome, print};
use crate::{
    app::App,
    engine::Changes,
    listing::{Change, ItemId},
    telemetry::ChangeSource,
};

/// Bytes of changes that are recorded together.
const BYTES_TOGETHER: usize = 4 << 20;

pub(super) async fn run(app: &App, file: Option<&Path>, ids: &[String], wait: Option<Duration>) -> Outcome {
    let changes = match file {
        Some(file) => in_file(file)?,
        None => ids.iter().map(|id| of_id(id)).collect::<Result<_, _>>()?,
    };
    let mut tokens = Vec::new();
    let mut changes = &changes[..];
    while !changes.is_empty() {
        let (together, rest) = changes.split_at(taken_together(changes));
        changes = rest;
        let recorded = app.engine.changes.record(together, ChangeSource::Command).await;
        tokens.push(recorded.map_err(CommandError::engine("cannot record the changes"))?);
    }
    for token in tokens {
        let outcome = app.engine.changes.outcome_within(token, wait.unwrap_or_default()).await;
        let outcome = outcome.map_err(CommandError::engine(
            "the changes are recorded, but their outcome cannot be read",
        ))?;
        let Some(outcome) = outcome.filter(|_| wait.is_some()) else {
            print(&format!("{token}  recorded"))?;
            continue;
        };
        let state = if outcome.left == 0 { "done" } else { "not done yet" };
        print(&format!(
            "{token}  {state}: {} families",
            outcome.families.len() as u64 + outcome.more
        ))?;
        for (family, said) in &outcome.families {
            print(&format!("  {family}  {said}"))?;
        }
        if outcome.left > 0 {
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How many changes are recorded together: as many, and as long, as a request may have.
fn taken_together(changes: &[Change]) -> usize {
    let mut bytes = 0;
    let fits = |change: &&Change| {
        bytes += change.to_json().len();
        bytes <= BYTES_TOGETHER
    };
    changes.iter().take(Changes::MAX).take_while(fits).count().max(1)
}

fn of_id(id: &str) -> Result<Change, CommandError> {
    let id = ItemId::parse(id).ok_or_else(|| CommandError::Refused(format!("`{id}` is no id: 1 to 256 bytes")))?;
    Ok(Change::of_item(id))
}

fn in_file(file: &Path) -> Result<Vec<Change>, CommandError> {
    let name = file.display();
    let document = match file.as_os_str() == "-" {
        true => {
            let mut document = Vec::new();
            std::io::stdin().read_to_end(&mut document).map(|_| document)
        }
        false => std::fs::read(file),
    };
    let document = document.map_err(CommandError::io(format!("cannot read `{name}`")))?;
    let changes = Change::parse_all(&document, usize::MAX);
    changes.map_err(|error| CommandError::Refused(format!("`{name}`: {error}")))
}
