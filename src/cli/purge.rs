//! `purge`: caches behind the service delete the pages of some names.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use globset::Glob;

use super::outcome::{CommandError, Outcome, print};
use crate::{app::App, cdn::Cdn, engine::Chain, listing::cache_tag};

/// So often a call is made.
const ATTEMPTS_MAX: u32 = 5;
/// Between two attempts, unless the CDN asks for more.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(app: &App, glob: &str) -> Outcome {
    if app.config.cdns.is_empty() {
        let refusal = "there is no [cdn.<name>] in the configuration, so there is nothing to purge";
        return Err(CommandError::Refused(refusal.to_owned()));
    }
    let tags = tags(app, glob).await?;
    if tags.is_empty() {
        return Err(CommandError::Refused(format!(
            "`{glob}` fits no listing that is kept; `*` purges all pages, whether or not they are"
        )));
    }
    let mut failed = 0;
    for config in &app.config.cdns {
        let name = &config.name;
        let purged = match Cdn::new(config.clone()) {
            Ok(cdn) => purge(&cdn, &tags).await,
            Err(error) => Err(Chain(&error).to_string()),
        };
        match purged {
            Ok(calls) => print(&format!("{name}: {} tags purged by {calls} calls", tags.len()))?,
            Err(error) => {
                failed += 1;
                print(&format!("{name}: not purged: {error}"))?;
            }
        }
    }
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        all if all == app.config.cdns.len() => ExitCode::FAILURE,
        _ => ExitCode::from(2),
    })
}

/// The tags of all names that fit the glob.
async fn tags(app: &App, glob: &str) -> Result<Vec<String>, CommandError> {
    if glob == "*" {
        return Ok(vec![cache_tag::ALL.to_owned()]);
    }
    let matcher = Glob::new(glob).map_err(|error| CommandError::Refused(format!("`{glob}`: {error}")))?;
    let names = app.engine.inspector.names(&matcher.compile_matcher()).await;
    let names = names.map_err(CommandError::engine("cannot read the names of listings"))?;
    let tags: BTreeSet<String> = names
        .iter()
        .map(|name| cache_tag::of_listing(name).into_owned())
        .collect();
    Ok(tags.into_iter().collect())
}

async fn purge(cdn: &Cdn, tags: &[String]) -> Result<usize, String> {
    let pause = Duration::try_from_secs_f64(1.0 / cdn.config.pace.calls_per_second).unwrap_or(PAUSE);
    let mut calls = 0;
    for together in tags.chunks(cdn.tags_a_call()) {
        let mut attempt = 0;
        loop {
            if calls >= cdn.config.pace.burst as usize {
                tokio::time::sleep(pause).await;
            }
            calls += 1;
            attempt += 1;
            match cdn.purge(together).await {
                Ok(()) => break,
                Err(error) if attempt >= ATTEMPTS_MAX => return Err(Chain(&error).to_string()),
                Err(error) => tokio::time::sleep(error.retry_after().unwrap_or(PAUSE)).await,
            }
        }
    }
    Ok(calls)
}
