//! The run of a warm-up: which family is begun when, and when it ends.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio_util::sync::CancellationToken;

use super::{
    attempt::{Attempts, Effort, Step, Tried},
    job::{HEARTBEAT, WarmUpJob},
    targets::{Queue, Target},
    throttle::Throttle,
    turns::Turns,
    warm_ups::WarmUps,
};

/// Families whose heads are looked at together, before the first is begun.
const FAMILIES_A_TURN: usize = 200;
/// A family that another process reads is looked at again after this, and then after twice as long each time.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(50);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(1);
/// A failed family is tried once more, at the end, and not before its back-off is over.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(1200);

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

/// The families left at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why it ended.
    pub why: Why,
    /// Families that were not begun.
    pub left: usize,
}

/// A target that waits for its turn.
struct InLine {
    target: Target,
    /// Whether it failed once.
    failed: bool,
    look_again: Duration,
}

/// A run of a warm-up.
struct Run<'a> {
    attempts: Attempts<'a>,
    job: Option<&'a WarmUpJob>,
    throttles: HashMap<Box<str>, Throttle>,
    turns: Option<Turns>,
    /// Read elsewhere, or failed once: looked at again then.
    aside: VecDeque<(Instant, InLine)>,
    running_of: HashMap<Box<str>, u32>,
    /// Until when an origin is left alone.
    paused_until: HashMap<Box<str>, Instant>,
}

impl WarmUps {
    /// Warms targets in their order. Tells of each of them once, unless it was left. Ends when what was begun has ended.
    pub async fn run(
        &self,
        job: Option<&WarmUpJob>,
        targets: Vec<Target>,
        effort: &Effort,
        stop: &CancellationToken,
        tell: &mut (dyn FnMut(&Target, &Step) + Send),
    ) -> Ended {
        let attempts = Attempts {
            refresher: &self.refresher,
            since: job.map_or_else(|| self.means.store.now(), WarmUpJob::began),
            effort,
        };
        let mut wanted = Vec::new();
        for some in targets.chunks(FAMILIES_A_TURN) {
            for (target, step) in some.iter().zip(attempts.standing(some).await) {
                match step {
                    Some(step) => tell(target, &step),
                    None => wanted.push(target.clone()),
                }
            }
        }
        let mut run = Run {
            attempts,
            job,
            throttles: HashMap::new(),
            turns: effort.rate.map(|rate| Turns::new(rate, Instant::now())),
            aside: VecDeque::new(),
            running_of: HashMap::new(),
            paused_until: HashMap::new(),
        };
        let latencies = &self.means.latencies;
        latencies.listen();
        let ended = run.warm(wanted, stop, tell).await;
        latencies.stop_listening();
        ended
    }
}

impl Run<'_> {
    async fn warm(
        &mut self,
        targets: Vec<Target>,
        stop: &CancellationToken,
        tell: &mut (dyn FnMut(&Target, &Step) + Send),
    ) -> Ended {
        let concurrency = usize::try_from(self.attempts.effort.concurrency.get()).unwrap_or(usize::MAX);
        let mut queue = Queue::new(targets.into_iter().map(|target| {
            let waiting = InLine {
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
            } else if why == Why::Finished && self.attempts.effort.stop_at.is_some_and(|at| at <= Instant::now()) {
                why = Why::OutOfTime;
            }
            while why == Why::Finished && running.len() < concurrency {
                let Some(waiting) = self.next(&mut queue) else { break };
                *self.running_of.entry(waiting.target.origin().into()).or_default() += 1;
                let attempts = self.attempts;
                running.push(async move {
                    let tried = attempts.make(&waiting.target).await;
                    (waiting, tried)
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
                Some((waiting, tried)) = running.next(), if !running.is_empty() => self.ended(waiting, tried, tell),
                // Seen at the top of the next round.
                () = stop.cancelled(), if why == Why::Finished => {}
                () = sleep_until(self.attempts.effort.stop_at), if why == Why::Finished => {}
                _ = heartbeat.tick() => {
                    if let Some(job) = self.job {
                        job.renew().await;
                    }
                }
                () = sleep_until(wake_at), if why == Why::Finished => {}
            }
        }
    }

    /// The next one that may begin now, if any.
    fn next(&mut self, queue: &mut Queue<InLine>) -> Option<InLine> {
        let now = Instant::now();
        self.measure(now);
        if self.turns.as_ref().is_some_and(|turns| turns.next() > now) {
            return None;
        }
        let may_ask = |origin: &str| {
            let running = self.running_of.get(origin).copied().unwrap_or(0);
            let limit = match self.throttles.get(origin) {
                Some(throttle) => throttle.limit,
                None if self.attempts.effort.origin_latency_max.is_some() => 1,
                None => u32::MAX,
            };
            running < limit && self.paused_until.get(origin).is_none_or(|until| *until <= now)
        };
        let is_due = |(at, waiting): &&(Instant, InLine)| *at <= now && may_ask(waiting.target.origin());
        // Failed families wait until all others had their turn.
        let aside = self
            .aside
            .iter()
            .position(|one| is_due(&one) && (!one.1.failed || queue.is_empty()));
        let waiting = match aside {
            Some(at) => self.aside.remove(at).map(|(_, waiting)| waiting),
            None => queue.next(may_ask),
        }?;
        if let Some(turns) = &mut self.turns {
            turns.take(waiting.target.listings().len(), now);
        }
        Some(waiting)
    }

    /// When something may begin that may not now, without anything ending before.
    fn wake_at(&self, queue: &Queue<InLine>) -> Option<Instant> {
        let aside = self.aside.iter().map(|(at, _)| *at).min();
        let paused = self.paused_until.values().copied().filter(|_| !queue.is_empty()).min();
        let next = [aside, paused].into_iter().flatten().min();
        let turns = self
            .turns
            .as_ref()
            .map(Turns::next)
            .filter(|_| !queue.is_empty() || next.is_some());
        // A past deadline does not stop the wait for running refreshes.
        let now = Instant::now();
        [next, turns].into_iter().flatten().filter(|at| *at > now).min()
    }

    fn ended(&mut self, mut waiting: InLine, tried: Tried, tell: &mut (dyn FnMut(&Target, &Step) + Send)) {
        let now = Instant::now();
        if let Some(running) = self.running_of.get_mut(waiting.target.origin()) {
            *running = running.saturating_sub(1);
        }
        match tried {
            Tried::Elsewhere => {
                let at = now + waiting.look_again;
                waiting.look_again = (waiting.look_again * 2).min(LOOK_AGAIN_MAX);
                self.aside.push_back((at, waiting));
            }
            Tried::Step(Step::Failed(_)) if !waiting.failed => {
                waiting.failed = true;
                self.aside.push_back((now + TRY_AGAIN_AFTER, waiting));
            }
            Tried::Step(step) => tell(&waiting.target, &step),
        }
    }

    /// Takes what was measured of the origins.
    fn measure(&mut self, now: Instant) {
        let Some(latency_max) = self.attempts.effort.origin_latency_max else {
            return;
        };
        let (answers, asked) = self.attempts.refresher.means.latencies.take();
        for answer in answers {
            let limit_max = self.attempts.effort.concurrency.get();
            let oldest = asked.get(&answer.origin).copied();
            let throttle = self
                .throttles
                .entry(answer.origin.clone())
                .or_insert_with(|| Throttle::new(latency_max, limit_max, answer.asked));
            throttle.observe(answer.asked, answer.took, oldest, now);
            if !throttle.pause.is_zero() {
                self.paused_until.insert(answer.origin, now + throttle.pause);
            }
        }
    }
}
