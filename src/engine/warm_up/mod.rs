//! Warming up: listings are refreshed before they are asked for, as a job that several processes may share.
//!
//! ```text
//! targets ─► run: the next family of the queue, as turns, throttle and the free places allow
//!              └─ attempt ─┬─ read since the job began, or fresh, or frozen     nothing to do
//!                          ├─ another process reads it                          put aside, looked at again
//!                          └─ else it is refreshed under its lease, behind what requests wait for
//! plan: an estimate of a warm-up        verify: a check of its result
//! ```
//!
//! [`WarmUps`] is the way in. A [`WarmUpJob`] is kept in Redis, so a warm-up that was killed goes on where it stopped.

mod attempt;
mod job;
mod plan;
mod run;
mod targets;
mod throttle;
mod turns;
mod verify;
mod warm_ups;

pub use self::attempt::{Effort, Step};
pub use self::job::{Joined, RESUMABLE_FOR, WarmUpJob};
pub use self::plan::{Amount, Plan};
pub use self::run::{Ended, Why};
pub use self::targets::{RecordedReads, Target};
pub use self::throttle::Throttle;
pub use self::verify::{Difference, Verified};
pub use self::warm_ups::WarmUps;
