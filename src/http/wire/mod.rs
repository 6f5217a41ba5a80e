//! Bytes on sockets: connections, TLS, HTTP/1.1, HTTP/2, slow clients.
//!
//! The first bytes of a connection, or its handshake, tell the protocol. HTTP/1.1 has the framework's dispatcher; HTTP/2 has one of our own,
//! because the framework's sends no GOAWAY and bounds neither streams nor heads. Both call the same service. [`connection`] has a table of every
//! state of a connection, with its deadline; [`slow_clients`] watches the bytes, because the framework times the first head only.

pub(super) mod connection;
pub(super) mod date;
pub(super) mod http1;
pub(super) mod http2;
pub(super) mod places;
pub(super) mod preface;
pub(super) mod slow_clients;
pub(super) mod tls;
