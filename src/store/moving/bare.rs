//! A connection without the checks of a start: it claims nothing and writes nothing by itself.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Value};

use crate::store::{
    connect_error::ConnectError,
    error::StoreError,
    handle::StoreOptions,
    start::refused,
    wire::{address::Server, commands::Commands, link::Link, reply, traffic::NoAnswer},
};

/// How long an answer may take. Nobody waits but an operator.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// A connection that is opened again by the call after it was lost.
pub(super) struct Bare {
    server: Server,
    link: Option<Link>,
}

impl Bare {
    /// Connects.
    pub(super) async fn open(options: &StoreOptions) -> Result<Self, ConnectError> {
        let server =
            Server::parse(&options.url, options.reply_max).map_err(|error| ConnectError::BadUrl(error.to_string()))?;
        let link = server.link(|_| {}).await.map_err(|error| refused(&server, error))?;
        let link = Some(link);
        Ok(Self { server, link })
    }

    /// Sends commands in one turn; gives the replies as they came, errors of single commands among them.
    pub(super) async fn ask(&mut self, operation: &'static str, commands: Commands) -> Result<Vec<Bytes>, StoreError> {
        let link = match self.link.take() {
            Some(link) => link,
            None => {
                let opened = self.server.link(|_| {}).await;
                opened.map_err(|error| StoreError::unavailable(operation, error))?
            }
        };
        match link.ask(commands, ANSWERS_WITHIN).await {
            Ok(replies) => {
                self.link = Some(link);
                Ok(replies)
            }
            Err(NoAnswer::TooLarge) => Err(StoreError::TooLarge { operation }),
            Err(lost) => Err(StoreError::unavailable(operation, lost)),
        }
    }

    /// Sends one command about a key. An error of the server is an error.
    pub(super) async fn ask_one(
        &mut self,
        operation: &'static str,
        key: &str,
        command: &Cmd,
    ) -> Result<Value, StoreError> {
        let replies = self.ask(operation, command.into()).await?;
        let reply = replies.first().ok_or_else(|| StoreError::odd_reply(operation))?;
        reply::answered(reply::value(reply, operation)?, operation, key)
    }
}
