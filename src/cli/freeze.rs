//! `freeze`, `thaw` and `freezes`: refreshing is paused for names, goes on, and it is said what is paused.

use std::{process::ExitCode, time::Duration};

use globset::Glob;
use serde_json::{Value, json};

use super::{
    inspect::quote,
    outcome::{CommandError, Outcome, print, refused},
};
use crate::{
    app::{App, say},
    listing::Timestamp,
};

pub(super) async fn freeze(app: &App, glob: &str, period: Duration) -> Outcome {
    let frozen = app.engine.holds.freeze(glob, period).await;
    let (until, listings) = frozen.map_err(|error| refused(error, format!("cannot freeze `{glob}`")))?;
    say(&format!("frozen until {}: {listings} listings", until.rfc3339()));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn thaw(app: &App, glob: &str) -> Outcome {
    let doing = || CommandError::engine(format!("cannot thaw `{glob}`"));
    let thawed = app.engine.holds.thaw(glob).await.map_err(doing())?;
    let freezes = app.engine.holds.freezes().await.map_err(doing())?;
    let others = freezes.iter().filter(|(other, _)| covers(other, glob));
    let others: Vec<String> = others.map(|(other, until)| still_frozen(other, *until)).collect();
    if !thawed {
        let reason = match others.is_empty() {
            true => "`listcache freezes` shows the freezes".to_owned(),
            false => others.join("; "),
        };
        return Err(CommandError::Refused(format!(
            "`{glob}` is not frozen as such: {reason}"
        )));
    }
    say("thawed");
    others.iter().for_each(|other| say(other));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn freezes(app: &App, as_json: bool) -> Outcome {
    let freezes = app.engine.holds.freezes().await;
    let freezes = freezes.map_err(CommandError::engine("cannot read the freezes"))?;
    if as_json {
        let freeze = |(glob, until): &(String, Timestamp)| json!({ "glob": glob, "frozen_until": until.rfc3339() });
        print(&Value::Array(freezes.iter().map(freeze).collect()).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    for (glob, until) in &freezes {
        print(&format!("{}  {}", until.rfc3339(), quote(glob)))?;
    }
    if freezes.is_empty() {
        print("nothing is frozen")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a freeze holds a name too, or all that a glob matches, as far as its text tells.
fn covers(frozen: &str, glob: &str) -> bool {
    Glob::new(frozen).is_ok_and(|frozen| frozen.compile_matcher().is_match(glob))
}

fn still_frozen(glob: &str, until: Timestamp) -> String {
    let (until, quoted) = (until.rfc3339(), quote(glob));
    format!("`{glob}` freezes it until {until}, and `listcache thaw {quoted}` ends that")
}
