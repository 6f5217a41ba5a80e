//! What processes have used, from `/proc`: processor time and memory, of a process and all that it started.

use std::{collections::HashMap, fs, time::Duration};

use super::Outcome;

/// A tick of `/proc`, on every Linux there is today.
const TICK: Duration = Duration::from_millis(10);

/// One process, as its `stat` has it.
struct Process {
    parent: u32,
    ticks: u32,
    /// Of children that have ended and were waited for.
    ticks_of_children: u32,
}

/// Processor time of a process and those below it, threads that have ended included.
pub fn processor_time(process: u32) -> Outcome<Duration> {
    let all = all_processes()?;
    let ticks = family(process, &all).filter_map(|id| Some(all.get(&id)?.ticks)).sum();
    Ok(TICK * ticks)
}

/// Processor time of all that this process has started and waited for.
pub fn of_ended_children() -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let this = read(&stat).ok_or("an unreadable stat in /proc")?;
    Ok(TICK * this.ticks_of_children)
}

/// Bytes in memory of a process and those below it.
pub fn resident_bytes(process: u32) -> Outcome<u64> {
    let all = all_processes()?;
    let kib_of = |id: u32| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    Ok(family(process, &all).filter_map(kib_of).sum::<u64>() * 1024)
}

fn all_processes() -> Outcome<HashMap<u32, Process>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(id) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        // It may have ended meanwhile.
        if let Ok(stat) = fs::read_to_string(entry.path().join("stat")) {
            all.insert(id, read(&stat).ok_or("an unreadable stat in /proc")?);
        }
    }
    Ok(all)
}

/// A process and all below it.
fn family(process: u32, all: &HashMap<u32, Process>) -> impl Iterator<Item = u32> {
    let mut members = vec![process];
    let mut at = 0;
    while let Some(&parent) = members.get(at) {
        members.extend(all.iter().filter(|(_, child)| child.parent == parent).map(|(id, _)| id));
        at += 1;
    }
    members.into_iter()
}

fn read(stat: &str) -> Option<Process> {
    // The command's name stands in brackets and may hold anything; the state, field 3, follows it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let field = |number: usize| fields.get(number - 3)?.trim().parse::<u32>().ok();
    Some(Process {
        parent: field(4)?,
        ticks: field(14)? + field(15)?,
        ticks_of_children: field(16)? + field(17)?,
    })
}
