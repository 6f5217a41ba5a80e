//! `listcache demo` on a free port.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long a demo may take to end by itself; afterwards it is killed.
const END_WITHIN: Duration = Duration::from_secs(15);

/// A running demo, with a Redis of its own.
pub struct Demo {
    process: Child,
    pub url: String,
}

impl Demo {
    /// Starts it and waits until it listens.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts it with an environment.
    pub fn start_with(environment: &[(&str, &str)]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_listcache"))
            .args(["demo", "--listen", "127.0.0.1:0"])
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the demo ended before it listened").unwrap();
        let url = first
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("the first line is {first:?}"))
            .to_owned();
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, url }
    }

    /// The address of a place in the shop.
    pub fn page(&self, query: &str) -> String {
        format!("{}/?{query}", self.url)
    }
}

impl Drop for Demo {
    /// Asked to end, so that its Redis ends with it.
    fn drop(&mut self) {
        end(&mut self.process, END_WITHIN);
    }
}

/// Asks a process to end, waits so long, and kills it then.
pub fn end(process: &mut Child, within: Duration) {
    let _ = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        match process.try_wait() {
            Ok(None) => std::thread::park_timeout(Duration::from_millis(20)),
            _ => return,
        }
    }
    let _ = process.kill();
    let _ = process.wait();
}
