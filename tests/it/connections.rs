//! Connections: each of their states has a deadline (`src/http/wire/connection.rs` has the table), their number has a bound, and none of them
//! takes a core.

mod followers;
mod limits;
mod states;

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::support::{RedisServer, service::Service};

const PROMO: &str = "/v1/listings/promo:a";
const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";

/// A service that only takes pushes. `http` goes first.
fn service(redis: &RedisServer, http: &str) -> Service {
    let url = redis.url();
    Service::start(&format!(
        "[http]\n{http}\n[redis]\nurl = \"{url}\"\nread_timeout = \"5s\"\n[pushed]\nnames = [\"promo:*\"]\n"
    ))
}

/// Sends a request on a new connection, and leaves it open.
fn send(service: &Service, request: &str) -> TcpStream {
    let mut stream = service.connect();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// What comes until the service closes, and how long that takes. A connection that stays open fails.
#[track_caller]
fn until_closed(stream: &mut TcpStream) -> (String, Duration) {
    let begun = Instant::now();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            panic!(
                "still open after {:?}: {:?}",
                begun.elapsed(),
                String::from_utf8_lossy(&answer)
            )
        }
        _ => (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed()),
    }
}

/// The next answer on a connection that stays open: one with a length.
fn next_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {answer:?}");
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head
        .to_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}
