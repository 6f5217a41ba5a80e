//! Labels of the metrics of changes.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// Where a change was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeSource {
    /// `POST /v1/changes`.
    Api,
    /// `listcache changes`.
    Command,
    /// An outbox or a changelog of a database.
    Database,
    /// A webhook.
    Webhook,
}

impl ChangeSource {
    pub(super) const ALL: [Self; 4] = [Self::Api, Self::Command, Self::Database, Self::Webhook];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Command => "command",
            Self::Database => "database",
            Self::Webhook => "webhook",
        }
    }
}

impl EncodeLabelValue for ChangeSource {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

/// Label of [`Metrics::changes`](super::Metrics::changes).
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BySource {
    /// Where it was told.
    pub source: ChangeSource,
}

/// The outcome of a family's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PatchOutcome {
    /// New generations are current.
    Published,
    /// The items are as they were.
    Unchanged,
    /// It was read in full, or will be.
    Refreshed,
    /// It failed, and is tried again.
    Failed,
}

impl PatchOutcome {
    pub(super) const ALL: [Self; 4] = [Self::Published, Self::Unchanged, Self::Refreshed, Self::Failed];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Unchanged => "unchanged",
            Self::Refreshed => "refreshed",
            Self::Failed => "failed",
        }
    }
}

impl EncodeLabelValue for PatchOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

/// Label of [`Metrics::patches`](super::Metrics::patches).
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByPatchOutcome {
    /// How it ended.
    pub outcome: PatchOutcome,
}
