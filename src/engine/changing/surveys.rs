//! The survey of this process: made when it is first needed, and shared by all who need it.

use std::sync::Arc;

use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, Semaphore};

use super::survey::Survey;
use crate::engine::{error::EngineError, refreshing::means::Means};

/// Lookups of items at once.
const LOOKUPS_AT_ONCE: usize = 8;

/// A survey that is as new as the heads.
pub(crate) type Surveyed<'a> = MappedMutexGuard<'a, Survey>;

/// The survey, where there is one.
pub(crate) struct Surveys {
    pub means: Arc<Means>,
    current: Mutex<Option<Survey>>,
    /// Each reads the columns of up to a hundred listings: strangers may ask.
    pub lookups: Semaphore,
}

impl Surveys {
    /// Nothing is surveyed yet.
    pub(crate) fn new(means: Arc<Means>) -> Self {
        Self {
            means,
            current: Mutex::default(),
            lookups: Semaphore::new(LOOKUPS_AT_ONCE),
        }
    }

    /// The survey with all moves that this process has heard of.
    pub(crate) async fn heard(&self) -> Result<Surveyed<'_>, EngineError> {
        let mut current = self.current.lock().await;
        // Taken out meanwhile: one that breaks off half-way is made anew.
        let survey = match current.take().filter(Survey::is_of_today) {
            Some(mut known) => {
                known.catch_up().await?;
                known
            }
            None => Survey::begin(self.means.clone()).await?,
        };
        *current = Some(survey);
        some(current)
    }

    /// The survey with all moves that were announced before this call.
    pub(crate) async fn up_to_date(&self) -> Result<Surveyed<'_>, EngineError> {
        if !self.means.announcer.moves.barrier(&self.means.store).await? {
            // Not heard: what was announced is not known, and all is read anew.
            *self.current.lock().await = None;
        }
        self.heard().await
    }
}

fn some(current: MutexGuard<'_, Option<Survey>>) -> Result<Surveyed<'_>, EngineError> {
    MutexGuard::try_map(current, Option::as_mut).map_err(|_| EngineError::broken_load())
}
