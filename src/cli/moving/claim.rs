//! `claim`: gives the prefix to a layout, this version's or an older one.

use std::process::ExitCode;

use super::{configured, failed, unusable};
use crate::{
    app::say,
    cli::outcome::{CommandError, Outcome},
    config::Environment,
    store::{LAYOUT, Prefix},
    telemetry::complain,
};

pub(in crate::cli) async fn run(environment: Environment, layout: Option<u32>, while_running: bool) -> Outcome {
    let (config, options) = configured(environment)?;
    let layout = layout.unwrap_or(LAYOUT);
    if !(1..=LAYOUT).contains(&layout) {
        return Err(CommandError::Refused(format!(
            "--layout {layout}: this version has layout {LAYOUT}, and gives a prefix to that or an older one"
        )));
    }
    let name = &config.redis.prefix;
    let mut prefix = Prefix::open(&options).await.map_err(unusable)?;
    let before = prefix.layout().await.map_err(failed("cannot read the claim"))?;
    if before.as_deref() == Some(layout.to_string().as_str()) {
        say(&format!("prefix `{name}` has layout {layout} already"));
        return Ok(ExitCode::SUCCESS);
    }
    if let (Some(before), false) = (&before, while_running) {
        refuse_followers(&mut prefix, before, ", or say --while-running").await?;
    }
    prefix.claim(layout).await.map_err(failed("cannot claim the prefix"))?;
    let before = before.map_or_else(|| "none before".to_owned(), |before| format!("before: {before}"));
    say(&format!("prefix `{name}` has layout {layout} now ({before})"));
    Ok(ExitCode::SUCCESS)
}

/// A service looks at the claim only when it starts: one that still runs would take pushes that nobody reads again.
pub(super) async fn refuse_followers(prefix: &mut Prefix, layout: &str, or: &str) -> Result<(), CommandError> {
    match prefix
        .followers(layout)
        .await
        .map_err(failed("cannot count followers"))?
    {
        Some(0) => Ok(()),
        Some(followers) => Err(CommandError::Refused(format!(
            "processes that still run with layout {layout} of this prefix: {followers} (nodes, or commands such as `warm`); stop them first{or}"
        ))),
        None => {
            complain(&format!(
                "this user may not ask whether services of layout {layout} still run (+pubsub|numsub): make sure that none does"
            ));
            Ok(())
        }
    }
}
