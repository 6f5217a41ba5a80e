//! The heads of HTTP/1.1 among the bytes of a connection: from the first byte after an answer on, until the empty line.

use std::time::Duration;

use tokio::time::Instant;

/// A request without a name that is too long. Longer ones are looked at byte by byte.
const SHORT_BYTES: usize = 16 * 1024;

/// Tells from the bytes of a connection whether a head is coming in. Pure: time is an argument.
#[derive(Debug)]
pub(super) struct HeadWatch {
    limit: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing of the next request has come.
    Idle,
    /// Some of it has.
    Head { until: Instant, scan: Scan },
    /// A head is in, and its answer is not begun. Further bytes are a body; or, where the request has none, the
    /// beginning of the request after it.
    Request { bodyless: bool, followed: bool },
}

/// How far a head has come.
#[derive(Debug, Default)]
struct Scan {
    /// The first byte that is no line end, of the method's name.
    first: Option<u8>,
    /// Whether the last byte, carriage returns aside, ended a line.
    line_ended: bool,
}

impl HeadWatch {
    /// A connection just accepted.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            state: State::Idle,
        }
    }

    /// Until when the head that is coming in must be there.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Head { until, .. } => Some(until),
            State::Idle | State::Request { .. } => None,
        }
    }

    /// Takes in a request that comes in one short piece, as most do: that needs neither a clock nor a look at each byte.
    pub(super) fn reads_whole(&mut self, bytes: &[u8]) -> bool {
        if let (State::Idle, Some(first @ b'A'..=b'Z')) = (&self.state, bytes.first())
            && bytes.len() <= SHORT_BYTES
            && bytes.ends_with(b"\r\n\r\n")
        {
            self.state = State::Request {
                bodyless: is_bodyless(*first),
                followed: false,
            };
            return true;
        }
        false
    }

    /// Bytes of the client; not none.
    pub(super) fn read(&mut self, bytes: &[u8], now: impl FnOnce() -> Instant) {
        if let State::Idle = self.state {
            self.begin_head(now());
        }
        match &mut self.state {
            State::Head { scan, .. } => {
                if let Some(length) = scan.end_in(bytes) {
                    self.state = State::Request {
                        bodyless: scan.first.is_some_and(is_bodyless),
                        followed: length < bytes.len(),
                    };
                }
            }
            State::Request { followed, .. } => *followed = true,
            State::Idle => {}
        }
    }

    /// Bytes of an answer.
    pub(super) fn wrote(&mut self, bytes: &[u8], now: impl FnOnce() -> Instant) {
        match &self.state {
            // "Go on", before a body: no answer yet.
            State::Request { .. } if bytes.starts_with(b"HTTP/1.1 100") => {}
            // The next head is coming already, or all of it is here and nobody has looked at it yet.
            State::Request {
                bodyless: true,
                followed: true,
            }
            | State::Head { .. } => self.begin_head(now()),
            State::Request { .. } => self.state = State::Idle,
            State::Idle => {}
        }
    }

    fn begin_head(&mut self, now: Instant) {
        self.state = State::Head {
            until: now + self.limit,
            scan: Scan::default(),
        };
    }
}

/// By the first letter of its method, whether a request has no body: one follows where something is changed.
fn is_bodyless(first: u8) -> bool {
    matches!(first, b'G' | b'H' | b'O' | b'D')
}

impl Scan {
    /// How many of these bytes belong to the head, where it ends among them: with the first empty line after a line that is
    /// none. Empty lines before a request are no part of it.
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\r' => {}
                b'\n' if self.line_ended => return Some(at + 1),
                b'\n' => self.line_ended = self.first.is_some(),
                other => {
                    self.first.get_or_insert(*other);
                    self.line_ended = false;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    /// The events on a connection, a second apart.
    enum Step {
        Read(&'static str),
        Wrote(&'static str),
    }
    use Step::{Read, Wrote};

    /// Whether a head is waited for after these steps, and since which step.
    #[track_caller]
    fn check(steps: &[Step], expect: Option<u32>) {
        let begun = Instant::now();
        let at = |step: u32| begun + Duration::from_secs(1) * step;
        let mut watch = HeadWatch::new(LIMIT);
        for (number, step) in (0..).zip(steps) {
            match step {
                Read(bytes) if watch.reads_whole(bytes.as_bytes()) => {}
                Read(bytes) => watch.read(bytes.as_bytes(), || at(number)),
                Wrote(bytes) => watch.wrote(bytes.as_bytes(), || at(number)),
            }
        }
        assert_eq!(watch.deadline(), expect.map(|step| at(step) + LIMIT));
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const PUT: &str = "PUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\n";
    const OK: &str = "HTTP/1.1 200 OK\r\n\r\n";

    #[test]
    fn a_head_is_waited_for_from_its_first_byte_to_its_empty_line() {
        check(&[], None);
        check(&[Read("G"), Read("ET / HTTP/1.1\r\n")], Some(0));
        check(&[Read(GET)], None);
        check(&[Read("GET / HTTP/1.1\r\nHost: x\r\n\r"), Read("\n")], None);
        check(&[Read("GET / HTTP/1.1\nHost: x\n\n")], None);
        check(&[Read("GET / HTTP/1.1\r\n\rHost: x\r\n")], Some(0));
    }

    #[test]
    fn the_second_head_is_waited_for_like_the_first() {
        check(&[Read(GET), Wrote(OK)], None);
        check(&[Read(GET), Wrote(OK), Read("GET / HT"), Read("TP/1.1\r\n")], Some(2));
        check(&[Read(GET), Wrote(OK), Read("GET / HT"), Read("TP/1.1\r\n\r\n")], None);
    }

    #[test]
    fn empty_lines_before_a_request_are_no_head() {
        check(&[Read("\r\n\r\n")], Some(0));
        check(&[Read("\r\n\r\n"), Read(GET)], None);
    }

    #[test]
    fn a_request_that_came_with_the_one_before_is_waited_for_from_the_answer_on() {
        check(&[Read("GET / HTTP/1.1\r\n\r\nGET /"), Wrote(OK)], Some(1));
        check(&[Read(GET), Read("GET /"), Wrote(OK)], Some(2));
        check(
            &[
                Read("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
                Wrote(OK),
                Wrote(OK),
            ],
            None,
        );
    }

    #[test]
    fn a_body_takes_its_time() {
        check(&[Read(PUT), Read("a"), Read("b")], None);
        check(&[Read(PUT), Read("ab"), Wrote(OK)], None);
        check(&[Read(PUT), Wrote("HTTP/1.1 100 Continue\r\n\r\n"), Read("a")], None);
        check(&[Read(GET), Wrote(OK), Wrote("more"), Wrote("and more")], None);
    }
}
