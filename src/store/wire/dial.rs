//! How a connection to Redis is opened: the stream, and what is said first on it.

use std::{io, sync::Arc, time::Duration};

use bytes::BytesMut;
use redis::{
    ConnectionAddr, ConnectionInfo, ErrorKind, RedisConnectionInfo, RedisError, RedisResult, Value,
    io::tcp::{
        TcpSettings,
        socket2::{SockRef, TcpKeepalive},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use super::resp::{Framing, OK};

/// A stream to a server.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How soon it is noticed that a server is gone without a word, where nothing is asked.
pub(crate) fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5))
}

/// The same for connections that the crate opens.
pub(crate) fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive())
}

/// A stream on which hello was said.
pub(crate) struct Dialled {
    pub stream: Box<dyn Stream>,
    /// Whether the server lets commands have no replies: a user may lack the right, and what stands between may not know it.
    pub keeps_quiet: bool,
    /// Bytes of a reply, at most.
    pub reply_max: usize,
}

/// TLS to servers, trusting what the system trusts.
#[derive(Clone)]
pub(crate) struct Tls(TlsConnector);

impl Tls {
    /// Reads the system's certificates.
    pub(crate) fn new() -> RedisResult<Self> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.into_iter().next().map(|error| error.to_string());
            return Err(RedisError::from((
                ErrorKind::InvalidClientConfig,
                "the system has no certificates to trust",
                why.unwrap_or_default(),
            )));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

/// Opens a stream and says hello on it.
pub(crate) async fn dial(to: &ConnectionInfo, tls: Option<&Tls>, reply_max: usize) -> RedisResult<Dialled> {
    let mut stream = open(to.addr(), tls).await?;
    let framing = Framing::new(reply_max);
    let keeps_quiet = greet(&mut stream, to.redis_settings(), framing).await?;
    Ok(Dialled {
        stream,
        keeps_quiet,
        reply_max,
    })
}

/// Opens a stream.
pub(crate) async fn open(to: &ConnectionAddr, tls: Option<&Tls>) -> RedisResult<Box<dyn Stream>> {
    match (to, tls) {
        (ConnectionAddr::Tcp(host, port), _) => Ok(Box::new(tcp(host, *port).await?)),
        (ConnectionAddr::TcpTls { host, port, .. }, Some(Tls(tls))) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            Ok(Box::new(tls.connect(name, tcp(host, *port).await?).await?))
        }
        (ConnectionAddr::Unix(path), _) => Ok(Box::new(UnixStream::connect(path).await?)),
        _ => Err(RedisError::from((ErrorKind::InvalidClientConfig, "no such address"))),
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&keepalive())?;
    Ok(stream)
}

/// RESP3 with the credentials, and the database. Returns whether the server could keep quiet.
async fn greet(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    as_whom: &RedisConnectionInfo,
    mut framing: Framing,
) -> RedisResult<bool> {
    let mut greeting = redis::Pipeline::new();
    greeting.cmd("HELLO").arg("3");
    if let Some(password) = as_whom.password() {
        // <https://redis.io/docs/latest/commands/hello/>: the user that has no name.
        let user = as_whom.username().unwrap_or("default");
        greeting.arg("AUTH").arg(user).arg(password);
    }
    if as_whom.db() != 0 {
        greeting.cmd("SELECT").arg(as_whom.db());
    }
    let must_succeed = greeting.len();
    // As it is anyway: the right to say so is that to say otherwise.
    greeting.cmd("CLIENT").arg("REPLY").arg("ON");
    stream.write_all(&greeting.get_packed_pipeline()).await?;
    stream.flush().await?;
    let (mut read, mut replies) = (BytesMut::new(), 0);
    loop {
        while let Some(reply) = framing.next(&mut read).map_err(io::Error::other)? {
            if replies == must_succeed {
                return Ok(reply == OK);
            }
            if let Value::ServerError(error) = redis::parse_redis_value(&reply)? {
                return Err(error.into());
            }
            replies += 1;
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}
