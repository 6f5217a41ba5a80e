//! Holds the model to Redis: both are given the same commands, and must say the same.

use redis::{Cmd, Value};

use super::data::Data;
use crate::store::private_server::PrivateServer;

const COMMANDS: u32 = 4000;
/// By the model's clock; lives are long, so that nothing lapses on either side.
const NOW: u64 = 1_800_000_000_000_000;

type Bytes = Vec<u8>;

struct Commands(fastrand::Rng);

impl Commands {
    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.usize(..of.len())]
    }

    /// Keys of all types: many commands meet a key of another one.
    fn key(&mut self) -> &'static str {
        self.one_of(&["a", "b", "c", "d", "e", "f", "g"])
    }

    fn number(&mut self) -> String {
        self.0.u32(..6).to_string()
    }

    fn entry_id(&mut self) -> String {
        format!("0-{}", self.0.u32(1..40))
    }

    fn next(&mut self) -> Vec<String> {
        let key = self.key().to_owned();
        let name = self.one_of(&[
            "EXISTS",
            "TYPE",
            "DEL",
            "UNLINK",
            "PTTL",
            "PEXPIRE",
            "ZREMRANGEBYSCORE",
            "GET",
            "SET",
            "HGET",
            "HMGET",
            "HSET",
            "HDEL",
            "HLEN",
            "HINCRBY",
            "ZADD",
            "ZREM",
            "ZCARD",
            "ZSCORE",
            "ZRANGE",
            "XLEN",
            "XADD",
            "XADD",
            "XADD",
            "XRANGE",
            "XREVRANGE",
            "XREAD",
        ]);
        let mut command = vec![name.to_owned(), key.clone()];
        let mut more = |parts: &[&str]| command.extend(parts.iter().map(|part| (*part).to_owned()));
        match name {
            "PEXPIRE" => {
                // Far apart, for time goes on over there.
                let life = self.0.u64(1..9) * 1_000_000 + self.0.u64(..900) * 1000;
                more(&[&life.to_string()]);
                let flag = self.one_of(&["", "GT", "NX", "LT"]);
                if !flag.is_empty() {
                    more(&[flag]);
                }
            }
            "SET" => {
                more(&[&self.number()]);
                if self.0.bool() {
                    more(&["NX"]);
                }
                if self.0.bool() {
                    more(&["PX", "1000000"]);
                }
            }
            "HGET" => more(&[&self.number()]),
            "HMGET" | "HDEL" => more(&[&self.number(), &self.number()]),
            "HSET" => more(&[&self.number(), &self.number()]),
            "HINCRBY" => more(&[&self.number(), "3"]),
            "ZADD" => {
                let flag = self.one_of(&["", "NX", "XX", "LT", "GT"]);
                if !flag.is_empty() {
                    more(&[flag]);
                }
                more(&[&self.number(), &self.number()]);
            }
            "ZREMRANGEBYSCORE" => more(&["-inf", &self.number()]),
            "ZREM" | "ZSCORE" => more(&[&self.number()]),
            "ZRANGE" => match self.0.u32(..4) {
                3 => more(&[&self.number(), "+inf", "BYSCORE"]),
                0 => more(&["0", "-1", "WITHSCORES"]),
                1 => more(&["-inf", &self.number(), "BYSCORE", "LIMIT", "0", &self.number()]),
                _ => {
                    let above = format!("({}", self.number());
                    more(&[&above, "+inf", "BYSCORE", "LIMIT", "0", &self.number(), "WITHSCORES"]);
                }
            },
            "XADD" => {
                if self.0.u32(..4) == 0 {
                    more(&["NOMKSTREAM"]);
                }
                if self.0.u32(..4) == 0 {
                    more(&["MAXLEN", "=", "5"]);
                } else if self.0.u32(..4) == 0 {
                    let from = self.entry_id();
                    more(&["MINID", "=", &from]);
                }
                more(&[&self.entry_id(), &self.number(), &self.number()]);
            }
            "XRANGE" => {
                let above = self.one_of(&["", "("]).to_owned() + &self.entry_id();
                more(&[&above, "+"]);
                if self.0.bool() {
                    more(&["COUNT", "3"]);
                }
            }
            "XREVRANGE" => more(&["+", "-", "COUNT", "2"]),
            "XREAD" => {
                command = vec![
                    "XREAD".into(),
                    "COUNT".into(),
                    "3".into(),
                    "STREAMS".into(),
                    key,
                    self.entry_id(),
                ];
            }
            _ => {}
        }
        command
    }
}

/// Both as text. Protocols differ in how they write a score, and errors in their words.
fn told(value: Value) -> String {
    match value {
        Value::Double(score) => told(Value::BulkString(score.to_string().into())),
        Value::ServerError(error) => format!("error {}", error.code()),
        Value::Array(values) => format!("{:?}", values.into_iter().map(told).collect::<Vec<_>>()),
        Value::Map(pairs) => format!(
            "{:?}",
            pairs
                .into_iter()
                .map(|(key, value)| (told(key), told(value)))
                .collect::<Vec<_>>()
        ),
        Value::Okay => "OK".into(),
        Value::BulkString(text) => String::from_utf8(text).unwrap(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn the_model_agrees_with_redis() {
    let redis = PrivateServer::start().await.unwrap();
    let url = format!("{}?protocol=resp3", redis.url());
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut model = Data::default();
    let mut commands = Commands(fastrand::Rng::with_seed(7));
    let (mut errors, mut answers) = (0, 0);
    for _ in 0..COMMANDS {
        let command = commands.next();
        let args: Vec<Bytes> = command.iter().map(|part| part.clone().into_bytes()).collect();
        let mut call = Cmd::new();
        for arg in &args {
            call.arg(arg);
        }
        let theirs = match call.query_async::<Value>(&mut connection).await {
            Ok(Value::Int(left)) if command[0] == "PTTL" && left > 0 => "some time".into(),
            Ok(value) => told(value),
            Err(error) => format!("error {}", error.code().unwrap_or("ERR")),
        };
        let ours = match model.run(NOW, &args, &mut Vec::new()) {
            Value::Int(left) if command[0] == "PTTL" && left > 0 => "some time".into(),
            value => told(value),
        };
        assert_eq!(ours, theirs, "{command:?}");
        if ours.starts_with("error") {
            errors += 1;
        } else {
            answers += 1;
        }
    }
    assert!(errors > 200 && answers > 2000, "{errors} errors, {answers} answers");
}
