//! Samples: the chunks, in their plain form, that a dictionary is trained from and judged by.

use bytes::Bytes;

use super::dictionary::{DICTIONARY_BYTES_MAX, Dictionary, pack_frame};

/// The fewest samples that a dictionary is trained from, and judged by.
const SAMPLES_MIN: usize = 125;
/// The most samples: when there are more, every other one is dropped.
const SAMPLES_MAX: usize = 2 * SAMPLES_MIN;
/// Every fifth sample is not trained from: it judges the dictionary. A dictionary holds pieces of the chunks that it was trained from, and packs those
/// better than any other. So 100 chunks are left to train from: fewer say too little of the next one.
const JUDGING_EVERY: usize = 5;
/// The most bytes of a sample. A usual chunk has fewer; of a large one the first items show the fields.
const SAMPLE_BYTES_MAX: usize = 4096;

/// Chunks out of a stretch of them, evenly spread over it: at most [`SAMPLES_MAX`] of at most [`SAMPLE_BYTES_MAX`] bytes each, 1 MB.
#[derive(Debug, Default)]
pub(super) struct Samples {
    taken: Vec<Box<[u8]>>,
    bytes: usize,
    /// Chunks that went by.
    seen: usize,
    /// One of `2^thinned` chunks is taken.
    thinned: u32,
}

impl Samples {
    /// A chunk goes by, and is taken if it is its turn.
    ///
    /// The first chunks alone would not do: they are of one listing, and a scope may have hundreds that differ.
    pub(super) fn see(&mut self, plain: &[u8]) {
        let turn = self.seen.is_multiple_of(1 << self.thinned);
        self.seen += 1;
        if !turn {
            return;
        }
        if self.taken.len() == SAMPLES_MAX {
            self.thin_out();
        }
        let sample = &plain[..plain.len().min(SAMPLE_BYTES_MAX)];
        self.bytes += sample.len();
        self.taken.push(sample.into());
    }

    /// Drops every other sample. The next chunk is one that stays: as many are kept as there are steps of the new length before it.
    fn thin_out(&mut self) {
        let mut stays = false;
        self.taken.retain(|_| {
            stays = !stays;
            stays
        });
        self.bytes = self.taken.iter().map(|sample| sample.len()).sum();
        self.thinned += 1;
    }

    /// Whether a dictionary may be trained.
    pub(super) fn are_enough(&self) -> bool {
        self.taken.len() >= SAMPLES_MIN
    }

    /// Bytes taken.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Trains a dictionary, which takes some 100 ms; `None` where zstd finds nothing that the chunks have in common.
    pub(super) fn train(&self) -> Option<Dictionary> {
        let training = self.taken.iter().enumerate().filter(|(at, _)| !judges(*at));
        let (mut together, mut lengths) = (Vec::with_capacity(self.bytes), Vec::new());
        for (_, sample) in training {
            together.extend_from_slice(sample);
            lengths.push(sample.len());
        }
        let trained = zstd::dict::from_continuous(&together, &lengths, DICTIONARY_BYTES_MAX).ok()?;
        Dictionary::new(Bytes::from(trained.into_boxed_slice())).ok()
    }

    /// Bytes of the chunks that judge, each packed by itself.
    pub(super) fn packed_bytes(&self, dictionary: Option<&Dictionary>) -> usize {
        let judging = self.taken.iter().enumerate().filter(|(at, _)| judges(*at));
        let packed = judging.map(|(_, sample)| {
            // Bytes that cannot be packed are kept as they are.
            pack_frame(sample, dictionary, <[u8]>::len).map_or(sample.len(), |packed| packed.min(sample.len()))
        });
        packed.sum()
    }
}

fn judges(at: usize) -> bool {
    (at + 1).is_multiple_of(JUDGING_EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_evenly_over_all_that_went_by() {
        for chunks in [1, 125, 250, 251, 252, 500, 501, 1000, 9999] {
            let mut samples = Samples::default();
            for chunk in 0..chunks {
                samples.see(&(chunk as u32).to_le_bytes());
            }
            let taken: Vec<usize> = samples
                .taken
                .iter()
                .map(|sample| u32::from_le_bytes(sample[..].try_into().unwrap()) as usize)
                .collect();
            let step = 1 << samples.thinned;
            let expect: Vec<usize> = (0..chunks).step_by(step).collect();
            assert_eq!(taken, expect, "{chunks}");
            assert!(taken.len() <= SAMPLES_MAX && taken.len() >= chunks.min(SAMPLES_MIN));
            assert_eq!(samples.bytes(), 4 * taken.len());
            assert_eq!(samples.are_enough(), chunks >= SAMPLES_MIN);
        }
    }

    #[test]
    fn of_a_large_chunk_its_beginning_is_taken() {
        let mut samples = Samples::default();
        samples.see(&[1; SAMPLE_BYTES_MAX + 1]);
        assert_eq!(samples.bytes(), SAMPLE_BYTES_MAX);
    }
}
