//! The rights that the program needs of Redis, and the check at the start which of them are missing.
//!
//! `ACL DRYRUN` would need a right of its own. Instead each command is queued in a transaction that is never executed: Redis
//! judges command, keys and channel when it queues. A script needs the right to each command that it calls, so those commands stand
//! here too. `docs/redis-layout.md` has the same rights as a rule for `ACL SETUSER`; a test compares both with the sources.

use redis::{Cmd, Pipeline, Value};

use super::{
    error::{Refusal, code_is_of_server},
    layout::keys::Keys,
};
use crate::telemetry::RedisCode;

/// A right as `ACL SETUSER` names it, and a command that it allows. `{key}` is a key that never exists.
type Right = (&'static str, &'static str);

/// The rights of the transaction itself. Outside of one `EXEC` does nothing.
const EXEC: Right = ("exec", "EXEC");
const MULTI: Right = ("multi", "MULTI");

/// The program starts only where the user has all of these.
#[rustfmt::skip]
const NEEDED: [Right; 38] = [
    ("time", "TIME"),
    ("ping", "PING"),
    ("script|load", "SCRIPT LOAD return"),
    ("evalsha", "EVALSHA 0 0"),
    ("subscribe", "SUBSCRIBE {channel}"),
    ("publish", "PUBLISH {channel} message"),
    ("hmget", "HMGET {key} field"),
    ("hget", "HGET {key} field"),
    ("hgetall", "HGETALL {key}"),
    ("hset", "HSET {key} field value"),
    ("hdel", "HDEL {key} field"),
    ("hlen", "HLEN {key}"),
    ("hincrby", "HINCRBY {key} field 1"),
    ("get", "GET {key}"),
    ("set", "SET {key} value"),
    ("del", "DEL {key}"),
    ("unlink", "UNLINK {key}"),
    ("exists", "EXISTS {key}"),
    ("type", "TYPE {key}"),
    ("pexpire", "PEXPIRE {key} 1"),
    ("pexpireat", "PEXPIREAT {key} 1"),
    ("pttl", "PTTL {key}"),
    ("copy", "COPY {key} {key}"),
    ("rename", "RENAME {key} {key}"),
    ("memory|usage", "MEMORY USAGE {key}"),
    ("xadd", "XADD {key} * field value"),
    ("xlen", "XLEN {key}"),
    ("xrange", "XRANGE {key} - +"),
    ("xrevrange", "XREVRANGE {key} + -"),
    ("xread", "XREAD STREAMS {key} 0"),
    ("zadd", "ZADD {key} 1 member"),
    ("zrem", "ZREM {key} member"),
    ("zrange", "ZRANGE {key} 0 1"),
    ("zcard", "ZCARD {key}"),
    ("zscore", "ZSCORE {key} member"),
    ("zincrby", "ZINCRBY {key} 1 member"),
    ("zremrangebyrank", "ZREMRANGEBYRANK {key} 0 1"),
    ("zremrangebyscore", "ZREMRANGEBYSCORE {key} 0 1"),
];

/// The optional rights, and the loss without each.
const OPTIONAL: [(Right, &str); 2] = [
    (
        ("info", "INFO server"),
        "the version, the run id and the evictions of redis are not known",
    ),
    (
        ("client|reply", "CLIENT REPLY ON"),
        "large listings are written more slowly",
    ),
];

/// Rights that a user lacks, as words of `ACL SETUSER`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Without these the program cannot work.
    pub needed: Vec<String>,
    /// The others, each with what is lost.
    pub optional: Vec<(String, &'static str)>,
    /// Refusals because of the server's state, not of the user's rights.
    pub refused: Vec<Refusal>,
}

/// To be sent first. Their replies are taken apart by [`transaction`].
pub(super) fn begin() -> Pipeline {
    let mut turn = Pipeline::new();
    turn.cmd(EXEC.1).cmd(MULTI.1);
    turn
}

/// The missing rights of the transaction itself. If there is one, the rest must not be sent: it would be executed.
pub(super) fn transaction(replies: &[Value]) -> Vec<String> {
    let lacked = [EXEC, MULTI].iter().zip(replies).filter(|(_, reply)| is_lack(reply));
    lacked.map(|((rule, _), _)| format!("+{rule}")).collect()
}

/// Of EXEC it is the reason why a transaction is discarded.
fn is_lack(reply: &Value) -> bool {
    match reply {
        Value::ServerError(error) => {
            error.code() == "NOPERM" || error.details().is_some_and(|why| why.contains("NOPERM"))
        }
        _ => false,
    }
}

/// To be sent after [`begin`], on the same connection, which must be closed then.
pub(super) fn try_all(keys: &Keys) -> Pipeline {
    let (key, channel) = (keys.nothing(), keys.channel());
    let mut turn = Pipeline::new();
    for (_, command) in NEEDED.iter().chain(OPTIONAL.iter().map(|(right, _)| right)) {
        let mut queued = Cmd::new();
        for word in command.split(' ') {
            queued.arg(match word {
                "{key}" => &key,
                "{channel}" => &channel,
                word => word,
            });
        }
        turn.add_command(queued);
    }
    turn
}

/// Takes the replies to [`try_all`] apart.
pub(super) fn missing(keys: &Keys, replies: &[Value]) -> Missing {
    let (key_rule, channel_rule) = (format!("~{}:*", keys.prefix()), format!("&{}", keys.channel()));
    let lack = |right, reply| lack(right, reply, &key_rule, &channel_rule);
    let mut found = Missing::default();
    for (right, reply) in NEEDED.into_iter().zip(replies) {
        found.needed.extend(lack(right, reply));
    }
    for ((right, lost), reply) in OPTIONAL.into_iter().zip(replies.iter().skip(NEEDED.len())) {
        found.optional.extend(lack(right, reply).map(|rule| (rule, lost)));
    }
    found.needed.sort();
    found.needed.dedup();
    for refusal in replies.iter().filter_map(refusal_in) {
        if code_is_of_server(refusal.code) && found.refused.iter().all(|told| told.code != refusal.code) {
            found.refused.push(refusal);
        }
    }
    found
}

fn refusal_in(reply: &Value) -> Option<Refusal> {
    match reply {
        Value::ServerError(error) => Refusal::of(error),
        _ => None,
    }
}

/// The rule that the user lacks. Redis names it in words only.
fn lack((rule, _): Right, reply: &Value, key_rule: &str, channel_rule: &str) -> Option<String> {
    let refusal = refusal_in(reply).filter(|refusal| refusal.code == RedisCode::NoPerm)?;
    let about = |what: &str| refusal.sentence.contains(what);
    Some(match (about("to run the"), about("channel"), about("key")) {
        (false, true, _) => channel_rule.to_owned(),
        (false, false, true) => key_rule.to_owned(),
        _ => format!("+{rule}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_says_is_told_as_a_rule() {
        let said = |line: &str| {
            let reply = redis::parse_redis_value(format!("{line}\r\n").as_bytes()).unwrap();
            lack(("script|load", ""), &reply, "~p:*", "&p:c")
        };
        for (line, rule) in [
            (
                "-NOPERM this user has no permissions to run the 'script|load' command",
                Some("+script|load"),
            ),
            (
                "-NOPERM User app has no permissions to run the 'xinfo|stream' command",
                Some("+script|load"),
            ),
            (
                "-NOPERM this user has no permissions to access one of the keys used as arguments",
                Some("~p:*"),
            ),
            ("-NOPERM No permissions to access a key", Some("~p:*")),
            (
                "-NOPERM this user has no permissions to access one of the channels used as arguments",
                Some("&p:c"),
            ),
            ("-NOPERM No permissions to access a channel", Some("&p:c")),
            ("-MISCONF no disk", None),
            ("+QUEUED", None),
        ] {
            assert_eq!(said(line).as_deref(), rule, "{line}");
        }
    }
}
