//! What the tests stand on: real servers, faults on the wire, waiting for states.

// A topic uses what it needs.
#![allow(dead_code)]

pub mod answer;
pub mod api;
pub mod certificate;
pub mod churn;
pub mod demo;
pub mod eventually;
pub mod frames;
pub mod load;
pub mod mariadb;
pub mod nginx;
pub mod pipe;
pub mod postgres;
pub mod proxy;
pub mod redis_server;
pub mod server_program;
pub mod service;
pub mod shop;
mod socket;
pub mod stop_point;
pub mod store;
pub mod varnish;
pub mod watched;

pub use answer::header;
pub use certificate::Certificate;
pub use eventually::{all_the_while, eventually};
pub use mariadb::MariadbDatabase;
pub use nginx::Nginx;
pub use postgres::PostgresDatabase;
pub use proxy::Proxy;
pub use redis_server::RedisServer;
pub use server_program::ServerProgram;
pub use varnish::Varnish;
