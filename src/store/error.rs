//! Errors of a call, named for what the caller does next; and refusals, as Redis words them.

use std::sync::Arc;

use redis::{RedisError, ServerError};

use crate::telemetry::RedisCode;

/// The chain of what lies behind an error.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a call to Redis did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Redis could not be reached, or did not answer in time. Serve from memory, try later.
    #[error("redis is unavailable ({operation})")]
    Unavailable {
        /// The operation.
        operation: &'static str,
        /// Why, where more is known than that no connection is open.
        #[source]
        source: Option<Cause>,
    },
    /// Redis takes no more data. Keep the old generation, try later.
    #[error("redis is full ({operation})")]
    Full {
        /// The operation.
        operation: &'static str,
    },
    /// Redis answers, but refuses the command: its disk is full, it became a replica, a right is missing. Serve what is kept.
    #[error("redis refuses ({operation}): {sentence}")]
    Refusing {
        /// The operation.
        operation: &'static str,
        /// Redis's code.
        code: RedisCode,
        /// Redis's own words.
        sentence: Arc<str>,
    },
    /// Redis sends more than one call may bring, so the connection was closed. Nothing of it was kept.
    #[error("redis sends more than redis.reply_max ({operation})")]
    TooLarge {
        /// The operation.
        operation: &'static str,
    },
    /// A key holds what this version did not write. Drop the generation and build it anew.
    #[error("unreadable value at `{key}`: {reason}")]
    Corrupt {
        /// The key.
        key: String,
        /// The error of its value.
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

    /// The meaning of the server's own error; `key` is the one the command was about.
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

/// Characters of Redis's sentence that are kept.
const SENTENCE_CHARS_MAX: usize = 300;

/// A refusal as Redis words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: RedisCode,
    pub sentence: Arc<str>,
}

impl Refusal {
    /// The refusal in an error of the server. `None` for errors that are states of their own, or say nothing of the server: full,
    /// a key of another type, a script that must be loaded, a key that is not there, a transaction whose cause came before.
    pub(crate) fn of(error: &ServerError) -> Option<Self> {
        Self::read(error.code(), error.details().unwrap_or_default())
    }

    /// The same for an error of the crate; `None` where it is not the server's.
    pub(crate) fn of_error(error: &RedisError) -> Option<Self> {
        Self::read(error.code()?, error.detail().unwrap_or_default())
    }

    fn read(code: &str, details: &str) -> Option<Self> {
        const IN_SCRIPTS: [&str; 2] = ["The user executing the script can't", "ACL failure in script"];
        let known = match code {
            "OOM" | "WRONGTYPE" | "NOSCRIPT" | "EXECABORT" => return None,
            "ERR" if details.starts_with("no such key") => return None,
            // So Redis 7.0 and later ones call NOPERM where a script is what lacks the right.
            "ERR" if IN_SCRIPTS.iter().any(|begin| details.starts_with(begin)) => RedisCode::NoPerm,
            code => RedisCode::parse(code),
        };
        Some(Self {
            code: known,
            sentence: sentence(code, details),
        })
    }
}

/// Without what may hold a secret (the arguments of a command that the server does not know), or changes from call to call.
fn sentence(code: &str, details: &str) -> Arc<str> {
    let arguments = details.find(", with args beginning with");
    // "… script: <hash>, on @user_script:<line>."
    let place = details
        .find(", on @user_script")
        .and_then(|end| details[..end].rfind(" script: "));
    let end = arguments.into_iter().chain(place).min().unwrap_or(details.len());
    let visible = details[..end].chars().filter(|character| !character.is_control());
    let text = format!("{code} {}", visible.collect::<String>().trim());
    text.trim_end()
        .chars()
        .take(SENTENCE_CHARS_MAX)
        .collect::<String>()
        .into()
}

/// Whether the code speaks of the server, not of one command.
pub(super) fn code_is_of_server(code: RedisCode) -> bool {
    matches!(
        code,
        RedisCode::Misconf
            | RedisCode::ReadOnly
            | RedisCode::NoReplicas
            | RedisCode::MasterDown
            | RedisCode::ClusterDown
            | RedisCode::Loading
            | RedisCode::Busy
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<(&'static str, String)> {
        let redis::Value::ServerError(error) = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap()
        else {
            panic!("{line} is no error");
        };
        let refusal = Refusal::of(&error)?;
        // The same for errors of the crate.
        assert_eq!(Refusal::of_error(&error.into()), Some(refusal.clone()));
        Some((refusal.code.as_str(), refusal.sentence.to_string()))
    }

    #[test]
    fn each_code_is_told_with_redis_own_words() {
        for (line, code, sentence) in [
            (
                "MISCONF Redis is configured to save",
                "MISCONF",
                "MISCONF Redis is configured to save",
            ),
            (
                "READONLY You can't write against a read only replica. script: beef, on @user_script:1.",
                "READONLY",
                "READONLY You can't write against a read only replica.",
            ),
            (
                "ERR The user executing the script can't publish to the channel mentioned in the command script: 75, on @user_script:1.",
                "NOPERM",
                "ERR The user executing the script can't publish to the channel mentioned in the command",
            ),
            (
                "ERR ACL failure in script: no right",
                "NOPERM",
                "ERR ACL failure in script: no right",
            ),
            ("MOVED 866 10.0.0.7:6379", "MOVED", "MOVED 866 10.0.0.7:6379"),
            (
                "CROSSSLOT Keys in request don't hash",
                "CROSSSLOT",
                "CROSSSLOT Keys in request don't hash",
            ),
            ("STALE a proxy's own", "other", "STALE a proxy's own"),
            // Arguments may hold a password.
            (
                "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'app' 'secret'",
                "other",
                "ERR unknown command 'HELLO'",
            ),
        ] {
            assert_eq!(of(line), Some((code, sentence.to_owned())), "{line}");
        }
        for none in [
            "OOM no",
            "WRONGTYPE no",
            "NOSCRIPT no",
            "EXECABORT no",
            "ERR no such key",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(
            of(&format!("BUSY {}", "x".repeat(5000))).unwrap().1.len(),
            SENTENCE_CHARS_MAX
        );
    }
}
