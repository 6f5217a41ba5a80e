//! The service itself, the program that is released, on a Redis of its caller's.

use std::{fs, io::Write, net::TcpStream, path::Path, process::Command};

use tempfile::TempDir;

use super::{
    Server,
    redis::{Redis, Way},
};
use crate::{Outcome, process::Process, sample::Sample};

const TOKEN: &str = "a-token-for-benches";
/// How much of a push is sent at once.
const PIECE_BYTES: usize = 256 * 1024;

pub struct Listcache {
    pub server: Server,
}

impl Listcache {
    /// Where it runs, and lines of configuration besides; by itself it takes pushes of any name.
    pub fn start(command: impl FnOnce(&str) -> Command, redis: &Redis, config: &str) -> Outcome<Self> {
        Self::start_by(Way::Loopback, command, redis, config)
    }

    /// The same, by another way to Redis.
    pub fn start_by(way: Way, command: impl FnOnce(&str) -> Command, redis: &Redis, config: &str) -> Outcome<Self> {
        let directory = TempDir::new()?;
        let file = directory.path().join("listcache.toml");
        fs::write(
            &file,
            format!(
                "{config}\n[redis]\nurl = \"{}\"\n[pushed]\nnames = [\"*\"]\n",
                redis.url(way)
            ),
        )?;
        let mut command = command(env!("CARGO_BIN_EXE_listcache"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file);
        command.env("LISTCACHE_TOKEN", TOKEN).current_dir(directory.path());
        let mut process = Process::start(command, directory)?;
        let address = process.wait_until(|process| {
            let said = process.said();
            let line = said
                .lines()
                .find_map(|line| line.strip_prefix("listening on http://"))?;
            Some(line.to_owned())
        })?;
        Ok(Self {
            server: Server { address, process },
        })
    }

    pub fn address(&self) -> &str {
        &self.server.address
    }

    /// The header that lets writes through.
    pub fn authorization() -> String {
        format!("Authorization: Bearer {TOKEN}")
    }

    /// Replaces a listing by lines, sent as they come.
    pub fn push(&self, name: &str, lines: impl Iterator<Item = String>) -> Outcome<()> {
        let mut stream = TcpStream::connect(self.address())?;
        write!(
            stream,
            "PUT /v1/listings/{name} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{}\r\n\
             Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
            Self::authorization()
        )?;
        let mut piece = String::with_capacity(2 * PIECE_BYTES);
        let mut send = |piece: &str| write!(stream, "{:x}\r\n{piece}\r\n", piece.len());
        for line in lines {
            piece.push_str(&line);
            if piece.len() >= PIECE_BYTES {
                send(&piece)?;
                piece.clear();
            }
        }
        if !piece.is_empty() {
            send(&piece)?;
        }
        send("")?;
        let answer = Sample::read(&mut stream)?;
        match answer.status()? {
            200 | 201 => Ok(()),
            status => Err(format!("PUT {name}: {status} {}", String::from_utf8_lossy(answer.body())).into()),
        }
    }

    /// The stream that holds a listing.
    pub fn stream_key(&self, name: &str) -> Outcome<String> {
        let path = format!("/v1/listings/{name}/explain");
        let answer = Sample::ask(self.address(), &path, &[&Self::authorization()])?;
        let explained: serde_json::Value = serde_json::from_slice(answer.body())?;
        let key = explained["stream_key"].as_str();
        Ok(key
            .ok_or_else(|| format!("{name} has no stream: {explained}"))?
            .to_owned())
    }

    /// The sum of a metric's series whose lines begin so.
    pub fn metric(&self, beginning: &str) -> Outcome<f64> {
        let answer = Sample::ask(self.address(), "/metrics", &[])?;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        let lines = text.lines().filter(|line| line.starts_with(beginning));
        Ok(lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// Where it stands.
    pub fn directory(&self) -> &Path {
        self.server.process.directory()
    }
}
