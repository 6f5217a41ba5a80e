//! One answer as it stands on the wire.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread::sleep,
    time::Duration,
};

use super::Outcome;

/// Often enough that the last answer comes from the cache, packed if that was asked for, and says so.
const ASKED: usize = 4;
/// Packing happens off the request path.
const PAUSE: Duration = Duration::from_millis(20);

/// Head and body.
pub struct Sample {
    pub raw: Vec<u8>,
    body_at: usize,
}

impl Sample {
    /// Asks a few times and keeps the last answer.
    pub fn take(address: &str, path: &str, headers: &[&str]) -> Outcome<Self> {
        for _ in 1..ASKED {
            Self::ask(address, path, headers)?;
            sleep(PAUSE);
        }
        Self::ask(address, path, headers)
    }

    /// Asks once.
    pub fn ask(address: &str, path: &str, headers: &[&str]) -> Outcome<Self> {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{headers}\r\n");
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        Self::read(&mut stream)
    }

    /// Reads until the server closes.
    pub fn read(stream: &mut TcpStream) -> Outcome<Self> {
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let mut raw = Vec::new();
        stream.read_to_end(&mut raw)?;
        Self::of(raw)
    }

    /// Takes an answer apart.
    pub fn of(raw: Vec<u8>) -> Outcome<Self> {
        let end = raw
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .ok_or("an answer without end of head")?;
        Ok(Self { raw, body_at: end + 4 })
    }

    pub fn body(&self) -> &[u8] {
        &self.raw[self.body_at..]
    }

    pub fn head_bytes(&self) -> usize {
        self.body_at
    }

    /// The status.
    pub fn status(&self) -> Outcome<u16> {
        let line = self.head()?.lines().next().unwrap_or_default();
        Ok(line.split(' ').nth(1).ok_or("an answer without a status")?.parse()?)
    }

    /// Names, in lower case, and values.
    pub fn headers(&self) -> Outcome<Vec<(String, String)>> {
        let lines = self.head()?.lines().skip(1);
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_owned()))
        });
        Ok(headers.collect())
    }

    /// The value of a header, empty where there is none.
    pub fn header(&self, name: &str) -> Outcome<String> {
        let headers = self.headers()?.into_iter();
        let mut values = headers.filter(|(given, _)| given == name).map(|(_, value)| value);
        Ok(values.next().unwrap_or_default())
    }

    fn head(&self) -> Outcome<&str> {
        Ok(std::str::from_utf8(&self.raw[..self.body_at])?)
    }
}
