//! A program that was started here, with a directory of its own. It ends with its handle.

use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{Outcome, used};

/// How long a program may take to listen, and to end by itself.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Process {
    child: Child,
    directory: TempDir,
}

impl Process {
    /// What it says goes into `log` in its directory.
    pub fn start(mut command: Command, directory: TempDir) -> Outcome<Self> {
        let log = File::create(directory.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Self { child, directory })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Processor time so far, of those that it started too.
    pub fn used(&self) -> Outcome<Duration> {
        used::processor_time(self.id())
    }

    pub fn resident_bytes(&self) -> Outcome<u64> {
        used::resident_bytes(self.id())
    }

    /// Waits until the program is so far.
    pub fn wait_until<T>(&mut self, so_far: impl Fn(&Self) -> Option<T>) -> Outcome<T> {
        let begun = Instant::now();
        loop {
            if let Some(found) = so_far(self) {
                return Ok(found);
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                return Err(format!("a server did not start; it said:\n{}", self.said()).into());
            }
            sleep(Duration::from_millis(5));
        }
    }

    pub fn wait_until_it_listens(&mut self, address: &str) -> Outcome<()> {
        self.wait_until(|_| TcpStream::connect(address).ok().map(drop))
    }

    /// Waits for it to end by itself after SIGTERM.
    pub fn terminate(&mut self) {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Those with processes below them end these first.
        self.terminate();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody listens on.
pub fn free_address() -> Outcome<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
