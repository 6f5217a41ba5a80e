//! `warm`: refreshes listings before they are asked for.

use std::{
    fs::File,
    num::NonZeroU32,
    process::ExitCode,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use globset::{Glob, GlobSet, GlobSetBuilder};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    CommandError, Outcome,
    arguments::{ProgressMode, WarmOptions, WarmOrder},
    popularity::Popularity,
    progress::{JsonTo, Progress, Step, Tally},
    refuse_private_redis, survey,
};
use crate::{
    app::{App, Role, shutdown_on_signals},
    config::Config,
    engine::{Engine, Shrink},
    listing::{
        Family, ListingKey, ListingName,
        definition::{Defined, Resolved},
    },
};

/// How many names recorded reads are asked for; beyond them the order matters little.
const POPULAR_NAMES_MAX: usize = 100_000;
/// Only a part is done.
const PARTLY: u8 = 2;

/// A name to warm.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: ListingName,
    pub(super) defined: Defined,
}

impl Target {
    /// The listings that a refresh of it fills: those of the default choices.
    pub(super) fn listings(&self) -> Vec<ListingKey> {
        let definition = &self.defined.definition;
        let family = Family {
            name: self.name.clone(),
            choices: definition.choices(&Default::default()),
        };
        definition
            .streams()
            .map(|stream| family.listing(stream.stored()))
            .collect()
    }

    fn values(&self) -> impl Iterator<Item = &str> {
        self.defined.parameters.iter().map(|(_, value)| &**value)
    }
}

pub(super) async fn run(config: Config, options: WarmOptions) -> Outcome {
    refuse_private_redis(&config)?;
    // What can be found wrong without Redis is, before it is asked.
    let include = globs("--include", &options.include)?;
    let exclude = globs("--exclude", &options.exclude)?;
    let from_file = popularity_of_file(&options)?;
    let shutdown = shutdown_on_signals()?;
    let refreshes_at_once = usize::try_from(options.concurrency.get()).unwrap_or(usize::MAX);
    let app = tokio::select! {
        app = App::start(config, Role::WarmUp { refreshes_at_once }) => app?,
        () = shutdown.cancelled() => return Ok(ExitCode::FAILURE),
    };
    let outcome = tokio::select! {
        outcome = warm(&app, &options, &include, &exclude, from_file, &shutdown) => outcome,
        // Before the first refresh; from then on the warm-up stops by itself, and says how far it came.
        () = shutdown.cancelled() => Ok(ExitCode::FAILURE),
    };
    app.stop().await;
    outcome
}

async fn warm(
    app: &App,
    options: &WarmOptions,
    include: &GlobSet,
    exclude: &GlobSet,
    from_file: Option<Popularity>,
    shutdown: &CancellationToken,
) -> Outcome {
    let mut targets = targets(app).await?;
    targets.retain(|target| {
        let name = target.name.as_str();
        (include.is_empty() || include.is_match(name)) && !exclude.is_match(name)
    });
    sort(app, &mut targets, options.order, from_file).await?;
    let kept = if options.skip_fresh || options.dry_run {
        Some(survey::kept(&app.engine).await?)
    } else {
        None
    };
    let fresh = |target: &Target| {
        options.skip_fresh
            && kept
                .as_ref()
                .is_some_and(|kept| target.listings().iter().all(|key| kept.is_fresh(key)))
    };
    if let (true, Some(kept)) = (options.dry_run, &kept) {
        targets.retain(|target| !fresh(target));
        survey::dry_run(app, &targets, kept, options).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let (skipped, wanted): (Vec<_>, Vec<_>) = targets.into_iter().partition(fresh);
    let of = skipped.len() + wanted.len();
    let mut progress = Progress::start(options.progress, JsonTo::Stdout, of);
    for target in &skipped {
        progress.step(target.name.as_str(), &Step::SkippedFresh);
    }
    refresh_all(
        &app.engine,
        wanted,
        options.concurrency,
        options.rate,
        match options.accept_shrink {
            true => Shrink::Accepted,
            false => Shrink::Refused,
        },
        &mut progress,
        shutdown,
    )
    .await;
    Ok(exit_code(&progress.end(), of))
}

/// Refreshes everything that the definitions enumerate, most popular first, with a bar; what fails is filled when asked for.
pub(super) async fn warm_everything(app: &App, shutdown: &CancellationToken) -> Result<Tally, CommandError> {
    const AT_ONCE: NonZeroU32 = NonZeroU32::new(4).unwrap();
    let targets = targets(app).await?;
    let mut progress = Progress::start(ProgressMode::Auto, JsonTo::Stderr, targets.len());
    refresh_all(
        &app.engine,
        targets,
        AT_ONCE,
        None,
        Shrink::Refused,
        &mut progress,
        shutdown,
    )
    .await;
    Ok(progress.end())
}

/// Every enumerated name, with what fills it.
async fn targets(app: &App) -> Result<Vec<Target>, CommandError> {
    let names = app.engine.enumerate().await;
    let names = names.map_err(CommandError::engine("cannot enumerate the names"))?;
    let target = |name: ListingName| match app.config.definitions.resolve(&name) {
        Resolved::Defined(defined) => Some(Target { name, defined }),
        Resolved::Pushed | Resolved::Unknown => None,
    };
    Ok(names.into_iter().filter_map(target).collect())
}

async fn sort(
    app: &App,
    targets: &mut [Target],
    order: WarmOrder,
    from_file: Option<Popularity>,
) -> Result<(), CommandError> {
    if order == WarmOrder::Name {
        targets.sort_by(|a, b| a.name.cmp(&b.name));
        return Ok(());
    }
    let popularity = match from_file {
        Some(popularity) => popularity,
        None => {
            let counted = app.engine.popularity(POPULAR_NAMES_MAX).await;
            let counted = counted.map_err(CommandError::engine("cannot read the popularity of names"))?;
            let mut popularity = Popularity::default();
            for (name, reads) in counted {
                popularity.add(name.as_str(), reads);
            }
            popularity
        }
    };
    // Stable: what is equally popular stays in the order of the definitions.
    targets.sort_by(|a, b| {
        let [a, b] = [a, b].map(|target| popularity.of(target.name.as_str(), target.values()));
        b.total_cmp(&a)
    });
    Ok(())
}

async fn refresh_all(
    engine: &Engine,
    targets: Vec<Target>,
    concurrency: NonZeroU32,
    rate: Option<NonZeroU32>,
    shrink: Shrink,
    progress: &mut Progress,
    shutdown: &CancellationToken,
) {
    let pace = rate.map(Pace::new);
    let pace = pace.as_ref();
    let mut steps = stream::iter(targets)
        .map(|target| async move {
            if let Some(pace) = pace {
                pace.wait(target.listings().len()).await;
            }
            let step = refresh(engine, &target, shrink).await;
            (target, step)
        })
        .buffer_unordered(usize::try_from(concurrency.get()).unwrap_or(usize::MAX));
    loop {
        tokio::select! {
            // First, so that the last steps are counted even as a signal comes.
            biased;
            next = steps.next() => match next {
                Some((target, step)) => progress.step(target.name.as_str(), &step),
                None => break,
            },
            () = shutdown.cancelled() => break,
        }
    }
}

async fn refresh(engine: &Engine, target: &Target, shrink: Shrink) -> Step {
    let begun = Instant::now();
    let refreshed = match shrink {
        Shrink::Refused => engine.reread(&target.name).await,
        Shrink::Accepted => engine.refresh_and_wait(&target.name, None, shrink).await,
    };
    match refreshed {
        Ok(refreshed) => Step::Refreshed {
            listings: refreshed.len(),
            items: refreshed.iter().map(|listing| listing.total).sum(),
            took: begun.elapsed(),
        },
        Err(error) => Step::Failed {
            error: super::chain(&error),
        },
    }
}

/// Lets so many listings begin a second, evenly.
struct Pace {
    a_listing: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    fn new(listings_a_second: NonZeroU32) -> Self {
        Self {
            a_listing: Duration::from_secs(1) / listings_a_second.get(),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits for the turn of a name with so many listings.
    async fn wait(&self, listings: usize) {
        let turn = {
            let mut next = self.next.lock().await;
            let turn = (*next).max(Instant::now());
            *next = turn + self.a_listing * u32::try_from(listings).unwrap_or(u32::MAX);
            turn
        };
        tokio::time::sleep_until(turn.into()).await;
    }
}

fn exit_code(tally: &Tally, of: usize) -> ExitCode {
    let good = tally.refreshed + tally.skipped;
    if good == of {
        ExitCode::SUCCESS
    } else if good > 0 {
        ExitCode::from(PARTLY)
    } else {
        ExitCode::FAILURE
    }
}

fn globs(flag: &str, texts: &[String]) -> Result<GlobSet, CommandError> {
    let mut globs = GlobSetBuilder::new();
    for text in texts {
        let glob = Glob::new(text)
            .map_err(|error| CommandError::Refused(format!("{flag} `{text}` is no glob: {}", error.kind())))?;
        globs.add(glob);
    }
    globs
        .build()
        .map_err(|error| CommandError::Refused(format!("{flag}: {error}")))
}

fn popularity_of_file(options: &WarmOptions) -> Result<Option<Popularity>, CommandError> {
    let Some(path) = &options.popularity else {
        return Ok(None);
    };
    let shown = path.display();
    let file = File::open(path).map_err(CommandError::io(format!("cannot read `{shown}`")))?;
    Popularity::read(file)
        .map(Some)
        .map_err(|error| CommandError::Refused(format!("`{shown}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_says_all_some_or_none() {
        let tally = |refreshed, skipped, failed| Tally {
            refreshed,
            skipped,
            failed,
            ..Tally::default()
        };
        assert_eq!(exit_code(&tally(3, 0, 0), 3), ExitCode::SUCCESS);
        assert_eq!(exit_code(&tally(0, 3, 0), 3), ExitCode::SUCCESS);
        assert_eq!(exit_code(&tally(0, 0, 0), 0), ExitCode::SUCCESS);
        assert_eq!(exit_code(&tally(2, 0, 1), 3), ExitCode::from(PARTLY));
        // Stopped by a signal.
        assert_eq!(exit_code(&tally(2, 0, 0), 3), ExitCode::from(PARTLY));
        assert_eq!(exit_code(&tally(0, 0, 3), 3), ExitCode::FAILURE);
    }

    #[tokio::test]
    async fn a_pace_counts_listings() {
        let begun = Instant::now();
        let pace = Pace::new(NonZeroU32::new(1000).unwrap());
        for _ in 0..3 {
            pace.wait(6).await;
        }
        // The third name began after the first two had taken twelve turns, and takes six.
        assert!(begun.elapsed() >= Duration::from_millis(12));
        assert!(*pace.next.lock().await >= begun + Duration::from_millis(18));
    }
}
