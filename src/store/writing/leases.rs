//! Leases: the right to refresh a family, for a short time and extended by heartbeat.
//!
//! The heartbeats of all leases run on a thread of their own, with a connection of their own. A refresh that keeps every worker busy, or
//! a large batch on the writing connection, must not lose its lease. A holder that dies is replaced when its lease lapses. A holder that
//! was paused sees by the clock that it is late; if it publishes even so, the script refuses, because the lease names another generation.

use std::{
    fmt,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value};
use tokio::{
    sync::{Notify, oneshot},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    listing::{Family, Generation},
    store::{
        access::Access,
        error::StoreError,
        health::liveness::Liveness,
        layout::numbers::nonce,
        scripts,
        wire::{
            address::Server,
            connection::{Connection, Heartbeat},
            reply,
        },
    },
};

/// How long a lease lasts without a heartbeat: with one drawn on demand after it, a dead holder is replaced within 2 s.
pub(super) const LEASE: Duration = Duration::from_millis(1200);
/// Three heartbeats a lease: two may be lost.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(400);
/// Between attempts to give leases back.
const RELEASE_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How long giving a lease back may take; it lapses anyway.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The time-limited right to refresh a family; extended by heartbeat until dropped or released.
pub struct Lease {
    held: Arc<Held>,
    keeper: Arc<Keeper>,
}

struct Held {
    key: String,
    /// `<owner> <generation>`: the key's value while the lease is ours.
    value: String,
    /// The lease lapses at the earliest then.
    until: Mutex<Instant>,
    /// The server said that it is not ours any more.
    taken: AtomicBool,
}

impl Lease {
    /// Whether the lease can no longer be ours.
    pub fn is_lost(&self) -> bool {
        self.held.taken.load(Ordering::Acquire) || Instant::now() >= *self.held.until.lock()
    }

    /// Gives the lease back now rather than when it lapses.
    pub async fn release(self) {
        let (done, returned) = oneshot::channel();
        self.keeper.give_back(&self.held, Some(done));
        // Unanswered where Redis is away: then it lapses.
        let _ = timeout(RELEASE_TIMEOUT, returned).await;
    }

    /// The value that publish compares with.
    pub(super) fn value(&self) -> &str {
        &self.held.value
    }

    pub(super) fn key(&self) -> &str {
        &self.held.key
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.give_back(&self.held, None);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({} {})", self.held.key, self.held.value)
    }
}

/// A lease on its way back, and who waits for it.
type Returned = (Arc<Held>, Option<oneshot::Sender<()>>);

struct Shared {
    server: Server,
    liveness: Arc<Liveness>,
    /// As many as refreshes run at once, which the engine bounds.
    held: Mutex<Vec<Arc<Held>>>,
    returned: Mutex<Vec<Returned>>,
    wake: Notify,
    stopping: AtomicBool,
}

/// Keeps the leases of a store alive. The thread ends with the last handle.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    started: Once,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }
}

impl Keeper {
    /// Starts nothing yet: the thread comes with the first lease.
    pub(super) fn new(server: Server, liveness: Arc<Liveness>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::new(Shared {
                server,
                liveness,
                held: Mutex::default(),
                returned: Mutex::default(),
                wake: Notify::new(),
                stopping: AtomicBool::new(false),
            }),
            started: Once::new(),
        })
    }

    /// Takes over a lease that was just granted; it was asked for at `asked`.
    pub(super) fn keep(self: &Arc<Self>, key: String, value: String, asked: Instant) -> Lease {
        self.started.call_once(|| {
            let shared = self.shared.clone();
            let thread = thread::Builder::new().name("leases".into());
            if let Err(error) = thread.spawn(move || run(&shared)) {
                tracing::error!(%error, "no thread for leases: refreshes longer than a lease will be refused");
            }
        });
        let held = Arc::new(Held {
            key,
            value,
            until: Mutex::new(asked + LEASE),
            taken: AtomicBool::new(false),
        });
        self.shared.held.lock().push(held.clone());
        Lease {
            held,
            keeper: self.clone(),
        }
    }

    /// The second time, from `Drop` after `release`, does nothing.
    fn give_back(&self, lease: &Arc<Held>, done: Option<oneshot::Sender<()>>) {
        let mut held = self.shared.held.lock();
        let Some(at) = held.iter().position(|held| Arc::ptr_eq(held, lease)) else {
            return;
        };
        let lease = held.swap_remove(at);
        drop(held);
        self.shared.returned.lock().push((lease, done));
        self.shared.wake.notify_one();
    }
}

fn run(shared: &Shared) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime for leases: refreshes longer than a lease will be refused");
            return;
        }
    };
    runtime.block_on(async {
        let connection = Connection::start(shared.server.clone(), shared.liveness.clone(), Heartbeat::default());
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = heartbeat.tick() => extend(shared, &connection).await,
                () = shared.wake.notified() => {
                    let done = release(shared, &connection).await;
                    if done && shared.stopping.load(Ordering::Acquire) {
                        return;
                    }
                }
            }
        }
    });
}

/// One heartbeat for all leases, in one turn.
async fn extend(shared: &Shared, connection: &Connection) {
    let held = shared.held.lock().clone();
    if held.is_empty() {
        return;
    }
    let mut calls = Pipeline::new();
    for lease in &held {
        calls.add_command(extending(&lease.key, &lease.value));
    }
    let asked = Instant::now();
    let extended = connection.scripts("extend leases", &scripts::EXTEND_LEASE, &calls, HEARTBEAT);
    match extended.await {
        Ok(replies) => {
            for (lease, reply) in held.iter().zip(replies) {
                match reply {
                    Value::Int(1) => *lease.until.lock() = asked + LEASE,
                    Value::Int(_) => lease.taken.store(true, Ordering::Release),
                    // An error says nothing about whose the lease is: time will tell.
                    _ => {}
                }
            }
        }
        Err(error) => tracing::debug!(%error, "leases not extended"),
    }
}

/// Gives back what was returned. Returns whether nothing is left: where there is no connection, as before the very first
/// one is open, it is tried again until the leases have lapsed anyway.
async fn release(shared: &Shared, connection: &Connection) -> bool {
    let mut returned = std::mem::take(&mut *shared.returned.lock());
    let now = Instant::now();
    returned.retain(|(lease, _)| *lease.until.lock() > now);
    if returned.is_empty() {
        return true;
    }
    let mut calls = Pipeline::new();
    for (lease, _) in &returned {
        calls.add_command(releasing(&lease.key, &lease.value));
    }
    let released = connection.scripts("release leases", &scripts::RELEASE_LEASE, &calls, HEARTBEAT);
    if let Err(error) = released.await {
        tracing::debug!(%error, "leases not released");
        shared.returned.lock().append(&mut returned);
        sleep(RELEASE_AGAIN_AFTER).await;
        shared.wake.notify_one();
        return false;
    }
    for done in returned.into_iter().filter_map(|(_, done)| done) {
        let _ = done.send(());
    }
    true
}

/// A heartbeat for one lease.
pub(crate) fn extending(key: &String, value: &str) -> Cmd {
    let mut call = scripts::EXTEND_LEASE.call(std::slice::from_ref(key));
    call.arg(value).arg(LEASE.as_millis() as u64);
    call
}

/// Gives one lease back.
pub(crate) fn releasing(key: &String, value: &str) -> Cmd {
    let mut call = scripts::RELEASE_LEASE.call(std::slice::from_ref(key));
    call.arg(value);
    call
}

/// Names one holding of one lease, in this process or another.
pub(super) fn owner_token() -> String {
    format!("{:08x}{:08x}{:08x}", nonce(), nonce(), nonce())
}

/// The state of a lease as `explain` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseState {
    /// The first generation of the refresh under way.
    pub generation: Generation,
    /// Until it lapses, unless it is extended.
    pub left: Duration,
}

/// Reads the lease of a family; `None` when nobody holds it.
pub(super) async fn state_of(access: &Access, family: &Family) -> Result<Option<LeaseState>, StoreError> {
    const OPERATION: &str = "read lease";
    let key = access.keys.lease(family);
    let mut turn = Pipeline::new();
    turn.cmd("GET").arg(&key).cmd("PTTL").arg(&key);
    let mut replies = access.redis.read(OPERATION, &turn).await?.into_iter();
    let value = reply::answered(replies.next().unwrap_or_default(), OPERATION, &key)?;
    let (Some(value), Some(left)) = (reply::text(value), reply::time_left(replies.next(), &key)?) else {
        return Ok(None);
    };
    let generation = value
        .split_once(' ')
        .and_then(|(_, generation)| generation.parse().ok());
    let generation = generation.ok_or_else(|| StoreError::corrupt(&key, "a lease without a generation"))?;
    Ok(Some(LeaseState { generation, left }))
}
