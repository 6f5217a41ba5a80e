//! The options of `warm`.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::progress_mode::ProgressMode;

/// The options of `warm`.
#[derive(Debug, Args)]
pub(super) struct WarmOptions {
    /// Warm only names that fit this glob; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(super) include: Vec<String>,
    /// Leave out names that fit this glob; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(super) exclude: Vec<String>,
    /// Order of the names
    #[arg(long, value_enum, default_value = "popularity")]
    pub(super) order: WarmOrder,
    /// Popularity from a file instead of from recorded reads: a name or its parameter's value, then a number
    #[arg(long, value_name = "CSV")]
    pub(super) popularity: Option<PathBuf>,
    /// Variants of each name [default: warm.variants, else default]
    #[arg(long, value_enum)]
    pub(super) variants: Option<WarmVariants>,
    /// Variants that have these values; may be repeated
    #[arg(long, value_name = "PARAMETER=VALUE[,VALUE]")]
    pub(super) variant: Vec<String>,
    /// Most names (with their variants) that are refreshed at once [default: warm.concurrency, else 4]
    #[arg(long, value_name = "N")]
    pub(super) concurrency: Option<NonZeroU32>,
    /// Most listings (a sort of a name each) that begin in a second
    #[arg(long, value_name = "N")]
    pub(super) rate: Option<NonZeroU32>,
    /// Spare an origin that takes longer than this to answer 1 time in 20: fewer reads at once, then pauses
    #[arg(long, value_name = "DURATION", value_parser = positive_duration)]
    pub(super) max_origin_latency: Option<Duration>,
    /// Begin no family after this time, and list the rest
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) time_budget: Option<Duration>,
    /// Begin from the start, even if the same command was killed not long ago or runs elsewhere
    #[arg(long)]
    pub(super) anew: bool,
    /// Leave out names whose listings are all fresh
    #[arg(long)]
    pub(super) skip_fresh: bool,
    /// Accept listings that shrink more than `max_shrink` or below `min_items` allows
    #[arg(long)]
    pub(super) accept_shrink: bool,
    /// Write nothing; estimate listings, items, bytes, reads of the origins, and time
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Read the listings back from Redis and compare their counts; a difference is a failure
    #[arg(long)]
    pub(super) verify: bool,
    /// Form of the progress: a bar on a terminal and JSON lines elsewhere, or one of them
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) progress: ProgressMode,
}

/// Which names are warmed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum WarmOrder {
    /// Most read first, as the nodes have counted
    Popularity,
    /// By name
    Name,
}

/// Which variants of a name are warmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum WarmVariants {
    /// The default value of each
    Default,
    /// Every combination
    All,
    /// The default ones and those that were read, filters included, as the nodes have counted
    Read,
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("must be more than zero".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}
