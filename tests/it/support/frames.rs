//! HTTP/2 frame by frame, for clients that no library would be.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::service::{Service, TOKEN};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The reason of a RST_STREAM or GOAWAY.
    pub fn reason(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The last stream that a GOAWAY names.
    pub fn last_stream(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![high, middle, low, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn literal(name: u8, value: &str) -> Vec<u8> {
    assert!(value.len() < 127);
    // Not indexed, with a name of the static table; no Huffman.
    [&[name, value.len() as u8], value.as_bytes()].concat()
}

/// The head of a GET, in HPACK without its dynamic table.
pub fn get_head(path: &str) -> Vec<u8> {
    // :method GET, :scheme http, then :path and :authority.
    [vec![0x82, 0x86], literal(0x04, path), literal(0x01, "localhost")].concat()
}

/// The same of a PUT with the token.
pub fn put_head(path: &str) -> Vec<u8> {
    let put = [
        literal(0x02, "PUT"),
        vec![0x86],
        literal(0x04, path),
        literal(0x01, "localhost"),
        // content-type and authorization stand at 31 and 23, past what four bits hold.
        vec![0x0f, 31 - 15],
        literal(0, "application/x-ndjson")[1..].to_vec(),
        vec![0x0f, 23 - 15],
        literal(0, &format!("Bearer {TOKEN}"))[1..].to_vec(),
    ];
    put.concat()
}

/// The frame of a whole GET.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &get_head(path))
}

/// A plain connection on which the test says every byte.
pub struct Raw(pub TcpStream);

impl Raw {
    /// After the preface, with settings: pairs of a number and its value.
    pub fn connect(service: &Service, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self(service.connect());
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        raw.send(&[PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat());
        raw
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next frame; `None` at the end of the connection. Settings and pings are acknowledged, if wanted.
    pub fn next(&mut self, acknowledging: bool) -> Option<Frame> {
        let mut head = [0; 9];
        match self.0.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("nothing came"),
            Err(_) => return None,
        }
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
            payload,
        };
        if acknowledging && matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0 {
            let payload = if frame.kind == PING { &frame.payload[..] } else { &[] };
            let _ = self.0.write_all(&self::frame(frame.kind, ACK, 0, payload));
        }
        Some(frame)
    }

    /// The first of these frames that comes; others before it are passed over.
    pub fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.next(true)?;
            if wanted(&frame) {
                return Some(frame);
            }
        }
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next(true)).collect()
    }

    /// How long a silence may be.
    pub fn patience(&self, patience: Duration) {
        self.0.set_read_timeout(Some(patience)).unwrap();
    }
}
