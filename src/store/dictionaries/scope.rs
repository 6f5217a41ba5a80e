//! One scope: its dictionary, and when it is time to train another. Pure: chunks are counted, nothing is timed.
//!
//! Chunks are counted in *stretches*. Without a dictionary, a training is due at the end of the first stretch. With one, the first stretch says
//! how well it packs; a training is due at the end of a later stretch that packs worse by a tenth. Its samples are those of that stretch. The
//! dictionary stays in use until a better one is trained.
//!
//! Stretches begin with 100 chunks, and each training doubles them. The listings of a scope may differ: the categories of a grocery come to
//! ratios between 0.10 and 0.20, and are refreshed one after the other. Short stretches would train a dictionary for each, again and again:
//! 11 times in each round of 302 categories. Longer ones end that, and train from samples of many listings.

use std::sync::Arc;

use super::{
    dictionary::{Dictionary, DictionaryHash},
    samples::Samples,
};

/// Chunks of a stretch, before the first training: single chunks differ widely.
const STRETCH_MIN: u32 = 100;
/// Chunks of a stretch, after several trainings.
const STRETCH_MAX: u32 = 6400;

/// A group of listings whose chunks look alike: the hash of their definition, or of a pushed listing's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DictionaryScope(pub u64);

/// The result of packing one chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing<'a> {
    /// The bytes that were packed.
    pub plain: &'a [u8],
    /// Bytes that came of them.
    pub packed_len: usize,
    /// The dictionary that they were packed with.
    pub dictionary: Option<DictionaryHash>,
}

/// One scope.
#[derive(Debug)]
pub(super) struct Scope {
    dictionary: Option<Arc<Dictionary>>,
    phase: Phase,
    /// The first stretch since the last training.
    first: Option<Sums>,
    /// The stretch under way.
    latest: Sums,
    /// Chunks of a stretch.
    stretch: u32,
    /// Out of the stretch under way; when a training is due, of the one before it too.
    samples: Samples,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Chunks are counted.
    Counting,
    /// It is time to train.
    Due,
    /// The samples are with a training.
    Training,
}

/// Chunks, with their bytes before and after packing.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    chunks: u32,
    plain: u64,
    packed: u64,
}

impl Sums {
    fn add(&mut self, chunk: &Packing<'_>) {
        self.chunks += 1;
        self.plain += chunk.plain.len() as u64;
        self.packed += chunk.packed_len as u64;
    }

    /// Whether the ratio of packed to plain is worse than another one by a tenth.
    fn are_worse_than(&self, other: &Self) -> bool {
        let cross = |packed: u64, plain: u64| u128::from(packed) * u128::from(plain);
        10 * cross(self.packed, other.plain) >= 11 * cross(other.packed, self.plain)
    }
}

impl Scope {
    /// Without a dictionary.
    pub(super) fn new() -> Self {
        Self {
            dictionary: None,
            phase: Phase::Counting,
            first: None,
            latest: Sums::default(),
            stretch: STRETCH_MIN,
            samples: Samples::default(),
        }
    }

    /// The dictionary to write with.
    pub(super) fn dictionary(&self) -> Option<&Arc<Dictionary>> {
        self.dictionary.as_ref()
    }

    /// Takes a dictionary, if there is none. The result of a training under way is then ignored.
    pub(super) fn adopt(&mut self, dictionary: Arc<Dictionary>) -> bool {
        let takes = self.dictionary.is_none();
        if takes {
            self.dictionary = Some(dictionary);
            self.begin_to_count();
        }
        takes
    }

    /// Counts a chunk.
    pub(super) fn record(&mut self, chunk: &Packing<'_>) {
        // A generation keeps the dictionary that it began with.
        if self.phase == Phase::Training || chunk.dictionary != self.dictionary.as_ref().map(|kept| kept.hash()) {
            return;
        }
        self.samples.see(chunk.plain);
        self.latest.add(chunk);
        if self.phase == Phase::Due || self.latest.chunks < self.stretch {
            return;
        }
        let latest = std::mem::take(&mut self.latest);
        match self.first {
            _ if self.dictionary.is_none() => self.phase = Phase::Due,
            Some(first) if latest.are_worse_than(&first) => self.phase = Phase::Due,
            Some(_) => self.samples = Samples::default(),
            None => {
                self.first = Some(latest);
                self.samples = Samples::default();
            }
        }
    }

    /// Bytes of its samples.
    pub(super) fn sample_bytes(&self) -> usize {
        self.samples.bytes()
    }

    /// Drops its samples. A training that is due waits for others.
    pub(super) fn forget_samples(&mut self) {
        self.samples = Samples::default();
    }

    /// Gives the samples away, if a training is due and there are enough of them.
    pub(super) fn begin_training(&mut self) -> Option<Samples> {
        let begins = self.phase == Phase::Due && self.samples.are_enough();
        begins.then(|| {
            self.phase = Phase::Training;
            std::mem::take(&mut self.samples)
        })
    }

    /// Takes what a training brought, `None` for nothing better. Says whether the scope waited for it.
    pub(super) fn end_training(&mut self, trained: Option<Arc<Dictionary>>) -> bool {
        let waited = self.phase == Phase::Training;
        if waited {
            self.dictionary = trained.or(self.dictionary.take());
            // Where nothing was gained, the ratio of now counts from here on: the training would be due again at once.
            self.begin_to_count();
            self.stretch = (2 * self.stretch).min(STRETCH_MAX);
        }
        waited
    }

    /// Takes the samples back: their training was given up.
    pub(super) fn give_back(&mut self, samples: Samples) {
        if self.phase == Phase::Training {
            self.phase = Phase::Due;
            self.samples = samples;
        }
    }

    fn begin_to_count(&mut self) {
        self.phase = Phase::Counting;
        self.first = None;
        self.latest = Sums::default();
        self.samples = Samples::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::dictionaries::testing::trained;

    /// Records a stretch of chunks of 1,000 bytes that come to so many each. Says whether a training is due.
    fn is_due_after(scope: &mut Scope, packed_len: usize) -> bool {
        let dictionary = scope.dictionary().map(|dictionary| dictionary.hash());
        for _ in 0..scope.stretch {
            scope.record(&Packing {
                plain: &[1; 1000],
                packed_len,
                dictionary,
            });
        }
        scope.phase == Phase::Due
    }

    #[test]
    fn a_training_is_due_when_the_ratio_is_worse_by_a_tenth_than_at_first() {
        let mut scope = Scope::new();
        assert!(scope.adopt(trained()));
        for packed_len in [200, 219, 150, 219] {
            assert!(!is_due_after(&mut scope, packed_len), "{packed_len}");
        }
        assert!(is_due_after(&mut scope, 220));
        assert!(!scope.samples.are_enough());
        assert!(scope.begin_training().is_none());
        // It stays due until there are enough samples.
        assert!(is_due_after(&mut scope, 200));
        assert!(scope.begin_training().is_some());
        // Where nothing was gained, the next stretch is the one to compare with.
        assert!(scope.end_training(None));
        for packed_len in [300, 329] {
            assert!(!is_due_after(&mut scope, packed_len), "{packed_len}");
        }
        assert!(is_due_after(&mut scope, 330));
    }

    #[test]
    fn stretches_double_up_to_a_bound() {
        let mut scope = Scope::new();
        for expected in [200, 400, 800, 1600, 3200, 6400, 6400] {
            assert!(is_due_after(&mut scope, 200));
            let _ = is_due_after(&mut scope, 200);
            assert!(scope.begin_training().is_some());
            assert!(scope.end_training(None));
            assert_eq!(scope.stretch, expected);
        }
    }
}
