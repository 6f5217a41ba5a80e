//! Processor time of a server's worker, from `/proc`.

use std::{collections::HashMap, fs, time::Duration};

use super::Outcome;

/// A tick of `/proc`, on every Linux there is today.
const TICK: Duration = Duration::from_millis(10);

/// What each thread of a process has used.
pub struct WorkerTime {
    ticks: HashMap<u32, u64>,
}

impl WorkerTime {
    pub fn of(process: u32) -> Outcome<Self> {
        let mut ticks = HashMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/task"))? {
            let entry = entry?;
            // A thread may end meanwhile; the worker does not.
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            let thread = entry.file_name().to_string_lossy().parse()?;
            ticks.insert(thread, used(&stat).ok_or("an unreadable stat in /proc")?);
        }
        Ok(Self { ticks })
    }

    /// What the busiest thread used until `later`: under load that is the worker, for there is one.
    pub fn until(&self, later: &Self) -> Duration {
        let used = later.ticks.iter().map(|(thread, ticks)| {
            let before = self.ticks.get(thread).copied().unwrap_or_default();
            u32::try_from(ticks.saturating_sub(before)).unwrap_or(u32::MAX)
        });
        TICK * used.max().unwrap_or_default()
    }
}

/// User and system time, in ticks.
fn used(stat: &str) -> Option<u64> {
    // The command's name stands in brackets and may hold anything; the state, field 3, follows it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}
