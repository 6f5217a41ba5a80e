//! Connections: slots that hold a live connection or none, each kept by a task of its own which reconnects.
//!
//! A call on a slot without a live connection fails at once: nobody waits for a reconnection, for what is at hand can be
//! served meanwhile. The crate's own ConnectionManager would make callers wait, and a time-out never makes it reconnect.
//! Here every call has a time-out of its own, and a connection that has missed several in a row is given up, for it may
//! lead to a server that is stopped or gone without a word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use redis::{Cmd, Pipeline, RedisResult, ServerErrorKind, Value};
use tokio::{sync::Notify, task::JoinHandle, time::timeout};

use super::{
    clock::{Clock, time_us},
    commands::Commands,
    error::{StoreError, needs_new_connection},
    link::{Link, NoAnswer},
    reply, resp,
    scripts::Script,
    server::{BackOff, Server},
};
use crate::telemetry::Metrics;

/// A connection that misses so many answers in a row is given up.
const TIMEOUTS_IN_A_ROW_MAX: u32 = 3;
/// How often a connection is tried and the clock corrected, with or without other work.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// An open connection, and whether it still is one.
struct Live {
    link: Link,
    timeouts_in_a_row: AtomicU32,
    gone: Arc<AtomicBool>,
}

/// How many slots are live, for the metric.
#[derive(Debug)]
pub(super) struct Liveness {
    live: AtomicUsize,
    /// Whether the last write that grows something was refused.
    full: AtomicBool,
    pub metrics: Arc<Metrics>,
}

impl Liveness {
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            live: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            metrics,
        })
    }

    /// Whether Redis takes no more data, as far as was heard.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Something was refused because Redis is full, or something large was taken.
    pub fn tell_full(&self, full: bool) {
        if self.full.swap(full, Ordering::Relaxed) != full {
            self.metrics.redis_full.set(i64::from(full));
            if full {
                tracing::error!("redis is full: what is kept stays, and nothing new is taken");
            } else {
                tracing::info!("redis takes data again");
            }
        }
    }

    fn count(&self, up: bool) {
        let live = if up {
            self.live.fetch_add(1, Ordering::Relaxed) + 1
        } else {
            self.live.fetch_sub(1, Ordering::Relaxed) - 1
        };
        self.metrics.redis_up.set(i64::from(live > 0));
    }
}

struct Slot {
    server: Server,
    live: ArcSwapOption<Live>,
    /// Wakes the supervising task: the live connection may be gone.
    doubted: Arc<Notify>,
    liveness: Arc<Liveness>,
}

/// One slot. Dropping it ends its task and closes its connection.
pub(super) struct Connection {
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
    pub fn start(server: Server, liveness: Arc<Liveness>, clock: Option<Arc<Clock>>) -> Self {
        let slot = Slot::new(server, liveness);
        let supervisor = tokio::spawn(slot.clone().supervise(clock));
        Self { slot, supervisor }
    }

    /// A slot whose first connection is open when this returns.
    pub async fn open(server: Server, liveness: Arc<Liveness>, clock: Option<Arc<Clock>>) -> RedisResult<Self> {
        let slot = Slot::new(server, liveness);
        slot.connect().await?;
        let supervisor = tokio::spawn(slot.clone().supervise(clock));
        Ok(Self { slot, supervisor })
    }

    /// Whether a call has a connection to go through.
    pub fn is_live(&self) -> bool {
        self.slot.live().is_some()
    }

    /// Whether the server lets what is sent have no replies, see [`Commands::begin_quiet`].
    pub fn keeps_quiet(&self) -> bool {
        self.slot.live().is_some_and(|live| live.link.keeps_quiet())
    }

    /// A call was not even sent.
    pub fn count_refused(&self) {
        self.slot.liveness.metrics.redis_errors.inc();
    }

    /// Sends commands in one turn and waits for all replies, errors of single commands among them, each as it came.
    pub async fn ask(
        &self,
        operation: &'static str,
        commands: Commands,
        within: Duration,
    ) -> Result<Vec<Bytes>, StoreError> {
        self.slot.ask(operation, commands, within).await
    }

    /// The same, with the replies taken apart.
    pub async fn pipeline(
        &self,
        operation: &'static str,
        commands: Commands,
        within: Duration,
    ) -> Result<Vec<Value>, StoreError> {
        let replies = self.slot.ask(operation, commands, within).await?;
        replies.iter().map(|bytes| reply::value(bytes, operation)).collect()
    }

    /// Sends one command.
    pub async fn command(&self, operation: &'static str, command: &Cmd, within: Duration) -> Result<Value, StoreError> {
        self.slot.command(operation, command, within).await
    }

    /// Runs a script, which the server may not know yet.
    pub async fn script(
        &self,
        operation: &'static str,
        script: &Script,
        call: &Cmd,
        within: Duration,
    ) -> Result<Value, StoreError> {
        let reply = self.command(operation, call, within).await?;
        if !is_unknown_script(&reply) {
            return Ok(reply);
        }
        self.command(operation, &script.load(), within).await?;
        self.command(operation, call, within).await
    }

    /// Runs one script several times in one turn.
    pub async fn scripts(
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
        self.command(operation, &script.load(), within).await?;
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

    async fn connect(&self) -> RedisResult<()> {
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
        self.live.store(Some(Arc::new(Live {
            link,
            timeouts_in_a_row: AtomicU32::new(0),
            gone,
        })));
        self.liveness.count(true);
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
            return Err(StoreError::Unavailable {
                operation,
                source: None,
            });
        };
        let asked = Instant::now();
        let error = match live.link.ask(commands, within).await {
            Ok(replies) => {
                metrics.redis_seconds.observe(asked.elapsed().as_secs_f64());
                live.timeouts_in_a_row.store(0, Ordering::Relaxed);
                for refused in replies.iter().filter(|reply| resp::is_error(reply)) {
                    self.hear_refusal(&live, &reply::value(refused, operation)?);
                }
                return Ok(replies);
            }
            Err(error) => error,
        };
        let is_over = match error {
            NoAnswer::Lost => true,
            NoAnswer::Late => live.timeouts_in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_IN_A_ROW_MAX,
        };
        if is_over {
            self.give_up(&live);
        }
        metrics.redis_errors.inc();
        Err(StoreError::unavailable(operation, error))
    }

    /// What an error says of the server, whatever was asked.
    fn hear_refusal(&self, live: &Live, refused: &Value) {
        let Value::ServerError(error) = refused else {
            return;
        };
        if needs_new_connection(error) {
            self.give_up(live);
        }
        if error.code() == "OOM" {
            self.liveness.tell_full(true);
        }
    }

    /// Keeps the slot filled, until aborted.
    async fn supervise(self: Arc<Self>, clock: Option<Arc<Clock>>) {
        loop {
            if self.live.load().is_some() {
                self.watch(clock.as_deref()).await;
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
    async fn watch(&self, clock: Option<&Clock>) {
        let time = redis::cmd("TIME");
        while self.live().is_some() {
            if timeout(HEARTBEAT, self.doubted.notified()).await.is_ok() {
                continue;
            }
            let asked = Instant::now();
            // A failure has been counted: several in a row end this connection.
            if let Ok(reply) = self.command("heartbeat", &time, HEARTBEAT).await
                && let (Some(clock), Some(redis_us)) = (clock, time_us(reply))
            {
                clock.measure(asked, Instant::now(), redis_us);
            }
        }
    }
}
