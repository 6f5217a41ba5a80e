//! `rollback`: the generation before the current one is current again.

use std::{process::ExitCode, time::Duration};

use super::{CommandError, Outcome, inspect::quote, load::parse_name};
use crate::{
    app::{App, say},
    listing::{Generation, ListingKey},
};

/// So many listings are named where none has an older generation.
const LISTINGS_SHOWN_MAX: usize = 5;

pub(super) async fn run(app: &App, name: &str, hold: Duration) -> Outcome {
    let parsed = parse_name(name)?;
    let rolled_back = app.engine.holds.rollback(&parsed, hold).await;
    let rolled_back = rolled_back.map_err(CommandError::engine(format!("cannot roll `{name}` back")))?;
    if rolled_back.listings.is_empty() {
        return Err(CommandError::Refused(nothing_older(name, &rolled_back.without_older)));
    }
    for one in &rolled_back.listings {
        say(&format!(
            "{}: {} items of {} as {}",
            one.listing, one.total, one.from, one.generation
        ));
    }
    for (listing, current) in &rolled_back.without_older {
        say(&format!(
            "{listing}: stays {}: no older generation is kept",
            write(current)
        ));
    }
    if let Some(until) = rolled_back.frozen_until {
        say(&format!(
            "frozen until {}: `listcache thaw {}` ends that",
            until.rfc3339(),
            quote(name)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Why nothing was rolled back, which generations there are, and what else helps.
fn nothing_older(name: &str, there: &[(ListingKey, Option<Generation>)]) -> String {
    let shown = there.iter().take(LISTINGS_SHOWN_MAX);
    let shown: Vec<_> = shown
        .map(|(listing, current)| format!("{listing} has {} only", write(current)))
        .collect();
    let more = match there.len().saturating_sub(LISTINGS_SHOWN_MAX) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!(
        "no older generation of `{name}` is kept ({}{more}): replaced ones are kept for pin_for, at most pinned_bytes_max of them, and a \
         rollback never goes back to what another has undone. Mend the data at the origin, end a freeze by `listcache thaw {}`, and \
         refresh the listing",
        shown.join(", "),
        quote(name),
    )
}

fn write(generation: &Option<Generation>) -> String {
    generation.map_or_else(|| "nothing".to_owned(), |generation| generation.to_string())
}
