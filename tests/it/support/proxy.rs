//! A proxy between a client and Redis: it counts request-and-reply turns, and cuts, holds and slows connections.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::watch,
};

use super::{
    socket::{BoxedWire, Listener, Upstream, listen},
    stop_point::{Side, StopPoint, works},
};

/// Commands that a client sent before it was answered: one turn, however many they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub connection: usize,
    /// Their names, in upper case.
    pub commands: Vec<String>,
    answered: bool,
}

/// A running proxy; it ends with the handle.
pub struct Proxy {
    shared: Arc<Shared>,
    url: String,
    _directory: TempDir,
}

#[derive(Default)]
struct State {
    connections: usize,
    /// Those that are not closed.
    open: BTreeSet<usize>,
    turns: Vec<Turn>,
    delay: Duration,
    refusing: bool,
    lose_reply_of: Option<String>,
    stop: Option<StopPoint>,
    /// Connections up to this one pass nothing on.
    silenced: usize,
    /// Where new connections lead to.
    upstream: Option<Upstream>,
}

struct Shared {
    state: Mutex<State>,
    held: watch::Sender<bool>,
    /// Whether replies are held.
    muted: watch::Sender<bool>,
    /// Counted up to cut every connection there is.
    cuts: watch::Sender<u64>,
    /// Told when a connection was closed.
    closed: Condvar,
    stopped: watch::Sender<bool>,
}

impl Proxy {
    /// In front of a URL `unix://…` or `redis://…`, listening on a Unix socket.
    pub fn start(upstream: &str) -> Self {
        Self::launch(upstream, false)
    }

    /// The same, listening on a TCP port.
    pub fn start_tcp(upstream: &str) -> Self {
        Self::launch(upstream, true)
    }

    fn launch(upstream: &str, tcp: bool) -> Self {
        let upstream = Upstream::parse(upstream);
        let directory = tempfile::Builder::new().prefix("proxy-").tempdir().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                upstream: Some(upstream),
                ..State::default()
            }),
            held: watch::Sender::new(false),
            muted: watch::Sender::new(false),
            cuts: watch::Sender::new(0),
            closed: Condvar::new(),
            stopped: watch::Sender::new(false),
        });
        let (ready, url) = std::sync::mpsc::channel();
        let (serving, path) = (shared.clone(), directory.path().join("proxy.sock"));
        // A thread of its own: a test that blocks its runtime must not slow the wire.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = listen(tcp, &path, &ready).await;
                let mut stopped = serving.stopped.subscribe();
                tokio::select! {
                    _ = stopped.wait_for(|stopped| *stopped) => {}
                    () = serve(serving, listener) => {}
                }
            });
        });
        Self {
            shared,
            url: url.recv().unwrap(),
            _directory: directory,
        }
    }

    /// For `StoreOptions::url`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Closes every connection there is; when it returns nothing passes through them any more.
    pub fn cut(&self) {
        let state = self.shared.state.lock().unwrap();
        let last = state.connections;
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
        let is_open = |state: &mut State| state.open.first().is_some_and(|connection| *connection <= last);
        drop(self.shared.closed.wait_while(state, is_open).unwrap());
    }

    /// From here on connections lead to another server; those that are open are closed.
    pub fn redirect(&self, upstream: &str) {
        self.shared.state.lock().unwrap().upstream = Some(Upstream::parse(upstream));
        self.cut();
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refusing: bool) {
        self.shared.state.lock().unwrap().refusing = refusing;
    }

    /// Passes nothing on until released: bytes wait, connections stay open.
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Holds what the server sends, and passes on what the clients send.
    pub fn mute(&self, muted: bool) {
        self.shared.muted.send_replace(muted);
    }

    /// The connections open now pass nothing on any more, as behind a firewall that forgot them; new ones do.
    pub fn silence(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.silenced = state.connections;
    }

    /// Each request waits so long.
    pub fn delay(&self, delay: Duration) {
        self.shared.state.lock().unwrap().delay = delay;
    }

    /// The next reply to this command is lost, and its connection with it; the server has carried it out.
    pub fn lose_reply_of(&self, command: &str) {
        self.shared.state.lock().unwrap().lose_reply_of = Some(command.to_owned());
    }

    /// Whether that has happened.
    pub fn has_lost_reply(&self) -> bool {
        self.shared.state.lock().unwrap().lose_reply_of.is_none()
    }

    /// From here on turns that work are counted. The proxy holds everything at this one: before its request, or before its reply.
    pub fn stop_at(&self, turn: usize, side: Side) {
        self.shared.state.lock().unwrap().stop = Some(StopPoint::at(turn, side));
    }

    /// Whether it has come so far.
    pub fn has_stopped(&self) -> bool {
        *self.shared.held.borrow()
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.shared.state.lock().unwrap().connections
    }

    /// The turns since the start or the last [`clear`](Self::clear) that do more than keep connections alive.
    pub fn turns(&self) -> Vec<Turn> {
        let state = self.shared.state.lock().unwrap();
        // A heartbeat may unlink what is not there; the first turns of a start try every command.
        let is_upkeep = |turn: &Turn| matches!(turn.commands.first().map(String::as_str), Some("TIME" | "EXEC"));
        let works = |turn: &Turn| turn.commands.iter().any(|command| works(command));
        let worked = |turn: &&Turn| works(turn) && !is_upkeep(turn);
        state.turns.iter().filter(worked).cloned().collect()
    }

    pub fn clear(&self) {
        self.shared.state.lock().unwrap().turns.clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.send_replace(true);
    }
}

/// Tells that a connection was closed.
struct Closed<'a> {
    shared: &'a Shared,
    connection: usize,
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().open.remove(&self.connection);
        self.shared.closed.notify_all();
    }
}

impl Shared {
    /// A new connection: its number, where it leads, and what cuts it; `None` where it is refused.
    fn open(&self) -> Option<(usize, Upstream, watch::Receiver<u64>)> {
        let mut state = self.state.lock().unwrap();
        if state.refusing {
            return None;
        }
        let upstream = state.upstream.clone()?;
        state.connections += 1;
        let connection = state.connections;
        state.open.insert(connection);
        Some((connection, upstream, self.cuts.subscribe()))
    }

    /// Waits until this connection may pass bytes on.
    async fn pass(&self, connection: usize) {
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        let silenced = self.state.lock().unwrap().silenced;
        if connection <= silenced {
            std::future::pending::<()>().await;
        }
    }
}

async fn serve(shared: Arc<Shared>, listener: Listener) {
    while let Ok(client) = listener.accept().await {
        let Some((connection, upstream, mut cuts)) = shared.open() else {
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _closed = Closed {
                shared: &shared,
                connection,
            };
            // Whichever ends, both wires are dropped, and only then is the connection called closed.
            tokio::select! {
                _ = cuts.changed() => {}
                _ = carry(&shared, connection, client, upstream) => {}
            }
        });
    }
}

async fn carry(shared: &Shared, connection: usize, client: BoxedWire, upstream: Upstream) -> io::Result<()> {
    let server = upstream.connect().await?;
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    tokio::select! {
        ended = requests(shared, connection, from_client, to_server) => ended,
        ended = replies(shared, connection, from_server, to_client) => ended,
    }
}

async fn requests(
    shared: &Shared,
    connection: usize,
    mut from: ReadHalf<BoxedWire>,
    mut to: WriteHalf<BoxedWire>,
) -> io::Result<()> {
    let (mut buffer, mut unparsed) = (vec![0; 64 * 1024], Vec::new());
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        unparsed.extend_from_slice(&buffer[..read]);
        let (delay, stops) = shared.state.lock().unwrap().request(connection, &mut unparsed);
        if stops {
            shared.held.send_replace(true);
        }
        tokio::time::sleep(delay).await;
        shared.pass(connection).await;
        to.write_all(&buffer[..read]).await?;
    }
}

async fn replies(
    shared: &Shared,
    connection: usize,
    mut from: ReadHalf<BoxedWire>,
    mut to: WriteHalf<BoxedWire>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 || shared.state.lock().unwrap().reply(connection) {
            return Ok(());
        }
        if shared.state.lock().unwrap().stops_reply(connection) {
            shared.held.send_replace(true);
        }
        let _ = shared.muted.subscribe().wait_for(|muted| !muted).await;
        shared.pass(connection).await;
        to.write_all(&buffer[..read]).await?;
    }
}

impl State {
    /// Notes commands; those that come before a reply belong to one turn. Returns how long they are to wait, and whether
    /// the proxy stops before them.
    fn request(&mut self, connection: usize, unparsed: &mut Vec<u8>) -> (Duration, bool) {
        let mut is_work = false;
        while let Some((command, length)) = first_command(unparsed) {
            unparsed.drain(..length);
            is_work |= works(&command);
            let open = self
                .turns
                .iter_mut()
                .rev()
                .find(|turn| turn.connection == connection && !turn.answered);
            match open {
                Some(turn) => turn.commands.push(command),
                None => self.turns.push(Turn {
                    connection,
                    commands: vec![command],
                    answered: false,
                }),
            }
        }
        let stop = self.stop.as_mut().filter(|_| is_work);
        (self.delay, stop.is_some_and(|stop| stop.request(connection)))
    }

    fn stops_reply(&mut self, connection: usize) -> bool {
        self.stop.as_mut().is_some_and(|stop| stop.reply(connection))
    }

    /// Ends the connection's turn. Returns whether the reply is to be lost.
    fn reply(&mut self, connection: usize) -> bool {
        let lose = self.lose_reply_of.clone();
        let Some(turn) = self.turns.iter_mut().rev().find(|turn| turn.connection == connection) else {
            return false;
        };
        if turn.answered {
            return false;
        }
        let loses = lose.is_some_and(|command| turn.commands.contains(&command));
        turn.answered = true;
        if loses {
            self.lose_reply_of = None;
        }
        loses
    }
}

/// The name of the first whole command in a client's bytes, and how many of them it takes.
fn first_command(bytes: &[u8]) -> Option<(String, usize)> {
    let (parts, mut at) = number(bytes, 0, b'*')?;
    let mut name = None;
    for _ in 0..parts {
        let (length, start) = number(bytes, at, b'$')?;
        let part = bytes.get(start..start + length)?;
        name.get_or_insert_with(|| String::from_utf8_lossy(part).to_uppercase());
        at = start + length + 2;
    }
    (at <= bytes.len()).then_some((name?, at))
}

/// A line `<sign><number>`: the number, and where the next line begins.
fn number(bytes: &[u8], at: usize, sign: u8) -> Option<(usize, usize)> {
    let line = bytes.get(at..)?;
    let end = line.windows(2).position(|pair| pair == b"\r\n")?;
    assert_eq!(line[0], sign, "not a command");
    let number = std::str::from_utf8(&line[1..end]).unwrap().parse().unwrap();
    Some((number, at + end + 2))
}
