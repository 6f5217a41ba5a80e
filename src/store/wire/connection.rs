//! Connections that come back: a slot holds a live connection or none, and a task of its own reconnects it.
//!
//! A call on a slot without a live connection fails at once, because kept pages can be served meanwhile. The crate's own
//! ConnectionManager would make callers wait, and a time-out never makes it reconnect. Here every call has a time-out, and a connection
//! that misses several answers in a row is closed: its server may be stopped or gone without a word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use redis::{Cmd, Pipeline, RedisResult, ServerErrorKind, Value};
use tokio::{sync::Notify, task::JoinHandle, time::timeout_at};

use super::{
    address::{BackOff, Server},
    clock::{Clock, time_us},
    commands::Commands,
    link::Link,
    reply, resp,
    traffic::NoAnswer,
};
use crate::{
    store::{
        error::{Refusal, StoreError},
        health::{liveness::Liveness, refusals::CONNECT},
        scripts::Script,
    },
    telemetry::RedisCode,
};

/// A connection that misses so many answers in a row is given up.
const TIMEOUTS_IN_A_ROW_MAX: u32 = 3;
/// How often a connection is tried and the clock corrected, with or without other work.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// An open connection, and whether it still is one.
struct Live {
    link: Link,
    timeouts_in_a_row: AtomicU32,
    gone: Arc<AtomicBool>,
    /// Whether the server said that it is a replica: the address may lead to its master by now.
    is_replica: AtomicBool,
}

/// The commands of a connection's heartbeat.
#[derive(Clone, Default)]
pub(crate) struct Heartbeat {
    /// Corrected by the server's time.
    pub clock: Option<Arc<Clock>>,
    /// A key that never exists. Unlinking it does nothing, and Redis refuses it as it would refuse any write.
    pub dry_write: Option<String>,
}

struct Slot {
    server: Server,
    live: ArcSwapOption<Live>,
    /// Wakes the supervising task: the live connection may be gone.
    doubted: Arc<Notify>,
    liveness: Arc<Liveness>,
}

/// One slot. Dropping it ends its task and closes its connection.
pub(crate) struct Connection {
    slot: Arc<Slot>,
    supervisor: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.supervisor.abort();
        if self.slot.live.swap(None).is_some() {
            self.slot.liveness.count(false);
        }
    }
}

impl Connection {
    /// A slot whose first connection is opened in the background. Must be called inside a runtime.
    pub(crate) fn start(server: Server, liveness: Arc<Liveness>, heartbeat: Heartbeat) -> Self {
        let slot = Slot::new(server, liveness);
        let supervisor = tokio::spawn(slot.clone().supervise(heartbeat));
        Self { slot, supervisor }
    }

    /// A slot whose first connection is open when this returns.
    pub(crate) async fn open(server: Server, liveness: Arc<Liveness>, heartbeat: Heartbeat) -> RedisResult<Self> {
        let slot = Slot::new(server, liveness);
        slot.connect().await?;
        let supervisor = tokio::spawn(slot.clone().supervise(heartbeat));
        Ok(Self { slot, supervisor })
    }

    /// Whether a call has a connection to go through.
    pub(crate) fn is_live(&self) -> bool {
        self.slot.live().is_some()
    }

    /// Whether the server lets what is sent have no replies, see [`Commands::begin_quiet`].
    pub(crate) fn keeps_quiet(&self) -> bool {
        self.slot.live().is_some_and(|live| live.link.keeps_quiet)
    }

    /// A call was not even sent.
    pub(crate) fn count_refused(&self) {
        self.slot.liveness.metrics.redis_errors.inc();
    }

    /// Sends commands in one turn and waits for all replies, errors of single commands among them, each as it came.
    pub(crate) async fn ask(
        &self,
        operation: &'static str,
        commands: Commands,
        within: Duration,
    ) -> Result<Vec<Bytes>, StoreError> {
        self.slot.ask(operation, commands, within).await
    }

    /// The same, with the replies taken apart.
    pub(crate) async fn pipeline(
        &self,
        operation: &'static str,
        commands: Commands,
        within: Duration,
    ) -> Result<Vec<Value>, StoreError> {
        let replies = self.slot.ask(operation, commands, within).await?;
        replies.iter().map(|bytes| reply::value(bytes, operation)).collect()
    }

    /// Runs a script, which the server may not know yet.
    pub(crate) async fn script(
        &self,
        operation: &'static str,
        script: &Script,
        call: &Cmd,
        within: Duration,
    ) -> Result<Value, StoreError> {
        let reply = self.slot.command(operation, call, within).await?;
        if !is_unknown_script(&reply) {
            return Ok(reply);
        }
        self.slot.command(operation, &script.load(), within).await?;
        self.slot.command(operation, call, within).await
    }

    /// Runs one script several times in one turn.
    pub(crate) async fn scripts(
        &self,
        operation: &'static str,
        script: &Script,
        calls: &Pipeline,
        within: Duration,
    ) -> Result<Vec<Value>, StoreError> {
        let replies = self.pipeline(operation, calls.into(), within).await?;
        // The server did not run any of those it does not know, so that all can be sent again unless it came to know the
        // script half-way: then those that ran keep their replies.
        if !replies.iter().any(is_unknown_script) {
            return Ok(replies);
        }
        self.slot.command(operation, &script.load(), within).await?;
        let mut again = redis::Pipeline::new();
        for (command, _) in calls
            .cmd_iter()
            .zip(&replies)
            .filter(|(_, reply)| is_unknown_script(reply))
        {
            again.add_command(command.clone());
        }
        let mut second = self.pipeline(operation, (&again).into(), within).await?.into_iter();
        let replies = replies.into_iter().map(|reply| {
            if is_unknown_script(&reply) {
                second.next().unwrap_or(reply)
            } else {
                reply
            }
        });
        Ok(replies.collect())
    }
}

fn is_unknown_script(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

impl Slot {
    fn new(server: Server, liveness: Arc<Liveness>) -> Arc<Self> {
        Arc::new(Self {
            server,
            live: ArcSwapOption::empty(),
            doubted: Arc::default(),
            liveness,
        })
    }

    fn live(&self) -> Option<Arc<Live>> {
        self.live.load_full().filter(|live| !live.gone.load(Ordering::Acquire))
    }

    /// Opens a connection and puts it in the place of the one before, if there is any.
    async fn connect(&self) -> RedisResult<()> {
        let refusals = &self.liveness.refusals;
        let opened = self.try_connect().await;
        match &opened {
            Ok(()) => refusals.succeeded(CONNECT),
            Err(error) => match Refusal::of_error(error) {
                Some(refusal) => refusals.heard(CONNECT, &refusal),
                None => refusals.is_away(),
            },
        }
        opened
    }

    async fn try_connect(&self) -> RedisResult<()> {
        let gone = Arc::new(AtomicBool::new(false));
        let lost = (gone.clone(), self.doubted.clone());
        let link = self
            .server
            .link(move |error| {
                tracing::debug!(%error, "connection to redis broken");
                lost.0.store(true, Ordering::Release);
                lost.1.notify_one();
            })
            .await?;
        let before = self.live.swap(Some(Arc::new(Live {
            link,
            timeouts_in_a_row: AtomicU32::new(0),
            gone,
            is_replica: AtomicBool::new(false),
        })));
        if before.is_none() {
            self.liveness.count(true);
        }
        Ok(())
    }

    fn give_up(&self, live: &Live) {
        live.gone.store(true, Ordering::Release);
        self.doubted.notify_one();
    }

    async fn command(&self, operation: &'static str, command: &Cmd, within: Duration) -> Result<Value, StoreError> {
        let replies = self.ask(operation, command.into(), within).await?;
        reply::value(replies.first().map_or(&[], Bytes::as_ref), operation)
    }

    async fn ask(
        &self,
        operation: &'static str,
        commands: Commands,
        within: Duration,
    ) -> Result<Vec<Bytes>, StoreError> {
        let metrics = &self.liveness.metrics;
        let Some(live) = self.live() else {
            metrics.redis_errors.inc();
            return Err(match self.liveness.refusals.of_connections() {
                Some(refusal) => StoreError::refusing(operation, refusal),
                None => StoreError::Unavailable {
                    operation,
                    source: None,
                },
            });
        };
        let asked = Instant::now();
        let may_be_refused = commands.may_be_refused();
        let error = match live.link.ask(commands, within).await {
            Ok(replies) => {
                metrics.redis_seconds.observe(asked.elapsed().as_secs_f64());
                live.timeouts_in_a_row.store(0, Ordering::Relaxed);
                let mut refused = replies.iter().filter(|reply| resp::is_error(reply)).peekable();
                if refused.peek().is_none() {
                    self.liveness.refusals.succeeded(operation);
                } else if !may_be_refused {
                    for refused in refused {
                        self.hear_error(&live, operation, &reply::value(refused, operation)?);
                    }
                }
                return Ok(replies);
            }
            Err(error) => error,
        };
        let is_over = match error {
            NoAnswer::Lost | NoAnswer::TooLarge => true,
            NoAnswer::Late => live.timeouts_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_IN_A_ROW_MAX,
        };
        if is_over {
            self.give_up(&live);
        }
        metrics.redis_errors.inc();
        if error == NoAnswer::TooLarge {
            self.liveness.tell_too_large(operation);
            return Err(StoreError::TooLarge { operation });
        }
        Err(StoreError::unavailable(operation, error))
    }

    /// The server's state by an error, whatever the command was.
    fn hear_error(&self, live: &Live, operation: &'static str, refused: &Value) {
        let Value::ServerError(error) = refused else {
            return;
        };
        if error.code() == "OOM" {
            self.liveness.tell_full(true);
        }
        let Some(refusal) = Refusal::of(error) else {
            return;
        };
        self.liveness.refusals.heard(operation, &refusal);
        if refusal.code == RedisCode::ReadOnly {
            live.is_replica.store(true, Ordering::Relaxed);
            self.doubted.notify_one();
        }
    }

    /// Keeps the slot filled, until aborted.
    async fn supervise(self: Arc<Self>, heartbeat: Heartbeat) {
        loop {
            if self.live.load().is_some() {
                self.watch(&heartbeat).await;
                if self.live.swap(None).is_some() {
                    self.liveness.count(false);
                }
                tracing::warn!(address = self.server.address(), "connection to redis lost");
            }
            let mut back_off = BackOff::new();
            while let Err(error) = self.connect().await {
                tracing::debug!(%error, "redis not reached");
                back_off.pause().await;
            }
            tracing::info!(address = self.server.address(), "connected to redis");
        }
    }

    /// Returns when the connection is gone.
    async fn watch(&self, heartbeat: &Heartbeat) {
        let mut opened = Instant::now();
        let mut next_beat = opened + HEARTBEAT;
        while let Some(live) = self.live() {
            if timeout_at(next_beat.into(), self.doubted.notified()).await.is_err() {
                self.beat(heartbeat).await;
                next_beat = Instant::now() + HEARTBEAT;
            } else if live.is_replica.swap(false, Ordering::Relaxed) && opened.elapsed() >= HEARTBEAT {
                // It stays in use until another is open: reads are answered, and writes hear why they are refused.
                opened = Instant::now();
                if let Err(error) = self.connect().await {
                    tracing::debug!(%error, "a replica, and no other connection could be opened");
                }
            }
        }
    }

    async fn beat(&self, Heartbeat { clock, dry_write }: &Heartbeat) {
        const OPERATION: &str = "heartbeat";
        let mut turn = Pipeline::new();
        turn.cmd("TIME");
        if let Some(key) = dry_write {
            turn.cmd("UNLINK").arg(key);
        }
        let asked = Instant::now();
        // A failure has been counted: several in a row end this connection.
        let Ok(replies) = self.ask(OPERATION, (&turn).into(), HEARTBEAT).await else {
            return;
        };
        if let Some(clock) = clock
            && let Some(Ok(time)) = replies.first().map(|reply| reply::value(reply, OPERATION))
            && let Some(redis_us) = time_us(time)
        {
            clock.measure(asked, Instant::now(), redis_us);
        }
        if replies.get(1).is_some_and(|reply| !resp::is_error(reply)) {
            self.liveness.refusals.takes_writes();
        }
    }
}
