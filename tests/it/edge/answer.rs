//! An answer that came through the edge.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

pub(super) struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What the edge says of itself, in the last member.
    pub(super) fn at_the_edge(&self) -> &str {
        let last = self.headers.get_all("cache-status").iter().next_back();
        last.unwrap().to_str().unwrap().rsplit(", ").next().unwrap()
    }

    pub(super) fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        match self.header("content-encoding") {
            "gzip" => GzDecoder::new(&self.body[..]).read_to_end(&mut plain).unwrap(),
            _ => return self.body.clone(),
        };
        plain
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.plain()).unwrap_or_default()
    }
}
