//! The subscriber: one connection that listens, and reads the log after a gap.
//!
//! The crate's ConnectionManager stays deaf once it has given up reconnecting, so this is a loop of our own. It subscribes first; then
//! it reads the log, from and including the last entry applied, while messages wait; then it follows messages. Each message names the
//! entry before it, so the next one shows a gap. When no message comes, the log itself is compared every second. So a silent loss is
//! repaired within a second.
//!
//! Messages and commands share one connection (RESP3), so a reading of the log and the messages round it come from one
//! server. Not for sharded Pub/Sub: its unsolicited confirmations would be taken for replies.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{Pipeline, PushInfo, PushKind, RedisError, Value, aio::MultiplexedConnection};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    followed_logs::{Followed, FollowedLogs, Next},
    log::{Reading, decode_newest, decode_reading, read_log, read_newest},
    log_position::LogPosition,
};
use crate::store::{
    access::Access,
    error::{Cause, Refusal},
    health::{liveness::Liveness, refusals::SUBSCRIBE},
    layout::{
        announcements::Heard,
        keys::{Keys, Partition},
    },
    wire::{
        address::{BackOff, Server},
        info::{info_field, info_text},
        reply,
    },
};

/// How often the connection is tried; every other time by comparing the logs.
const PING_EVERY: Duration = Duration::from_millis(500);
/// A server that takes longer is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(700);
/// Messages that wait for us. When more come the subscription is begun anew and the log read: nothing is lost.
const MESSAGES_WAITING_MAX: usize = 4096;
/// The news that wait for the engine. When it is full we wait, and messages queue up behind us.
const HEARD_WAITING_MAX: usize = 1024;

/// While there is no subscription this is told so often.
const DEAF_WARN_EVERY: Duration = Duration::from_secs(60);

/// Why the subscription ended.
type Failed = Cause;

/// The messages from the connection's own task, which must not wait.
enum Pushed {
    Message(Vec<u8>),
    Closed,
}

/// A check under way; a comparison carries the positions it began at.
type Check = Pin<Box<dyn Future<Output = Result<Option<Reading>, Failed>> + Send>>;

/// Follows one server's announcements after another's.
struct Subscriber {
    server: Server,
    liveness: Arc<Liveness>,
    keys: Keys,
    heard: mpsc::Sender<Heard>,
    logs: FollowedLogs,
    /// From when on it is told that there is no subscription.
    warn_at: Instant,
}

/// Starts the subscriber, which ends when the receiver is dropped.
pub(crate) fn start(access: &Access) -> mpsc::Receiver<Heard> {
    let (heard, receiver) = mpsc::channel(HEARD_WAITING_MAX);
    let subscriber = Subscriber {
        server: access.server.clone(),
        liveness: access.liveness.clone(),
        keys: access.keys.clone(),
        heard,
        logs: FollowedLogs::new(access.seen.clone()),
        warn_at: Instant::now(),
    };
    access.liveness.tell_subscribed(false);
    access.runtime.spawn(subscriber.run());
    receiver
}

impl Subscriber {
    async fn run(mut self) {
        let heard = self.heard.clone();
        let mut back_off = BackOff::new();
        loop {
            let failed = tokio::select! {
                () = heard.closed() => return,
                failed = self.follow(&mut back_off) => failed,
            };
            self.liveness.tell_subscribed(false);
            if let Some(refusal) = failed.downcast_ref::<RedisError>().and_then(Refusal::of_error) {
                self.liveness.refusals.heard(SUBSCRIBE, &refusal);
            }
            if self.warn_at <= Instant::now() {
                self.warn_at = Instant::now() + DEAF_WARN_EVERY;
                tracing::warn!(
                    error = &*failed,
                    "not subscribed to announcements: publishes of other nodes are seen only when heads are read again"
                );
            } else {
                tracing::debug!(error = &*failed, "not subscribed");
            }
            tokio::select! {
                () = heard.closed() => return,
                () = back_off.pause() => {}
            }
        }
    }

    /// Subscribes and follows until something fails.
    async fn follow(&mut self, back_off: &mut BackOff) -> Failed {
        match self.try_follow(back_off).await {
            Ok(never) => match never {},
            Err(failed) => failed,
        }
    }

    async fn try_follow(&mut self, back_off: &mut BackOff) -> Result<std::convert::Infallible, Failed> {
        let (pushed, mut messages) = mpsc::channel(MESSAGES_WAITING_MAX);
        let overflown = Arc::new(AtomicBool::new(false));
        let overflow = overflown.clone();
        let (mut connection, meter) = self
            .server
            .open(move |push| {
                if let Some(push) = message_of(push)
                    && pushed.try_send(push).is_err()
                {
                    overflow.store(true, Ordering::Release);
                }
            })
            .await?;
        timeout(ANSWER_TIMEOUT, connection.subscribe(self.keys.channel())).await??;
        self.resume(&mut connection).await?;
        *back_off = BackOff::new();
        self.warn_at = Instant::now();
        self.liveness.tell_subscribed(true);
        self.liveness.refusals.succeeded(SUBSCRIBE);
        tracing::info!("following announcements");

        let mut tick = interval(PING_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut check: Option<Check> = None;
        let mut compare = false;
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Pushed::Message(message)) => self.hear(&mut connection, &message).await?,
                    Some(Pushed::Closed) | None => return Err("the connection was closed".into()),
                },
                checked = running(&mut check) => {
                    check = None;
                    if let Some(reading) = checked? {
                        self.take(&mut connection, reading).await?;
                    }
                }
                _ = tick.tick(), if check.is_none() => {
                    meter.reset();
                    check = Some(if compare { self.compare(&connection) } else { ping(&connection) });
                    compare = !compare;
                }
            }
            if overflown.load(Ordering::Acquire) {
                return Err("more messages than can wait".into());
            }
        }
    }

    /// Once subscribed: applies what was missed, or begins a new epoch where that cannot be told.
    async fn resume(&mut self, connection: &mut MultiplexedConnection) -> Result<(), Failed> {
        let info = ask(connection, Pipeline::new().cmd("INFO").arg("server")).await?;
        let info = info.into_iter().next().and_then(info_text).unwrap_or_default();
        let next = self.logs.resume(Followed {
            run_id: info_field(&info, "run_id").map(str::to_owned),
        });
        self.go_on(connection, next).await
    }

    async fn hear(&mut self, connection: &mut MultiplexedConnection, message: &[u8]) -> Result<(), Failed> {
        let mut heard = Vec::new();
        let next = self.logs.hear(message, &mut heard);
        self.tell(heard).await?;
        self.go_on(connection, next).await
    }

    /// Takes a comparison: usually nothing was missed.
    async fn take(&mut self, connection: &mut MultiplexedConnection, reading: Reading) -> Result<(), Failed> {
        let mut heard = Vec::new();
        let next = self.logs.take(reading, &mut heard);
        self.tell(heard).await?;
        self.go_on(connection, next).await
    }

    /// Does what is next, until there is nothing but to listen.
    async fn go_on(&mut self, connection: &mut MultiplexedConnection, mut next: Next) -> Result<(), Failed> {
        loop {
            let mut heard = Vec::new();
            next = match next {
                Next::Listen => return Ok(()),
                Next::Read(partitions) => {
                    let (positions, commands) = self.reading_of(&partitions);
                    let reading = decode_reading(&positions, ask(connection, &commands).await?)?;
                    self.logs.take(reading, &mut heard)
                }
                Next::BeginEpoch => {
                    let newest = ask(connection, &self.newest()).await?;
                    let newest = newest.into_iter().map(decode_newest).collect::<Result<_, _>>()?;
                    tracing::info!("new epoch: announcements may have been missed");
                    heard.push(self.logs.begin_epoch(newest));
                    Next::Listen
                }
            };
            self.tell(heard).await?;
        }
    }

    async fn tell(&self, heard: Vec<Heard>) -> Result<(), Failed> {
        for heard in heard {
            self.heard.send(heard).await.map_err(|_| "nobody listens")?;
        }
        Ok(())
    }

    fn newest(&self) -> Pipeline {
        let mut newest = Pipeline::new();
        for partition in Partition::all() {
            newest.add_command(read_newest(&self.keys.log(partition)));
        }
        newest
    }

    /// One XREAD a log, for in a cluster a command may touch one only.
    fn reading_of(&self, partitions: &[Partition]) -> (Vec<(Partition, LogPosition)>, Pipeline) {
        let positions = self.logs.positions_of(partitions);
        let mut commands = Pipeline::new();
        for (partition, position) in &positions {
            commands.add_command(read_log(&self.keys.log(*partition), *position));
        }
        (positions, commands)
    }

    fn compare(&self, connection: &MultiplexedConnection) -> Check {
        let (positions, commands) = self.reading_of(&Partition::all().collect::<Vec<_>>());
        let mut connection = connection.clone();
        Box::pin(async move {
            let replies = ask(&mut connection, &commands).await?;
            decode_reading(&positions, replies).map(Some)
        })
    }
}

fn ping(connection: &MultiplexedConnection) -> Check {
    let mut connection = connection.clone();
    Box::pin(async move {
        ask(&mut connection, Pipeline::new().cmd("PING")).await?;
        Ok(None)
    })
}

/// Waits for the check under way; for ever where there is none.
async fn running(check: &mut Option<Check>) -> Result<Option<Reading>, Failed> {
    match check {
        Some(check) => check.await,
        None => std::future::pending().await,
    }
}

async fn ask(connection: &mut MultiplexedConnection, commands: &Pipeline) -> Result<Vec<Value>, Failed> {
    let replies = connection.send_packed_commands(commands, 0, commands.len());
    Ok(timeout(ANSWER_TIMEOUT, replies).await??)
}

fn message_of(push: PushInfo) -> Option<Pushed> {
    match push.kind {
        PushKind::Disconnection => Some(Pushed::Closed),
        // Channel and payload.
        PushKind::Message => push.data.into_iter().nth(1).and_then(reply::bytes).map(Pushed::Message),
        _ => None,
    }
}
