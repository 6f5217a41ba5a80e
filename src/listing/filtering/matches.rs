//! Matches: a bit a position, with counts beside them, so that the n-th match is found without a walk through all.

use crate::listing::window::Direction;

/// Positions a word.
const BITS: usize = u64::BITS as usize;
/// Words between two counts.
const WORDS_A_COUNT: usize = 8;

/// The positions of a generation that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matches {
    words: Box<[u64]>,
    /// How many match before each [`WORDS_A_COUNT`] words.
    before: Box<[u32]>,
    count: u64,
}

impl Matches {
    /// Of words with a bit a position, the lowest first.
    pub(super) fn new(words: Box<[u64]>) -> Self {
        let mut count = 0;
        let counts = words.chunks(WORDS_A_COUNT).map(|words| {
            let before = count;
            count += words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
            // A listing has far fewer items than that.
            u32::try_from(before).unwrap_or(u32::MAX)
        });
        Self {
            before: counts.collect(),
            words,
            count,
        }
    }

    /// How many match.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What they take up in memory, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.words) + size_of_val(&*self.before)
    }

    /// The positions of a page of the matches, in the order in which they are stored. `offset` counts from the end that `direction` starts at.
    pub fn window(&self, offset: u64, limit: u32, direction: Direction) -> Vec<u64> {
        let end = offset.saturating_add(limit.into()).min(self.count);
        if end <= offset {
            return Vec::new();
        }
        let first = match direction {
            Direction::Forward => offset,
            Direction::Reverse => self.count - end,
        };
        let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX);
        self.iter_from(first).take(wanted).collect()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.iter_from(0)
    }

    /// Those from the n-th on.
    fn iter_from(&self, n: u64) -> impl Iterator<Item = u64> + '_ {
        // The last count that is not above n: n matches lie before or in its words.
        let block = self
            .before
            .partition_point(|before| u64::from(*before) <= n)
            .saturating_sub(1);
        let before = self.before.get(block).copied().unwrap_or_default();
        let skipped = usize::try_from(n - u64::from(before)).unwrap_or(usize::MAX);
        let from = block * WORDS_A_COUNT;
        let words = self.words.iter().enumerate().skip(from);
        let positions = words.flat_map(|(at, word)| ones(*word).map(move |bit| (at * BITS) as u64 + bit));
        positions.skip(skipped)
    }
}

/// The places of the ones in a word, the lowest first.
fn ones(mut word: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        (word != 0).then(|| {
            word &= word - 1;
            u64::from(bit)
        })
    })
}

/// As many words as positions need, all of whose bits are set.
pub(super) fn all(total: usize) -> Box<[u64]> {
    let mut words = vec![u64::MAX; total.div_ceil(BITS)].into_boxed_slice();
    if let (Some(last), rest @ 1..) = (words.last_mut(), total % BITS) {
        *last = (1 << rest) - 1;
    }
    words
}

/// The positions whose bits are set.
pub(super) fn positions(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    let words = words.iter().enumerate();
    words.flat_map(|(at, word)| ones(*word).map(move |bit| at * BITS + bit as usize))
}

/// The values of these positions. There is a value for each position.
pub(super) fn kept<'v, T>(words: &'v [u64], values: &'v [T]) -> impl Iterator<Item = &'v T> {
    let words = words.iter().zip(values.chunks(BITS));
    words.flat_map(|(word, values)| ones(*word).filter_map(|bit| values.get(bit as usize)))
}

/// Clears the bits of positions whose value is not wanted. There is a value for each position.
pub(super) fn keep<T>(words: &mut [u64], values: &[T], is_wanted: impl Fn(&T) -> bool) {
    for (word, values) in words.iter_mut().zip(values.chunks(BITS)) {
        if *word != 0 {
            let bits = values
                .iter()
                .enumerate()
                .map(|(at, value)| u64::from(is_wanted(value)) << at);
            *word &= bits.fold(0, |word, bit| word | bit);
        }
    }
}
