//! How long origins take to answer, for callers that spare them. Without a listener nothing is kept.

use std::{
    collections::HashMap,
    future::Future,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future, stream};
use parking_lot::Mutex;

use crate::origin::{OriginError, Reading};

/// So many answers are kept until they are taken; more are forgotten.
const ANSWERS_MAX: usize = 10_000;

/// One answer of an origin.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The origin's name in the configuration.
    pub origin: Box<str>,
    /// When it was asked.
    pub asked: Instant,
    /// Until its first item was there; without end where it failed.
    pub took: Duration,
}

/// The answers of all origins since they were taken last, and who was asked and has not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    listening: Mutex<Option<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    answers: Vec<Answer>,
    asked: HashMap<u64, (Box<str>, Instant)>,
    next: u64,
}

/// One question to an origin, until it is answered or nobody waits for the answer any more.
struct Question<'a> {
    latencies: &'a Latencies,
    number: Option<u64>,
}

impl Question<'_> {
    fn answered(&self, took: Option<Duration>) {
        if let (Some(heard), Some(number)) = (&mut *self.latencies.listening.lock(), self.number)
            && let Some((origin, asked)) = heard.asked.remove(&number)
            && heard.answers.len() < ANSWERS_MAX
        {
            let took = took.unwrap_or_else(|| asked.elapsed());
            heard.answers.push(Answer { origin, asked, took });
        }
    }
}

impl Question<'_> {
    /// An origin that breaks down has too much to do, perhaps; one whose data are bad has not.
    fn failed(&self, error: &OriginError) {
        if matches!(error, OriginError::Unavailable(_) | OriginError::TimedOut) {
            self.answered(Some(Duration::MAX));
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if let (Some(heard), Some(number)) = (&mut *self.latencies.listening.lock(), self.number) {
            heard.asked.remove(&number);
        }
    }
}

impl Latencies {
    /// Keeps answers from now on.
    pub(crate) fn listen(&self) {
        *self.listening.lock() = Some(Heard::default());
    }

    /// Keeps none any more.
    pub(crate) fn stop_listening(&self) {
        *self.listening.lock() = None;
    }

    /// The answers since this was called last; and of each origin that has not answered yet when it was asked, the longest
    /// time ago.
    pub(crate) fn take(&self) -> (Vec<Answer>, HashMap<Box<str>, Instant>) {
        let mut oldest: HashMap<Box<str>, Instant> = HashMap::new();
        let Some(heard) = &mut *self.listening.lock() else {
            return (Vec::new(), oldest);
        };
        for (origin, asked) in heard.asked.values() {
            let oldest = oldest.entry(origin.clone()).or_insert(*asked);
            *oldest = (*oldest).min(*asked);
        }
        (std::mem::take(&mut heard.answers), oldest)
    }

    fn ask(&self, origin: &str) -> Question<'_> {
        let number = self.listening.lock().as_mut().map(|heard| {
            heard.next += 1;
            heard.asked.insert(heard.next, (origin.into(), Instant::now()));
            heard.next
        });
        Question {
            latencies: self,
            number,
        }
    }

    /// Waits for a read's first items, and keeps how long that took. It is the origin's own time: later items also depend on
    /// the reader of the items.
    pub(crate) async fn measure(
        &self,
        origin: &str,
        reading: impl Future<Output = Result<Reading, OriginError>>,
    ) -> Result<Reading, OriginError> {
        let question = self.ask(origin);
        let (mut items, version) = match reading.await {
            Ok(Reading::Items { items, version }) => (items, version),
            Ok(Reading::Unchanged) => {
                question.answered(None);
                return Ok(Reading::Unchanged);
            }
            Err(error) => {
                question.failed(&error);
                return Err(error);
            }
        };
        let first = match items.next().await {
            Some(first) => first,
            None => {
                question.answered(None);
                // An ended read is not polled again.
                let items = stream::empty().boxed();
                return Ok(Reading::Items { items, version });
            }
        };
        match &first {
            Err(error) => question.failed(error),
            Ok(_) => question.answered(None),
        }
        let items = stream::once(future::ready(first)).chain(items).boxed();
        Ok(Reading::Items { items, version })
    }
}
