//! The machine: which cores servers and load run on, and what is told of it beside the figures.

use std::{fmt, fs, process::Command, thread};

use super::Outcome;

/// Two cores, where the machine has them: the first for the server under load, the second for the load.
pub struct Machine {
    model: String,
    count: usize,
    pinned: Option<(usize, usize)>,
    /// What others did on it in the minute before.
    load_before: String,
}

impl Machine {
    /// Keeps this process, and so everything that it starts, on two cores.
    pub fn take() -> Outcome<Self> {
        let pinned = allowed().filter(|_| runs("taskset"));
        if let Some((server, load)) = pinned {
            let (cores, own) = (format!("{server},{load}"), std::process::id().to_string());
            let done = Command::new("taskset")
                .args(["--all-tasks", "--pid", "--cpu-list", &cores, &own])
                .output()?;
            if !done.status.success() {
                return Err(format!("taskset: {}", String::from_utf8_lossy(&done.stderr)).into());
            }
        }
        Ok(Self {
            model: model(),
            count: thread::available_parallelism().map_or(1, usize::from),
            pinned,
            load_before: load_average(),
        })
    }

    /// A command that runs where servers do.
    pub fn for_server(&self, program: &str) -> Command {
        self.pinned_to(self.pinned.map(|pinned| pinned.0), program)
    }

    /// A command that runs where the load does.
    pub fn for_load(&self, program: &str) -> Command {
        self.pinned_to(self.pinned.map(|pinned| pinned.1), program)
    }

    /// A command that runs on both.
    pub fn anywhere(&self, program: &str) -> Command {
        self.pinned_to(None, program)
    }

    /// The program ends with this one, whichever way this one ends.
    fn pinned_to(&self, core: Option<usize>, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]);
        if let Some(core) = core {
            command.args(["taskset", "--cpu-list", &core.to_string()]);
        }
        command.arg(program);
        command
    }
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Of the last minute.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split_once(':'));
    model.map_or("unknown processor", |(_, model)| model.trim()).to_owned()
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

/// What a program says of its version: the first word of it with a digit and a point.
fn version(program: &str, argument: &str) -> String {
    let said = Command::new(program).arg(argument).output();
    let said = said.map(|output| [output.stdout, output.stderr].concat());
    let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
    let mut words = said.split([' ', '/', '=', '-', '\n', '(', ')']);
    let is_version = |word: &&str| word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit());
    words.find(is_version).unwrap_or("unknown").to_owned()
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        write!(
            f,
            "{}, {} of its cores, Linux {}; nginx {}, Varnish {}, Redis {}, wrk {}; ",
            self.model,
            self.count,
            kernel.trim(),
            version("/usr/sbin/nginx", "-v"),
            version("/usr/sbin/varnishd", "-V"),
            version("redis-server", "--version"),
            version("wrk", "--version"),
        )?;
        write!(f, "load average before {}; ", self.load_before)?;
        match self.pinned {
            Some((server, load)) => write!(f, "servers on core {server}, load on core {load}, or all on both"),
            None => f.write_str("nothing is pinned"),
        }
    }
}
