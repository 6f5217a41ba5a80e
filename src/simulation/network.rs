//! What is on its way: turns to Redis and back, messages of the channel, and what time brings by itself.

use std::cmp::Reverse;

use super::{node::Operation, truth::Place};
use crate::store::simulated::{Replies, Turn};

/// Which node.
pub(super) type Number = usize;

/// What happens.
pub(super) enum Event {
    /// A turn reaches Redis.
    Arrive {
        from: Sender,
        turn: Turn,
        /// Of the connection that it was sent on.
        connection: u64,
        /// Nobody waits for the answer.
        unanswered: bool,
    },
    /// An answer reaches a node; `None`: the connection broke, or it took too long.
    Answer { to: Sender, replies: Option<Replies> },
    /// A message reaches a node.
    Message {
        node: Number,
        life: u64,
        subscription: u64,
        payload: Vec<u8>,
    },
    /// Something that a node does by itself.
    Tick { node: Number, life: u64, tick: Tick },
    /// A node begins, after it was killed.
    Start { node: Number },
    /// The data of a shop changes.
    OriginChanges { place: Place },
    /// Something goes wrong.
    Fault,
    /// A look at what must always hold.
    Look,
}

/// One operation of one life of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    pub node: Number,
    pub life: u64,
    pub operation: u64,
}

/// What a node does by itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tick {
    /// Somebody asks for a page.
    Read,
    /// Somebody follows a link.
    Walk,
    /// Somebody pushes or deletes.
    Write,
    /// The schedule looks for what is due.
    Schedule,
    FarOff,
    /// Heads are compared with the logs.
    Compare,
    /// The subscription is tried again.
    Subscribe,
    /// Leases are extended.
    Heartbeat,
    /// A refresh goes on, by its number.
    Refresh(u64),
}

/// An event and its time.
pub(super) struct Scheduled {
    pub at: u64,
    /// Events of one time keep their order.
    pub number: u64,
    pub event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The earliest is the greatest, as the heap wants it.
        (Reverse(self.at), Reverse(self.number)).cmp(&(Reverse(other.at), Reverse(other.number)))
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Arrive { from, turn, .. } => write!(f, "{} of {} arrives: {turn:?}", from.operation, from.node),
            Self::Answer { to, replies } => {
                let answer = if replies.is_some() { "is answered" } else { "fails" };
                write!(f, "{} of {} {answer}", to.operation, to.node)
            }
            Self::Message { node, payload, .. } => {
                write!(f, "{node} hears {}", String::from_utf8_lossy(payload))
            }
            Self::Tick { node, tick, .. } => write!(f, "{node}: {tick:?}"),
            Self::Start { node } => write!(f, "{node} starts"),
            Self::OriginChanges { place } => write!(f, "the origin of {place} changes"),
            Self::Fault => write!(f, "a fault"),
            Self::Look => write!(f, "a look"),
        }
    }
}

/// Operations under way, by number.
pub(super) type Operations = std::collections::BTreeMap<u64, Operation>;
