//! Caches behind this service, and how each is told to delete pages by their tags.
//!
//! A [`Cdn`] makes one call. What waits, when it is due and how often it is tried again is decided by its caller.

mod calls;
mod failure;

use std::time::Duration;

use reqwest::{Client, redirect::Policy};
use tokio::time::timeout;

use self::calls::Call;
pub use self::failure::PurgeFailure;
use crate::config::CdnConfig;

/// Until a connection is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until the whole answer is there.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is read of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A cache that is told.
#[derive(Debug)]
pub struct Cdn {
    /// Its part of the configuration.
    pub config: CdnConfig,
    client: Client,
}

impl Cdn {
    /// Sends nothing yet. Fails only where TLS cannot be set up.
    pub fn new(config: CdnConfig) -> Result<Self, PurgeFailure> {
        let client = Client::builder()
            .user_agent(concat!("listcache/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // The environment's variables for proxies are meant for other programs.
            .no_proxy()
            // The token goes to the configured host and to no other.
            .redirect(Policy::none())
            .build()
            .map_err(PurgeFailure::unreachable)?;
        Ok(Self { config, client })
    }

    /// Tags that one call may have.
    pub fn tags_a_call(&self) -> usize {
        self.config.provider.kind.tags_a_call()
    }

    /// Has pages with any of these tags deleted, or marked as stale: at most [`Cdn::tags_a_call`] tags, at least one. It is done once this
    /// returns.
    pub async fn purge<T: AsRef<str>>(&self, tags: &[T]) -> Result<(), PurgeFailure> {
        let call = Call::of(&self.config.provider, tags)?;
        let answered = timeout(CALL_TIMEOUT, self.ask(&call)).await;
        answered.unwrap_or_else(|_| Err(PurgeFailure::late(CALL_TIMEOUT)))
    }

    async fn ask(&self, call: &Call) -> Result<(), PurgeFailure> {
        let mut request = self.client.request(call.method.clone(), call.url.clone());
        request = request.headers(call.headers.clone());
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let mut answer = request.send().await.map_err(PurgeFailure::unreachable)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(PurgeFailure::unreachable)? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES_MAX {
                break;
            }
        }
        if status.is_success() && call.is_done(&body) {
            return Ok(());
        }
        Err(PurgeFailure::answered(status, &headers, &body))
    }
}
