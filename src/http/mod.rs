//! Pages, writes, events and operations over HTTP. The contract is `docs/http.md`; nothing here decides what is served.
//!
//! A request's way: [`edge`] sees it first and last, [`routes`] finds its handler, extractors ([`name`], [`auth`]) and
//! [`query`] take it apart, the engine answers, and [`envelope`], [`headers`] and [`body`] put the answer together. What
//! goes wrong becomes a [`Problem`] in one place, [`problem`].

mod admin;
mod answer;
mod auth;
mod body;
mod coding;
mod conditional;
mod configuration;
mod connection;
mod date;
mod edge;
mod envelope;
mod events;
mod headers;
mod http1;
mod http2;
mod ingest;
mod inspect;
mod lifetime;
mod links;
mod listener;
mod listings;
mod name;
mod openapi;
mod ops;
mod packed;
mod pages_first;
mod places;
mod preface;
mod problem;
pub(crate) mod query;
mod readiness;
mod request_id;
mod routes;
mod server;
mod shared;
mod slow_clients;
mod storefront;
mod timing;
mod tls;
mod unpack;
mod wanted;

pub use configuration::ConfigurationState;
pub use places::BEYOND_MAX;
pub use problem::Problem;
pub use readiness::Readiness;
pub use server::{HttpParts, Server};
pub use storefront::{ChangePrice, Storefront};
pub use tls::Certificate;
