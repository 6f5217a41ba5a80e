//! A Redis that is a value: commands and the scripts themselves, one turn after the other.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use mlua::{Function, IntoLua, Lua, MultiValue};
use redis::{Cmd, Value};

use super::data::{Data, Published};
use crate::store::scripts;

/// Commands that are sent together.
#[derive(Clone)]
pub(crate) struct Turn(pub(in super::super) Vec<Cmd>);

impl Turn {
    /// Its first commands: where the connection breaks, a server may have done only these.
    pub(crate) fn part(&self, commands: usize) -> Self {
        Self(self.0.iter().take(commands).cloned().collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for command in self.0.iter().take(2) {
            let packed = command.get_packed_command();
            let text: String = String::from_utf8_lossy(&packed).replace("\r\n", " ");
            write!(f, "{} ", text.chars().take(300).collect::<String>())?;
        }
        Ok(())
    }
}

/// Their replies.
pub(crate) struct Replies(pub(in super::super) Vec<Value>);

/// The data that the commands of scripts work on too.
#[derive(Default)]
struct State {
    data: Data,
    now: u64,
    published: Vec<Published>,
}

/// One server. Its clock is set from outside.
pub(crate) struct Server {
    lua: Lua,
    scripts: HashMap<String, Function>,
    state: Rc<RefCell<State>>,
}

impl Server {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let lua = Lua::new();
        let state: Rc<RefCell<State>> = Rc::default();
        let api = lua.create_table().unwrap();
        for (name, protected) in [("call", false), ("pcall", true)] {
            let state = state.clone();
            let call = lua.create_function(move |lua, args: MultiValue| {
                let command: Vec<Vec<u8>> = args.into_iter().map(argument).collect();
                let mut state = state.borrow_mut();
                let State { data, now, published } = &mut *state;
                let reply = data.run(*now, &command, published);
                drop(state);
                match reply {
                    Value::ServerError(error) if !protected => Err(mlua::Error::runtime(error)),
                    reply => to_lua(lua, reply),
                }
            });
            api.set(name, call.unwrap()).unwrap();
        }
        // Every user of the model may do everything.
        let allowed = lua.create_function(|_, _: MultiValue| Ok(true)).unwrap();
        api.set("acl_check_cmd", allowed).unwrap();
        lua.globals().set("redis", api).unwrap();
        let load = |(hash, code): (String, &'static str)| (hash, lua.load(code).into_function().unwrap());
        Self {
            scripts: scripts::all().map(load).collect(),
            state,
            lua,
        }
    }

    /// Does a turn at `now`, in microseconds of the server's clock. Returns the replies, and what was published.
    pub(crate) fn run(&self, now: u64, turn: &Turn) -> (Replies, Vec<Vec<u8>>) {
        self.state.borrow_mut().now = now;
        let replies = turn.0.iter().map(|command| self.run_one(command)).collect();
        let published = std::mem::take(&mut self.state.borrow_mut().published);
        let payloads = published.into_iter().map(|message| message.payload);
        (Replies(replies), payloads.collect())
    }

    /// Everything that is kept, to go back to.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.state.borrow().data.clone())
    }

    /// Forgets everything but what is given.
    pub(crate) fn restore(&self, snapshot: Snapshot) {
        self.state.borrow_mut().data = snapshot.0;
    }

    /// A stream with this in its name that would never go away.
    pub(crate) fn stream_without_expiry(&self, contains: &str) -> Option<String> {
        self.state.borrow().data.without_expiry(contains)
    }

    fn run_one(&self, command: &Cmd) -> Value {
        let args: Vec<Vec<u8>> = command
            .args_iter()
            .map(|arg| match arg {
                redis::Arg::Simple(arg) => arg.to_vec(),
                _ => panic!("an argument that is no text"),
            })
            .collect();
        if args[0] == b"EVALSHA" {
            return self.run_script(&args[1..]);
        }
        let mut state = self.state.borrow_mut();
        let State { data, now, published } = &mut *state;
        data.run(*now, &args, published)
    }

    fn run_script(&self, args: &[Vec<u8>]) -> Value {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let keys: usize = text(&args[1]).parse().unwrap();
        let (keys, argv) = args[2..].split_at(keys);
        let list = |texts: &[Vec<u8>]| {
            let texts = texts.iter().map(|text| self.lua.create_string(text).unwrap());
            self.lua.create_sequence_from(texts).unwrap()
        };
        let globals = self.lua.globals();
        globals.raw_set("KEYS", list(keys)).unwrap();
        globals.raw_set("ARGV", list(argv)).unwrap();
        let reply: mlua::Value = self.scripts[&text(&args[0])].call(()).unwrap();
        from_lua(reply)
    }
}

/// The state of a server.
#[derive(Clone, Default)]
pub(crate) struct Snapshot(Data);

fn argument(value: mlua::Value) -> Vec<u8> {
    match value {
        mlua::Value::String(text) => text.as_bytes().to_vec(),
        mlua::Value::Integer(number) => number.to_string().into_bytes(),
        mlua::Value::Number(number) => number.to_string().into_bytes(),
        other => panic!("{other:?} is no argument of a command"),
    }
}

/// As Redis does it: <https://redis.io/docs/latest/develop/programmability/lua-api/>, "Data type conversion".
fn to_lua(lua: &Lua, reply: Value) -> mlua::Result<mlua::Value> {
    let field = |name: &str, text: String| lua.create_table_from([(name, text)])?.into_lua(lua);
    match reply {
        Value::Nil => Ok(mlua::Value::Boolean(false)),
        Value::Int(number) => number.into_lua(lua),
        Value::BulkString(bytes) => lua.create_string(bytes)?.into_lua(lua),
        Value::SimpleString(text) => field("ok", text),
        Value::Okay => field("ok", "OK".into()),
        Value::ServerError(error) => field("err", error.to_string()),
        Value::Array(values) => {
            let values = values.into_iter().map(|value| to_lua(lua, value));
            lua.create_sequence_from(values.collect::<mlua::Result<Vec<_>>>()?)?
                .into_lua(lua)
        }
        other => panic!("{other:?} is no reply of these commands"),
    }
}

fn from_lua(value: mlua::Value) -> Value {
    match value {
        mlua::Value::Nil | mlua::Value::Boolean(false) => Value::Nil,
        mlua::Value::Boolean(true) => Value::Int(1),
        mlua::Value::Integer(number) => Value::Int(number),
        mlua::Value::Number(number) => Value::Int(number as i64),
        mlua::Value::String(text) => Value::BulkString(text.as_bytes().to_vec()),
        mlua::Value::Table(table) => {
            if let Ok(error) = table.get::<String>("err") {
                return redis::parse_redis_value(format!("-{error}\r\n").as_bytes()).unwrap();
            }
            let values = table.sequence_values::<mlua::Value>();
            Value::Array(values.map(|value| from_lua(value.unwrap())).collect())
        }
        other => panic!("{other:?} is no reply of a script"),
    }
}
