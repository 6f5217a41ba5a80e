//! Values that JSON has no form for: a zero date, an infinity, NaN.
//!
//! One of them among a million must not take a listing down. It becomes null, is counted, and a warning says where it stands.
//! It is sorted by its value all the same, as the database does. An origin that is strict takes it for an error.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::telemetry::Counter;

/// The shortest time between two warnings of one origin.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// The treatment of one origin's values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Formless {
    /// The origin's name.
    pub origin: Box<str>,
    /// Whether they are errors.
    pub strict: bool,
    /// Counts those that became null.
    pub nulled: Counter,
    warned: Arc<Mutex<Warned>>,
}

#[derive(Debug, Default)]
struct Warned {
    at: Option<Instant>,
    /// Values since then.
    since: u64,
}

impl Formless {
    pub(crate) fn new(origin: &str, strict: bool, nulled: Counter) -> Self {
        Self {
            origin: origin.into(),
            strict,
            nulled,
            warned: Arc::default(),
        }
    }

    /// Lets null stand in the place of a value, unless the origin is strict: then the reason is the error.
    pub(crate) fn becomes_null(&self, position: u64, reason: String) -> Result<(), String> {
        if self.strict {
            return Err(reason);
        }
        self.nulled.inc();
        if let Some(values) = self.warned.lock().values_to_tell(Instant::now()) {
            tracing::warn!(
                origin = &*self.origin,
                item = position,
                reason,
                values,
                "a value without a form in JSON became null; with `strict = true` it is an error"
            );
        }
        Ok(())
    }
}

impl Warned {
    /// Notes one more value; says how many a warning should tell of, if there should be one now.
    fn values_to_tell(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if self.at.is_some_and(|at| now.duration_since(at) < WARN_EVERY) {
            return None;
        }
        self.at = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_few_and_tell_of_all() {
        let mut warned = Warned::default();
        let begin = Instant::now();
        let told = [0, 1, 59, 60, 61, 200].map(|second| warned.values_to_tell(begin + Duration::from_secs(second)));
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2)]);
    }

    #[test]
    fn a_strict_origin_takes_them_for_errors() {
        let counter = Counter::default();
        let reason = || "column `x`: the number NaN has no JSON".to_owned();
        let [lax, strict] = [false, true].map(|strict| Formless::new("shop", strict, counter.clone()));
        assert_eq!(strict.becomes_null(1, reason()), Err(reason()));
        assert_eq!(lax.becomes_null(1, reason()), Ok(()));
        assert_eq!(counter.get(), 1);
    }
}
