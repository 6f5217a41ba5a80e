//! `rollback`: the generation before the current one is current again.

use std::{process::ExitCode, time::Duration};

use super::{
    CommandError, Outcome,
    inspect::{quote, write_time},
    load::parse_name,
};
use crate::app::{App, say};

pub(super) async fn run(app: &App, name: &str, hold: Duration) -> Outcome {
    let parsed = parse_name(name)?;
    let rolled_back = app.engine.rollback(&parsed, hold).await;
    let rolled_back = rolled_back.map_err(CommandError::engine(format!("cannot roll `{name}` back")))?;
    if rolled_back.listings.is_empty() {
        return Err(CommandError::Refused(format!(
            "no older generation of `{name}` is kept: they are for pin_for, at most pinned_generations_max"
        )));
    }
    for one in &rolled_back.listings {
        say(&format!(
            "{}: {} items of {} as {}",
            one.listing, one.total, one.from, one.generation
        ));
    }
    if let Some(until) = rolled_back.frozen_until {
        say(&format!(
            "frozen until {}: `listcache thaw {}` ends that",
            write_time(until),
            quote(name)
        ));
    }
    Ok(ExitCode::SUCCESS)
}
