//! Pages, writes, events and operations over HTTP. The contract is `docs/http.md`; nothing here decides what is served.
//!
//! A request's way: [`edge`] sees it first and last, [`routes`] finds its handler, extractors ([`name`], [`auth`]) and
//! [`query`] take it apart, the engine answers, and [`envelope`], [`headers`] and [`body`] put the answer together. What
//! goes wrong becomes a [`Problem`] in one place, [`problem`].

mod api;
mod edge;
mod listener;
mod pages;
mod places;
mod problem;
mod request;
mod routes;
mod server;
mod shared;
mod storefront;
mod wire;

#[cfg(any(test, fuzzing))]
pub(crate) use self::request::query;
pub use self::{
    api::{configuration::ConfigurationState, readiness::Readiness},
    places::BEYOND_MAX,
    problem::Problem,
    server::{HttpParts, Server},
    storefront::{ChangePrice, Storefront},
    wire::tls::Certificate,
};
