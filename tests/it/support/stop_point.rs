//! A point at which a proxy stops: one turn of those that work, before its request or before its reply.

/// The half of a turn that is not passed on any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server never sees the request.
    Request,
    /// The server has carried it out, and the client never hears of it.
    Reply,
}

/// Counts turns until the point is reached.
pub struct StopPoint {
    left: usize,
    side: Side,
    /// The connection whose reply is the point.
    awaited: Option<usize>,
}

impl StopPoint {
    /// The turn of this number, from 1.
    pub fn at(turn: usize, side: Side) -> Self {
        Self {
            left: turn,
            side,
            awaited: None,
        }
    }

    /// A request of a connection: whether it is the point.
    pub fn request(&mut self, connection: usize) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 || self.awaited.is_some() {
            return false;
        }
        self.awaited = Some(connection);
        self.side == Side::Request
    }

    /// A reply to a connection: whether it is the point.
    pub fn reply(&mut self, connection: usize) -> bool {
        self.side == Side::Reply && self.awaited == Some(connection)
    }
}

/// Whether a command does more than keep a connection alive.
pub fn works(command: &str) -> bool {
    ![
        "TIME",
        "PING",
        "HELLO",
        "CLIENT",
        "SELECT",
        "INFO",
        "SUBSCRIBE",
        "XREAD",
    ]
    .contains(&command)
}
