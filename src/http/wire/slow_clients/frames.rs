//! The frames of HTTP/2 among the bytes that a client sends.
//!
//! A head may come in several frames, HEADERS and then CONTINUATION, and nothing else may stand between them: a client that
//! leaves one open stops its own connection for as long as it likes. So every frame must be in soon after its first
//! byte, and a head's last soon after the first byte of its first. Only what DATA frames carry takes its time.

use std::time::Duration;

use tokio::time::Instant;

/// Length, type, flags and stream.
const HEADER_BYTES: usize = 9;
/// "PRI * HTTP/2.0", and what follows it up to the first frame.
const PREFACE_BYTES: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Tells whether a frame or a head is coming in. Pure: time is an argument.
#[derive(Debug)]
pub(super) struct FrameWatch {
    limit: Duration,
    header: [u8; HEADER_BYTES],
    /// How much of the header is here.
    header_bytes: usize,
    /// How much of what it announces is not; the preface is like a frame without a header.
    payload_left: usize,
    /// A head has begun and not ended.
    in_head: bool,
    until: Option<Instant>,
}

impl FrameWatch {
    /// A connection before its first byte.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            // No type that is known: that of the preface.
            header: [u8::MAX; HEADER_BYTES],
            header_bytes: HEADER_BYTES,
            payload_left: PREFACE_BYTES,
            in_head: false,
            until: None,
        }
    }

    /// Until when what is coming in must be there.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// Bytes of the client; not none.
    pub(super) fn read(&mut self, mut bytes: &[u8], now: impl FnOnce() -> Instant) {
        while !bytes.is_empty() {
            bytes = if self.header_bytes < HEADER_BYTES {
                self.read_header(bytes)
            } else {
                self.read_payload(bytes)
            };
            if self.header_bytes == HEADER_BYTES && self.payload_left == 0 {
                self.end_frame();
            }
        }
        if !self.is_waited_for() {
            self.until = None;
        } else if self.until.is_none() {
            self.until = Some(now() + self.limit);
        }
    }

    fn read_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(HEADER_BYTES - self.header_bytes));
        for (place, byte) in self.header.iter_mut().skip(self.header_bytes).zip(taken) {
            *place = *byte;
        }
        self.header_bytes += taken.len();
        if self.header_bytes == HEADER_BYTES {
            let [high, middle, low, ..] = self.header;
            self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        }
        rest
    }

    fn read_payload<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(self.payload_left));
        self.payload_left -= taken.len();
        rest
    }

    fn end_frame(&mut self) {
        let [.., kind, flags, _, _, _, _] = self.header;
        if kind == HEADERS || kind == CONTINUATION {
            self.in_head = flags & END_HEADERS == 0;
        }
        self.header_bytes = 0;
        if !self.in_head {
            self.until = None;
        }
    }

    fn is_waited_for(&self) -> bool {
        let in_header = (1..HEADER_BYTES).contains(&self.header_bytes);
        let [_, _, _, kind, ..] = self.header;
        let in_payload = self.header_bytes == HEADER_BYTES && kind != DATA;
        self.in_head || in_header || in_payload
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: u8 = 4;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let [.., high, middle, low] = payload.to_be_bytes();
        let mut frame = vec![high, middle, low, kind, flags, 0, 0, 0, 1];
        // As if every byte were a flag or a type.
        frame.resize(HEADER_BYTES + payload, 0xff);
        frame
    }

    /// Pieces that come a second apart after the preface; the answer is the time since when more is awaited.
    #[track_caller]
    fn check(reads: &[&[u8]], expect: Option<u32>) {
        let begun = Instant::now();
        let at = |step: u32| begun + Duration::from_secs(1) * step;
        let mut watch = FrameWatch::new(LIMIT);
        watch.read(PREFACE, || begun);
        for (number, read) in (0..).zip(reads) {
            watch.read(read, || at(number));
        }
        assert_eq!(watch.deadline(), expect.map(|step| at(step) + LIMIT));
    }

    #[test]
    fn a_head_is_waited_for_until_its_last_frame() {
        let head = frame(HEADERS, END_HEADERS, 20);
        let (open, more) = (frame(HEADERS, 0, 20), frame(CONTINUATION, 0, 3));
        let last = frame(CONTINUATION, END_HEADERS, 0);
        check(&[&head], None);
        check(&[&head[..1]], Some(0));
        check(&[&head[..9]], Some(0));
        check(&[&head[..28]], Some(0));
        check(&[&head[..28], &head[28..]], None);
        check(&[&open], Some(0));
        check(&[&open, &more, &more], Some(0));
        check(&[&open, &more, &last], None);
        check(&[&open, &last, &open], Some(2));
        check(&[&[&open[..], &last, &open].concat()], Some(0));
    }

    #[test]
    fn data_takes_its_time_but_not_its_header() {
        let data = frame(DATA, 1, 1000);
        check(&[&data[..8]], Some(0));
        check(&[&data[..9]], None);
        check(&[&data[..8], &data[8..500], &data[500..999]], None);
        check(&[&data, &data[..3]], Some(1));
    }

    #[test]
    fn every_other_frame_is_waited_for() {
        let settings = frame(SETTINGS, 0, 6);
        check(&[&settings], None);
        check(&[&settings, &settings[..14]], Some(1));
        check(&[&frame(SETTINGS, 1, 0)], None);
    }

    #[test]
    fn so_is_the_preface() {
        let mut watch = FrameWatch::new(LIMIT);
        assert_eq!(watch.deadline(), None);
        let begun = Instant::now();
        watch.read(&PREFACE[..23], || begun);
        assert_eq!(watch.deadline(), Some(begun + LIMIT));
        watch.read(&PREFACE[23..], || begun);
        assert_eq!(watch.deadline(), None);
    }

    proptest! {
        /// However the bytes are cut, the same is awaited: the frame that is open after the last of them.
        #[test]
        fn cuts_change_nothing(
            frames in prop::collection::vec((0_u8..10, any::<u8>(), 0_usize..40), 0..20),
            cuts in prop::collection::vec(1_usize..30, 0..40),
            left in any::<prop::sample::Index>(),
        ) {
            let mut bytes = PREFACE.to_vec();
            bytes.extend(frames.iter().flat_map(|(kind, flags, payload)| frame(*kind, *flags, *payload)));
            bytes.truncate(left.index(bytes.len()) + 1);
            let now = Instant::now();
            let mut whole = FrameWatch::new(LIMIT);
            whole.read(&bytes, || now);
            let mut pieces = FrameWatch::new(LIMIT);
            let mut rest = &bytes[..];
            for cut in cuts.into_iter().chain(std::iter::repeat(7)) {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.read(piece, || now);
                rest = after;
            }
            prop_assert_eq!(whole.deadline(), pieces.deadline());
        }
    }
}
