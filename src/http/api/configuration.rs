//! How the configuration stands that was read last, for health.

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::{ToSchema, openapi::Schema};

use crate::http::request::schema;

/// Paths of errors that are told, at most.
const PATHS_MAX: usize = 20;

/// The outcome of reading the configuration again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConfigurationHealth {
    /// `current`, or `refused`: it is bad, or loses too many listings, and the one before is in use.
    #[schema(schema_with = states)]
    pub state: &'static str,
    /// Where its errors are, some of them; the log says what they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Listings that it would lose, some of them. The same file is taken if it is read again within a minute.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub loses: Vec<String>,
    /// Sections that have changed and are good from the next start on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<&'static str>,
}

const CURRENT: &str = "current";
const REFUSED: &str = "refused";

fn states() -> Schema {
    let description = "`refused`: it is bad, or loses too many listings, and the one before is in use.";
    schema::one_of(description, [CURRENT, REFUSED])
}

/// The known outcome; `None` before the configuration was read a second time.
#[derive(Debug, Default)]
pub struct ConfigurationState(Mutex<Option<ConfigurationHealth>>);

impl ConfigurationState {
    /// A configuration is in use, but for some sections.
    pub fn accepted(&self, needs_restart: Vec<&'static str>) {
        *self.0.lock() = Some(ConfigurationHealth {
            state: CURRENT,
            errors: Vec::new(),
            loses: Vec::new(),
            needs_restart,
        });
    }

    /// A configuration was bad, there.
    pub fn refused(&self, errors: Vec<String>) {
        self.doubted(errors, Vec::new());
    }

    /// A configuration loses listings, by what is lacking there.
    pub fn doubted(&self, mut errors: Vec<String>, mut loses: Vec<String>) {
        errors.truncate(PATHS_MAX);
        loses.truncate(PATHS_MAX);
        let mut known = self.0.lock();
        let needs_restart = known.take().map_or_else(Vec::new, |known| known.needs_restart);
        *known = Some(ConfigurationHealth {
            state: REFUSED,
            errors,
            loses,
            needs_restart,
        });
    }

    /// For a probe.
    pub fn health(&self) -> Option<ConfigurationHealth> {
        self.0.lock().clone()
    }
}
