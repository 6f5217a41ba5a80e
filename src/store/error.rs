//! What can go wrong, named for what the caller does next.

use std::sync::Arc;

use redis::{RedisError, ServerError};

use super::{PARTITIONS, health::refusals::Refusal};
use crate::telemetry::RedisCode;

/// The chain of what lies behind an error.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a call to Redis did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Redis could not be reached, or did not answer in time. Serve what is at hand, try later.
    #[error("redis is unavailable ({operation})")]
    Unavailable {
        /// What was being done.
        operation: &'static str,
        /// Why, where more is known than that no connection is open.
        #[source]
        source: Option<Cause>,
    },
    /// Redis takes no more data. Keep the old generation, try later.
    #[error("redis is full ({operation})")]
    Full {
        /// What was being done.
        operation: &'static str,
    },
    /// Redis answers, but refuses the command: its disk is full, it became a replica, a right is missing. Serve what is kept.
    #[error("redis refuses ({operation}): {sentence}")]
    Refusing {
        /// What was being done.
        operation: &'static str,
        /// Redis's code.
        code: RedisCode,
        /// Redis's own words.
        sentence: Arc<str>,
    },
    /// Redis sends more than one call may bring, so the connection was closed. Nothing of it was kept.
    #[error("redis sends more than redis.reply_max ({operation})")]
    TooLarge {
        /// What was being done.
        operation: &'static str,
    },
    /// A key holds what this version did not write. Drop the generation and build it anew.
    #[error("unreadable value at `{key}`: {reason}")]
    Corrupt {
        /// The key.
        key: String,
        /// What is wrong with its value.
        reason: &'static str,
    },
}

impl StoreError {
    /// No connection is open, or an answer did not come in time.
    pub(super) fn unavailable(operation: &'static str, source: impl Into<Cause>) -> Self {
        Self::Unavailable {
            operation,
            source: Some(source.into()),
        }
    }

    /// A reply of a shape that the command does not have.
    pub(super) fn odd_reply(operation: &'static str) -> Self {
        Self::unavailable(operation, "redis sent a reply of an unexpected shape")
    }

    pub(super) fn corrupt(key: &str, reason: &'static str) -> Self {
        Self::Corrupt {
            key: key.to_owned(),
            reason,
        }
    }

    /// Redis answers, but refuses.
    pub(super) fn refusing(operation: &'static str, refusal: Refusal) -> Self {
        Self::Refusing {
            operation,
            code: refusal.code,
            sentence: refusal.sentence,
        }
    }

    /// What the server's own error means; `key` is the one the command was about.
    pub(super) fn from_server(error: ServerError, operation: &'static str, key: &str) -> Self {
        match error.code() {
            "OOM" => Self::Full { operation },
            "WRONGTYPE" => Self::corrupt(key, "a value of another type"),
            _ => match Refusal::of(&error) {
                Some(refusal) => Self::refusing(operation, refusal),
                None => Self::unavailable(operation, RedisError::from(error)),
            },
        }
    }
}

/// Why the store cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered within the start's bounded wait.
    #[error("no redis server answers at {address}")]
    NoServer {
        /// Host and port, or a socket's path; never a password.
        address: String,
        /// The last attempt's failure.
        #[source]
        source: Option<Cause>,
    },
    /// A password is missing or wrong.
    #[error("redis at {address} refused the credentials")]
    WrongPassword {
        /// Host and port, or a socket's path.
        address: String,
    },
    /// It answers, but refuses what cannot be done without: a replica, or a user who may not write.
    #[error("redis at {address} cannot be used")]
    Unusable {
        /// Host and port, or a socket's path.
        address: String,
        /// What the server said.
        #[source]
        source: Cause,
    },
    /// The user may not do all that is needed.
    #[error(
        "redis at {address} refuses rights that user `{user}` needs; run: ACL SETUSER {user} {}",
        missing.join(" ")
    )]
    MissingRights {
        /// Host and port, or a socket's path.
        address: String,
        /// The user's name.
        user: String,
        /// Words of `ACL SETUSER`.
        missing: Vec<String>,
    },
    /// Older than what the commands in use need.
    #[error("redis at {address} is version {found}; it must be 7.0 or newer")]
    TooOld {
        /// Host and port, or a socket's path.
        address: String,
        /// What the server says it is.
        found: String,
    },
    /// The prefix is in use by a version that lays its keys out otherwise.
    #[error(
        "prefix `{prefix}` holds layout {found_layout} with {found_partitions} partitions; this version has layout {layout} with {partitions}"
    )]
    OtherLayout {
        /// The configured prefix.
        prefix: String,
        /// The layout found.
        found_layout: String,
        /// The number of partitions found.
        found_partitions: String,
        /// This version's layout.
        layout: u32,
        /// This version's number of partitions.
        partitions: u8,
    },
    /// The URL cannot be understood.
    #[error("redis url: {0}")]
    BadUrl(String),
}

impl ConnectError {
    pub(super) fn other_layout(prefix: &str, found_layout: String, found_partitions: String) -> Self {
        Self::OtherLayout {
            prefix: prefix.to_owned(),
            found_layout,
            found_partitions,
            layout: super::layout::keys::LAYOUT,
            partitions: PARTITIONS,
        }
    }
}
