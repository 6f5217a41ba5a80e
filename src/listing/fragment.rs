//! Fragments: runs of a chunk's items, deflated so that they can stand in the middle of any gzip member.
//!
//! A fragment ends in a sync flush, so it begins and ends on a byte boundary and the next part of a member may be anything.
//! One that follows another run on its page is deflated with that run as its dictionary: on shops' catalogues pages of 24,
//! 48 and 96 items are then 16, 27 and 33 % smaller, and smaller than `gzip -1` of the whole page; without it they are 9 to
//! 30 % larger (measured, docs/http.md). A dictionary must be exactly what was sent before. So a fragment is known by how
//! many items the run before it has ([`RunPlace::before`]): runs of a page are adjacent, so that says which ones they are. And it
//! keeps the check sum of that run, so that the code that stitches a page can see that the two belong together.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    checksum::Checksum,
    chunk::{Chunk, ChunkIndex},
    deflate::Deflater,
    window::{Direction, WindowPlan},
};

const COMMA: Bytes = Bytes::from_static(b",");

/// Where a run stands in its generation, and what goes before it on its page: which fragment it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunPlace {
    /// The chunk.
    pub chunk: ChunkIndex,
    /// The first of its items.
    pub first: u32,
    /// The item after the last one.
    pub end: u32,
    /// With [`Direction::Reverse`] the items go out last first.
    pub direction: Direction,
    /// Items of the run that goes out right before this one; 0 where it is the first of its page. Runs are adjacent, so this
    /// says which items they are. A comma stands between the two, and belongs to the second.
    pub before: u32,
}

impl RunPlace {
    /// The places of a page's runs, in the order they go out.
    pub fn all(plan: &WindowPlan) -> impl Iterator<Item = Self> + '_ {
        let direction = plan.direction();
        plan.pieces().scan(0, move |before, piece| {
            // A chunk has at most 1000 items.
            let at = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
            let place = Self {
                chunk: piece.chunk,
                first: at(piece.items.start),
                end: at(piece.items.end),
                direction,
                before: *before,
            };
            *before = at(piece.items.len());
            Some(place)
        })
    }

    /// The items inside their chunk.
    pub fn items(&self) -> Range<usize> {
        self.first as usize..self.end as usize
    }
}

/// Items of one chunk that go out one after the other.
#[derive(Clone, Debug)]
pub struct Run {
    /// The chunk.
    pub chunk: Arc<Chunk>,
    /// The items, as they are stored.
    pub items: Range<usize>,
    /// Which way they go out.
    pub direction: Direction,
}

impl Run {
    /// The items with commas between them, in as few slices as there can be.
    pub fn slices(&self) -> impl Iterator<Item = Bytes> + '_ {
        let Range { start, end } = self.items;
        let is_forward = self.direction == Direction::Forward;
        let whole = (is_forward && start < end).then(|| self.chunk.items(start..end));
        let single = if is_forward { start..start } else { start..end };
        whole.into_iter().chain(single.rev().map(move |at| match at == start {
            true => self.chunk.item(at),
            false => self.chunk.items_and_comma(at..at + 1),
        }))
    }

    /// The same, with what separates it from the run that goes before it, if one does.
    pub fn slices_after(&self, follows: bool) -> impl Iterator<Item = Bytes> + '_ {
        follows.then_some(COMMA).into_iter().chain(self.slices())
    }
}

/// The check sums of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSum {
    /// Of its items with the commas between them: the key of a dictionary.
    pub items: Checksum,
    /// Of all that goes out: with the comma before it, where there is one.
    pub text: Checksum,
}

impl RunSum {
    /// Sums a run.
    pub fn of(run: &Run, follows: bool) -> Self {
        let items = Checksum::of(run.slices());
        let text = match follows {
            true => Checksum::of([COMMA]).then(items),
            false => items,
        };
        Self { items, text }
    }
}

/// A run, deflated.
#[derive(Debug)]
pub struct Fragment {
    /// Its bytes in the member.
    pub packed: Bytes,
    /// Its bytes when inflated.
    pub sum: RunSum,
    /// The items of the run that must go before it; `None` for the first of a page.
    after: Option<Checksum>,
}

impl Fragment {
    /// Deflates a run, to stand behind another or first on a page. `None` where deflating fails, which it has no reason to.
    pub fn make(deflater: &mut Deflater, before: Option<&Run>, run: &Run) -> Option<Self> {
        let packed = match before {
            Some(before) => deflater.deflate(before.slices(), run.slices_after(true)),
            None => deflater.deflate([], run.slices()),
        }?;
        Some(Self {
            packed,
            sum: RunSum::of(run, before.is_some()),
            after: before.map(|before| Checksum::of(before.slices())),
        })
    }

    /// Whether it may stand behind a run of these items, or first where there is none.
    pub fn fits_after(&self, before: Option<Checksum>) -> bool {
        self.after == before
    }

    /// Its size in memory, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.packed.len()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::listing::Window;

    fn run(items: &[&str], range: Range<usize>, direction: Direction) -> Run {
        Run {
            chunk: Arc::new(Chunk::join(items)),
            items: range,
            direction,
        }
    }

    #[track_caller]
    fn check(run: &Run, follows: bool, expect: &str) {
        let slices: Vec<Bytes> = run.slices_after(follows).collect();
        assert_eq!(slices.concat(), expect.as_bytes());
        assert_eq!(RunSum::of(run, follows).text, Checksum::of(slices));
    }

    #[test]
    fn the_comma_before_a_run_belongs_to_it() {
        let items = ["0", "1", "2", "3"];
        check(&run(&items, 1..4, Direction::Forward), false, "1,2,3");
        check(&run(&items, 0..1, Direction::Forward), true, ",0");
        check(&run(&items, 1..4, Direction::Reverse), false, "3,2,1");
        check(&run(&items, 0..4, Direction::Reverse), true, ",3,2,1,0");
        check(&run(&items, 2..2, Direction::Forward), false, "");
        check(&run(&items, 2..2, Direction::Reverse), false, "");
    }

    #[test]
    fn a_place_says_what_goes_before_it() {
        let places = |direction| -> Vec<(u64, Range<usize>, u32)> {
            let window = Window {
                offset: 3,
                limit: NonZeroU32::new(6).unwrap(),
                direction,
            };
            let plan = window.plan(10, NonZeroU32::new(4).unwrap()).unwrap();
            RunPlace::all(&plan)
                .map(|place| (place.chunk.0, place.items(), place.before))
                .collect()
        };
        assert_eq!(places(Direction::Forward), [(0, 3..4, 0), (1, 0..4, 1), (2, 0..1, 4)]);
        assert_eq!(places(Direction::Reverse), [(1, 0..3, 0), (0, 1..4, 3)]);
    }

    #[test]
    fn a_fragment_fits_only_behind_its_dictionary() {
        let first = run(&["1", "22"], 0..2, Direction::Forward);
        let other = run(&["1", "23"], 0..2, Direction::Forward);
        let next = run(&["333"], 0..1, Direction::Forward);
        let mut deflater = Deflater::new();
        let fragment = Fragment::make(&mut deflater, Some(&first), &next).unwrap();
        assert!(fragment.fits_after(Some(RunSum::of(&first, false).items)));
        assert!(!fragment.fits_after(Some(RunSum::of(&other, false).items)));
        assert!(!fragment.fits_after(None));
        let alone = Fragment::make(&mut deflater, None, &next).unwrap();
        assert!(alone.fits_after(None));
    }
}
