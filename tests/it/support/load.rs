//! Load on a service: requests at a pace, on connections of their own, each answer timed.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::{sleep_until, timeout},
};

/// One answer, or what came instead.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: Instant,
    pub took: Duration,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answer {
        status: u16,
        retry_after: Option<u64>,
        /// Whether L1 alone answered, and Redis's being away was said.
        l1: bool,
        redis_down: bool,
        body_bytes: usize,
    },
    /// Reset, cut short, or nothing for long.
    Broken(String),
}

impl Sample {
    pub fn status(&self) -> u16 {
        match &self.outcome {
            Outcome::Answer { status, .. } => *status,
            Outcome::Broken(_) => 0,
        }
    }

    pub fn retry_after(&self) -> Option<u64> {
        match &self.outcome {
            Outcome::Answer { retry_after, .. } => *retry_after,
            Outcome::Broken(_) => None,
        }
    }
}

/// Requests a second in all, evenly spread over connections.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub rate: u32,
    pub connections: u32,
}

/// Asks at a pace for so long; `path` gives the path of each request by its number. A connection that is still waiting when its next
/// request is due sends it as soon as it can, and its time counts from when it was due.
pub async fn offer(
    address: &str,
    pace: Pace,
    during: Duration,
    path: impl Fn(u64) -> String + Send + Sync + 'static,
) -> Vec<Sample> {
    let path = Arc::new(path);
    let between = Duration::from_secs(1) * pace.connections / pace.rate;
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..pace.connections {
        let (address, path) = (address.to_owned(), path.clone());
        let first = begun + between * client / pace.connections;
        clients.spawn(async move {
            let mut samples = Vec::new();
            let mut connection: Option<Connection> = None;
            let mut number = u64::from(client);
            let mut due = first;
            while due < begun + during {
                let late = Instant::now() > due;
                sleep_until(due.into()).await;
                let from = if late { due } else { Instant::now() };
                let outcome = match exchange(&mut connection, &address, &path(number)).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        connection = None;
                        Outcome::Broken(error.to_string())
                    }
                };
                samples.push(Sample {
                    at: from,
                    took: from.elapsed(),
                    outcome,
                });
                number += u64::from(pace.connections);
                due += between;
            }
            samples
        });
    }
    let mut samples = Vec::new();
    while let Some(client) = clients.join_next().await {
        samples.extend(client.unwrap());
    }
    samples
}

/// A connection to a service.
pub type Connection = BufReader<TcpStream>;

/// Opens one.
pub async fn connect(address: &str) -> io::Result<Connection> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

async fn exchange(connection: &mut Option<Connection>, address: &str, path: &str) -> io::Result<Outcome> {
    let stream = match connection {
        Some(stream) => stream,
        None => connection.insert(connect(address).await?),
    };
    timeout(Duration::from_secs(20), ask(stream, path)).await?
}

/// Asks for a page, and reads all of it; the connection stays open.
pub async fn ask(stream: &mut Connection, path: &str) -> io::Result<Outcome> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).await?;
    let mut line = String::new();
    let (mut status, mut retry_after, mut length) = (0, None, 0);
    let (mut l1, mut redis_down) = (false, false);
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end();
        if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        } else if let Some((name, value)) = text.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "retry-after" => retry_after = value.parse().ok(),
                "cache-status" => {
                    l1 = value.starts_with("listcache-l1; hit");
                    redis_down = value.contains("detail=redis-down");
                }
                _ => {}
            }
        } else {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    if status == 200 && !body.ends_with(b"]}") {
        return Err(io::Error::other("a page that does not end"));
    }
    Ok(Outcome::Answer {
        status,
        retry_after,
        l1,
        redis_down,
        body_bytes: length,
    })
}

/// The time within which this part of the samples was answered.
#[track_caller]
pub fn quantile<'a>(samples: impl IntoIterator<Item = &'a Sample>, part: f64) -> Duration {
    let mut times: Vec<Duration> = samples.into_iter().map(|sample| sample.took).collect();
    assert!(!times.is_empty(), "no samples");
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part).round() as usize]
}
