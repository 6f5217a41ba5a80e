//! What the tests stand on: real servers, faults on the wire, waiting for states.

// A topic uses what it needs.
#![allow(dead_code)]

pub mod api;
pub mod eventually;
pub mod nginx;
pub mod pipe;
pub mod proxy;
pub mod redis_server;
pub mod service;
pub mod shop;
pub mod store;

pub use eventually::eventually;
pub use nginx::Nginx;
pub use proxy::Proxy;
pub use redis_server::RedisServer;
