//! The data of a Redis, and the commands that the store's scripts and turns use. Time is an argument.
//!
//! [`agreement`](super::agreement) gives the same commands to a real server.

use std::collections::{BTreeMap, HashMap};

use redis::Value;

use super::values::{Id, bulk, count, number, text};

type Bytes = Vec<u8>;

/// All keys.
#[derive(Clone, Default)]
pub(super) struct Data {
    keys: HashMap<Bytes, Stored>,
}

#[derive(Clone)]
struct Stored {
    kept: Kept,
    expires_at: Option<u64>,
}

#[derive(Clone)]
enum Kept {
    Text(Bytes),
    Hash(BTreeMap<Bytes, Bytes>),
    Stream(Stream),
    Sorted(BTreeMap<Bytes, f64>),
}

#[derive(Clone, Default)]
struct Stream {
    entries: BTreeMap<Id, Vec<Bytes>>,
    last: Id,
}

/// A message of a channel.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub payload: Bytes,
}

fn error(text: &str) -> Value {
    // Made by the crate's parser, for it gives no other way to make a server's error.
    redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap()
}

fn wrong_type() -> Value {
    error("WRONGTYPE Operation against a key holding the wrong kind of value")
}

/// Finds a key's value of one kind, or answers that it is of another.
macro_rules! kept {
    ($self:ident, $key:expr, $kind:ident) => {
        match $self.find($key) {
            None => None,
            Some(Stored {
                kept: Kept::$kind(kept),
                ..
            }) => Some(kept),
            Some(_) => return wrong_type(),
        }
    };
}

/// The same, made where it is not there.
macro_rules! made {
    ($self:ident, $key:expr, $kind:ident) => {{
        let empty = || Stored {
            kept: Kept::$kind(Default::default()),
            expires_at: None,
        };
        match &mut $self.keys.entry($key.to_vec()).or_insert_with(empty).kept {
            Kept::$kind(kept) => kept,
            _ => return wrong_type(),
        }
    }};
}

mod streams;

impl Data {
    fn find(&mut self, key: &[u8]) -> Option<&mut Stored> {
        self.keys.get_mut(key)
    }

    /// Every key that has no expiry, of those that begin with one of these.
    pub(super) fn without_expiry(&self, contains: &str) -> Option<String> {
        let found = self.keys.iter().find(|(key, stored)| {
            stored.expires_at.is_none() && text(key).contains(contains) && matches!(stored.kept, Kept::Stream(_))
        });
        found.map(|(key, _)| text(key).to_owned())
    }

    /// Does one command at `now`, in microseconds of the server's clock.
    pub(super) fn run(&mut self, now: u64, command: &[Bytes], published: &mut Vec<Published>) -> Value {
        let now_ms = now / 1000;
        let (name, args) = command.split_first().unwrap();
        for key in args.iter().take(if name == b"XREAD" { 0 } else { 1 }) {
            self.expire(key, now_ms);
        }
        match text(name) {
            "TIME" => Value::Array(vec![
                bulk((now / 1_000_000).to_string()),
                bulk((now % 1_000_000).to_string()),
            ]),
            "PING" => Value::SimpleString("PONG".into()),
            "PUBLISH" => {
                published.push(Published {
                    payload: args[1].clone(),
                });
                Value::Int(0)
            }
            "EXISTS" => count(usize::from(self.keys.contains_key(&args[0]))),
            "TYPE" => Value::SimpleString(
                match self.find(&args[0]).map(|stored| &stored.kept) {
                    None => "none",
                    Some(Kept::Text(_)) => "string",
                    Some(Kept::Hash(_)) => "hash",
                    Some(Kept::Stream(_)) => "stream",
                    Some(Kept::Sorted(_)) => "zset",
                }
                .into(),
            ),
            "DEL" | "UNLINK" => count(args.iter().filter(|key| self.keys.remove(*key).is_some()).count()),
            "PTTL" => Value::Int(match self.find(&args[0]) {
                None => -2,
                Some(Stored { expires_at: None, .. }) => -1,
                Some(Stored {
                    expires_at: Some(at), ..
                }) => i64::try_from(*at - now_ms).unwrap(),
            }),
            "PEXPIRE" | "PEXPIREAT" => {
                let from = if name == b"PEXPIRE" { now_ms } else { 0 };
                let at = from + number::<u64>(&args[1]);
                let greater = args.get(2).is_some_and(|flag| flag == b"GT");
                let first = args.get(2).is_some_and(|flag| flag == b"NX");
                let less = args.get(2).is_some_and(|flag| flag == b"LT");
                match self.find(&args[0]) {
                    // Without expiry is for ever, which nothing is greater than.
                    Some(stored) if greater && stored.expires_at.is_none_or(|before| before >= at) => Value::Int(0),
                    Some(stored) if first && stored.expires_at.is_some() => Value::Int(0),
                    Some(stored) if less && stored.expires_at.is_some_and(|before| before <= at) => Value::Int(0),
                    Some(stored) => {
                        stored.expires_at = Some(at);
                        Value::Int(1)
                    }
                    None => Value::Int(0),
                }
            }
            "GET" => kept!(self, &args[0], Text).map_or(Value::Nil, |text| bulk(text.clone())),
            "SET" => {
                let (first, flags) = match args.get(2).map(|flag| text(flag)) {
                    Some("NX") => (true, &args[3..]),
                    _ => (false, &args[2..]),
                };
                if first && self.keys.contains_key(&args[0]) {
                    return Value::Nil;
                }
                let expires_at = match flags.first().map(|flag| text(flag)) {
                    None => None,
                    Some("PX") => Some(now_ms + number::<u64>(&flags[1])),
                    Some(other) => panic!("SET {other}"),
                };
                let kept = Kept::Text(args[1].clone());
                self.keys.insert(args[0].clone(), Stored { kept, expires_at });
                Value::Okay
            }
            "HGET" => {
                let hash = kept!(self, &args[0], Hash);
                hash.and_then(|hash| hash.get(&args[1]).cloned())
                    .map_or(Value::Nil, bulk)
            }
            "HMGET" => {
                let hash = kept!(self, &args[0], Hash);
                let field = |field| hash.as_ref().and_then(|hash| hash.get(field).cloned());
                Value::Array(
                    args[1..]
                        .iter()
                        .map(|name| field(name).map_or(Value::Nil, bulk))
                        .collect(),
                )
            }
            "HSET" => {
                let hash = made!(self, &args[0], Hash);
                let pairs = args[1..].chunks(2);
                count(
                    pairs
                        .filter(|pair| hash.insert(pair[0].clone(), pair[1].clone()).is_none())
                        .count(),
                )
            }
            "HDEL" => {
                let Some(hash) = kept!(self, &args[0], Hash) else {
                    return Value::Int(0);
                };
                let removed = args[1..].iter().filter(|field| hash.remove(*field).is_some()).count();
                let empty = hash.is_empty();
                self.drop_if(&args[0], empty);
                count(removed)
            }
            "HLEN" => kept!(self, &args[0], Hash).map_or(Value::Int(0), |hash| count(hash.len())),
            "HINCRBY" => {
                let value = made!(self, &args[0], Hash).entry(args[1].clone()).or_default();
                let before: i64 = if value.is_empty() { 0 } else { number(value) };
                let after = before + number::<i64>(&args[2]);
                *value = after.to_string().into_bytes();
                Value::Int(after)
            }
            "ZADD" => self.zadd(args),
            "ZREM" => {
                let Some(set) = kept!(self, &args[0], Sorted) else {
                    return Value::Int(0);
                };
                let removed = args[1..].iter().filter(|member| set.remove(*member).is_some()).count();
                let empty = set.is_empty();
                self.drop_if(&args[0], empty);
                count(removed)
            }
            "ZCARD" => kept!(self, &args[0], Sorted).map_or(Value::Int(0), |set| count(set.len())),
            "ZSCORE" => {
                let set = kept!(self, &args[0], Sorted);
                set.and_then(|set| set.get(&args[1]).copied())
                    .map_or(Value::Nil, |score| bulk(score.to_string()))
            }
            "ZREMRANGEBYSCORE" => {
                assert_eq!(args[1], b"-inf", "ZREMRANGEBYSCORE");
                let most: f64 = number(&args[2]);
                let Some(set) = kept!(self, &args[0], Sorted) else {
                    return Value::Int(0);
                };
                let before = set.len();
                set.retain(|_, score| *score > most);
                let (removed, empty) = (before - set.len(), set.is_empty());
                self.drop_if(&args[0], empty);
                count(removed)
            }
            "ZRANGE" if args[1] == b"-1" && args[2] == b"-1" => {
                let Some(set) = kept!(self, &args[0], Sorted) else {
                    return Value::Array(Vec::new());
                };
                let last = set
                    .iter()
                    .max_by(|one, other| one.1.total_cmp(other.1).then_with(|| one.0.cmp(other.0)));
                // As scripts hear it: pairs lie flat.
                let told = last.map(|(member, score)| vec![bulk(member.clone()), bulk(score.to_string())]);
                Value::Array(told.unwrap_or_default())
            }
            "ZRANGE" if args[2] == b"-1" => {
                assert_eq!(
                    args[1..],
                    [b"0".to_vec(), b"-1".to_vec(), b"WITHSCORES".to_vec()],
                    "ZRANGE"
                );
                let set = kept!(self, &args[0], Sorted).map(|set| set.iter().collect::<Vec<_>>());
                let mut members = set.unwrap_or_default();
                members.sort_by(|one, other| one.1.total_cmp(other.1).then_with(|| one.0.cmp(other.0)));
                let told =
                    |(member, score): (&Bytes, &f64)| Value::Array(vec![bulk(member.clone()), bulk(score.to_string())]);
                Value::Array(members.into_iter().map(told).collect())
            }
            "ZRANGE" => {
                assert_eq!(args[3], b"BYSCORE", "ZRANGE");
                let (above, from, most) = match (text(&args[1]), text(&args[2])) {
                    (from, "+inf") if from.starts_with('(') => (true, number::<f64>(&args[1][1..]), f64::INFINITY),
                    ("-inf", most) => (false, f64::NEG_INFINITY, number(most.as_bytes())),
                    (from, "+inf") => (false, number(from.as_bytes()), f64::INFINITY),
                    other => panic!("ZRANGE {other:?}"),
                };
                // Behind LIMIT 0.
                let (limit, with_scores) = (args.get(6).map_or(usize::MAX, |limit| number(limit)), args.len() > 7);
                let Some(set) = kept!(self, &args[0], Sorted) else {
                    return Value::Array(Vec::new());
                };
                let mut members: Vec<(f64, &Bytes)> = set.iter().map(|(member, score)| (*score, member)).collect();
                members.retain(|(score, _)| *score <= most && if above { *score > from } else { *score >= from });
                members.sort_by(|one, other| one.0.total_cmp(&other.0).then_with(|| one.1.cmp(other.1)));
                let members = members.into_iter().take(limit);
                let told = |(score, member): (f64, &Bytes)| match with_scores {
                    true => Value::Array(vec![bulk(member.clone()), bulk(score.to_string())]),
                    false => bulk(member.clone()),
                };
                Value::Array(members.map(told).collect())
            }
            "XLEN" => kept!(self, &args[0], Stream).map_or(Value::Int(0), |stream| count(stream.entries.len())),
            "XADD" => self.xadd(now_ms, args),
            "XRANGE" => self.xrange(&args[0], [&args[1], &args[2]], args.get(4), false),
            "XREVRANGE" => self.xrange(&args[0], [&args[2], &args[1]], args.get(4), true),
            "XREAD" => {
                self.expire(&args[3], now_ms);
                self.xread(args)
            }
            other => panic!("the model does not know {other}"),
        }
    }

    fn expire(&mut self, key: &[u8], now_ms: u64) {
        let lapsed = |stored: &Stored| stored.expires_at.is_some_and(|at| at <= now_ms);
        if self.keys.get(key).is_some_and(lapsed) {
            self.keys.remove(key);
        }
    }

    fn drop_if(&mut self, key: &[u8], empty: bool) {
        if empty {
            self.keys.remove(key);
        }
    }

    fn zadd(&mut self, args: &[Bytes]) -> Value {
        let (flag, rest) = match text(&args[1]) {
            flag @ ("NX" | "XX" | "LT" | "GT") => (flag, &args[2..]),
            _ => ("", &args[1..]),
        };
        if flag == "XX" && !self.keys.contains_key(&args[0]) {
            return Value::Int(0);
        }
        let set = made!(self, &args[0], Sorted);
        let mut added = 0;
        for pair in rest.chunks(2) {
            let score: f64 = number(&pair[0]);
            match (set.get_mut(&pair[1]), flag) {
                (Some(_), "NX") => {}
                (Some(before), "LT") => *before = before.min(score),
                (Some(before), "GT") => *before = before.max(score),
                (Some(before), _) => *before = score,
                (None, "XX") => {}
                (None, _) => {
                    set.insert(pair[1].clone(), score);
                    added += 1;
                }
            }
        }
        Value::Int(added)
    }
}
