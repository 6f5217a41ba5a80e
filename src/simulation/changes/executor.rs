//! The executor: futures of all nodes on one thread, in the order of simulated time. The same seed gives the same order.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;

/// A life of a node: its tasks end with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub node: usize,
    pub number: u64,
}

struct Task {
    /// `None`: of the world.
    of: Option<Life>,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

/// A node as the executor knows it.
#[derive(Clone, Copy, Default)]
pub(super) struct Pace {
    pub life: u64,
    /// It stands still until then.
    pub paused_until: u64,
}

/// Tasks, and the time in microseconds.
#[derive(Default)]
pub(super) struct Executor {
    now: Cell<u64>,
    numbers: Cell<u64>,
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    ready: Arc<Mutex<VecDeque<u64>>>,
    pub paces: RefCell<Vec<Pace>>,
}

struct ReadyAgain {
    task: u64,
    ready: Arc<Mutex<VecDeque<u64>>>,
}

impl Wake for ReadyAgain {
    fn wake(self: Arc<Self>) {
        self.ready.lock().push_back(self.task);
    }
}

impl Executor {
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Counts whatever needs a number of its own.
    pub(super) fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    pub(super) fn spawn(&self, of: Option<Life>, future: impl Future<Output = ()> + 'static) {
        let (number, future) = (self.number(), Box::pin(future));
        self.tasks.borrow_mut().insert(number, Task { of, future });
        self.ready.lock().push_back(number);
    }

    /// Does the next thing. Returns false where nothing is left.
    pub(super) fn step(&self) -> bool {
        let next = self.ready.lock().pop_front();
        let Some(number) = next else {
            let first = self.timers.borrow_mut().pop_first();
            let Some(((at, _), waker)) = first else { return false };
            self.now.set(at.max(self.now()));
            waker.wake();
            return true;
        };
        // It may have ended meanwhile.
        let Some(mut task) = self.tasks.borrow_mut().remove(&number) else {
            return true;
        };
        let ready = self.ready.clone();
        let waker = Waker::from(Arc::new(ReadyAgain { task: number, ready }));
        if let Some(Life { node, number: life }) = task.of {
            let pace = self.paces.borrow()[node];
            if pace.life != life {
                return true;
            }
            if pace.paused_until > self.now() {
                self.wake_at(pace.paused_until, waker);
                self.tasks.borrow_mut().insert(number, task);
                return true;
            }
        }
        if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.tasks.borrow_mut().insert(number, task);
        }
        true
    }

    fn wake_at(&self, at: u64, waker: Waker) {
        let number = self.number();
        self.timers.borrow_mut().insert((at, number), waker);
    }

    /// Drops all tasks.
    pub(super) fn end(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        self.timers.borrow_mut().clear();
    }

    pub(super) fn sleep_until(self: &Rc<Self>, at: u64) -> Sleep {
        Sleep {
            executor: self.clone(),
            at,
            waits: false,
        }
    }
}

/// Completes at a time.
pub(super) struct Sleep {
    executor: Rc<Executor>,
    at: u64,
    waits: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.executor.now() >= self.at {
            return Poll::Ready(());
        }
        if !self.waits {
            self.executor.wake_at(self.at, context.waker().clone());
            self.waits = true;
        }
        Poll::Pending
    }
}
