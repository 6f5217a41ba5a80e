//! Where Redis is, and how to get to it.

use std::{io, time::Duration};

use redis::{
    AsyncConnectionConfig, ConnectionAddr, ProtocolVersion, PushInfo, RedisResult, aio::MultiplexedConnection,
};
use tokio::time::timeout;

use super::{
    dial::{self, Tls},
    link::Link,
};

/// Until a connection is open and has said hello.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Pauses between attempts to reconnect: doubled from 20 to 500 ms.
#[derive(Debug)]
pub(super) struct BackOff(Duration);

impl BackOff {
    const FIRST: Duration = Duration::from_millis(20);
    pub const LONGEST: Duration = Duration::from_millis(500);

    pub fn new() -> Self {
        Self(Self::FIRST)
    }

    pub async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Self::LONGEST);
    }
}

/// Where Redis is and how to talk to it.
#[derive(Clone)]
pub(super) struct Server {
    client: redis::Client,
    /// Where it is reached by TLS.
    tls: Option<Tls>,
}

impl Server {
    /// Understands a URL. RESP3, because there the end of a connection is told at once, and announcements and commands
    /// may share one.
    pub fn parse(url: &str) -> RedisResult<Self> {
        let info: redis::ConnectionInfo = url.parse()?;
        let tls = match info.addr() {
            ConnectionAddr::TcpTls { .. } => Some(Tls::new()?),
            _ => None,
        };
        let redis = info.redis_settings().clone();
        let redis = redis.set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        let info = info.set_redis_settings(redis).set_tcp_settings(dial::tcp_settings());
        let client = redis::Client::open(info)?;
        Ok(Self { client, tls })
    }

    /// Host and port, or a socket's path; never a password.
    pub fn address(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// Opens a connection for commands. `lost` is called when it ends by itself.
    pub async fn link(&self, lost: impl FnOnce(io::Error) + Send + 'static) -> RedisResult<Link> {
        let dialled = dial::dial(self.client.get_connection_info(), self.tls.as_ref());
        let dialled = timeout(CONNECT_TIMEOUT, dialled).await.map_err(io::Error::from)??;
        Ok(Link::start(dialled, lost))
    }

    /// Opens a connection on which something may come unasked: `pushed` is called with it, and must not block.
    pub async fn open(&self, pushed: impl Fn(PushInfo) + Send + Sync + 'static) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // Each call has its own.
            .set_response_timeout(None)
            .set_push_sender(move |push| {
                pushed(push);
                Ok::<_, std::convert::Infallible>(())
            });
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}
