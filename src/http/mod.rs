//! Pages, writes, events and operations over HTTP. The contract is `docs/http.md`; nothing here decides what is served.
//!
//! | room | contents |
//! |---|---|
//! | `server`, `listener`, `routes`, `beyond_limit` | sockets and workers; the table of URLs; connections beyond the limit |
//! | [`storefront`] | the sample shop of the demo |
//! | [`api`] | writes, events, probes, metrics, the description of the interface |
//! | [`pages`] | a page: from its URL to headers and body |
//! | [`edge`] | the first and the last step of every request |
//! | [`request`] | the parts of a request: name, query, token, conditions, codings, body |
//! | [`wire`] | bytes on sockets: TLS, HTTP/1.1, HTTP/2, slow clients |
//! | [`problem`] | errors, as clients see them |
//!
//! Each room uses only those below it. A handler or an extractor names the parts that it needs (`Data<Auth>`,
//! `Data<Sizes>`, …); `server` makes all of them.

mod api;
mod beyond_limit;
mod edge;
mod listener;
mod pages;
mod problem;
mod request;
mod routes;
mod server;
mod storefront;
mod wire;

#[cfg(any(test, fuzzing))]
pub(crate) use self::request::query;
pub use self::{
    api::{configuration::ConfigurationState, hooks::Hooks, readiness::Readiness},
    beyond_limit::BEYOND_MAX,
    problem::Problem,
    server::{HttpParts, Server},
    storefront::{ChangePrice, ChangedPrice, Storefront},
    wire::tls::Certificate,
};
