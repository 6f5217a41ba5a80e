//! `warm`: refreshes listings before they are asked for. `engine::warm_up` decides; here are flags, order and
//! output.

mod order;
mod plan;
mod verify;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use self::order::Ranking;
use super::{
    CommandError, Outcome,
    progress::{JsonTo, Progress, Tally},
    progress_mode::ProgressMode,
    visit::refuse_private_redis,
    warm_options::{WarmOptions, WarmVariants},
};
use crate::{
    app::{App, Role, shutdown_on_signals},
    config::{Config, WarmConfig},
    engine::{
        Shrink,
        warm_up::{Effort, RESUMABLE_FOR, Target, Why},
    },
    listing::{NameGlobs, VariantsOf, WarmScope},
};

/// Only a part is done.
const PARTLY: u8 = 2;

pub(super) async fn run(config: Config, options: WarmOptions) -> Outcome {
    refuse_private_redis(&config)?;
    // Errors that show without Redis are found before it is asked.
    let scope = scope(&config, &options)?;
    let effort = effort(&config.warm, &options);
    let order = Ranking::of(&options)?;
    let shutdown = shutdown_on_signals()?;
    let refreshes_at_once = usize::try_from(effort.concurrency.get()).unwrap_or(usize::MAX);
    let app = tokio::select! {
        app = App::start(config, Role::WarmUp { refreshes_at_once }) => app?,
        () = shutdown.cancelled() => return Ok(ExitCode::from(PARTLY)),
    };
    let outcome = tokio::select! {
        targets = targets(&app, &scope, &order) => match targets {
            Ok(targets) if options.dry_run => tokio::select! {
                planned = plan::run(&app, &targets, &effort, &options) => planned,
                () = shutdown.cancelled() => Ok(ExitCode::from(PARTLY)),
            },
            // From here on it stops by itself, and says how far it came.
            Ok(targets) => warm(&app, &scope, targets, &effort, &options, &shutdown).await,
            Err(error) => Err(error),
        },
        () = shutdown.cancelled() => Ok(ExitCode::from(PARTLY)),
    };
    app.stop().await;
    outcome
}

async fn targets(app: &App, scope: &WarmScope, order: &Ranking) -> Result<Vec<Target>, CommandError> {
    let reads = app.engine.warm_ups.recorded_reads().await;
    let reads = reads.map_err(CommandError::engine("cannot read the recorded reads"))?;
    let targets = app.engine.warm_ups.targets(scope, &reads).await;
    let mut targets = targets.map_err(CommandError::engine("cannot find the listings to warm"))?;
    order.sort(&mut targets, &reads);
    Ok(targets)
}

async fn warm(
    app: &App,
    scope: &WarmScope,
    targets: Vec<Target>,
    effort: &Effort,
    options: &WarmOptions,
    shutdown: &CancellationToken,
) -> Outcome {
    let job = app
        .engine
        .warm_ups
        .begin(scope, effort.skip_fresh, options.anew, RESUMABLE_FOR);
    let job = job.await;
    let job = job.map_err(CommandError::engine("cannot begin"))?;
    let of = targets.len();
    let mut progress = Progress::start(options.progress, JsonTo::Stdout, of);
    progress.joined(job.joined());
    let mut verifying = options.verify.then(|| verify::Verifying::new(&targets));
    let ended = app
        .engine
        .warm_ups
        .run(Some(&job), targets, effort, shutdown, &mut |target, step| {
            progress.step(target, step);
            if let Some(verifying) = &mut verifying {
                verifying.heard(target, step);
            }
        })
        .await;
    progress.ended(ended);
    match ended.why {
        Why::Finished => job.end().await,
        Why::Stopped | Why::OutOfTime => job.leave().await,
    }
    let mut different = 0;
    if let Some(verifying) = verifying {
        different = verifying.run(app, &mut progress, shutdown).await?;
    }
    Ok(exit_code(&progress.end(), of, different))
}

/// Refreshes everything that the definitions enumerate, most read first, with a bar; a failed listing is filled on demand.
pub(super) async fn warm_everything(app: &App, shutdown: &CancellationToken) -> Result<Tally, CommandError> {
    let order = Ranking::Popularity(None);
    let targets = targets(app, &WarmScope::default(), &order).await?;
    let effort = Effort {
        concurrency: app.config.warm.concurrency,
        rate: None,
        origin_latency_max: None,
        shrink: Shrink::Refused,
        skip_fresh: false,
        stop_at: None,
    };
    let mut progress = Progress::start(ProgressMode::Auto, JsonTo::Stderr, targets.len());
    let ended = app
        .engine
        .warm_ups
        .run(None, targets, &effort, shutdown, &mut |target, step| {
            progress.step(target, step)
        })
        .await;
    progress.ended(ended);
    Ok(progress.end())
}

/// Flags win over the configuration.
fn scope(config: &Config, options: &WarmOptions) -> Result<WarmScope, CommandError> {
    let configured = &config.warm.scope;
    let globs = |flag: &str, texts: &[String], configured: &NameGlobs| {
        if texts.is_empty() {
            return Ok(configured.clone());
        }
        NameGlobs::parse(texts.iter().map(String::as_str))
            .map_err(|(glob, reason)| CommandError::Refused(format!("{flag} `{glob}` is no glob: {reason}")))
    };
    let mut chosen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in &options.variant {
        let Some((parameter, values)) = text.split_once('=') else {
            return Err(CommandError::Refused(format!(
                "--variant `{text}` chooses nothing: write PARAMETER=VALUE, or more values with commas between them"
            )));
        };
        let values = values.split(',').map(str::to_owned);
        chosen.entry(parameter.to_owned()).or_default().extend(values);
    }
    let scope = WarmScope {
        include: globs("--include", &options.include, &configured.include)?,
        exclude: globs("--exclude", &options.exclude, &configured.exclude)?,
        variants: match options.variants {
            None => configured.variants,
            Some(WarmVariants::Default) => VariantsOf::Default,
            Some(WarmVariants::All) => VariantsOf::All,
            Some(WarmVariants::Read) => VariantsOf::Read,
        },
        chosen,
    };
    match scope.misfit(&config.definitions) {
        Some(reason) => Err(CommandError::Refused(format!("--variants, --variant: {reason}"))),
        None => Ok(scope),
    }
}

fn effort(configured: &WarmConfig, options: &WarmOptions) -> Effort {
    Effort {
        concurrency: options.concurrency.unwrap_or(configured.concurrency),
        rate: options.rate.or(configured.rate),
        origin_latency_max: options.max_origin_latency.or(configured.origin_latency_max),
        shrink: Shrink::accepted_if(options.accept_shrink),
        skip_fresh: options.skip_fresh,
        stop_at: options
            .time_budget
            .map(|budget| Instant::now() + budget.min(BUDGET_MAX)),
    }
}

/// A budget of a year is none.
const BUDGET_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

fn exit_code(tally: &Tally, of: usize, different: usize) -> ExitCode {
    let good = (tally.refreshed + tally.fresh + tally.done + tally.frozen).saturating_sub(different);
    if good == of {
        ExitCode::SUCCESS
    } else if good > 0 {
        ExitCode::from(PARTLY)
    } else if tally.failed == 0 && different == 0 {
        // Stopped before anything was done.
        ExitCode::from(PARTLY)
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_says_all_some_or_none() {
        let tally = |refreshed, fresh, failed| Tally {
            refreshed,
            fresh,
            failed,
            ..Tally::default()
        };
        assert_eq!(exit_code(&tally(3, 0, 0), 3, 0), ExitCode::SUCCESS);
        assert_eq!(exit_code(&tally(0, 3, 0), 3, 0), ExitCode::SUCCESS);
        assert_eq!(exit_code(&tally(0, 0, 0), 0, 0), ExitCode::SUCCESS);
        assert_eq!(exit_code(&tally(2, 0, 1), 3, 0), ExitCode::from(PARTLY));
        // Stopped by a signal, or out of time.
        assert_eq!(exit_code(&tally(2, 0, 0), 3, 0), ExitCode::from(PARTLY));
        assert_eq!(exit_code(&tally(0, 0, 0), 3, 0), ExitCode::from(PARTLY));
        assert_eq!(exit_code(&tally(0, 0, 3), 3, 0), ExitCode::FAILURE);
        // Verified, and found different.
        assert_eq!(exit_code(&tally(3, 0, 0), 3, 1), ExitCode::from(PARTLY));
        assert_eq!(exit_code(&tally(3, 0, 0), 3, 3), ExitCode::FAILURE);
    }
}
