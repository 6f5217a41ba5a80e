//! Pages as fragments: found in L1, and made there, behind the requests that missed them.
//!
//! Nothing is deflated while a request waits. A run that has no fragment yet goes out as it is. Few threads make its fragment
//! afterwards, once. Their queue is bounded. When it is full, the next request that misses the fragment asks for it again.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;

use super::page::{Page, PageMeta};
use crate::{
    engine::{
        l1::{
            chunk_cache::FragmentPlace,
            items::{PackedItems, PackedPiece, PageItems, Unmade},
            shape::Layers,
        },
        refreshing::means::Means,
    },
    listing::{Checksum, Deflater, Fragment, Run, RunPlace, RunSum, Window, WindowPlan},
};

/// Jobs that may wait: the work of a fraction of a second. A job holds a chunk or two.
const WAITING_MAX: usize = 512;

/// Finds and makes fragments.
pub struct Fragments {
    means: Arc<Means>,
    making: Arc<Mutex<Making>>,
    threads_max: usize,
}

#[derive(Default)]
struct Making {
    /// Fragments that wait or are being made.
    asked: HashSet<FragmentPlace>,
    waiting: VecDeque<Job>,
    threads: usize,
}

type Job = Box<dyn FnOnce(&mut Deflater) + Send>;

impl Fragments {
    /// Threads that deflate are the runtime's blocking ones, at most half as many as there are cores.
    pub(crate) fn new(means: Arc<Means>) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            means,
            making: Arc::default(),
            threads_max: (cores / 2).max(1),
        }
    }

    /// A page of fragments alone, where all of them are here. The chunks are not needed for it.
    pub(crate) fn find(&self, layers: &Layers, plan: &WindowPlan) -> Option<PackedItems> {
        let mut before = None;
        let mut pieces = Vec::with_capacity(plan.chunk_count());
        for run in RunPlace::all(plan) {
            let fragment = self.means.l1.chunks.fragment(FragmentPlace::of(layers, run))?;
            // Always so, unless somebody wrote into a generation and a chunk was read again since.
            fragment.fits_after(before).then_some(())?;
            before = Some(fragment.sum.items);
            pieces.push(PackedPiece::Fragment(fragment));
        }
        self.means.metrics.fragments_found.inc_by(pieces.len() as u64);
        Some(PackedItems {
            pieces,
            unmade: Vec::new(),
        })
    }

    /// A page whose chunks are here: as fragments, as far as there are any.
    pub(crate) fn pack(&self, page: &mut Page) {
        if let Some(items) = &page.items {
            page.packed = Some(match page.meta.matches() {
                None => self.pack_items(&page.meta, items),
                Some(_) => stored(items),
            });
        }
    }

    fn pack_items(&self, meta: &PageMeta, items: &PageItems) -> PackedItems {
        let layers = meta.layers();
        let window = Window {
            offset: meta.offset,
            limit: meta.limit,
            direction: items.direction,
        };
        let mut packed = PackedItems::default();
        let Some(plan) = layers.shape.plan(window) else {
            return packed;
        };
        let mut before: Option<(Run, Checksum)> = None;
        for (place, (chunk, range)) in RunPlace::all(&plan).zip(&items.pieces) {
            let run = Run {
                chunk: chunk.clone(),
                items: range.clone(),
                direction: items.direction,
            };
            let sum_before = before.as_ref().map(|(_, sum)| *sum);
            let place = FragmentPlace::of(&layers, place);
            let fragment = self.means.l1.chunks.fragment(place);
            let (piece, sum) = match fragment.filter(|fragment| fragment.fits_after(sum_before)) {
                Some(fragment) => {
                    let sum = fragment.sum.items;
                    (PackedPiece::Fragment(fragment), sum)
                }
                None => {
                    let sum = RunSum::of(&run, before.is_some());
                    packed.unmade.push(Unmade {
                        place,
                        before: before.as_ref().map(|(run, _)| run.clone()),
                        run: run.clone(),
                    });
                    (PackedPiece::Plain(run.clone(), sum.text), sum.items)
                }
            };
            packed.pieces.push(piece);
            before = Some((run, sum));
        }
        let metrics = &self.means.metrics;
        let unmade = packed.unmade.len() as u64;
        metrics.fragments_missed.inc_by(unmade);
        metrics.fragments_found.inc_by(packed.pieces.len() as u64 - unmade);
        packed
    }

    /// Makes the fragments that a page had to do without, behind it.
    pub fn make(&self, unmade: Vec<Unmade>) {
        for Unmade { place, before, run } in unmade {
            let (making, means) = (self.making.clone(), self.means.clone());
            let job = move |deflater: &mut Deflater| {
                if let Some(fragment) = Fragment::make(deflater, before.as_ref(), &run) {
                    means.metrics.fragments_made.inc();
                    means.l1.chunks.insert_fragment(place, Arc::new(fragment));
                }
                // Only now: a request that misses it meanwhile need not ask again.
                making.lock().asked.remove(&place);
            };
            self.run(Some(place), Box::new(job));
        }
    }

    /// Deflates something that is kept elsewhere, behind the request that missed it. Returns false when too many jobs wait.
    pub fn deflate_later(&self, job: impl FnOnce(&mut Deflater) + Send + 'static) -> bool {
        self.run(None, Box::new(job))
    }

    fn run(&self, key: Option<FragmentPlace>, job: Job) -> bool {
        let mut making = self.making.lock();
        if making.waiting.len() >= WAITING_MAX || key.is_some_and(|key| !making.asked.insert(key)) {
            return false;
        }
        making.waiting.push_back(job);
        let needs_thread = making.threads < self.threads_max;
        making.threads += usize::from(needs_thread);
        // A runtime that has ended drops the thread at once, which takes the lock.
        drop(making);
        if needs_thread {
            let thread = Thread {
                making: self.making.clone(),
                is_counted: true,
            };
            self.means.runtime.spawn_blocking(move || thread.work());
        }
        true
    }
}

/// The items as they are, in the frame of a gzip member: those that filters select have no fragments.
fn stored(items: &PageItems) -> PackedItems {
    let runs = items.pieces.iter().map(|(chunk, range)| Run {
        chunk: chunk.clone(),
        items: range.clone(),
        direction: items.direction,
    });
    let pieces = runs.enumerate().map(|(at, run)| {
        let sum = RunSum::of(&run, at > 0).text;
        PackedPiece::Plain(run, sum)
    });
    PackedItems {
        pieces: pieces.collect(),
        unmade: Vec::new(),
    }
}

/// A thread that deflates until there is nothing to do. Counted until it ends, however it ends.
struct Thread {
    making: Arc<Mutex<Making>>,
    is_counted: bool,
}

impl Thread {
    fn work(mut self) {
        let mut deflater = Deflater::new();
        while let Some(job) = self.next() {
            job(&mut deflater);
        }
    }

    fn next(&mut self) -> Option<Job> {
        let mut making = self.making.lock();
        let job = making.waiting.pop_front();
        if job.is_none() {
            // Under the same lock: a job that is added from here on starts another thread.
            making.threads -= 1;
            self.is_counted = false;
        }
        job
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if self.is_counted {
            self.making.lock().threads -= 1;
        }
    }
}
