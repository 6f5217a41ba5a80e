//! Sockets of either kind, Unix or TCP: what a proxy listens on, and where it leads.

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

/// Where the proxy passes on to.
#[derive(Clone)]
pub enum Upstream {
    Unix(PathBuf),
    Tcp(String),
}

pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}
pub type BoxedWire = Box<dyn Wire>;

pub enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Listens, and tells by which URL.
pub async fn listen(tcp: bool, path: &Path, ready: &std::sync::mpsc::Sender<String>) -> Listener {
    if tcp {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        ready
            .send(format!("redis://{}", listener.local_addr().unwrap()))
            .unwrap();
        Listener::Tcp(listener)
    } else {
        let listener = UnixListener::bind(path).unwrap();
        ready.send(format!("unix://{}", path.display())).unwrap();
        Listener::Unix(listener)
    }
}

impl Listener {
    pub async fn accept(&self) -> io::Result<BoxedWire> {
        Ok(match self {
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }
}

impl Upstream {
    pub fn parse(url: &str) -> Self {
        match (url.strip_prefix("unix://"), url.strip_prefix("redis://")) {
            (Some(path), _) => Self::Unix(path.into()),
            (_, Some(address)) => Self::Tcp(address.to_owned()),
            _ => panic!("no such upstream: {url}"),
        }
    }

    pub async fn connect(&self) -> io::Result<BoxedWire> {
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }
}
