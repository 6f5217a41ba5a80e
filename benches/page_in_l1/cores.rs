//! Which cores the servers and the load run on.

use std::{fmt, fs, process::Command, thread};

/// One core for the server under load and one for the load, where the machine has two and `taskset` is there.
pub struct Cores {
    count: usize,
    model: String,
    pinned: Option<(usize, usize)>,
}

impl Cores {
    pub fn of_the_machine() -> Self {
        let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let has_taskset = Command::new("taskset").arg("--version").output().is_ok();
        Self {
            count: thread::available_parallelism().map_or(1, usize::from),
            model: model.unwrap_or_else(|| "unknown processor".to_owned()),
            pinned: allowed().filter(|_| has_taskset),
        }
    }

    /// A command that runs where servers do.
    pub fn for_server(&self, program: &str) -> Command {
        self.pinned_to(self.pinned.map(|pinned| pinned.0), program)
    }

    /// A command that runs where the load does.
    pub fn for_load(&self, program: &str) -> Command {
        self.pinned_to(self.pinned.map(|pinned| pinned.1), program)
    }

    fn pinned_to(&self, core: Option<usize>, program: &str) -> Command {
        let Some(core) = core else {
            return Command::new(program);
        };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &core.to_string(), program]);
        command
    }
}

/// The first two cores that this process may use.
fn allowed() -> Option<(usize, usize)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = list.trim().split(',').flat_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => first..last + 1,
            _ => 0..0,
        }
    });
    Some((cores.next()?, cores.next()?))
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores, {}; ", self.count, self.model)?;
        match self.pinned {
            Some((server, load)) => write!(f, "servers on core {server}, load on core {load}"),
            None => f.write_str("nothing is pinned"),
        }
    }
}
