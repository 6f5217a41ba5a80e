//! `remove`: unlinks the keys of a layout that the prefix no longer has.

use std::process::ExitCode;

use super::{claim::refuse_followers, configured, failed, many, unusable};
use crate::{
    app::say,
    cli::outcome::{CommandError, Outcome},
    config::Environment,
    store::Prefix,
};

pub(in crate::cli) async fn run(environment: Environment, layout: u32, dry_run: bool) -> Outcome {
    let (config, options) = configured(environment)?;
    let name = &config.redis.prefix;
    let mut prefix = Prefix::open(&options).await.map_err(unusable)?;
    let text = layout.to_string();
    match prefix.layout().await.map_err(failed("cannot read the claim"))? {
        Some(present) if present == text => Err(CommandError::Refused(format!(
            "prefix `{name}` has layout {layout}: its keys are in use. `listcache claim` gives it to another layout"
        ))),
        None => Err(CommandError::Refused(format!(
            "prefix `{name}` is claimed for no layout: is it the right one? `listcache claim` claims it"
        ))),
        Some(_) => {
            if !dry_run {
                refuse_followers(&mut prefix, &text, "").await?;
            }
            let removed = prefix.remove(layout, dry_run).await;
            let removed = removed.map_err(failed("cannot remove all keys"))?;
            let verb = if dry_run { "would remove" } else { "removed" };
            say(&format!(
                "{verb} {} of layout {layout} of prefix `{name}`",
                many(removed, "key")
            ));
            Ok(ExitCode::SUCCESS)
        }
    }
}
