//! The same for tests: where Shuttle runs, it decides who takes a lock next and which task goes on.

use shuttle::current::try_get_current_task;
use tokio::runtime::Handle;

/// A test that has failed is not held up on its way out.
fn is_interleaved() -> bool {
    !std::thread::panicking() && try_get_current_task().is_some()
}

/// Takes a lock after the tasks that Shuttle lets go first.
fn take<G>(try_take: impl Fn() -> Option<G>, take: impl FnOnce() -> G) -> G {
    if !is_interleaved() {
        return take();
    }
    loop {
        shuttle::thread::yield_now();
        if let Some(taken) = try_take() {
            return taken;
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> parking_lot::MutexGuard<'_, T> {
        take(|| self.0.try_lock(), || self.0.lock())
    }
}

#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> parking_lot::RwLockReadGuard<'_, T> {
        take(|| self.0.try_read(), || self.0.read())
    }

    pub(crate) fn write(&self) -> parking_lot::RwLockWriteGuard<'_, T> {
        take(|| self.0.try_write(), || self.0.write())
    }
}

pub(crate) fn spawn<F>(runtime: &Handle, task: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    if is_interleaved() {
        shuttle::future::spawn(task);
    } else {
        runtime.spawn(task);
    }
}
