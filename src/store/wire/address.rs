//! The address of Redis, and how a connection to it is opened.

use std::{io, time::Duration};

use redis::{
    AsyncConnectionConfig, ConnectionAddr, ProtocolVersion, PushInfo, RedisResult, aio::MultiplexedConnection,
};
use tokio::time::timeout;

use super::{
    dial::{self, Tls},
    link::Link,
    metered::{Meter, Metered},
};

/// Until a connection is open and has said hello.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Pauses between attempts to reconnect: doubled from 20 to 500 ms.
#[derive(Debug)]
pub(crate) struct BackOff(Duration);

impl BackOff {
    const FIRST: Duration = Duration::from_millis(20);
    pub(crate) const LONGEST: Duration = Duration::from_millis(500);

    pub(crate) fn new() -> Self {
        Self(Self::FIRST)
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Self::LONGEST);
    }
}

/// Where Redis is and how to talk to it.
#[derive(Clone)]
pub(crate) struct Server {
    client: redis::Client,
    /// Where it is reached by TLS.
    tls: Option<Tls>,
    /// Bytes of a reply, at most.
    reply_max: usize,
}

impl Server {
    /// Understands a URL. RESP3, because there the end of a connection is told at once, and announcements and commands
    /// may share one.
    pub(crate) fn parse(url: &str, reply_max: usize) -> RedisResult<Self> {
        let info: redis::ConnectionInfo = url.parse()?;
        let tls = match info.addr() {
            ConnectionAddr::TcpTls { .. } => Some(Tls::new()?),
            _ => None,
        };
        let redis = info.redis_settings().clone();
        let redis = redis.set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        let info = info.set_redis_settings(redis).set_tcp_settings(dial::tcp_settings());
        let client = redis::Client::open(info)?;
        Ok(Self { client, tls, reply_max })
    }

    /// Host and port, or a socket's path; never a password.
    pub(crate) fn address(&self) -> String {
        self.client.get_connection_info().addr().to_string()
    }

    /// As whom commands are sent.
    pub(crate) fn user(&self) -> &str {
        let settings = self.client.get_connection_info().redis_settings();
        settings.username().unwrap_or("default")
    }

    /// Opens a connection for commands. `lost` is called when it ends by itself.
    pub(crate) async fn link(&self, lost: impl FnOnce(io::Error) + Send + 'static) -> RedisResult<Link> {
        let dialled = dial::dial(self.client.get_connection_info(), self.tls.as_ref(), self.reply_max);
        let dialled = timeout(CONNECT_TIMEOUT, dialled).await.map_err(io::Error::from)??;
        Ok(Link::start(dialled, lost))
    }

    /// Opens a connection on which something may come unasked: `pushed` is called with it, and must not block. Of what is read
    /// the crate keeps what is not whole yet, so the meter must be reset where much comes in the end.
    pub(crate) async fn open(
        &self,
        pushed: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<(MultiplexedConnection, Meter)> {
        let config = AsyncConnectionConfig::new()
            // Each call has its own.
            .set_response_timeout(None)
            .set_push_sender(move |push| {
                pushed(push);
                Ok::<_, std::convert::Infallible>(())
            });
        let to = self.client.get_connection_info();
        let meter = Meter::new(self.reply_max);
        let opening = async {
            let stream = Metered {
                stream: dial::open(to.addr(), self.tls.as_ref()).await?,
                meter: meter.clone(),
            };
            MultiplexedConnection::new_with_config(to.redis_settings(), stream, config).await
        };
        let (connection, driver) = timeout(CONNECT_TIMEOUT, opening).await.map_err(io::Error::from)??;
        tokio::spawn(driver);
        Ok((connection, meter))
    }
}
