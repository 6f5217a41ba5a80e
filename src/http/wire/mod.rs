//! Bytes on sockets: connections, TLS, HTTP/1.1, HTTP/2, slow clients.

pub(super) mod connection;
pub(super) mod date;
pub(super) mod http1;
pub(super) mod http2;
pub(super) mod places;
pub(super) mod preface;
pub(super) mod slow_clients;
pub(super) mod tls;
