//! How progress is shown.

use clap::ValueEnum;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressMode {
    /// A bar on a terminal, JSON lines elsewhere
    Auto,
    /// A bar on stderr
    Bar,
    /// JSON lines on stdout
    Json,
}
