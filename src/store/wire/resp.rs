//! Replies as the bytes they came in: where each ends, and what lies in it, without a copy.
//!
//! The [protocol](https://redis.io/docs/latest/develop/reference/protocol-spec/), as far as a page needs it. Small replies are
//! taken apart by the crate's parser; a page's would cost it two allocations an item.

use bytes::{Bytes, BytesMut};

/// The longest line: longer values are in runs of bytes that tell their length.
const LINE_MAX: usize = 64 * 1024;
/// The longest run of bytes that Redis sends, unless it is told otherwise (`proto-max-bulk-len`).
const RUN_MAX: u64 = 512 * 1024 * 1024;
/// The most room that is made at once for bytes still to come.
const ROOM_MAX: usize = 256 * 1024;

/// The reply that only says that a command was done.
pub(crate) const OK: &str = "+OK\r\n";

/// The bytes that were read are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redis sent bytes that are no reply")]
pub(crate) struct Malformed;

/// Why no more replies can be read from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The bytes that were read are no reply.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A reply is larger than `redis.reply_max`.
    #[error("redis sends a reply of more than redis.reply_max")]
    TooLarge,
}

/// One step into a reply: a value, or the beginning of one that others follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    kind: u8,
    /// Bytes of the line, its ends counted.
    line_bytes: usize,
    /// Bytes behind the line that belong to the value, its end counted.
    run_bytes: usize,
    /// Values that belong to this one.
    values: u64,
}

/// The step that begins here; `None` where its line is not whole yet. A page has some hundred of them.
fn step(read: &[u8]) -> Result<Option<Step>, Malformed> {
    let Some((&kind, rest)) = read.split_first() else {
        return Ok(None);
    };
    let is_counted = matches!(kind, b'$' | b'*' | b'!' | b'=' | b'~' | b'>' | b'%' | b'|');
    let line = match is_counted {
        true => count(rest)?,
        false => text(kind, rest)?.map(|end| (None, end)),
    };
    let Some((count, end)) = line else {
        return Ok(None);
    };
    let many = count.unwrap_or(0);
    let (mut run_bytes, mut values) = (0, 0);
    match kind {
        b'$' | b'!' | b'=' => {
            if let Some(bytes) = count {
                if bytes > RUN_MAX {
                    return Err(Malformed);
                }
                run_bytes = bytes as usize + 2;
            }
        }
        b'*' | b'~' | b'>' => values = many,
        b'%' => values = many.checked_mul(2).ok_or(Malformed)?,
        // Stands before a value and is none itself.
        b'|' => {
            let pairs = many.checked_mul(2);
            values = pairs.and_then(|values| values.checked_add(1)).ok_or(Malformed)?;
        }
        _ => {}
    }
    Ok(Some(Step {
        kind,
        line_bytes: 1 + end + 2,
        run_bytes,
        values,
    }))
}

/// A line that is a number of bytes or of values, `None` for -1, which says that there is nothing; and where it ends.
fn count(line: &[u8]) -> Result<Option<(Option<u64>, usize)>, Malformed> {
    let mut number = 0;
    for (at, byte) in line.iter().enumerate() {
        match byte {
            // 19 digits fit.
            b'0'..=b'9' if at < 19 => number = 10 * number + u64::from(byte - b'0'),
            b'\r' if at > 0 => return ended(line, at).map(|end| end.map(|end| (Some(number), end))),
            b'-' if at == 0 => return nothing(line),
            _ => return Err(Malformed),
        }
    }
    Ok(None)
}

fn nothing(line: &[u8]) -> Result<Option<(Option<u64>, usize)>, Malformed> {
    match line {
        [b'-', b'1', ..] => ended(line, 2).map(|end| end.map(|end| (None, end))),
        [b'-'] => Ok(None),
        _ => Err(Malformed),
    }
}

/// A line of any text, and where it ends.
fn text(kind: u8, line: &[u8]) -> Result<Option<usize>, Malformed> {
    if !matches!(kind, b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(') {
        return Err(Malformed);
    }
    match line.iter().take(LINE_MAX).position(|byte| *byte == b'\r') {
        Some(end) => ended(line, end),
        None if line.len() < LINE_MAX => Ok(None),
        None => Err(Malformed),
    }
}

/// Whether a line ends there; `None` where that has not come yet.
fn ended(line: &[u8], at: usize) -> Result<Option<usize>, Malformed> {
    match line.get(at..) {
        None | Some([] | [b'\r']) => Ok(None),
        Some([b'\r', b'\n', ..]) => Ok(Some(at)),
        Some(_) => Err(Malformed),
    }
}

/// Where replies end in what is read piece by piece. Nothing is looked at twice, but for a line that came in two pieces.
#[derive(Debug)]
pub(crate) struct Framing {
    /// Bytes of a reply, at most: it is read whole before anybody gets it.
    reply_max: usize,
    /// The part of the reply under way that was looked at.
    at: usize,
    /// Values that it still lacks; 0 before its first.
    lacking: u64,
}

impl Framing {
    /// Replies have at most so many bytes.
    pub(crate) fn new(reply_max: usize) -> Self {
        Self {
            reply_max,
            at: 0,
            lacking: 0,
        }
    }

    /// The next reply, cut off what was read; `None` where it is not whole yet.
    pub(crate) fn next(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, Unreadable> {
        if self.at == 0 {
            self.lacking = 1;
        }
        while self.lacking > 0 {
            let Some(step) = step(&read[self.at..])? else {
                return Ok(None);
            };
            let end = self.at + step.line_bytes + step.run_bytes;
            // Told by its length, before it has come.
            if end > self.reply_max {
                return Err(Unreadable::TooLarge);
            }
            if end > read.len() {
                let missing = end - read.len();
                read.reserve(missing.min(ROOM_MAX));
                return Ok(None);
            }
            self.lacking = (self.lacking - 1).checked_add(step.values).ok_or(Malformed)?;
            self.at = end;
        }
        let whole = read.split_to(std::mem::take(&mut self.at));
        Ok(Some(whole.freeze()))
    }
}

/// Whether a reply came unasked.
pub(crate) fn is_push(reply: &[u8]) -> bool {
    reply.first() == Some(&b'>')
}

/// Whether a reply is an error of the server.
pub(crate) fn is_error(reply: &[u8]) -> bool {
    matches!(reply.first(), Some(b'-' | b'!'))
}

/// The values of a reply, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    /// From a reply's first on.
    pub(crate) fn of(reply: &'a [u8]) -> Self {
        Self(reply)
    }

    /// The offset of the same reply's values from a later one on.
    pub(crate) fn before(self, later: Self) -> &'a [u8] {
        let bytes = self.0.len().saturating_sub(later.0.len());
        self.0.get(..bytes).unwrap_or_default()
    }

    /// An array, of which each value follows. There are never more of them than bytes.
    pub(crate) fn array(&mut self) -> Option<usize> {
        let (array, _) = self.next(|kind| kind == b'*')?;
        usize::try_from(array.values)
            .ok()
            .filter(|values| *values <= self.0.len())
    }

    /// A run of bytes.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        self.bytes_or_nothing()?
    }

    /// A run of bytes, or the value that says that there is nothing.
    pub(crate) fn bytes_or_nothing(&mut self) -> Option<Option<&'a [u8]>> {
        let (step, value) = self.next(|kind| matches!(kind, b'$' | b'+' | b'_'))?;
        let begin = if step.kind == b'+' { 1 } else { step.line_bytes };
        // Without its end; where there is nothing, there is none either.
        Some(
            value
                .get(begin..value.len().checked_sub(2)?)
                .filter(|_| step.kind != b'_'),
        )
    }

    fn next(&mut self, is_wanted: impl Fn(u8) -> bool) -> Option<(Step, &'a [u8])> {
        let step = step(self.0).ok()?.filter(|step| is_wanted(step.kind))?;
        let (value, rest) = self.0.split_at_checked(step.line_bytes + step.run_bytes)?;
        self.0 = rest;
        Some((step, value))
    }
}

/// A reply as a server writes it.
#[cfg(test)]
pub(crate) fn written(value: &redis::Value) -> Vec<u8> {
    use redis::Value;
    let many = |mark: char, values: &[Value]| {
        let head = format!("{mark}{}\r\n", values.len()).into_bytes();
        values.iter().map(written).fold(head, |all, each| [all, each].concat())
    };
    match value {
        Value::Nil => b"_\r\n".to_vec(),
        Value::Okay => b"+OK\r\n".to_vec(),
        Value::Int(number) => format!(":{number}\r\n").into_bytes(),
        Value::SimpleString(text) => format!("+{text}\r\n").into_bytes(),
        Value::BulkString(bytes) => [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat(),
        Value::Array(values) => many('*', values),
        Value::ServerError(error) => {
            format!("-{} {}\r\n", error.code(), error.details().unwrap_or_default()).into_bytes()
        }
        other => panic!("{other:?} is not written here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLIES: [&[u8]; 12] = [
        b"+OK\r\n",
        b"-WRONGTYPE Operation against a key\r\n",
        b":-7\r\n",
        b"_\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"$6\r\na\r\nb\r\n\r\n",
        b"*0\r\n",
        b"*2\r\n*2\r\n$3\r\n0-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*-1\r\n",
        b"%1\r\n+a\r\n*1\r\n,1.5\r\n",
        b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
        b">2\r\n+invalidate\r\n_\r\n",
    ];

    /// Replies that come in pieces of a length.
    fn framed(all: &[u8], piece: usize) -> Result<Vec<Bytes>, Unreadable> {
        let (mut framing, mut read, mut found) = (Framing::new(64), BytesMut::new(), Vec::new());
        for piece in all.chunks(piece) {
            read.extend_from_slice(piece);
            while let Some(reply) = framing.next(&mut read)? {
                found.push(reply);
            }
        }
        assert!(read.is_empty(), "left over");
        Ok(found)
    }

    #[test]
    fn replies_are_cut_where_they_end_however_they_come() {
        let all = REPLIES.concat();
        for piece in 1..=all.len() {
            assert_eq!(framed(&all, piece).unwrap(), REPLIES, "in pieces of {piece}");
        }
        let pushes = REPLIES.iter().filter(|reply| is_push(reply)).count();
        let errors = REPLIES.iter().filter(|reply| is_error(reply)).count();
        assert_eq!((pushes, errors), (1, 1));
    }

    #[test]
    fn the_crate_understands_each_that_is_cut() {
        for reply in REPLIES {
            redis::parse_redis_value(reply).unwrap();
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bad in [
            &b"x\r\n"[..],
            b"$x\r\n",
            b"$-2\r\n",
            b"$\r\n",
            b"$99999999999999999999\r\n",
            b"$999999999999\r\n",
            b"+a\rb\r\n",
            b"%9999999999999999999\r\n",
            b"*2\r\n*9999999999999999999\r\n*9999999999999999999\r\n",
        ] {
            let mut read = BytesMut::from(bad);
            assert_eq!(
                Framing::new(usize::MAX).next(&mut read),
                Err(Malformed.into()),
                "{}",
                bad.escape_ascii()
            );
        }
        let endless = [&b"+"[..], &[b'a'; LINE_MAX]].concat();
        assert_eq!(
            Framing::new(usize::MAX).next(&mut endless.as_slice().into()),
            Err(Malformed.into())
        );
    }

    #[test]
    fn a_reply_that_is_too_large_is_refused_before_it_has_come() {
        for (large, max) in [
            (&b"$1000000\r\n"[..], 1000),
            (b"*3\r\n$4\r\naaaa\r\n$400\r\n", 400),
            (b"*2\r\n*2\r\n+aaaa\r\n+aaaa\r\n+aaaa\r\n", 20),
        ] {
            let mut read = BytesMut::from(large);
            assert_eq!(Framing::new(max).next(&mut read), Err(Unreadable::TooLarge));
        }
        let exact = b"$4\r\naaaa\r\n";
        let next = |max| Framing::new(max).next(&mut BytesMut::from(&exact[..]));
        assert_eq!(next(exact.len()).unwrap().unwrap(), exact[..]);
        assert_eq!(next(exact.len() - 1), Err(Unreadable::TooLarge));
    }

    #[test]
    fn values_are_read_in_their_order() {
        let mut values = Values::of(REPLIES[8]);
        assert_eq!((values.array(), values.array()), (Some(2), Some(2)));
        assert_eq!((values.bytes(), values.bytes()), (Some(&b"0-1"[..]), None));
        assert_eq!(values.array(), Some(2));
        assert_eq!((values.bytes(), values.bytes()), (Some(&b"a"[..]), Some(&b"1"[..])));
        // Nothing is an array without values; an ended one has none.
        assert_eq!((values.array(), values.array(), values.bytes()), (Some(0), None, None));
        assert_eq!(Values::of(b"$-1\r\n").bytes(), None);
        assert_eq!(Values::of(b"$3\r\nab").bytes(), None);
        assert_eq!(Values::of(b"*1000000\r\n").array(), None);
    }
}
