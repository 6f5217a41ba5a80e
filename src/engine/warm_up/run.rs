//! The run of a warm-up: which family is begun when, and when it ends.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroU32,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio_util::sync::CancellationToken;

use super::{
    job::{HEARTBEAT, WarmUpJob},
    pace::Pace,
    targets::{Queue, Target},
    throttle::Throttle,
};
use crate::{
    engine::{Engine, EngineError, RefreshFailure, Refreshed, Shrink},
    listing::{Freshness, HeadState},
};

/// Families whose heads are looked at together, before the first is begun.
const FAMILIES_A_TURN: usize = 200;
/// A family that another process reads is looked at again after this, and then after twice as long each time.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(50);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(1);
/// What failed is tried once more, at the end, and not before its back-off is over.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(1200);

/// How hard a warm-up tries.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Families at once.
    pub concurrency: NonZeroU32,
    /// Listings that begin a second.
    pub rate: Option<NonZeroU32>,
    /// How slow an origin may become.
    pub origin_latency_max: Option<Duration>,
    /// What is believed.
    pub shrink: Shrink,
    /// Whether what is fresh is left as it is.
    pub skip_fresh: bool,
    /// When no more are begun.
    pub stop_at: Option<Instant>,
}

/// How it ended for one family.
#[derive(Clone, Debug)]
pub enum Step {
    /// It was read, or the origin was found to have what is kept.
    Refreshed {
        /// Its listings that were refreshed now.
        listings: Vec<Refreshed>,
        /// From its beginning to its end.
        took: Duration,
    },
    /// It is fresh.
    Fresh,
    /// It was read since the job began: by another process, or by one that was killed.
    Done,
    /// It is frozen, and has something to be served.
    Frozen,
    /// The origin or Redis failed, twice.
    Failed(EngineError),
}

/// Why no more were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There are no more.
    Finished,
    /// Told to stop.
    Stopped,
    /// Its time is over.
    OutOfTime,
}

/// What is left at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why it ended.
    pub why: Why,
    /// Families that were not begun.
    pub left: usize,
}

/// What came of one attempt.
enum Attempt {
    Step(Step),
    /// Another process is reading it.
    Elsewhere,
}

/// A target that waits for its turn.
struct Waiting {
    target: Target,
    /// Whether it failed once.
    failed: bool,
    look_again: Duration,
}

impl Engine {
    /// Warms targets in their order. Each of them is told of once, unless it was left. Ends when what was begun has ended.
    pub async fn warm_up(
        &self,
        job: Option<&WarmUpJob>,
        targets: Vec<Target>,
        effort: &Effort,
        stop: &CancellationToken,
        tell: &mut (dyn FnMut(&Target, &Step) + Send),
    ) -> Ended {
        let since = match job {
            Some(job) => job.began(),
            None => self.store.now(),
        };
        let mut wanted = Vec::new();
        for some in targets.chunks(FAMILIES_A_TURN) {
            for (target, step) in some.iter().zip(self.standing(some, since, effort).await) {
                match step {
                    Some(step) => tell(target, &step),
                    None => wanted.push(target.clone()),
                }
            }
        }
        self.refresher.latencies.listen();
        let run = Run {
            engine: self,
            job,
            since,
            effort,
            throttles: HashMap::new(),
            pace: effort.rate.map(|rate| Pace::new(rate, Instant::now())),
            aside: VecDeque::new(),
            running_of: HashMap::new(),
            paused_until: HashMap::new(),
        };
        let ended = run.run(wanted, stop, tell).await;
        self.refresher.latencies.stop_listening();
        ended
    }

    /// What there is to say of targets without reading them; `None` where there is something to do.
    async fn standing(
        &self,
        targets: &[Target],
        since: crate::listing::Timestamp,
        effort: &Effort,
    ) -> Vec<Option<Step>> {
        let keys: Vec<_> = targets.iter().map(Target::listings).collect();
        let all: Vec<_> = keys.iter().flatten().cloned().collect();
        // What cannot be told is tried.
        let heads = self.store.read_heads(&all).await.unwrap_or_default();
        let now = self.store.now();
        let mut heads = all.iter().zip(heads);
        let mut standing = Vec::with_capacity(targets.len());
        for (target, keys) in targets.iter().zip(&keys) {
            let definition = &target.defined.definition;
            let heads: Vec<_> = heads.by_ref().take(keys.len()).collect();
            let each = |test: &dyn Fn(&crate::listing::Head) -> bool| {
                heads.len() == keys.len()
                    && heads
                        .iter()
                        .all(|(_, state)| matches!(state, HeadState::Live(head) if test(head)))
            };
            let same_shape = heads
                .iter()
                .all(|(key, state)| state.live().is_none_or(|head| !definition.reshapes(&key.stored, head)));
            standing.push(if same_shape && each(&|head| head.is_read_since(since, now)) {
                Some(Step::Done)
            } else if effort.skip_fresh
                && same_shape
                && each(&|head| matches!(definition.policy.freshness(head.as_of, now), Freshness::Fresh(_)))
            {
                Some(Step::Fresh)
            } else if self.frozen_until(&target.family.name).is_some() && each(&|_| true) {
                Some(Step::Frozen)
            } else {
                None
            });
        }
        standing
    }

    async fn attempt(&self, target: &Target, since: crate::listing::Timestamp, effort: &Effort) -> Attempt {
        // Looked at once more: another process may have been here meanwhile.
        let standing = self.standing(std::slice::from_ref(target), since, effort).await;
        if let Some(Some(step)) = standing.into_iter().next() {
            return Attempt::Step(step);
        }
        if let Ok(Some(_)) = self.store.lease_state(&target.family).await {
            return Attempt::Elsewhere;
        }
        let began = Instant::now();
        let waiting = self
            .refresher
            .demand_since(&target.defined, &target.family, since, effort.shrink);
        Attempt::Step(match waiting.await {
            Ok(Ok(listings)) => Step::Refreshed {
                listings: listings.to_vec(),
                took: began.elapsed(),
            },
            Ok(Err(RefreshFailure { error, .. })) => Step::Failed(error),
            Err(_) => Step::Failed(EngineError::broken_load()),
        })
    }
}

struct Run<'a> {
    engine: &'a Engine,
    job: Option<&'a WarmUpJob>,
    since: crate::listing::Timestamp,
    effort: &'a Effort,
    throttles: HashMap<Box<str>, Throttle>,
    pace: Option<Pace>,
    /// Read elsewhere, or failed once: looked at again then.
    aside: VecDeque<(Instant, Waiting)>,
    running_of: HashMap<Box<str>, u32>,
    /// Until when an origin is left alone.
    paused_until: HashMap<Box<str>, Instant>,
}

impl Run<'_> {
    async fn run(
        mut self,
        targets: Vec<Target>,
        stop: &CancellationToken,
        tell: &mut (dyn FnMut(&Target, &Step) + Send),
    ) -> Ended {
        let concurrency = usize::try_from(self.effort.concurrency.get()).unwrap_or(usize::MAX);
        let mut queue = Queue::new(targets.into_iter().map(|target| {
            let waiting = Waiting {
                target,
                failed: false,
                look_again: LOOK_AGAIN_MIN,
            };
            (Box::from(waiting.target.origin()), waiting)
        }));
        let mut running = FuturesUnordered::new();
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let mut why = Why::Finished;
        loop {
            if why == Why::Finished && stop.is_cancelled() {
                why = Why::Stopped;
            } else if why == Why::Finished && self.effort.stop_at.is_some_and(|at| at <= Instant::now()) {
                why = Why::OutOfTime;
            }
            while why == Why::Finished && running.len() < concurrency {
                let Some(waiting) = self.next(&mut queue) else { break };
                *self.running_of.entry(waiting.target.origin().into()).or_default() += 1;
                let (engine, since, effort) = (self.engine, self.since, self.effort);
                running.push(async move {
                    let attempt = engine.attempt(&waiting.target, since, effort).await;
                    (waiting, attempt)
                });
            }
            let is_over = why != Why::Finished || (queue.is_empty() && self.aside.is_empty());
            if running.is_empty() && is_over {
                return Ended {
                    why,
                    left: queue.len() + self.aside.len(),
                };
            }
            let wake_at = self.wake_at(&queue);
            let sleep_until = async |at: Option<Instant>| match at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            };
            tokio::select! {
                biased;
                Some((waiting, attempt)) = running.next(), if !running.is_empty() => self.ended(waiting, attempt, tell),
                // Seen at the top of the next round.
                () = stop.cancelled(), if why == Why::Finished => {}
                () = sleep_until(self.effort.stop_at), if why == Why::Finished => {}
                _ = heartbeat.tick() => {
                    if let Some(job) = self.job {
                        self.engine.renew_warm_up(job).await;
                    }
                }
                () = sleep_until(wake_at), if why == Why::Finished => {}
            }
        }
    }

    /// The next one that may begin now, if any.
    fn next(&mut self, queue: &mut Queue<Waiting>) -> Option<Waiting> {
        let now = Instant::now();
        self.measure(now);
        if self.pace.as_ref().is_some_and(|pace| pace.next() > now) {
            return None;
        }
        let may_ask = |origin: &str| {
            let running = self.running_of.get(origin).copied().unwrap_or(0);
            let limit = self.throttles.get(origin).map_or_else(
                || {
                    if self.effort.origin_latency_max.is_some() {
                        1
                    } else {
                        u32::MAX
                    }
                },
                Throttle::limit,
            );
            running < limit && self.paused_until.get(origin).is_none_or(|until| *until <= now)
        };
        let is_due = |(at, waiting): &&(Instant, Waiting)| *at <= now && may_ask(waiting.target.origin());
        // What failed waits until all others had their turn.
        let aside = self
            .aside
            .iter()
            .position(|one| is_due(&one) && (!one.1.failed || queue.is_empty()));
        let waiting = match aside {
            Some(at) => self.aside.remove(at).map(|(_, waiting)| waiting),
            None => queue.next(may_ask),
        }?;
        if let Some(pace) = &mut self.pace {
            pace.take(waiting.target.listings().len(), now);
        }
        Some(waiting)
    }

    /// When something may begin that may not now, without anything ending before.
    fn wake_at(&self, queue: &Queue<Waiting>) -> Option<Instant> {
        let aside = self.aside.iter().map(|(at, _)| *at).min();
        let paused = self.paused_until.values().copied().filter(|_| !queue.is_empty()).min();
        let next = [aside, paused].into_iter().flatten().min();
        let pace = self
            .pace
            .as_ref()
            .map(Pace::next)
            .filter(|_| !queue.is_empty() || next.is_some());
        // What is past keeps nobody from waiting for what runs.
        let now = Instant::now();
        [next, pace].into_iter().flatten().filter(|at| *at > now).min()
    }

    fn ended(&mut self, mut waiting: Waiting, attempt: Attempt, tell: &mut (dyn FnMut(&Target, &Step) + Send)) {
        let now = Instant::now();
        if let Some(running) = self.running_of.get_mut(waiting.target.origin()) {
            *running = running.saturating_sub(1);
        }
        match attempt {
            Attempt::Elsewhere => {
                let at = now + waiting.look_again;
                waiting.look_again = (waiting.look_again * 2).min(LOOK_AGAIN_MAX);
                self.aside.push_back((at, waiting));
            }
            Attempt::Step(Step::Failed(_)) if !waiting.failed => {
                waiting.failed = true;
                self.aside.push_back((now + TRY_AGAIN_AFTER, waiting));
            }
            Attempt::Step(step) => tell(&waiting.target, &step),
        }
    }

    /// Takes what was measured of the origins.
    fn measure(&mut self, now: Instant) {
        let Some(latency_max) = self.effort.origin_latency_max else {
            return;
        };
        let (answers, asked) = self.engine.refresher.latencies.take();
        for answer in answers {
            let limit_max = self.effort.concurrency.get();
            let oldest = asked.get(&answer.origin).copied();
            let throttle = self
                .throttles
                .entry(answer.origin.clone())
                .or_insert_with(|| Throttle::new(latency_max, limit_max, answer.asked));
            throttle.observe(answer.asked, answer.took, oldest, now);
            if !throttle.pause().is_zero() {
                self.paused_until.insert(answer.origin, now + throttle.pause());
            }
        }
    }
}
