//! The locks and the spawning of the fence and of the coalescer: the one seam by which a test takes over when who runs.
//!
//! In what is built for tests each taking of a lock is a point where Shuttle may let others go first, if it is Shuttle that runs
//! the test. Otherwise, and in what is shipped, these are the locks and tasks that they are named for.

#[cfg(not(test))]
pub(crate) use parking_lot::{Mutex, RwLock};

#[cfg(test)]
mod interleaved;
#[cfg(test)]
pub(crate) use self::interleaved::{Mutex, RwLock, spawn};

/// Runs a task on a runtime, independent of its callers.
#[cfg(not(test))]
pub(crate) fn spawn<F>(runtime: &tokio::runtime::Handle, task: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime.spawn(task);
}
