//! A file origin that is a pipe: a reading of it begins when the test knows of it, and goes on when the test writes.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::PathBuf,
    process::Command,
    sync::mpsc,
    time::Duration,
};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A named pipe. Each reading of the origin wants a [`Reading`].
pub struct Pipe {
    directory: TempDir,
}

/// One reading under way. It ends when this is dropped.
pub struct Reading(File);

impl Pipe {
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let pipe = Self { directory };
        assert!(Command::new("mkfifo").arg(pipe.path()).status().unwrap().success());
        pipe
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("items.ndjson")
    }

    /// Waits until somebody reads. In a thread, for opening the writing end blocks until then.
    pub async fn reading(&self) -> Reading {
        let (opened, opening) = mpsc::channel();
        let path = self.path();
        std::thread::spawn(move || {
            let file = OpenOptions::new().write(true).open(path);
            let _ = opened.send(file);
        });
        let opened = tokio::task::spawn_blocking(move || opening.recv_timeout(PATIENCE));
        Reading(opened.await.unwrap().expect("nobody reads").unwrap())
    }
}

impl Reading {
    /// Gives the reader some items, and no end yet.
    pub fn give(&mut self, items: &str) {
        self.0.write_all(items.as_bytes()).unwrap();
    }
}
