//! The flags that a connection's bytes and its server set for each other.

use std::{cell::Cell, io, rc::Rc, task::Poll};

/// One per connection. Its clones share the flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals(Rc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    has_backlog: Cell<bool>,
    has_moved: Cell<bool>,
    is_last_request: Cell<bool>,
    is_draining: Cell<bool>,
    is_follower: Cell<bool>,
}

impl Signals {
    /// Whether a write waits until the client takes it.
    pub(crate) fn has_backlog(&self) -> bool {
        self.0.has_backlog.get()
    }

    /// Whether bytes were asked for, or taken by the client, since the last call.
    pub(crate) fn take_has_moved(&self) -> bool {
        self.0.has_moved.take()
    }

    /// The connection ends with the answer under way. Later requests on it are not served.
    pub(crate) fn end_after_answer(&self) {
        self.0.is_last_request.set(true);
    }

    /// Whether it does.
    pub(crate) fn ends_after_answer(&self) -> bool {
        self.0.is_last_request.get()
    }

    /// The server of the connection starts nothing more.
    pub(crate) fn drain(&self) {
        self.0.is_draining.set(true);
    }

    /// Whether it does so.
    pub(crate) fn is_draining(&self) -> bool {
        self.0.is_draining.get()
    }

    /// The answer is an event stream: the client sends nothing more, and its end is the end of the connection.
    pub(crate) fn follow(&self) {
        self.0.is_follower.set(true);
        self.end_after_answer();
    }

    pub(super) fn is_follower(&self) -> bool {
        self.0.is_follower.get()
    }

    pub(super) fn reads(&self) {
        self.0.has_moved.set(true);
    }

    /// After a write.
    pub(super) fn wrote(&self, written: &Poll<io::Result<usize>>) {
        self.0.has_backlog.set(written.is_pending());
        if written.is_ready() {
            self.0.has_moved.set(true);
        }
    }

    /// After a flush.
    pub(super) fn flushed(&self, flushed: &Poll<io::Result<()>>) {
        self.0.has_backlog.set(flushed.is_pending());
    }
}
