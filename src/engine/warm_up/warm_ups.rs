//! The way into warm-ups, for commands and for a service that starts.

use std::sync::Arc;

use crate::engine::refreshing::{means::Means, runs::Refresher};

/// Warms listings up. Each step of that is a method in a file of its own.
pub struct WarmUps {
    pub(crate) means: Arc<Means>,
    pub(crate) refresher: Arc<Refresher>,
}
