//! Streams: entries in the order of their ids.

use std::ops::Bound;

use redis::Value;

use super::{Bytes, Data, Kept, Stored, error, wrong_type};
use crate::store::simulated::values::{bulk, entry, number, parse_id, text, written_id};

impl Data {
    pub(super) fn xadd(&mut self, now_ms: u64, args: &[Bytes]) -> Value {
        let mut at = 1;
        let (mut keep, mut from) = (usize::MAX, (0, 0));
        loop {
            match text(&args[at]) {
                "NOMKSTREAM" => {
                    if !self.keys.contains_key(&args[0]) {
                        return Value::Nil;
                    }
                    at += 1;
                }
                "MAXLEN" => {
                    keep = number(&args[at + 2]);
                    at += 3;
                }
                "MINID" => {
                    from = parse_id(&args[at + 2]);
                    at += 3;
                }
                _ => break,
            }
        }
        let stream = made!(self, &args[0], Stream);
        let id = match text(&args[at]) {
            "*" if now_ms > stream.last.0 => (now_ms, 0),
            "*" => (stream.last.0, stream.last.1 + 1),
            _ => parse_id(&args[at]),
        };
        if id <= stream.last {
            return error("ERR The ID specified in XADD is equal or smaller than the target stream top item");
        }
        stream.entries.insert(id, args[at + 1..].to_vec());
        stream.last = id;
        while stream.entries.len() > keep {
            stream.entries.pop_first();
        }
        stream.entries = stream.entries.split_off(&from);
        bulk(written_id(id))
    }

    pub(super) fn xrange(
        &mut self,
        key: &[u8],
        [from, to]: [&[u8]; 2],
        limit: Option<&Bytes>,
        backwards: bool,
    ) -> Value {
        let Some(stream) = kept!(self, key, Stream) else {
            return Value::Array(Vec::new());
        };
        let from = match from {
            [b'(', from @ ..] => Bound::Excluded(parse_id(from)),
            from => Bound::Included(parse_id(from)),
        };
        let range = stream.entries.range((from, Bound::Included(parse_id(to))));
        let limit = limit.map_or(usize::MAX, |limit| number(limit));
        Value::Array(if backwards {
            range.rev().take(limit).map(entry).collect()
        } else {
            range.take(limit).map(entry).collect()
        })
    }

    pub(super) fn xread(&mut self, args: &[Bytes]) -> Value {
        let limit: usize = number(&args[1]);
        let Some(stream) = kept!(self, &args[3], Stream) else {
            return Value::Nil;
        };
        let after = (Bound::Excluded(parse_id(&args[4])), Bound::Unbounded);
        let entries: Vec<Value> = stream.entries.range(after).take(limit).map(entry).collect();
        match entries.is_empty() {
            true => Value::Nil,
            false => Value::Map(vec![(bulk(args[3].clone()), Value::Array(entries))]),
        }
    }
}
