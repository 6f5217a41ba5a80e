//! The checks before a store is used: a server answers, it can be used, and the prefix has the layout of this version. Unwise
//! settings cause a warning only.

use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value, aio::MultiplexedConnection};
use tokio::time::timeout;

use super::{
    connect_error::ConnectError,
    error::Refusal,
    health::liveness::Liveness,
    layout::keys::{Keys, LAYOUT, PARTITIONS},
    rights, scripts,
    wire::{
        address::{BackOff, Server},
        clock::{Clock, time_us},
        connection::{Connection, Heartbeat},
        connections::Connections,
        info::{info_field, info_text},
        reply,
    },
};

/// How long a start waits for a server: long enough for one that is started together with us.
const WAIT: Duration = Duration::from_secs(3);
/// The least version: the commands in use have come by 7.0. Valkey calls itself 7.2.4 here.
const VERSION_LEAST: (u32, u32) = (7, 0);
/// Policies that evict what has no expiry, or what expires soonest: due times and logs, leases and heads.
const HARMFUL_POLICIES: [&str; 5] = [
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-lrm",
    "allkeys-random",
    "volatile-ttl",
];

/// The outcome of a successful start.
pub(super) struct Started {
    pub connections: Connections,
    pub clock: Arc<Clock>,
}

/// Connects and checks. Ends within [`WAIT`], and the little that a last call may take.
pub(super) async fn start(
    server: &Server,
    keys: &Keys,
    read_connections: usize,
    read_timeout: Duration,
    liveness: &Arc<Liveness>,
) -> Result<Started, ConnectError> {
    let deadline = Instant::now() + WAIT;
    let mut first = first_connection(server, deadline).await?;
    let mut asking = Asking {
        server,
        connection: &mut first,
        deadline,
    };
    asking.check_version().await?;
    check_rights(server, keys, deadline, liveness).await?;
    asking.claim_layout(keys).await?;
    asking.warn_of_settings().await;
    let clock = Arc::new(asking.clock().await?);

    let open = |dry_write| {
        let heartbeat = Heartbeat {
            clock: Some(clock.clone()),
            dry_write,
        };
        let connection = Connection::open(server.clone(), liveness.clone(), heartbeat);
        bounded(server, deadline, connection)
    };
    let reads = futures_util::future::try_join_all((0..read_connections.max(1)).map(|_| open(None))).await?;
    let (large, write) = (open(None).await?, open(Some(keys.nothing())).await?);
    Ok(Started {
        connections: Connections::new(reads, large, write, read_timeout),
        clock,
    })
}

/// On a connection of its own, for it is left in the middle of a transaction.
async fn check_rights(
    server: &Server,
    keys: &Keys,
    deadline: Instant,
    liveness: &Liveness,
) -> Result<(), ConnectError> {
    let (mut connection, _) = bounded(server, deadline, server.open(|_| {})).await?;
    let mut asking = Asking {
        server,
        connection: &mut connection,
        deadline,
    };
    let refused = |missing| ConnectError::MissingRights {
        address: server.address(),
        user: server.user().to_owned(),
        missing,
    };
    let missing = rights::transaction(&asking.ask_all(&rights::begin()).await?);
    if !missing.is_empty() {
        return Err(refused(missing));
    }
    let missing = rights::missing(keys, &asking.ask_all(&rights::try_all(keys)).await?);
    if !missing.needed.is_empty() {
        return Err(refused(missing.needed));
    }
    for (right, lost) in missing.optional {
        tracing::warn!(right, "redis refuses an optional right: {lost}");
    }
    for refusal in &missing.refused {
        liveness.refusals.heard("start", refusal);
    }
    Ok(())
}

async fn first_connection(server: &Server, deadline: Instant) -> Result<MultiplexedConnection, ConnectError> {
    let mut back_off = BackOff::new();
    loop {
        let answering = async {
            let (mut connection, _) = server.open(|_| {}).await?;
            // A server that still loads its data says hello already.
            match connection.send_packed_command(&redis::cmd("PING")).await? {
                Value::ServerError(error) if error.kind() == Some(ServerErrorKind::BusyLoading) => Err(error.into()),
                _ => Ok(connection),
            }
        };
        match bounded(server, deadline, answering).await {
            Err(error @ ConnectError::NoServer { .. }) => {
                if Instant::now() + BackOff::LONGEST >= deadline {
                    return Err(error);
                }
                back_off.pause().await;
            }
            other => return other,
        }
    }
}

/// Waits for one step of the start, until the deadline.
async fn bounded<T>(
    server: &Server,
    deadline: Instant,
    step: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, ConnectError> {
    let left = deadline.saturating_duration_since(Instant::now());
    // An attempt that has begun just before the deadline gets a moment even so.
    match timeout(left.max(Duration::from_millis(100)), step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(refused(server, error)),
        Err(elapsed) => Err(ConnectError::NoServer {
            address: server.address(),
            source: Some(elapsed.into()),
        }),
    }
}

/// Why no connection was opened.
pub(super) fn refused(server: &Server, error: RedisError) -> ConnectError {
    let address = server.address();
    let credentials =
        error.kind() == ErrorKind::AuthenticationFailed || matches!(error.code(), Some("WRONGPASS" | "NOAUTH"));
    if credentials {
        ConnectError::WrongPassword { address }
    } else {
        ConnectError::NoServer {
            address,
            source: Some(error.into()),
        }
    }
}

/// The questions of a start, each bounded.
struct Asking<'a> {
    server: &'a Server,
    connection: &'a mut MultiplexedConnection,
    deadline: Instant,
}

impl Asking<'_> {
    /// One command; an error of the server stays a value.
    async fn ask(&mut self, command: &Cmd) -> Result<Value, ConnectError> {
        bounded(self.server, self.deadline, self.connection.send_packed_command(command)).await
    }

    /// Several commands in one turn.
    async fn ask_all(&mut self, commands: &Pipeline) -> Result<Vec<Value>, ConnectError> {
        let asked = self.connection.send_packed_commands(commands, 0, commands.len());
        bounded(self.server, self.deadline, asked).await
    }

    async fn check_version(&mut self) -> Result<(), ConnectError> {
        let reply = self.ask(redis::cmd("INFO").arg("server")).await?;
        let Some(info) = info_text(reply) else {
            tracing::debug!("INFO is refused: the version of redis is not checked");
            return Ok(());
        };
        let found = info_field(&info, "redis_version").unwrap_or("unknown");
        if version_of(found) < VERSION_LEAST {
            return Err(ConnectError::TooOld {
                address: self.server.address(),
                found: found.to_owned(),
            });
        }
        Ok(())
    }

    async fn claim_layout(&mut self, keys: &Keys) -> Result<(), ConnectError> {
        let script = &scripts::CLAIM_LAYOUT;
        self.ask(&script.load()).await?;
        let mut call = script.call(&[keys.meta()]);
        let reply = self.ask(call.arg(LAYOUT).arg(PARTITIONS)).await?;
        let found = match reply {
            Value::ServerError(error) => {
                return Err(ConnectError::Unusable {
                    address: self.server.address(),
                    source: match Refusal::of(&error) {
                        Some(refusal) => refusal.sentence.to_string().into(),
                        None => RedisError::from(error).into(),
                    },
                });
            }
            reply => reply::array(reply).map(|found| found.into_iter().filter_map(reply::text).collect::<Vec<_>>()),
        };
        let found = found.and_then(|found| <[String; 2]>::try_from(found).ok());
        let [found_layout, found_partitions] = found.unwrap_or_else(|| ["?".into(), "?".into()]);
        if found_layout == LAYOUT.to_string() && found_partitions == PARTITIONS.to_string() {
            return Ok(());
        }
        Err(ConnectError::OtherLayout {
            prefix: keys.prefix().to_owned(),
            found_layout,
            found_partitions,
            layout: LAYOUT,
            partitions: PARTITIONS,
        })
    }

    /// Managed servers often refuse CONFIG GET: then there is nothing to say.
    async fn warn_of_settings(&mut self) {
        let mut questions = Pipeline::new();
        for pattern in ["lazyfree-lazy-*", "maxmemory*"] {
            questions.cmd("CONFIG").arg("GET").arg(pattern);
        }
        let Ok(replies) = self.ask_all(&questions).await else {
            return;
        };
        let settings: HashMap<String, String> = replies
            .into_iter()
            .filter_map(reply::pairs)
            .flatten()
            .filter_map(|(name, value)| Some((reply::text(name)?, reply::text(value)?)))
            .collect();

        let mut eager: Vec<&str> = settings
            .iter()
            .filter(|(name, value)| name.starts_with("lazyfree-lazy-") && *value == "no")
            .map(|(name, _)| name.as_str())
            .collect();
        eager.sort_unstable();
        if !eager.is_empty() {
            let settings = eager.join(" ");
            tracing::warn!(
                settings,
                "lazy freeing is off: replacing large listings stalls redis; set each of these to yes by CONFIG SET"
            );
        }
        let limited = settings.get("maxmemory").is_some_and(|bytes| bytes != "0");
        if let Some(policy) = settings.get("maxmemory-policy")
            && limited
            && HARMFUL_POLICIES.contains(&policy.as_str())
        {
            tracing::warn!(
                policy,
                "this maxmemory-policy evicts keys that must stay: use volatile-lfu or noeviction"
            );
        }
    }

    async fn clock(&mut self) -> Result<Clock, ConnectError> {
        let asked = Instant::now();
        let reply = self.ask(&redis::cmd("TIME")).await?;
        let redis_us = time_us(reply).ok_or_else(|| ConnectError::Unusable {
            address: self.server.address(),
            source: "TIME was refused".into(),
        })?;
        Ok(Clock::new(asked, Instant::now(), redis_us))
    }
}

/// Major and minor version; 0 where there is none.
fn version_of(found: &str) -> (u32, u32) {
    let mut numbers = found.split('.').map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_below_7_0_are_too_old() {
        for enough in ["7.0.0", "7.2.4", "8.2.3", "10.0", "255.255.255"] {
            assert!(version_of(enough) >= VERSION_LEAST, "{enough}");
        }
        for old in ["6.2.14", "2.8", "unknown", ""] {
            assert!(version_of(old) < VERSION_LEAST, "{old}");
        }
    }
}
