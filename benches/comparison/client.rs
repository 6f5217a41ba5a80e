//! Clients of our own: one connection each, one request after the other. For loads that `wrk` cannot make.

use std::{io, process::Command};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::Outcome;

pub struct Client {
    stream: BufReader<TcpStream>,
}

pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let header = lines.find(|(given, _)| given.eq_ignore_ascii_case(name));
        header.map_or("", |(_, value)| value.trim())
    }
}

impl Client {
    pub async fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::with_capacity(32 * 1024, stream),
        })
    }

    /// Sends a request and reads its answer whole. Headers end in line feeds.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{headers}");
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let request = [request.as_bytes(), body].concat();
        self.stream.get_mut().write_all(&request).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        loop {
            let begin = head.len();
            if self.stream.read_line(&mut head).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if head[begin..].trim_end().is_empty() {
                break;
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut answer = Answer {
            status: status.ok_or_else(|| io::Error::other(format!("no status in {head:?}")))?,
            head,
            body: Vec::new(),
        };
        if answer.header("transfer-encoding") == "chunked" {
            loop {
                let mut line = String::new();
                self.stream.read_line(&mut line).await?;
                let size = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
                self.read(size, &mut answer.body).await?;
                self.stream.read_line(&mut line).await?;
                if size == 0 {
                    break;
                }
            }
        } else {
            let size = answer.header("content-length").parse().unwrap_or(0);
            self.read(size, &mut answer.body).await?;
        }
        Ok(answer)
    }

    async fn read(&mut self, size: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let begin = into.len();
        into.resize(begin + size, 0);
        self.stream.read_exact(&mut into[begin..]).await.map(drop)
    }
}

/// Clients run on the thread that started the servers, which end with it.
pub fn block_on<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// Lets this process, and what it starts, open as many files as it may.
pub fn allow_many_connections() -> Outcome<()> {
    let own = std::process::id().to_string();
    let hard = Command::new("prlimit")
        .args(["--pid", &own, "--nofile", "--output", "HARD", "--noheadings", "--raw"])
        .output()?;
    let hard = String::from_utf8_lossy(&hard.stdout).trim().to_owned();
    let done = Command::new("prlimit")
        .args(["--pid", &own, &format!("--nofile={hard}:{hard}")])
        .output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("prlimit: {}", String::from_utf8_lossy(&done.stderr)).into())
}
