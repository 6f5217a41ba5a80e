//! One answer of the service as it stands on the wire: what the fixed body is made of.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use super::Outcome;

/// Often enough that the last answer comes from L1 and says so.
const ASKED: usize = 3;

/// Head and body.
pub struct Sample {
    pub raw: Vec<u8>,
    body_at: usize,
}

impl Sample {
    /// Asks a few times and keeps the last answer.
    pub fn take(address: &str, path: &str, known: Option<&str>) -> Outcome<Self> {
        let condition = known.map_or_else(String::new, |etag| format!("If-None-Match: {etag}\r\n"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{condition}\r\n");
        let mut raw = Vec::new();
        for _ in 0..ASKED {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(request.as_bytes())?;
            raw.clear();
            stream.read_to_end(&mut raw)?;
        }
        Self::of(raw)
    }

    /// Reads an answer.
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

    pub fn etag(&self) -> Outcome<&str> {
        let etag = self.head()?.lines().find_map(|line| line.strip_prefix("etag: "));
        Ok(etag.ok_or("an answer without an entity tag")?)
    }

    fn head(&self) -> Outcome<&str> {
        Ok(std::str::from_utf8(&self.raw[..self.body_at])?)
    }
}
