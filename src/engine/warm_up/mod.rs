//! Warming up: listings are refreshed before they are asked for, as a job that several processes may share.
//!
//! ```text
//! targets ─► run: the next family of the queue, as pace, throttle and the places that are free allow
//!              ├─ read since the job began, or fresh, or frozen     nothing to do
//!              ├─ another process reads it                          put aside, looked at again
//!              └─ else it is refreshed under its lease, where requests do not need the place
//! plan: what that will come to        verify: what came of it
//! ```

mod job;
mod pace;
mod plan;
mod run;
mod targets;
mod throttle;
mod verify;

pub use self::job::{Joined, RESUMABLE_FOR, WarmUpJob};
pub use self::plan::{Amount, Plan};
pub use self::run::{Effort, Ended, Step, Why};
pub use self::targets::{RecordedReads, Target};
pub use self::throttle::Throttle;
pub use self::verify::{Difference, Verified};
